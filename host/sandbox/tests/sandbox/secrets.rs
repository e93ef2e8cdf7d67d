//! Secrets go into requests to the hosts they are bound to, and nowhere else: not to another host, not into a
//! message, not into a receipt.

use crate::common::{SECRET, guest, limits, rights, server::Server, world};
use fuseml_domain::{BoundSecret, Capability, Rights};

/// `get(id)` asks for the URL that the id is, with one secret header.
fn sender(header: &str, template: &str, secret: &str) -> Vec<u8> {
    let (first, second, third) = (header.len(), template.len(), secret.len());
    let items = format!(
        r#"(data (i32.const 40960) "GET") (data (i32.const 40976) "status-000")
           (data (i32.const 42000) "{header}") (data (i32.const 42100) "{template}") (data (i32.const 42200) "{secret}")
           (func $list
             (i32.store (i32.const 41300) (i32.const 42000)) (i32.store (i32.const 41304) (i32.const {first}))
             (i32.store (i32.const 41308) (i32.const 42100)) (i32.store (i32.const 41312) (i32.const {second}))
             (i32.store (i32.const 41316) (i32.const 42200)) (i32.store (i32.const 41320) (i32.const {third})))
           {}"#,
        guest::SHOW
    );
    let get = "(call $list)
        (call $fetch (i32.const 40960) (i32.const 3) (local.get 0) (local.get 1) (i32.const 0) (i32.const 0)
          (i32.const 41300) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
          (i32.const 32768))
        (call $show)";
    guest::store(&[("get", get)], &items)
}

fn with_secrets(hosts: &[&str], bound: &str) -> Rights {
    let secret = |name: &str| BoundSecret { name: name.to_owned(), hosts: vec![bound.parse().unwrap()] };
    Rights { secrets: vec![secret("token"), secret("unset")], ..rights(hosts) }
}

#[tokio::test]
async fn a_secret_reaches_its_host_and_only_its_name_is_recorded() {
    let (world, server) = (world(limits()), Server::start().await);
    let granted = with_secrets(&[&server.url()], &server.url());
    let store = world.store(&sender("authorization", "Bearer {}", "token"), granted).await;

    let error = store.get(&format!("{}/", server.url())).await.expect_err("answers errors only");

    assert_eq!(error.code, "status-200", "{error}");
    let head = server.heads.lock().unwrap()[0].clone();
    assert!(head.contains(&format!("authorization: Bearer {SECRET}")), "{head}");
    let receipt = &world.receipts()[0];
    assert_eq!(receipt.secrets, ["token"]);
    assert_eq!(receipt.requests, 1);
    assert_eq!(receipt.subject.as_deref(), Some(format!("{}/", server.url()).as_str()));
    assert!(receipt.received > 0);
}

#[tokio::test]
async fn a_secret_that_may_not_go_there_does_not_and_nothing_is_sent() {
    let (server, other) = (Server::start().await, Server::start().await);
    let (url, elsewhere) = (server.url(), other.url());
    let only_path = format!("{url}/api");
    let cases = [
        ("another host", "authorization", "Bearer {}", "token", &elsewhere, &url, "secret-elsewhere"),
        ("another path", "authorization", "Bearer {}", "token", &url, &only_path, "secret-elsewhere"),
        ("a secret that is not declared", "authorization", "{}", "password", &url, &url, "secret-unknown"),
        ("a secret without a value", "authorization", "{}", "unset", &url, &url, "secret-unset"),
        ("no place for the value", "authorization", "Bearer", "token", &url, &url, "secret-header"),
        ("a header of the host's", "host", "{}", "token", &url, &url, "secret-header"),
        ("no header", "not a header", "{}", "token", &url, &url, "secret-header"),
    ];
    for (what, header, template, secret, target, bound, code) in cases {
        let world = world(limits());
        let granted = with_secrets(&[&url, &elsewhere], bound);
        let store = world.store(&sender(header, template, secret), granted).await;

        let error = store.get(&format!("{target}/")).await.expect_err(what);

        assert_eq!(error.code, code, "{what}: {error}");
        assert!(!error.message.contains(SECRET), "{what}: {error}");
        let receipt = &world.receipts()[0];
        assert!(receipt.secrets.is_empty(), "{what}");
        let recorded = code == "secret-elsewhere" || code == "secret-unknown";
        assert_eq!(!receipt.refusals.is_empty(), recorded, "{what}");
    }
    assert!(server.heads.lock().unwrap().is_empty() && other.heads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn without_http_no_secret_goes_anywhere() {
    let (world, server) = (world(limits()), Server::start().await);
    let mut granted = with_secrets(&[&server.url()], &server.url());
    granted.capabilities.remove(&Capability::Http);
    let store = world.store(&sender("authorization", "Bearer {}", "token"), granted).await;

    assert_eq!(store.get(&format!("{}/", server.url())).await.expect_err("denied").code, "not-granted");
    assert!(server.heads.lock().unwrap().is_empty());
}
