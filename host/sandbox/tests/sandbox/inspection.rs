//! What an author reads when a file is no component, or not the one its manifest describes.

use crate::common::{BUILDER, STORE, entry, guest, limits, world};
use fuseml_domain::Capability;

#[tokio::test]
async fn files_that_are_no_fitting_component_are_refused_in_words() {
    let world = world(limits());
    let builder = guest::builder(&[], "");
    let store = guest::store(&[], "");
    let logging = guest::store(
        &[("health", "(call $state-get (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 32768)")],
        "",
    );
    let empty = wat::parse_str("(component)").unwrap();
    let foreign = wat::parse_str(r#"(component (import "wasi:cli/environment@0.2.0" (instance)))"#).unwrap();
    let module = wat::parse_str("(module)").unwrap();
    let cases: [(&str, &[u8], &str, &str); 10] = [
        ("not-a-component", b"", BUILDER, "part.wasm is empty"),
        ("not-a-component", b"#!/bin/sh\n", BUILDER, "is no WebAssembly at all"),
        ("not-a-component", b"\x7fELF compiled", BUILDER, "is code compiled for one machine"),
        ("not-a-component", &module, BUILDER, "is a core WebAssembly module, not a component"),
        ("broken-component", &builder[..builder.len() / 2], BUILDER, "is broken"),
        ("export-missing", &empty, BUILDER, "does not export `fuseml:builder/build@0.1.0`"),
        ("export-missing", &foreign, STORE, "does not export"),
        ("other-world", &store, BUILDER, "implements the world fuseml:artifact-store/artifact-store@0.1.0, but"),
        ("import-unrequested", &logging, STORE, "does not request `state` in extension.toml"),
        ("world", &builder, "fuseml:converter/converter@0.1.0", "knows no world `fuseml:converter/converter@0.1.0`"),
    ];
    for (code, bytes, target, words) in cases {
        let component = entry(target, &[]);

        let inspected = world.sandbox.inspect(bytes, &component).expect_err(code);
        let loaded = world.sandbox.load(bytes, &component).await.err().expect(code);

        assert_eq!(inspected, loaded);
        assert_eq!(inspected.code, code, "{inspected}");
        assert!(inspected.message.contains(words), "{inspected}");
    }
}

#[tokio::test]
async fn a_component_that_requests_what_it_imports_passes() {
    let world = world(limits());
    let guest = guest::store(
        &[("health", "(call $state-get (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 32768)")],
        "",
    );

    world.sandbox.inspect(&guest, &entry(STORE, &[Capability::State])).expect("fits");
}

#[tokio::test]
async fn imports_outside_the_world_and_other_types_are_refused() {
    let world = world(limits());
    // An artifact store has no files to read.
    let text = r#"(component
        (import "fuseml:files/files@0.1.0" (instance))
        (instance $store)
        (export "fuseml:artifact-store/store@0.1.0" (instance $store)))"#;
    let error =
        world.sandbox.inspect(&wat::parse_str(text).unwrap(), &entry(STORE, &Capability::ALL)).expect_err("refused");
    assert_eq!(error.code, "import-unknown", "{error}");
    assert!(error.message.contains("imports `fuseml:files/files@0.1.0`, which the world"), "{error}");

    let text = r#"(component
        (core module $m (func (export "f") (result i32) (i32.const 1)))
        (core instance $i (instantiate $m))
        (func $f (result u32) (canon lift (core func $i "f")))
        (instance $build (export "detect" (func $f)) (export "plan" (func $f)))
        (export "fuseml:builder/build@0.1.0" (instance $build)))"#;
    let error = world.sandbox.inspect(&wat::parse_str(text).unwrap(), &entry(BUILDER, &[])).expect_err("refused");
    assert_eq!(error.code, "world-mismatch", "{error}");
}
