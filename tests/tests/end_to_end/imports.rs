//! Codesets that follow an outside repository (S109–S110), and a codeset's history.

use fuseml_tests::{World, tool, until};
use std::{fs, path::Path, process::Command};

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@localhost", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn commit(folder: &Path, text: &str) -> String {
    fs::write(folder.join("train.py"), text).expect("file");
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "-m", text]);
    git(folder, &["rev-parse", "HEAD"])
}

/// A team's own git host, which is another FuseML server, with a repository of three commits and two branches; and a
/// server with a project.
fn hosts() -> (World, World) {
    let host = World::new();
    host.fuseml(&["project", "create", "team"]).good();
    let folder = host.folder.path().join("app");
    fs::create_dir(&folder).expect("folder");
    git(&folder, &["init", "--quiet"]);
    for text in ["one", "two", "three"] {
        commit(&folder, text);
    }
    git(&folder, &["branch", "dev", "HEAD~1"]);
    let login = host.url().replace("http://", &format!("http://git:{}@", host.token()));
    git(&folder, &["remote", "add", "origin", &format!("{login}/git/team/app.git")]);
    git(&folder, &["push", "--quiet", "origin", "main", "dev"]);

    let world = World::new();
    world.fuseml(&["project", "create", "ml"]).good();
    world.fuseml(&["project", "set", "ml"]).good();
    (host, world)
}

#[test]
fn a_codeset_follows_an_outside_repository_and_loses_nothing_of_it() {
    let (host, world) = hosts();
    let url = format!("{}/git/team/app.git", host.url());
    let import = ["codeset", "import", &url, "--token-stdin", "--every", "1h"];
    let said = world.fuseml_reading(&import, &host.token()).good();
    insta::assert_snapshot!("imported", world.steady(&said.stdout()));
    let first = world.json(&["codeset", "show", "app"])["newest"]["id"].as_str().expect("id").to_owned();

    // What happens there, happens here; what was registered stays.
    let folder = host.folder.path().join("app");
    git(&folder, &["reset", "--quiet", "--hard", "HEAD~2"]);
    let forced = commit(&folder, "another two");
    git(&folder, &["push", "--quiet", "--force", "origin", "main"]);
    git(&folder, &["push", "--quiet", "origin", ":dev"]);
    let synced = world.json(&["codeset", "sync", "app"]);
    assert_eq!((&synced["last"]["registered"], &synced["last"]["failures"]), (&1.into(), &0.into()));
    let shown = world.json(&["codeset", "show", "app"]);
    assert_eq!(shown["branches"], serde_json::json!([["main", forced]]));
    world.fuseml(&["artifact", "fetch", &format!("code://ml/app/{first}"), "before"]).good();
    assert_eq!(fs::read_to_string(world.folder.path().join("before/train.py")).expect("file"), "three");
    assert_eq!(world.json(&["codeset", "sync", "app"])["last"]["registered"], 0);

    // Nobody pushes to what follows; afterwards everybody may.
    let push = ["codeset", "push", "before", "--name", "app"];
    let refused = world.fuseml(&push).bad(6);
    assert!(refused.stderr().contains("follows http"), "{}", refused.stderr());
    world.fuseml(&["codeset", "import", "--end", "app"]).good();
    world.fuseml(&push).good();
    world.fuseml(&["codeset", "sync", "app"]).bad(3);
}

#[test]
fn what_cannot_be_followed_is_refused_and_nothing_is_left() {
    let (host, world) = hosts();
    let url = format!("{}/git/team/app.git", host.url());
    let token = host.token();
    for (arguments, input, code, why) in [
        (vec![url.as_str()], "", 4, "asks for another login"),
        (vec![&url, "--token-stdin"], "wrong", 4, "asks for another login"),
        (vec![&url, "--token-stdin", "--branch", "nothing"], &token, 3, "no such repository or branch"),
        (vec![&url, "--token-stdin", "--branch=--upload-pack=x"], &token, 2, "is no branch"),
        (vec!["file:///etc", "--name", "x"], "", 2, "only https:// and http:// are"),
        (vec!["http://169.254.169.254/x.git"], "", 4, "link-local"),
        (vec!["http://a:b@127.0.0.1/x.git"], "", 2, "holds a login"),
        (vec![&url, "--every", "1s"], "", 2, "every ten seconds"),
        (vec![&url, "--every", "often"], "", 2, "not a length of time"),
    ] {
        let said = world.fuseml_reading(&[&["codeset", "import"], arguments.as_slice()].concat(), input).bad(code);
        assert!(said.stderr().contains(why), "{arguments:?}: {}", said.stderr());
        assert!(!said.stderr().contains(&token), "{}", said.stderr());
    }
    assert_eq!(world.json(&["codeset", "list"]), serde_json::json!([]));
    let nowhere = format!("http://127.0.0.1:{}/x.git", fuseml_tests::free_port());
    world.fuseml(&["codeset", "import", &nowhere]).bad(6);
    // What was there before is not taken over.
    fs::create_dir(world.folder.path().join("app")).expect("folder");
    fs::write(world.folder.path().join("app/a.py"), "a").expect("file");
    world.fuseml(&["codeset", "push", "app"]).good();
    let said = world.fuseml_reading(&["codeset", "import", &url, "--token-stdin"], &token).bad(5);
    assert!(said.stderr().contains("is pushed here already"), "{}", said.stderr());
}

