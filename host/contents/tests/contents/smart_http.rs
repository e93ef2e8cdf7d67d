//! Any git client pushes, clones and fetches.

use crate::support::{World, contents_of, git, name, try_git, write};
use axum::http::StatusCode;
use bytes::Bytes;
use fuseml_contents::GitRequest;
use futures::{StreamExt as _, TryStreamExt as _};
use std::{fs, sync::atomic::Ordering, time::Duration};

#[tokio::test]
async fn what_is_pushed_is_cloned_and_fetched() {
    let world = World::new().await;
    let ada = world.work_tree(&[("train.py", "print(1)\n"), ("data/a.csv", "1,2\n")]).await;
    ada.git(&["push", "--quiet", "origin", "main"]).await;
    let head = ada.git(&["rev-parse", "HEAD"]).await;
    assert_eq!(world.branches().await, [("refs/heads/main".to_owned(), head.clone())]);

    git(world.folder.path(), &["clone", "--quiet", &world.url, "clone"]).await;
    assert_eq!(git(&world.path("clone"), &["rev-parse", "HEAD"]).await, head);
    assert_eq!(fs::read_to_string(world.path("clone/data/a.csv")).unwrap(), "1,2\n");

    let newer = ada.commit(&[("train.py", "print(2)\n")]).await;
    ada.git(&["push", "--quiet", "origin", "main", "HEAD:refs/heads/feature/x"]).await;
    git(&world.path("clone"), &["fetch", "--quiet"]).await;
    assert_eq!(git(&world.path("clone"), &["rev-parse", "origin/feature/x"]).await, newer);
    // The older protocol is spoken too.
    let listed = git(&world.path("clone"), &["-c", "protocol.version=0", "ls-remote", "--heads", "origin"]).await;
    assert_eq!(listed, format!("{newer}\trefs/heads/feature/x\n{newer}\trefs/heads/main"));
}

#[tokio::test]
async fn shallow_and_partial_clones_get_what_they_asked_for() {
    let world = World::new().await;
    let ada = world.work_tree(&[("old.txt", "old\n")]).await;
    ada.commit(&[("big.bin", &"x".repeat(100_000))]).await;
    ada.commit(&[("big.bin", "small now\n")]).await;
    ada.git(&["push", "--quiet", "origin", "main"]).await;

    git(world.folder.path(), &["clone", "--quiet", "--depth=1", &world.url, "shallow"]).await;
    assert_eq!(git(&world.path("shallow"), &["rev-list", "--count", "HEAD"]).await, "1");
    git(&world.path("shallow"), &["fetch", "--quiet", "--unshallow"]).await;
    assert_eq!(git(&world.path("shallow"), &["rev-list", "--count", "HEAD"]).await, "3");

    git(world.folder.path(), &["clone", "--quiet", "--filter=blob:none", &world.url, "partial"]).await;
    let missing = git(&world.path("partial"), &["rev-list", "--objects", "--missing=print", "HEAD"]).await;
    assert!(missing.lines().any(|line| line.starts_with('?')), "all blobs came along: {missing}");
    // What is missing is fetched when it is needed.
    assert_eq!(git(&world.path("partial"), &["show", "HEAD~1:big.bin"]).await.len(), 100_000);
}

#[tokio::test]
async fn many_references_make_the_client_compress_its_request() {
    let world = World::new().await;
    let ada = world.work_tree(&[("a", "0")]).await;
    for number in 0..60 {
        ada.commit(&[("a", &number.to_string())]).await;
        ada.git(&["branch", &format!("b{number}")]).await;
    }
    ada.git(&["push", "--quiet", "--all", "origin"]).await;
    assert_eq!(world.branches().await.len(), 61);
    git(world.folder.path(), &["clone", "--quiet", &world.url, "clone"]).await;
    assert!(world.gzipped.load(Ordering::Relaxed) > 0);
    assert_eq!(git(&world.path("clone"), &["branch", "--remotes"]).await.lines().count(), 62);
}

