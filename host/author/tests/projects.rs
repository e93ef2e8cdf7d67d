//! A new project builds as it is and its own tests pass, with the real toolchain.

use fuseml_author::{BuiltComponent, Language, ProjectKind, build, create};
use fuseml_domain::{ErrorKind, Name};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn name(text: &str) -> Name {
    text.parse().expect("name")
}

fn passes(program: &str, arguments: &[&str], folder: &Path) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
    let output = command.output().expect("a program to run");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&said));
}

#[test]
fn rust_projects_build_and_their_tests_pass() {
    let folder = tempfile::tempdir().expect("folder");
    let (project, kept) = (folder.path().join("acme"), folder.path().join("target"));
    let imports = ["fuseml:http/http@0.1.0", "fuseml:files/files@0.1.0", "fuseml:http/http@0.1.0"];
    for ((kind, file), import) in KINDS.into_iter().zip(imports) {
        create(Language::Rust, kind, &name("acme"), &project).expect("project");
        // What is compiled for one is there for the next, in the folder of that name.
        if kept.exists() {
            fs::rename(&kept, project.join("target")).expect("target");
        }
        let component = builds(&project, file);
        assert!(component.imports.iter().any(|one| one == import), "{component:?}");
        passes("cargo", &["test", "--locked", "--quiet"], &project);
        fs::rename(project.join("target"), &kept).expect("target");
        fs::remove_dir_all(&project).expect("project");
    }
}

#[test]
fn two_folders_give_the_same_bytes_which_name_neither() {
    let [one, other] = ["one", "other"].map(|place| {
        let folder = tempfile::tempdir().expect("folder");
        let project = folder.path().join(place).join("acme");
        create(Language::Rust, ProjectKind::ArtifactStore, &name("acme"), &project).expect("project");
        builds(&project, KINDS[0].1);
        let bytes = fs::read(project.join("target/extension").join(KINDS[0].1)).expect("component");
        let path = folder.path().to_str().expect("path").as_bytes();
        assert!(!bytes.windows(path.len()).any(|window| window == path));
        bytes
    });
    assert!(one == other);
}

#[test]
fn python_projects_build_and_their_tests_pass() {
    for (kind, file) in KINDS {
        let folder = tempfile::tempdir().expect("folder");
        let project = created(Language::Python, kind, folder.path());
        passes("python3", &["-m", "unittest"], &project);
        builds(&project, file);
    }
}

#[test]
fn javascript_projects_build_and_their_tests_pass() {
    for (kind, file) in KINDS {
        let folder = tempfile::tempdir().expect("folder");
        let project = created(Language::JavaScript, kind, folder.path());
        passes("npm", &["install", "--silent"], &project);
        passes("npm", &["test"], &project);
        builds(&project, file);
    }
}

const KINDS: [(ProjectKind, &str); 3] = [
    (ProjectKind::ArtifactStore, "components/store.wasm"),
    (ProjectKind::Builder, "components/builder.wasm"),
    (ProjectKind::RuntimeAgent, "components/agent.wasm"),
];

fn created(language: Language, kind: ProjectKind, folder: &Path) -> PathBuf {
    let project = folder.join("acme");
    create(language, kind, &name("acme"), &project).expect("project");
    project
}

/// The one component of a project, which reaches nothing but FuseML's interfaces.
fn builds(project: &Path, file: &str) -> BuiltComponent {
    let out = project.join("target/extension");
    let built = build(project, &out).expect("build");
    let [component] = built.components.as_slice() else { panic!("{built:?}") };
    assert_eq!(component.file, file);
    assert!(component.imports.iter().all(|one| one.starts_with("fuseml:")), "{component:?}");
    assert_eq!(fs::metadata(out.join(file)).expect("component").len(), component.bytes as u64);
    component.clone()
}

#[test]
fn a_folder_that_holds_something_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("folder");
    let project = folder.path().join("acme");
    fs::create_dir(&project).expect("folder");
    fs::write(project.join("mine.txt"), "mine").expect("file");
    let refused = create(Language::Rust, ProjectKind::Builder, &name("acme"), &project).expect_err("not empty");
    assert_eq!((refused.kind, refused.code.as_str()), (ErrorKind::Conflict, "folder-not-empty"));
    assert_eq!(fs::read_dir(&project).expect("folder").count(), 1);
    assert_eq!(fs::read_dir(folder.path()).expect("above").count(), 1);
}

#[test]
fn an_empty_folder_is_filled_and_a_package_needs_a_plain_name() {
    let folder = tempfile::tempdir().expect("folder");
    let bad = create(Language::Rust, ProjectKind::Builder, &name("a.b"), folder.path()).expect_err("dot");
    assert_eq!(bad.code, "name");
    create(Language::Rust, ProjectKind::Builder, &name("acme"), folder.path()).expect("project");
    assert!(folder.path().join("wit/types/0.1.0/types.wit").is_file());
}
