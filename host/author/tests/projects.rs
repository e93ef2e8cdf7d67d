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
fn a_rust_store_builds_and_its_tests_pass() {
    rust(ProjectKind::ArtifactStore, "components/store.wasm", "fuseml:http/http@0.1.0");
}

#[test]
fn a_rust_builder_builds_and_its_tests_pass() {
    rust(ProjectKind::Builder, "components/builder.wasm", "fuseml:files/files@0.1.0");
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

fn rust(kind: ProjectKind, file: &str, import: &str) {
    let folder = tempfile::tempdir().expect("folder");
    let project = created(Language::Rust, kind, folder.path());
    let component = builds(&project, file);
    assert!(component.imports.iter().any(|one| one == import), "{component:?}");
    passes("cargo", &["test", "--locked", "--quiet"], &project);
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