#[tokio::test]
async fn a_gzipped_request_is_understood() {
    let world = World::new().await;
    let ada = world.work_tree(&[("a", "1")]).await;
    ada.git(&["push", "--quiet", "origin", "main"]).await;
    write(&world.path(""), &[("request", "0014command=ls-refs\n0000")]);
    let packed = std::process::Command::new("gzip").arg("-c").arg(world.path("request")).output().unwrap().stdout;
    let mut request = post("git-upload-pack", vec![Ok(Bytes::from(packed))]);
    request.content_encoding = Some("gzip".to_owned());
    request.git_protocol = Some("version=2".to_owned());
    let answer = world.repositories.serve(request).await.unwrap();
    assert_eq!(answer.status, 200);
    let body: Vec<Bytes> = answer.body.try_collect().await.unwrap();
    assert!(String::from_utf8_lossy(&body.concat()).contains("refs/heads/main"));
}

fn post(service: &str, body: Vec<std::io::Result<Bytes>>) -> GitRequest {
    GitRequest {
        project: name("p"),
        name: name("app"),
        service: service.to_owned(),
        method: "POST".to_owned(),
        query: String::new(),
        content_type: Some(format!("application/x-{service}-request")),
        content_encoding: None,
        git_protocol: None,
        body: Box::pin(futures::stream::iter(body)),
    }
}

#[tokio::test]
async fn a_registered_commit_outlives_its_branch() {
    let world = World::new().await;
    let ada = world.work_tree(&[("a", "first")]).await;
    ada.git(&["push", "--quiet", "origin", "main", "HEAD:refs/heads/other"]).await;
    let first = ada.git(&["rev-parse", "HEAD"]).await;
    world.retain(&first).await;
    ada.git(&["checkout", "--quiet", "--orphan", "new"]).await;
    let second = ada.commit(&[("a", "second")]).await;
    ada.git(&["push", "--quiet", "--force", "origin", "HEAD:main"]).await;
    ada.git(&["push", "--quiet", "origin", ":other"]).await;
    assert_eq!(world.branches().await, [("refs/heads/main".to_owned(), second)]);

    git(&world.bare(), &["gc", "--quiet", "--prune=now"]).await;
    assert_eq!(git(&world.bare(), &["show", &format!("{first}:a")]).await, "first");
    // Clients do not see how it is kept, and cannot undo it; but whoever knows the commit gets it.
    let listed = git(&ada.path, &["ls-remote", "origin"]).await;
    assert!(!listed.contains("fuseml"), "{listed}");
    let removal = try_git(&ada.path, &["push", "origin", &format!(":refs/fuseml/commits/{first}")]).await;
    assert!(!removal.status.success());
    let made = try_git(&ada.path, &["push", "origin", "HEAD:refs/fuseml/commits/mine"]).await;
    assert!(!made.status.success());
    git(world.folder.path(), &["clone", "--quiet", &world.url, "clone"]).await;
    git(&world.path("clone"), &["fetch", "--quiet", "origin", &first]).await;
}

#[tokio::test]
async fn the_default_branch_is_one_that_exists() {
    let world = World::new().await;
    let ada = world.work_tree(&[("a", "1")]).await;
    ada.git(&["push", "--quiet", "origin", "main:master"]).await;
    git(world.folder.path(), &["clone", "--quiet", &world.url, "clone"]).await;
    assert_eq!(fs::read_to_string(world.path("clone/a")).unwrap(), "1");
}

