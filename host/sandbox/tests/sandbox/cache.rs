//! Compiled code: compiled once, checked always, never taken from elsewhere.

use crate::common::{BUILDER, codeset, compiler, entry, guest, limits, rights, sandbox_in, world};
use fuseml_domain::Digest;
use fuseml_sandbox::{CompilerCommand, Limits, Sandbox};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

/// A compiler that never compiles.
fn broken_compiler() -> CompilerCommand {
    CompilerCommand { program: "/bin/false".into(), arguments: Vec::new() }
}

fn code(folder: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(folder.join("code")).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "cwasm")).unwrap()
}

async fn loads(sandbox: &Arc<Sandbox>, guest: &[u8]) -> Result<(), fuseml_domain::Error> {
    sandbox.load(guest, &entry(BUILDER, &[])).await.map(drop)
}

#[tokio::test]
async fn code_outlives_the_sandbox_and_is_found_without_the_component() {
    let world = world(limits());
    let guest = guest::builder(&[], "");
    loads(&world.sandbox, &guest).await.expect("compiles");
    let later = sandbox_in(world.folder.path(), broken_compiler(), limits());

    let loaded = later
        .load_file(Path::new("/nonexistent"), &Digest::of(&guest), &entry(BUILDER, &[]))
        .await
        .expect("from the cache alone");

    let builder = loaded.builder(world.instance("tool", rights(&[]))).expect("a builder");
    assert_eq!(builder.detect(&codeset()).await, Ok((0, String::new())));
    assert_eq!(*loaded.digest(), Digest::of(&guest));
}

#[tokio::test]
async fn damaged_code_is_compiled_again() {
    let world = world(limits());
    let guest = guest::builder(&[], "");
    loads(&world.sandbox, &guest).await.expect("compiles");
    let file = code(world.folder.path());
    let mut bytes = fs::read(&file).unwrap();
    let whole = bytes.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();

    let error = loads(&sandbox_in(world.folder.path(), broken_compiler(), limits()), &guest).await;
    assert_eq!(error.expect_err("would have to compile").code, "compile");

    loads(&sandbox_in(world.folder.path(), compiler(), limits()), &guest).await.expect("compiles again");
    assert_eq!(fs::read(&file).unwrap().len(), whole.len());
}

#[tokio::test]
async fn code_of_another_configuration_is_compiled_again() {
    let world = world(limits());
    let guest = guest::builder(&[], "");
    loads(&world.sandbox, &guest).await.expect("compiles");
    // Sound by its digest, and no code at all.
    let file = code(world.folder.path());
    fs::write(&file, b"\x7fELF, but not ours").unwrap();
    let digest = Digest::of(b"\x7fELF, but not ours");
    fs::write(file.with_extension("cwasm.sha256"), digest.hex()).unwrap();

    loads(&sandbox_in(world.folder.path(), compiler(), limits()), &guest).await.expect("compiles again");
}

#[tokio::test]
async fn a_file_that_is_not_what_was_installed_is_not_run() {
    let world = world(limits());
    let path = world.folder.path().join("part.wasm");
    fs::write(&path, guest::builder(&[], "")).unwrap();

    let error = world.sandbox.load_file(&path, &Digest::of(b"another"), &entry(BUILDER, &[])).await.err().unwrap();

    assert_eq!(error.code, "component-changed", "{error}");
}

#[tokio::test]
async fn the_cache_is_closed_to_others_and_keeps_no_leftovers() {
    let world = world(limits());
    loads(&world.sandbox, &guest::builder(&[], "")).await.expect("compiles");
    let folder = world.folder.path().join("code");

    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "code and its digest");
}

#[tokio::test]
async fn a_compiler_that_hangs_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let hanging = CompilerCommand { program: "/bin/sleep".into(), arguments: vec!["60".into()] };
    let limits = Limits { compilation: Duration::from_millis(100), ..limits() };

    let error = loads(&sandbox_in(folder.path(), hanging, limits), &guest::builder(&[], "")).await.unwrap_err();

    assert_eq!(error.code, "compile-limit", "{error}");
    assert_eq!(fs::read_dir(folder.path().join("code")).unwrap().count(), 0);
}

#[tokio::test]
async fn many_who_load_one_component_compile_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let counted = folder.path().join("compiler.sh");
    let real = compiler().program;
    fs::write(&counted, format!("#!/bin/sh\necho >>{}/runs\nexec {}\n", folder.path().display(), real.display()))
        .unwrap();
    fs::set_permissions(&counted, fs::Permissions::from_mode(0o755)).unwrap();
    let sandbox = sandbox_in(folder.path(), CompilerCommand { program: counted, arguments: Vec::new() }, limits());
    let guest = guest::builder(&[], "");

    let all = futures::future::join_all((0..8).map(|_| loads(&sandbox, &guest))).await;

    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(fs::read_to_string(folder.path().join("runs")).unwrap().lines().count(), 1);
}
