//! Runs of components that are programs (`wasi:cli`): what a sandbox is asked for (S22, S113).

use crate::{Attributes, Digest, Error, Result, Surface};
use std::{path::PathBuf, time::Duration};

/// The interfaces of WASI 0.2 that components find here. Most of them only deny.
const WASI_PACKAGES: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];
const RUN: &str = "wasi:cli/run@0.2.";

/// A directory of this machine that a program sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub source: PathBuf,
    /// Absolute, as the program names it.
    pub path: String,
    pub writable: bool,
}

/// One run of a program. It sees its mounts and nothing else: no network, no variable, no file besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Of the component's bytes.
    pub component: Digest,
    /// The first one is the program's own name.
    pub arguments: Vec<String>,
    pub variables: Attributes,
    pub mounts: Vec<Mount>,
    /// From its start until it is stopped.
    pub timeout: Duration,
    /// Of all its memories; what the sandbox gives if `None`.
    pub memory_bytes: Option<u64>,
}

/// Whether an import is one that every component finds here: `wasi:cli/environment@0.2.6`.
pub fn is_offered_wasi(import: &str) -> bool {
    let parts = import.strip_prefix("wasi:").and_then(|rest| rest.split_once('/'));
    parts.is_some_and(|(package, interface)| WASI_PACKAGES.contains(&package) && interface.contains("@0.2."))
}

/// Whether these are the bytes of a module, which a component is made of.
pub fn is_core_module(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm\x01\0\0\0")
}

impl Command {
    /// Bytes of a component.
    pub const LARGEST: u64 = 64 << 20;

    /// Refuses components that are no program, or ask for more than a program finds here.
    ///
    /// # Errors
    /// `invalid`; the message says what to change.
    pub fn check(component: &[u8]) -> Result<()> {
        if component.len() as u64 > Self::LARGEST {
            let message = format!("it has {} bytes; a component has at most {}", component.len(), Self::LARGEST);
            return Err(Error::invalid("component", message));
        }
        if is_core_module(component) {
            let message = "it is a core WebAssembly module, not a component; `fuseml runnable register` makes a component of one built for wasm32-wasip1";
            return Err(Error::invalid("component", message));
        }
        let Surface { imports, exports } = Surface::of(component)?;
        if !exports.iter().any(|export| export.starts_with(RUN)) {
            let exports = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
            let message =
                format!("it is no program: a program exports `wasi:cli/run` of WASI 0.2, and this exports {exports}");
            return Err(Error::invalid("component", message));
        }
        match imports.iter().find(|import| !is_offered_wasi(import)) {
            Some(import) => {
                let why = if import.starts_with("wasi:http/") { ": a runnable's code has no network here" } else { "" };
                Err(Error::invalid("component", format!("it imports `{import}`, which programs do not find here{why}")))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_denying_half_of_wasi_is_offered() {
        for (import, offered) in [
            ("wasi:cli/environment@0.2.0", true),
            ("wasi:sockets/tcp@0.2.12", true),
            ("wasi:filesystem/preopens@0.2.6", true),
            ("wasi:http/outgoing-handler@0.2.0", false),
            ("wasi:cli/environment@0.3.0", false),
            ("wasi:cli/environment", false),
            ("fuseml:cli/environment@0.2.0", false),
        ] {
            assert_eq!(is_offered_wasi(import), offered, "{import}");
        }
    }

    #[test]
    fn a_program_exports_run_and_asks_for_nothing_special() {
        let component = |imports: &str, export: &str| {
            let text = format!(r#"(component {imports} (instance $none) (export "{export}" (instance $none)))"#);
            wat::parse_str(text).expect("component")
        };
        let run = "wasi:cli/run@0.2.6";
        Command::check(&component(r#"(import "wasi:io/error@0.2.6" (instance))"#, run)).expect("a program");
        for (bytes, why) in [
            (component("", "fuseml:builder/build@0.1.0"), "it is no program"),
            (component(r#"(import "wasi:http/types@0.2.6" (instance))"#, run), "no network here"),
            (component(r#"(import "fuseml:reveal/reveal@0.1.0" (instance))"#, run), "which programs do not find here"),
            (wat::parse_str("(module)").expect("module"), "core WebAssembly module"),
            (b"#!/bin/sh".to_vec(), "broken"),
        ] {
            let refused = Command::check(&bytes).expect_err(why);
            assert!(refused.message.contains(why), "{refused}");
        }
    }
}