#[test]
fn a_follower_goes_on_after_a_kill_and_its_token_lies_sealed() {
    let (host, mut world) = hosts();
    let url = format!("{}/git/team/app.git", host.url());
    let import = ["codeset", "import", &url, "--token-stdin", "--every", "10s", "--branch", "main"];
    world.fuseml_reading(&import, &host.token()).good();
    world.kill();
    let grep = Command::new("grep").args(["-rlF", &host.token()]).arg(world.data()).output().expect("grep");
    assert_eq!(String::from_utf8_lossy(&grep.stdout), "");
    world.start();
    world.fuseml(&["server", "rotate-secret-key"]).good();
    let newest = commit(&host.folder.path().join("app"), "four");
    git(&host.folder.path().join("app"), &["push", "--quiet", "origin", "main"]);
    until("the new commit is registered", || world.json(&["codeset", "show", "app"])["newest"]["id"] == *newest);
}

#[test]
fn a_history_is_shown_in_pages_and_says_which_commits_are_artifacts() {
    let (host, _) = hosts();
    host.fuseml(&["project", "set", "team"]).good();
    host.fuseml(&["artifact", "tag", "code/app", "v3"]).good();
    let said = host.fuseml(&["codeset", "log", "app"]).good();
    let steady = |text: &str| {
        let steady = host.steady(text);
        regex::Regex::new(r"(?m)^[0-9a-f]{7} ").expect("pattern").replace_all(&steady, "[commit] ").into_owned()
    };
    insta::assert_snapshot!("log", steady(&format!("{}{}", said.stderr(), said.stdout())));
    let page = host.json(&["codeset", "log", "app", "--limit", "2"]);
    assert_eq!(page.as_array().expect("list").len(), 2);
    let said = host.fuseml(&["codeset", "log", "app", "--limit", "2"]).good();
    let token =
        said.stderr().rsplit_once("--page-token ").expect("token").1.split(' ').next().expect("token").to_owned();
    let rest = host.json(&["codeset", "log", "app", "--page-token", &token]);
    assert_eq!((rest.as_array().expect("list").len(), &rest[0]["subject"]), (1, &"one".into()));
    assert_eq!(host.json(&["codeset", "log", "app", "dev"])[0]["subject"], "two");
    let refused = host.fuseml(&["codeset", "log", "app", "nothing"]).bad(3);
    assert!(refused.stderr().contains("no branch or commit nothing"), "{}", refused.stderr());
    host.fuseml(&["codeset", "log", "app", "--page-token", "x"]).bad(2);
}

#[test]
fn a_webhook_of_the_git_host_brings_what_was_pushed_at_once() {
    let (host, world) = hosts();
    let url = format!("{}/git/team/app.git", host.url());
    world.fuseml_reading(&["codeset", "import", &url, "--token-stdin", "--every", "never"], &host.token()).good();
    let added = world.fuseml(&["webhook", "add", "git", "--proof", "hub-signature", "--codeset", "app"]).good();
    let secret = added.stdout().trim().to_owned();
    let head = commit(&host.folder.path().join("app"), "four");
    git(&host.folder.path().join("app"), &["push", "--quiet", "origin", "main"]);

    let body = serde_json::json!({"ref": "refs/heads/main", "after": head}).to_string();
    fs::write(world.folder.path().join("body"), &body).expect("file");
    let mac = Command::new(tool("FUSEML_TEST_OPENSSL"))
        .args(["dgst", "-sha256", "-hmac", &secret, "-r", "body"])
        .current_dir(world.folder.path())
        .output()
        .expect("openssl");
    let mac = String::from_utf8_lossy(&mac.stdout).split(' ').next().unwrap_or_default().to_owned();
    let post = |signature: &str| {
        let request = reqwest::blocking::Client::new().post(format!("{}/hooks/ml/git", world.url()));
        let request = request.header("X-Gitea-Event", "push").header("X-Hub-Signature-256", signature);
        request.body(body.clone()).send().expect("answer").status().as_u16()
    };
    assert_eq!(post(&format!("sha256={}", "0".repeat(64))), 401);
    assert_eq!(post(&format!("sha256={mac}")), 202);

    until("the commit is registered", || world.json(&["codeset", "show", "app"])["newest"]["id"] == head.as_str());
    let list = world.fuseml(&["webhook", "list"]).good();
    insta::assert_snapshot!("webhooks", world.steady(&format!("{}{}", list.stderr(), list.stdout())));
}
