//! Files served by a tool one by one: a server is believed nothing.

use crate::support::{at, contents_of, listen};
use axum::{
    Router,
    body::Body,
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use bytes::Bytes;
use fuseml_contents::{Contents, Repositories};
use fuseml_domain::{Contents as Wanted, Digest, Error, ErrorKind, Tree, TreeFile, port::ContentStore as _};
use futures::StreamExt as _;
use std::{fs, path::PathBuf, sync::Arc};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

struct World {
    folder: TempDir,
    contents: Contents,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let trees = crate::support::trees(&folder.path().join("contents"));
        let repositories = Arc::new(Repositories::new(folder.path().join("git")).unwrap());
        fs::create_dir(folder.path().join("work")).unwrap();
        Self { contents: Contents::new(trees, repositories).unwrap(), folder }
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    async fn stage(&self, wanted: &Wanted) -> Result<(), Error> {
        self.contents.stage(wanted, &self.work().join("input")).await
    }

    async fn refused(&self, wanted: &Wanted) -> Error {
        let error = self.stage(wanted).await.unwrap_err();
        assert_eq!(fs::read_dir(self.work()).unwrap().count(), 0, "{error}");
        error
    }
}

/// These files, registered with these texts, each to be fetched from the URL.
fn wanted(files: &[(&str, &str, String)]) -> Wanted {
    let tree = files.iter().map(|(path, text, _)| TreeFile {
        path: (*path).to_owned(),
        size_bytes: text.len() as u64,
        digest: Digest::of(text.as_bytes()),
        executable: path.starts_with("bin/"),
    });
    let uris = files.iter().map(|(path, _, uri)| ((*path).to_owned(), uri.clone())).collect();
    Wanted { tree: Some(Tree::new(tree.collect()).unwrap()), files: uris, ..at("http", "http://tool/artifacts/1") }
}

fn model(uri: String) -> Wanted {
    wanted(&[("model.pkl", "weights", uri)])
}

async fn tool() -> String {
    let endless = || async {
        let chunks = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 64 << 10])));
        Response::new(Body::from_stream(chunks))
    };
    let chunked = || async {
        let parts = ["wei", "ghts"].map(|part| Ok::<_, std::io::Error>(Bytes::from(part)));
        Response::new(Body::from_stream(futures::stream::iter(parts)))
    };
    let broken = || async {
        let parts = futures::stream::iter([Ok(Bytes::from("wei")), Err(std::io::Error::other("power cut"))]);
        Response::new(Body::from_stream(parts.boxed()))
    };
    listen(
        Router::new()
            .route("/model", get(|| async { "weights" }))
            .route("/other", get(|| async { "weightz" }))
            .route("/short", get(|| async { "wei" }))
            .route("/run", get(|| async { "#!" }))
            .route("/chunked", get(chunked))
            .route("/endless", get(endless))
            .route("/broken", get(broken))
            .route("/moved", get(|| async { Redirect::temporary("/model") }))
            .route("/round", get(|| async { Redirect::temporary("/round") }))
            .route("/away", get(|| async { Redirect::temporary("http://127.0.0.1:1/model?key=secret") }))
            .route("/busy", get(|| async { StatusCode::SERVICE_UNAVAILABLE.into_response() }))
            .route("/denied", get(|| async { StatusCode::FORBIDDEN.into_response() })),
    )
    .await
}

#[tokio::test]
async fn every_file_is_fetched_from_its_own_address() {
    let (world, tool) = (World::new(), tool().await);
    let files = [
        ("model.pkl", "weights", format!("{tool}/model")),
        ("a/b/model", "weights", format!("{tool}/chunked")),
        ("bin/run", "#!", format!("{tool}/run")),
        ("moved", "weights", format!("{tool}/moved")),
    ];
    let mut wanted = wanted(&files);
    wanted.files.push(("later".to_owned(), format!("{tool}/not-fetched")));
    world.stage(&wanted).await.unwrap();
    assert_eq!(
        contents_of(&world.work().join("input")),
        [
            "\"a\"/",
            "\"a/b\"/",
            "\"a/b/model\" = \"weights\"",
            "\"bin\"/",
            "\"bin/run\"* = \"#!\"",
            "\"model.pkl\" = \"weights\"",
            "\"moved\" = \"weights\""
        ]
    );
}

#[tokio::test]
async fn what_is_not_as_registered_is_refused() {
    let (world, tool) = (World::new(), tool().await);
    for (path, says) in [
        ("other", format!("has digest {} but {}", Digest::of(b"weightz"), Digest::of(b"weights"))),
        ("short", "has 3 bytes but 7 bytes".to_owned()),
        ("endless", "has more than 7 bytes but 7 bytes".to_owned()),
    ] {
        let error = world.refused(&model(format!("{tool}/{path}"))).await;
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Invalid, "digest-mismatch"), "{error}");
        let expected = format!(
            "the file model.pkl of http://tool/artifacts/1 {says} was registered: it was changed after registration; \
             register it anew or restore it"
        );
        assert_eq!(error.message, expected);
    }
}

#[tokio::test]
async fn a_server_that_lies_about_its_length_is_not_believed() {
    let world = World::new();
    for (length, body, kind, says) in [
        (7_u64, "wei", ErrorKind::Unavailable, "the connection broke off"),
        (7, "weightz", ErrorKind::Invalid, "has digest"),
        (1 << 40, "weights", ErrorKind::Invalid, "has 1099511627776 bytes"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 1024]).await;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
            let _ = socket.write_all(answer.as_bytes()).await;
        });
        let error = world.refused(&model(format!("http://{address}/model"))).await;
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_fails_is_told_apart() {
    let (world, tool) = (World::new(), tool().await);
    for (path, kind, says) in [
        ("none", ErrorKind::NotFound, "the server answered 404 Not Found"),
        ("busy", ErrorKind::Unavailable, "the server answered 503 Service Unavailable"),
        ("denied", ErrorKind::Denied, "the server answered 403 Forbidden"),
        ("broken", ErrorKind::Unavailable, "the connection broke off"),
        ("away", ErrorKind::Denied, "leads on to http://127.0.0.1:1/model: only redirects on the same host"),
        ("round", ErrorKind::Denied, "only redirects on the same host"),
    ] {
        let error = world.refused(&model(format!("{tool}/{path}"))).await;
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(says) && error.message.contains(&format!("{tool}/{path}")), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_down_does_not_answer() {
    let world = World::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = world.refused(&model(format!("http://user:secret@{address}/model?token=secret"))).await;
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.starts_with(&format!("http://{address}/model does not answer: ")), "{error}");
    assert!(!error.message.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_file_without_address_is_missing() {
    let (world, tool) = (World::new(), tool().await);
    let mut wanted = model(format!("{tool}/model"));
    wanted.files.clear();
    let error = world.refused(&wanted).await;
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::NotFound, "missing-file"));
    wanted.tree = None;
    assert_eq!(world.refused(&wanted).await.code, "no-tree");
}

#[tokio::test]
async fn many_files_arrive_and_one_that_is_wrong_leaves_none() {
    let (world, tool) = (World::new(), tool().await);
    let paths: Vec<_> = (0..200).map(|number| format!("{}/{number}", number % 7)).collect();
    let mut files: Vec<_> = paths.iter().map(|path| (path.as_str(), "weights", format!("{tool}/model"))).collect();
    world.stage(&wanted(&files)).await.unwrap();
    fs::remove_dir_all(world.work().join("input")).unwrap();
    files[150].2 = format!("{tool}/other");
    assert_eq!(world.refused(&wanted(&files)).await.code, "digest-mismatch");
}
