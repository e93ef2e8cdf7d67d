//! Where a component can send requests, against a real listener.

use crate::common::{guest, limits, rights, server::Server, world};
use fuseml_domain::{ErrorKind, Rights, port::ArtifactStore};
use fuseml_sandbox::Limits;
use std::{sync::Arc, time::Duration};

/// `get(id)` asks for the URL that the id is. The store then answers an error whose code is `status-<n>` and
/// whose message is the body, or the host's own error. `locate(id)` sends 5 MiB there.
fn relay() -> Vec<u8> {
    let get = "
        (call $fetch (i32.const 40960) (i32.const 3) (local.get 0) (local.get 1) (i32.const 41216) (i32.const 3)
          (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
          (i32.const 32768))
        (call $show)";
    let locate = "
        (drop (memory.grow (i32.const 81)))
        (call $fetch (i32.const 40963) (i32.const 4) (local.get 0) (local.get 1) (i32.const 0) (i32.const 0)
          (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 65536) (i32.const 5242880) (i32.const 0) (i32.const 0)
          (i32.const 32768))
        (call $show)";
    let items = r#"
        (data (i32.const 40960) "GETPOST")
        (data (i32.const 40976) "status-000")
        (data (i32.const 41000) "hostevil.exampleconnectionx-mineyes")
        ;; three headers: host: evil.example, connection: x-mine, x-mine: yes
        (data (i32.const 41216) "\28\a0\00\00\04\00\00\00\2c\a0\00\00\0c\00\00\00")
        (data (i32.const 41232) "\38\a0\00\00\0a\00\00\00\42\a0\00\00\06\00\00\00")
        (data (i32.const 41248) "\42\a0\00\00\06\00\00\00\48\a0\00\00\03\00\00\00")"#;
    guest::store(&[("get", get), ("locate", locate)], &format!("{items}{}", guest::SHOW))
}

async fn outcome(store: &Arc<dyn ArtifactStore>, url: &str) -> (String, String) {
    let error = store.get(url).await.expect_err("the relay answers errors only");
    let message = error.message.split_once("says: ").map_or(error.message.as_str(), |(_, said)| said).to_owned();
    (error.code, message)
}

#[tokio::test]
async fn requests_stay_inside_the_grant() {
    let (world, server, other) = (world(limits()), Server::start().await, Server::start().await);
    let port = server.port;
    let granted = rights(&[&format!("http://127.0.0.1:{port}/api"), &format!("http://localhost:{port}/api")]);
    let store = world.store(&relay(), granted).await;
    let cases = [
        (format!("http://127.0.0.1:{port}/api/x"), "status-200"),
        (format!("http://localhost:{port}/api"), "status-200"),
        (format!("http://LOCALHOST:{port}/api"), "status-200"),
        (format!("http://0x7f.1:{port}/api"), "status-200"),
        (format!("http://127.0.0.1:{port}/other"), "host-not-granted"),
        (format!("http://127.0.0.1:{port}/apix"), "host-not-granted"),
        (format!("http://127.0.0.1:{port}/api/../other"), "host-not-granted"),
        (format!("http://127.0.0.1:{port}/api/%2e%2e/other"), "host-not-granted"),
        (format!("http://127.0.0.1:{port}/api/..%2fother"), "host-not-granted"),
        (format!("https://127.0.0.1:{port}/api"), "host-not-granted"),
        (format!("http://127.0.0.1:{}/api", other.port), "host-not-granted"),
        ("http://127.0.0.1/api".to_owned(), "host-not-granted"),
        (format!("http://user:word@127.0.0.1:{port}/api"), "host-not-granted"),
        (format!("http://127.0.0.1:{port}@evil.example/api"), "host-not-granted"),
        (format!("http://localhost.:{port}/api"), "host-not-granted"),
        (format!("http://127.0.0.2:{port}/api"), "host-not-granted"),
        (format!("http://[::ffff:127.0.0.1]:{port}/api"), "host-not-granted"),
        ("http://[::ffff:169.254.169.254]/latest".to_owned(), "host-not-granted"),
        ("http://169.254.169.254/latest".to_owned(), "host-not-granted"),
        ("file:///etc/passwd".to_owned(), "host-not-granted"),
        ("no url".to_owned(), "url"),
    ];
    for (url, code) in &cases {
        assert_eq!(outcome(&store, url).await.0, *code, "{url}");
    }

    assert!(other.heads.lock().unwrap().is_empty());
    let paths: Vec<_> =
        server.heads.lock().unwrap().iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(paths, ["/api/x", "/api", "/api", "/api"]);
    let receipts = world.receipts();
    assert_eq!(receipts[0].hosts, [format!("http://127.0.0.1:{port}")]);
    assert_eq!(receipts[4].refusals[0].what, format!("http://127.0.0.1:{port}"));
}

#[tokio::test]
async fn redirects_are_answers_and_connections_are_kept() {
    let (world, server) = (world(limits()), Server::start().await);
    let store = world.store(&relay(), rights(&[&server.url()])).await;

    assert_eq!(outcome(&store, &format!("{}/redirect", server.url())).await, ("status-302".into(), "moved".into()));
    assert_eq!(outcome(&store, &format!("{}/", server.url())).await, ("status-200".into(), "hello".into()));

    assert_eq!(server.heads.lock().unwrap().len(), 2, "nothing was followed");
    assert_eq!(*server.connections.lock().unwrap(), 1, "two calls, one connection");
}

#[tokio::test]
async fn headers_of_the_connection_are_the_hosts_own() {
    let (world, server) = (world(limits()), Server::start().await);
    let store = world.store(&relay(), rights(&[&server.url()])).await;

    outcome(&store, &format!("{}/", server.url())).await;

    let head = server.heads.lock().unwrap()[0].to_ascii_lowercase();
    assert!(head.contains(&format!("host: 127.0.0.1:{}", server.port)), "{head}");
    assert!(head.contains("x-mine: yes"), "{head}");
    assert!(!head.contains("evil") && !head.contains("connection:"), "{head}");
}

#[tokio::test]
async fn bodies_have_a_size_and_a_time() {
    let world = world(Limits { wall: Duration::from_millis(600), ..limits() });
    let server = Server::start().await;
    let store = world.store(&relay(), rights(&[&server.url()])).await;
    for (path, code) in [("/large", "response-too-large"), ("/endless", "response-too-large")] {
        let (actual, message) = outcome(&store, &format!("{}{path}", server.url())).await;
        assert_eq!(actual, code, "{path}: {message}");
    }
    for path in ["/slow", "/silent"] {
        let (code, message) = outcome(&store, &format!("{}{path}", server.url())).await;
        assert_eq!(code, "timeout", "{path}: {message}");
    }

    let error = store.locate(&format!("{}/", server.url())).await.expect_err("too large");

    assert_eq!((error.code.as_str(), error.kind), ("request-too-large", ErrorKind::Invalid), "{error}");
}

#[tokio::test]
async fn silence_is_unavailable_and_nothing_granted_is_denied() {
    let world = world(limits());
    let server = Server::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = world.store(&relay(), rights(&[&format!("http://{closed}")])).await;

    let error = store.get(&format!("http://{closed}/")).await.expect_err("nobody listens");
    assert_eq!((error.code.as_str(), error.kind), ("unreachable", ErrorKind::Unavailable), "{error}");

    let store = world.store(&relay(), Rights::default()).await;
    let error = store.get(&server.url()).await.expect_err("not granted");
    assert_eq!((error.code.as_str(), error.kind), ("not-granted", ErrorKind::Denied), "{error}");
    assert!(server.heads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_call_sends_only_so_much() {
    let (world, server) = (world(Limits { requests: 0, ..limits() }), Server::start().await);
    let store = world.store(&relay(), rights(&[&server.url()])).await;

    let (code, message) = outcome(&store, &server.url()).await;

    assert_eq!(code, "traffic-limit", "{message}");
    assert_eq!(world.receipts()[0].refusals.len(), 1);
}

#[tokio::test]
async fn secrets_that_nobody_gave_are_refused_by_name() {
    let (world, server) = (world(limits()), Server::start().await);
    let url = server.url();
    let health = format!(
        "(call $fetch (i32.const 40960) (i32.const 3) (i32.const 40976) (i32.const {}) (i32.const 0) (i32.const 0)
          (i32.const 41216) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
          (i32.const 32768))
        (i32.const 32768)",
        url.len()
    );
    // One secret header: authorization, `Bearer {}`, the secret `token`.
    let items = format!(
        r#"(data (i32.const 40960) "GET") (data (i32.const 40976) "{url}")
        (data (i32.const 41100) "authorizationBearer {{}}token")
        (data (i32.const 41216) "\8c\a0\00\00\0d\00\00\00\99\a0\00\00\09\00\00\00\a2\a0\00\00\05\00\00\00")"#
    );
    let store = world.store(&guest::store(&[("health", &health)], &items), rights(&[&url])).await;

    let error = store.health().await.expect_err("no such secret");

    assert_eq!((error.code.as_str(), error.kind), ("secret-unknown", ErrorKind::Denied), "{error}");
    assert!(error.message.contains("`token`"), "{error}");
    assert!(server.heads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_runs_read_only_asks_but_sends_nothing() {
    let (world, server) = (world(limits()), Server::start().await);
    let read_only = Rights { read_only: true, ..rights(&[&server.url()]) };
    let store = world.store(&relay(), read_only).await;

    assert_eq!(outcome(&store, &format!("{}/", server.url())).await.0, "status-200");
    let posted = store.locate(&format!("{}/", server.url())).await.expect_err("a POST");

    assert_eq!(posted.code, "read-only", "{posted}");
    assert_eq!(server.heads.lock().unwrap().len(), 1);
}
