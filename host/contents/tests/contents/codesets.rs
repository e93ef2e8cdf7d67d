//! Codesets are read and staged straight from their commits.

use crate::support::{World, at, codeset, contents_of, make_executable, name, write};
use fuseml_contents::{Contents, Repositories};
use fuseml_domain::{
    ErrorKind,
    port::{CodesetFiles, Codesets as _, ContentStore as _},
};
use std::{fs, os::unix::fs::symlink};

fn paths(files: &dyn CodesetFiles, glob: &str) -> Vec<String> {
    files.find(glob, None).unwrap().into_iter().map(|entry| entry.path).collect()
}

async fn pushed(world: &World, files: &[(&str, &str)]) -> String {
    let ada = world.work_tree(files).await;
    ada.git(&["push", "--quiet", "origin", "main"]).await;
    ada.git(&["rev-parse", "HEAD"]).await
}

#[tokio::test]
async fn files_are_found_by_glob_and_read() {
    let world = World::new().await;
    let commit = pushed(
        &world,
        &[
            ("MLproject", "name: x\n"),
            ("src/a.py", "a"),
            ("src/deep/b.py", "bb"),
            ("setup.py", ""),
            ("data.csv", "1\n\n"),
        ],
    )
    .await;
    let files = world.repositories.files(&codeset(&commit)).await.unwrap();
    assert_eq!(paths(&*files, "*.py"), ["setup.py"]);
    assert_eq!(paths(&*files, "**/*.py"), ["setup.py", "src/a.py", "src/deep/b.py"]);
    assert_eq!(paths(&*files, "src/*"), ["src/a.py"]);
    assert_eq!(paths(&*files, "{MLproject,*.csv}"), ["MLproject", "data.csv"]);
    assert_eq!(paths(&*files, "none*"), [""; 0]);
    let after = files.find("**", Some("setup.py")).unwrap();
    assert_eq!(after[0].path, "src/a.py");
    assert_eq!((after[1].size_bytes, after[1].executable), (2, false));
    assert!(after[0].digest.starts_with("git:"), "{}", after[0].digest);

    assert_eq!(files.read("src/deep/b.py").unwrap(), b"bb");
    assert_eq!(files.read("setup.py").unwrap(), b"");
    assert_eq!(files.read("data.csv").unwrap(), b"1\n\n");
    assert_eq!(files.read("src").unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(files.read("../config").unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(files.find("{a", None).unwrap_err().code, "glob");
    assert_eq!(files.find(&"*".repeat(5000), None).unwrap_err().code, "glob");
}

#[tokio::test]
async fn a_file_over_the_limit_is_listed_and_not_read() {
    let world = World::new().await;
    let commit = pushed(&world, &[("big", &"x".repeat((4 << 20) + 1)), ("fits", &"x".repeat(4 << 20))]).await;
    let files = world.repositories.files(&codeset(&commit)).await.unwrap();
    assert_eq!(files.read("big").unwrap_err().code, "file-too-large");
    assert_eq!(files.read("fits").unwrap().len(), 4 << 20);
}

const ODD: [(&str, &str); 6] =
    [("a b.txt", "1"), ("ü/日本.txt", "2"), ("-rf", "3"), ("line\nfeed", "4"), ("tab\t\"quoted\"", "5"), ("[x]*", "6")];

#[tokio::test]
async fn odd_names_are_names() {
    let world = World::new().await;
    let ada = world.work_tree(&ODD).await;
    ada.git(&["push", "--quiet", "origin", "main"]).await;
    let first = codeset(&ada.git(&["rev-parse", "HEAD"]).await);
    let files = world.repositories.files(&first).await.unwrap();
    for (path, text) in ODD {
        assert_eq!(files.read(path).unwrap(), text.as_bytes(), "{path:?}");
    }
    let changes: Vec<_> = ODD.iter().map(|(path, _)| (*path, "changed")).collect();
    let second = codeset(&ada.commit(&changes).await);
    ada.git(&["push", "--quiet", "origin", "main"]).await;
    let mut changed = world.repositories.changed_files(&first, &second).await.unwrap();
    changed.sort();
    let mut all = ODD.map(|(path, _)| path);
    all.sort();
    assert_eq!(changed, all);
}

#[tokio::test]
async fn changed_files_are_those_added_removed_moved_and_written() {
    let world = World::new().await;
    let ada =
        world.work_tree(&[("same", "s"), ("written", "1"), ("removed", "r"), ("moved", "m"), ("mode", "x")]).await;
    let first = ada.git(&["rev-parse", "HEAD"]).await;
    ada.git(&["mv", "moved", "here"]).await;
    ada.git(&["rm", "--quiet", "removed"]).await;
    make_executable(&ada.path.join("mode"));
    let second = ada.commit(&[("written", "2"), ("added", "a")]).await;
    ada.git(&["push", "--quiet", "origin", "main"]).await;
    let (first, second) = (codeset(&first), codeset(&second));
    let changed = world.repositories.changed_files(&first, &second).await.unwrap();
    assert_eq!(changed, ["added", "here", "mode", "moved", "removed", "written"]);
    assert_eq!(world.repositories.changed_files(&second, &second).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn commits_are_described_and_resolved() {
    let world = World::new().await;
    let commit = pushed(&world, &[("a", "1")]).await;
    let (p, app) = (name("p"), name("app"));
    let info = world.repositories.commit_info(&p, &app, &commit).await.unwrap();
    assert_eq!((info.author.as_str(), info.subject.as_str()), ("Ada", "a change"));
    assert!(info.committed > "2024-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(world.repositories.resolve(&p, &app, &commit[..7]).await.unwrap(), commit);
    assert_eq!(world.repositories.resolve(&p, &app, &commit[..9].to_uppercase()).await.unwrap(), commit);
    let other = if commit.starts_with("0000") { "ffffff" } else { "000000" };
    assert_eq!(world.repositories.resolve(&p, &app, other).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(world.repositories.resolve(&p, &app, "main").await.unwrap_err().kind, ErrorKind::Invalid);
    assert_eq!(world.repositories.retain(&p, &app, "--help").await.unwrap_err().kind, ErrorKind::Invalid);
    let gone = world.repositories.branches(&p, &name("none")).await.unwrap_err();
    assert_eq!((gone.kind, gone.message.as_str()), (ErrorKind::NotFound, "the project p has no codeset none"));
}

#[tokio::test]
async fn many_retained_commits_stay_retained() {
    let world = World::new().await;
    let ada = world.work_tree(&[("a", "0")]).await;
    ada.git(&["push", "--quiet", "origin", "main"]).await;
    let commit = ada.git(&["rev-parse", "HEAD"]).await;
    let folder = world.bare().join("refs/fuseml/commits");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..300 {
        fs::write(folder.join(format!("{number:040x}")), format!("{commit}\n")).unwrap();
    }
    world.retain(&commit).await;
    assert!(fs::read_dir(&folder).map_or(0, Iterator::count) < 10, "they were gathered into one file");
    let kept = crate::support::git(&world.bare(), &["for-each-ref", "--format=%(refname)", "refs/fuseml"]).await;
    assert_eq!(kept.lines().count(), 301);
}

fn store(world: &World) -> Contents {
    let trees = crate::support::trees(&world.path("contents"));
    Contents::new(trees, world.repositories.clone()).unwrap()
}

#[tokio::test]
async fn a_staged_commit_is_what_git_archive_packs() {
    let world = World::new().await;
    let ada = world.work_tree(&ODD).await;
    write(&ada.path, &[("bin/run", "#!/bin/sh\n"), (".hidden/x", "h"), ("crlf", "a\r\n")]);
    make_executable(&ada.path.join("bin/run"));
    symlink("bin/run", ada.path.join("link")).unwrap();
    let commit = ada.commit(&[]).await;
    ada.git(&["push", "--quiet", "origin", "main"]).await;

    let staged = world.path("work/input");
    store(&world).stage(&at("git", format!("p/app#{commit}")), &staged).await.unwrap();
    fs::create_dir(world.path("archive")).unwrap();
    let tar = world.path("a.tar").display().to_string();
    ada.git(&["archive", "--output", &tar, &commit]).await;
    let unpacked = std::process::Command::new("tar").args(["-xf", &tar, "-C"]).arg(world.path("archive")).status();
    assert!(unpacked.unwrap().success());
    assert_eq!(contents_of(&staged), contents_of(&world.path("archive")));
    assert_eq!(fs::read_dir(world.path("work")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_commit_that_cannot_be_staged_leaves_nothing() {
    let world = World::new().await;
    let commit = pushed(&world, &[("a", "1")]).await;
    let contents = store(&world);
    let target = world.path("work/input");
    let unknown = format!("p/app#{}", "1".repeat(40));
    for uri in
        [unknown, format!("p/none#{commit}"), format!("../p#{commit}"), "p/app#main".to_owned(), "p/app".to_owned()]
    {
        contents.stage(&at("git", &uri), &target).await.expect_err(&uri);
        assert_eq!(fs::read_dir(world.path("work")).unwrap().count(), 0, "{uri}");
    }
}

#[tokio::test]
async fn making_a_repository_twice_at_once_makes_one() {
    let folder = tempfile::tempdir().unwrap();
    let repositories = Repositories::new(folder.path()).unwrap();
    let (p, app) = (name("p"), name("app"));
    let (a, b) = tokio::join!(repositories.create_if_missing(&p, &app), repositories.create_if_missing(&p, &app));
    a.and(b).unwrap();
    assert_eq!(fs::read_dir(folder.path().join("p")).unwrap().count(), 1);
    assert_eq!(repositories.branches(&p, &app).await.unwrap(), []);
}
