//! Any git client pushes, clones and fetches; a push does what `fuseml codeset push` does.

use fuseml_tests::{World, until};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn git(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@localhost", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git")
}

fn good(folder: &Path, arguments: &[&str]) -> String {
    let output = git(folder, arguments);
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn remote(world: &World, name: &str) -> String {
    world.url().replace("http://", &format!("http://git:{}@", world.token())) + &format!("/git/myproj/{name}.git")
}

fn commit(folder: &Path, file: &str, text: &str) -> String {
    fs::write(folder.join(file), text).expect("file");
    good(folder, &["add", "--all"]);
    good(folder, &["commit", "--quiet", "-m", &format!("change {file}")]);
    good(folder, &["rev-parse", "HEAD"])
}

fn world_with_project() -> World {
    let world = World::new();
    world.fuseml(&["project", "create", "myproj"]).good();
    world.fuseml(&["project", "set", "myproj"]).good();
    world
}

#[test]
fn real_git_clients_push_clone_and_fetch() {
    let world = world_with_project();
    let url = remote(&world, "app");
    let folder = world.folder.path().join("app");
    fs::create_dir(&folder).expect("folder");
    good(&folder, &["init", "--quiet"]);
    let first = commit(&folder, "a file with a ünusual name.txt", "one");
    // Larger than git sends in one piece: the request is chunked.
    let large: String = (0..400_000).map(|n| format!("{n}\n")).collect();
    let second = commit(&folder, "large.txt", &large);
    good(&folder, &["push", "--quiet", &url, "main"]);

    for (name, options) in [("full", &[][..]), ("shallow", &["--depth", "1"]), ("partial", &["--filter=blob:none"])] {
        let mut arguments = vec!["clone", "--quiet"];
        arguments.extend(options);
        let target = world.folder.path().join(name).display().to_string();
        good(world.folder.path(), &[&arguments[..], &[&url, &target]].concat());
        assert_eq!(good(Path::new(&target), &["rev-parse", "HEAD"]), second, "{name}");
        assert_eq!(fs::read_to_string(Path::new(&target).join("large.txt")).expect("file"), large, "{name}");
    }
    let third = commit(&folder, "more.txt", "more");
    good(&folder, &["push", "--quiet", &url, "main"]);
    let clone = world.folder.path().join("full");
    good(&clone, &["fetch", "--quiet"]);
    assert_eq!(good(&clone, &["rev-parse", "origin/main"]), third);

    let shown = world.json(&["artifact", "show", &format!("code://myproj/app/{}", &second[..7])]);
    assert_eq!(shown["id"], second);
    assert_eq!(shown["attributes"]["author"], "Ada");
    world.fuseml(&["artifact", "show", &format!("code://myproj/app/{}", &first[..7])]).bad(3);
}

#[test]
fn a_forced_push_and_a_deleted_branch_lose_no_registered_commit() {
    let world = world_with_project();
    let url = remote(&world, "app");
    let folder = world.folder.path().join("app");
    fs::create_dir(&folder).expect("folder");
    good(&folder, &["init", "--quiet"]);
    let first = commit(&folder, "a.txt", "one");
    good(&folder, &["push", "--quiet", &url, "main", "main:other"]);
    good(&folder, &["commit", "--quiet", "--amend", "-m", "rewritten"]);
    good(&folder, &["push", "--quiet", "--force", &url, "main"]);
    good(&folder, &["push", "--quiet", "--delete", &url, "other"]);

    let repository = world.data().join("git/myproj/app.git");
    good(&repository, &["-c", "gc.pruneExpire=now", "gc", "--quiet"]);
    assert_eq!(good(&repository, &["cat-file", "-t", &first]), "commit");
    let codesets = world.json(&["artifact", "list", "--kind", "codeset"]);
    assert_eq!(codesets.as_array().map(Vec::len), Some(2));
}

#[test]
fn nothing_is_answered_without_the_token_or_to_a_foreign_name() {
    let world = world_with_project();
    let client = reqwest::blocking::Client::new();
    let url = world.url();
    for path in
        ["/api/v1/projects", "/git/myproj/app.git/info/refs?service=git-upload-pack", "/serve/a/b/c/predict", "/"]
    {
        let status = client.get(format!("{url}{path}")).send().expect("answer").status().as_u16();
        assert!(status == 401 || status == 404, "{path}: {status}");
        let with_token = client.get(format!("{url}{path}")).bearer_auth(world.token());
        let foreign = with_token.header("host", "evil.example").send().expect("answer").status().as_u16();
        assert!(foreign == 403 || foreign == 404, "{path}: {foreign}");
    }
    assert_eq!(client.get(format!("{url}/healthz")).send().expect("answer").status(), 200);
    let page =
        client.get(format!("{url}/api/v1/projects")).bearer_auth(world.token()).header("origin", "http://evil.example");
    assert_eq!(page.send().expect("answer").status(), 403);

    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(world.data().join("admin-token")).expect("token").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let refused = git(world.folder.path(), &["ls-remote", &format!("{url}/git/myproj/app.git")]);
    assert!(!refused.status.success());
}

#[test]
fn a_plain_git_push_starts_pipelines_as_the_cli_does() {
    let world = World::with_mlflow(None);
    world
        .fuseml(&["pipeline", "add", "mlflow-training", "--name", "training", "--input", "mlflow_code=code://*"])
        .good();
    let folder = world.folder.path().join("app");
    fs::create_dir(&folder).expect("folder");
    good(&folder, &["init", "--quiet"]);
    commit(&folder, "readme.txt", "no MLflow project");
    good(&folder, &["push", "--quiet", &remote(&world, "app"), "main"]);

    until("its run ends", || world.json(&["run", "list"])[0]["state"] == "failed");
    let suggested = world.fuseml(&["pipeline", "suggest", "--from", "app", "--to", "model"]).good().stderr();
    assert!(suggested.contains("mlflow-training is left out: there is no `MLproject`"), "{suggested}");
    let shown = world.fuseml(&["run", "show", "training/1"]).good();
    insta::assert_snapshot!("not_for_mlflow", world.steady(&(shown.stderr() + &shown.stdout())));
}