#[tokio::test]
async fn only_the_smart_services_are_served() {
    let world = World::new().await;
    let ada = world.work_tree(&[("a", "1")]).await;
    ada.git(&["push", "--quiet", "origin", "main"]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in [
        "HEAD",
        "config",
        "objects/info/packs",
        "info/refs",
        "info/refs?service=git-upload-archive",
        "info/refs?service=git%2Dreceive-pack",
        "git-upload-pack",
        "git-upload-archive",
        "../app.git/HEAD",
    ] {
        let answer = client.get(format!("{}/{path}", world.url)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let wrong = client.post(format!("{}/git-upload-pack", world.url)).body("x").send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let unknown = format!("{}/info/refs?service=git-upload-pack", world.url.replace("app", "none"));
    assert_eq!(client.get(unknown).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

/// The new head, and what `git push` sends to bring it.
async fn push_request(world: &World) -> (String, Vec<u8>) {
    let ada = world.work_tree(&[("a", "pushed")]).await;
    let head = ada.git(&["rev-parse", "HEAD"]).await;
    let zero = "0".repeat(40);
    let command = format!("{zero} {head} refs/heads/main\0report-status\n");
    let packed = format!("git rev-list --objects {head} | git pack-objects --stdout --quiet");
    let pack = std::process::Command::new("sh").args(["-c", &packed]).current_dir(&ada.path).output().unwrap().stdout;
    let mut body = format!("{:04x}{command}0000", command.len() + 4).into_bytes();
    body.extend(pack);
    (head, body)
}

#[tokio::test]
async fn a_push_is_carried_through_when_its_client_is_gone() {
    let world = World::new().await;
    let (head, body) = push_request(&world).await;
    let answer = world.repositories.serve(post("git-receive-pack", vec![Ok(Bytes::from(body))])).await.unwrap();
    drop(answer);
    for _ in 0..200 {
        if !world.branches().await.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.branches().await, [("refs/heads/main".to_owned(), head)]);
}

#[tokio::test]
async fn a_push_that_broke_off_changes_nothing() {
    let world = World::new().await;
    let (_, mut body) = push_request(&world).await;
    body.truncate(body.len() - 30);
    let parts = vec![Ok(Bytes::from(body)), Err(std::io::Error::other("the client is gone"))];
    let answer = world.repositories.serve(post("git-receive-pack", parts)).await.unwrap();
    let _: Result<Vec<Bytes>, _> = answer.body.try_collect().await;
    assert_eq!(world.branches().await, []);
}

#[tokio::test]
async fn a_fetch_ends_with_its_client() {
    let world = World::new().await;
    let ada = world.work_tree(&[("a", "1")]).await;
    ada.git(&["push", "--quiet", "origin", "main"]).await;
    let mut request = post("git-upload-pack", Vec::new());
    // A client that never finishes its request keeps git waiting.
    request.body = Box::pin(futures::stream::pending());
    let mut answer = world.repositories.serve(request).await.unwrap();
    let running = || {
        // Git works in its repository's folder.
        let mut processes = fs::read_dir("/proc").unwrap().flatten();
        processes.any(|process| fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == world.bare()))
    };
    assert!(tokio::time::timeout(Duration::from_millis(300), answer.body.next()).await.is_err());
    assert!(running());
    drop(answer);
    for _ in 0..200 {
        if !running() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("git upload-pack still runs");
}

#[tokio::test]
async fn pushes_to_one_repository_at_once_all_arrive() {
    let world = World::new().await;
    let mut trees = Vec::new();
    for number in 0..6 {
        trees.push((world.work_tree(&[("a", &number.to_string())]).await, format!("HEAD:refs/heads/b{number}")));
    }
    futures::stream::iter(&trees)
        .for_each_concurrent(None, |(tree, branch)| async move {
            tree.git(&["push", "--quiet", "origin", branch]).await;
        })
        .await;
    assert_eq!(world.branches().await.len(), 6);
}

#[tokio::test]
async fn a_clone_is_the_same_byte_for_byte() {
    let world = World::new().await;
    let ada = world.work_tree(&[("a b/ü.txt", "1"), ("-dash", "2"), ("line\nfeed", "3"), ("x", "4")]).await;
    crate::support::make_executable(&ada.path.join("x"));
    ada.commit(&[]).await;
    ada.git(&["push", "--quiet", "origin", "main"]).await;
    git(world.folder.path(), &["clone", "--quiet", &world.url, "clone"]).await;
    fs::remove_dir_all(world.path("clone/.git")).unwrap();
    fs::remove_dir_all(ada.path.join(".git")).unwrap();
    assert_eq!(contents_of(&world.path("clone")), contents_of(&ada.path));
}
