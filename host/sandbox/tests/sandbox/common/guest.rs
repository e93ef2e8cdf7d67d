//! Guests as WAT: a core module with the world's functions, wrapped into a component. Each function's body can
//! be replaced; what is not replaced answers zeros, which is an empty `ok`.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

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

const AGENT: [(&str, usize); 8] = [
    ("describe", 0),
    ("health", 0),
    ("check", 1),
    ("submit", 1),
    ("status", 2),
    ("logs", 5),
    ("cancel", 2),
    ("delete", 2),
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
const IMPORTS: &[(&str, &str)] = &[
    ("$log", r#"(import "fuseml:logging/logging@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))"#),
    (
        "$fetch",
        r#"(import "fuseml:http/http@0.1.0" "fetch"
            (func $fetch (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#,
    ),
    ("$setting", r#"(import "fuseml:configuration/configuration@0.1.0" "get" (func $setting (param i32 i32 i32)))"#),
    ("$file", r#"(import "fuseml:files/files@0.1.0" "read" (func $file (param i32 i32 i32)))"#),
    ("$reveal", r#"(import "fuseml:reveal/reveal@0.1.0" "secret" (func $reveal (param i32 i32 i32)))"#),
    (
        "$events",
        r#"(import "fuseml:artifact-events/artifact-events@0.1.0" "since" (func $events (param i64 i32 i32)))"#,
    ),
    ("$state-get", r#"(import "fuseml:state/state@0.1.0" "get" (func $state-get (param i32 i32 i32)))"#),
    ("$state-set", r#"(import "fuseml:state/state@0.1.0" "set" (func $state-set (param i32 i32 i32 i32 i32)))"#),
    ("$environment", r#"(import "wasi:cli/environment@0.2.3" "get-environment" (func $environment (param i32)))"#),
    ("$arguments", r#"(import "wasi:cli/environment@0.2.3" "get-arguments" (func $arguments (param i32)))"#),
    ("$directories", r#"(import "wasi:filesystem/preopens@0.2.3" "get-directories" (func $directories (param i32)))"#),
    (
        "$tcp-socket",
        r#"(import "wasi:sockets/tcp-create-socket@0.2.3" "create-tcp-socket" (func $tcp-socket (param i32 i32)))"#,
    ),
    ("$random-u64", r#"(import "wasi:random/random@0.2.3" "get-random-u64" (func $random-u64 (result i64)))"#),
    ("$exit", r#"(import "wasi:cli/exit@0.2.3" "exit" (func $exit (param i32)))"#),
    ("$stdout", r#"(import "wasi:cli/stdout@0.2.3" "get-stdout" (func $stdout (result i32)))"#),
    ("$stderr", r#"(import "wasi:cli/stderr@0.2.3" "get-stderr" (func $stderr (result i32)))"#),
    (
        "$write",
        r#"(import "wasi:io/streams@0.2.3" "[method]output-stream.blocking-write-and-flush"
            (func $write (param i32 i32 i32 i32)))"#,
    ),
    ("$wasi-http", r#"(import "wasi:http/outgoing-handler@0.2.3" "handle" (func $wasi-http))"#),
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
    component("builder", "0.1.0", &module)
}

pub fn store(bodies: &[(&str, &str)], items: &str) -> Vec<u8> {
    let module = module("fuseml:artifact-store/store@0.1.0", &STORE, bodies, items);
    component("artifact-store", "0.1.0", &module)
}

/// A store of the newer contract.
pub fn store_0_2(bodies: &[(&str, &str)], items: &str) -> Vec<u8> {
    let module = module("fuseml:artifact-store/store@0.2.0", &STORE, bodies, items);
    component("artifact-store", "0.2.0", &module)
}

pub fn agent(bodies: &[(&str, &str)], items: &str) -> Vec<u8> {
    let module = module("fuseml:runtime-agent/agent@0.1.0", &AGENT, bodies, items);
    component("runtime-agent", "0.1.0", &module)
}

/// A store whose imports may also be those of `fixtures/wasi.wit`.
pub fn store_with_wasi(bodies: &[(&str, &str)], items: &str) -> Vec<u8> {
    let module = module("fuseml:artifact-store/store@0.1.0", &STORE, bodies, items);
    let mut resolve = contract("artifact-store", "0.1.0");
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/wasi.wit");
    let package = resolve.push_str(wit, include_str!("../../fixtures/wasi.wit")).expect("wasi");
    let world = resolve.select_world(&[package], Some("store-with-wasi")).expect("world");
    encode(&module, &resolve, world)
}

fn module(interface: &str, functions: &[(&str, usize)], bodies: &[(&str, &str)], items: &str) -> String {
    let body = |name: &str, otherwise| {
        bodies.iter().find(|(replaced, _)| *replaced == name).map_or(otherwise, |(_, body)| *body)
    };
    let text = format!("{bodies:?}{items}");
    let imports: Vec<_> = IMPORTS
        .iter()
        .filter(|(name, _)| text.contains(&format!("{name} ")) || text.contains(&format!("{name})")))
        .map(|(_, import)| *import)
        .collect();
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

fn component(world: &str, version: &str, module: &str) -> Vec<u8> {
    let resolve = contract(world, version);
    let package = resolve.package_names.keys().find(|package| package.name == world).expect("package").clone();
    let world = resolve.select_world(&[resolve.package_names[&package]], Some(world)).expect("world");
    encode(module, &resolve, world)
}

/// A world's package and those that it names.
fn contract(world: &str, version: &str) -> Resolve {
    let mut above = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("wit"));
    let wit = above.find(|folder| folder.join("types").is_dir()).expect("the contract");
    let mut resolve = Resolve::default();
    let packages =
        ["types", "logging", "clock", "random", "configuration", "state", "http", "files", "reveal", "artifact-events"];
    for package in packages {
        resolve.push_dir(wit.join(package).join("0.1.0")).expect(package);
    }
    resolve.push_dir(wit.join(world).join(version)).expect(world);
    resolve
}

fn encode(module: &str, resolve: &Resolve, world: WorldId) -> Vec<u8> {
    let mut module = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}\n{module}"));
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).expect("metadata");
    ComponentEncoder::default().module(&module).expect("module").encode().expect("component")
}
