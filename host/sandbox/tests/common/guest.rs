//! Guests as WAT: a core module with the world's functions, wrapped into a component. Each function's body can
//! be replaced; what is not replaced answers zeros, which is an empty `ok`.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Name, parameters; all answer a pointer.
const BUILDER: [(&str, usize); 2] = [("detect", 0), ("plan", 11)];
const STORE: [(&str, usize); 8] = [
    ("describe", 0),
    ("health", 0),
    ("register", 1),
    ("get", 2),
    ("search", 8),
    ("update", 9),
    ("delete", 2),
    ("locate", 2),
];

const REALLOC: &str = r"
    (local $at i32) (local $end i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
    (local.set $end (i32.add (local.get $at) (local.get 3)))
    (if (i32.gt_u (local.get $end) (i32.shl (memory.size) (i32.const 16)))
      (then (drop (memory.grow (i32.add (i32.shr_u (local.get 3) (i32.const 16)) (i32.const 1))))))
    (global.set $top (local.get $end))
    (local.get $at)";

/// Everything that the tests call: cheap to declare, and only what is used becomes an import.
const IMPORTS: [(&str, &str); 4] = [
    ("$log", r#"(import "fuseml:logging/logging@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))"#),
    (
        "$fetch",
        r#"(import "fuseml:http/http@0.1.0" "fetch"
            (func $fetch (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#,
    ),
    ("$state-get", r#"(import "fuseml:state/state@0.1.0" "get" (func $state-get (param i32 i32 i32)))"#),
    ("$state-set", r#"(import "fuseml:state/state@0.1.0" "set" (func $state-set (param i32 i32 i32 i32 i32)))"#),
];

/// A function that makes an error of the response at 32768: `status-<n>` with the body, or the host's own error.
/// Needs `status-000` at 40976.
pub const SHOW: &str = r#"
        ;; An answer becomes an error with its status and body; an error stays as it is.
        (func $show (result i32) (local $status i32)
          (if (i32.eqz (i32.load8_u (i32.const 32768)))
            (then
              (local.set $status (i32.load16_u (i32.const 32776)))
              (i32.store8 (i32.const 40983) (i32.add (i32.const 48) (i32.div_u (local.get $status) (i32.const 100))))
              (i32.store8 (i32.const 40984) (i32.add (i32.const 48)
                (i32.rem_u (i32.div_u (local.get $status) (i32.const 10)) (i32.const 10))))
              (i32.store8 (i32.const 40985) (i32.add (i32.const 48) (i32.rem_u (local.get $status) (i32.const 10))))
              (i32.store (i32.const 32768) (i32.const 1))
              (i32.store (i32.const 32776) (i32.const 6))
              (i32.store (i32.const 32780) (i32.const 40976))
              (i32.store (i32.const 32784) (i32.const 10))
              (i64.store (i32.const 32800) (i64.const 0))
              (i64.store (i32.const 32816) (i64.const 0))))
          (i32.const 32768))"#;

/// A builder; `bodies` replaces functions (also `realloc`) and adds `items` to the module.
pub fn builder(bodies: &[(&str, &str)], items: &str) -> Vec<u8> {
    let module = module("fuseml:builder/build@0.1.0", &BUILDER, bodies, items);
    component("builder", &module)
}

pub fn store(bodies: &[(&str, &str)], items: &str) -> Vec<u8> {
    let module = module("fuseml:artifact-store/store@0.1.0", &STORE, bodies, items);
    component("artifact-store", &module)
}

fn module(interface: &str, functions: &[(&str, usize)], bodies: &[(&str, &str)], items: &str) -> String {
    let body = |name: &str, otherwise| {
        bodies.iter().find(|(replaced, _)| *replaced == name).map_or(otherwise, |(_, body)| *body)
    };
    let text = format!("{bodies:?}{items}");
    let imports: Vec<_> =
        IMPORTS.iter().filter(|(name, _)| text.contains(&format!("{name} "))).map(|(_, import)| *import).collect();
    let functions: Vec<_> = functions
        .iter()
        .map(|(name, parameters)| {
            let parameters = "i32 ".repeat(*parameters);
            let body = body(name, "(i32.const 32768)");
            format!("(func (export \"{interface}#{name}\") (param {parameters}) (result i32) {body})")
        })
        .collect();
    format!(
        r#"(module {}
          (memory (export "memory") 2)
          (global $top (mut i32) (i32.const 65536))
          {items}
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {})
          {})"#,
        imports.join("\n"),
        body("realloc", REALLOC),
        functions.join("\n")
    )
}

fn component(world: &str, module: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}\n{module}"));
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit");
    let mut resolve = Resolve::default();
    let packages = ["types", "logging", "clock", "random", "configuration", "state", "http", "files"];
    for package in packages {
        resolve.push_dir(format!("{wit}/{package}/0.1.0")).expect(package);
    }
    let (package, _) = resolve.push_dir(format!("{wit}/{world}/0.1.0")).expect(world);
    let world = resolve.select_world(&[package], Some(world)).expect("world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
    ComponentEncoder::default().module(&module).expect("module").encode().expect("component")
}
