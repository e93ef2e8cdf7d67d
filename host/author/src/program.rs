//! Runnables that are programs: a crate with a `main`, or what any compiler made for WASI, as a component.

use crate::{
    files::{io, read_text},
    rust::names_of,
    toolchain::{Target, Toolchain},
};
use fuseml_domain::{Command, Error, Result, is_core_module};
use std::{fs, path::Path};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};
use wit_component::ComponentEncoder;

/// A program as a component, and what compiled it, if something did here.
pub struct Program {
    pub component: Vec<u8>,
    pub toolchain: Option<String>,
}

impl Program {
    /// From a component, from a module for WASI's first preview (what compilers call `wasm32-wasip1` or `wasm32-wasi`),
    /// or from the folder of a crate.
    ///
    /// # Errors
    /// `invalid` for what is no program; `unavailable` without a toolchain that compiles the crate.
    pub fn at(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Self::of_crate(path);
        }
        let bytes = fs::read(path).map_err(|error| io("reading", path, &error))?;
        let component = component_of(bytes).map_err(|error| error.context(format!("`{}`", path.display())))?;
        Ok(Self { component, toolchain: None })
    }

    fn of_crate(folder: &Path) -> Result<Self> {
        let folder = folder.canonicalize().map_err(|error| io("opening", folder, &error))?;
        // A folder that is none says so here.
        read_text(&folder.join("Cargo.toml"))?;
        let (package, _) = names_of(&folder)?;
        let toolchain = Toolchain::detect(Target::Program)?;
        let module = toolchain.build(&folder, &[&package])?.join(format!("{package}.wasm"));
        let bytes = fs::read(&module).map_err(|error| {
            io("reading", &module, &error).context(format!(
                "the crate `{package}` made no program; it needs a `main` in a binary of its own name"
            ))
        })?;
        let component = component_of(bytes).map_err(|error| error.context(format!("the crate `{package}`")))?;
        Ok(Self { component, toolchain: Some(toolchain.describe()) })
    }
}

fn component_of(bytes: Vec<u8>) -> Result<Vec<u8>> {
    let component = if is_core_module(&bytes) { adapted(&bytes)? } else { bytes };
    Command::check(&component)?;
    Ok(component)
}

fn adapted(module: &[u8]) -> Result<Vec<u8>> {
    let encoder = ComponentEncoder::default().validate(true).module(module).and_then(|encoder| {
        encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER)
    });
    encoder.and_then(|mut encoder| encoder.encode()).map_err(|error| {
        let message = format!("it is no program for WASI: {error:#}; compile it for wasm32-wasip1 or wasm32-wasip2");
        Error::invalid("component", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_for_the_first_preview_becomes_a_component_and_others_are_refused() {
        let module = r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (func (export "_start") (call $exit (i32.const 0))))"#;
        let component = component_of(wat::parse_str(module).expect("module")).expect("component");
        assert_eq!(component_of(component.clone()).expect("it is one already"), component);

        for (text, why) in [
            (r#"(module (memory (export "memory") 1) (func (export "add")))"#, "it is no program"),
            (&*module.replace("wasi_snapshot_preview1", "env"), "no program for WASI"),
        ] {
            let refused = component_of(wat::parse_str(text).expect("module")).expect_err(text);
            assert!(refused.message.contains(why), "{refused}");
        }
    }
}
