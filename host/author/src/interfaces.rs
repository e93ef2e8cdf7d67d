//! What a component imports, read from its bytes.

use fuseml_domain::{Error, Result};
use wasmparser::{Encoding, Parser, Payload};

/// The imports of the outermost component, in its own order.
///
/// # Errors
/// `internal` when the bytes are no WebAssembly.
pub(crate) fn imports(bytes: &[u8]) -> Result<Vec<String>> {
    read(bytes).map_err(|error| Error::internal("broken-component", format!("the component is broken: {error}")))
}

/// Refuses a component that imports what is not FuseML's.
///
/// # Errors
/// `invalid`, with the names of the strangers.
pub(crate) fn only_own(bytes: &[u8]) -> Result<()> {
    let strangers: Vec<_> = imports(bytes)?.into_iter().filter(|import| !import.starts_with("fuseml:")).collect();
    if strangers.is_empty() {
        return Ok(());
    }
    let message = format!("the component imports what no FuseML server offers: {}", strangers.join(", "));
    Err(Error::invalid("foreign-import", message))
}

fn read(bytes: &[u8]) -> wasmparser::Result<Vec<String>> {
    let mut imports = Vec::new();
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding: Encoding::Component | Encoding::Module, .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(imports)
}

/// An import for people: what it lets the component do.
pub fn in_words(import: &str) -> String {
    let name = import.split('@').next().unwrap_or(import);
    let words = match name {
        "fuseml:types/types" => "the words that all contracts share",
        "fuseml:logging/logging" => "writes log lines",
        "fuseml:clock/clock" => "reads the time",
        "fuseml:random/random" => "draws random bytes",
        "fuseml:configuration/configuration" => "reads its settings",
        "fuseml:files/files" => "reads the codeset's files",
        "fuseml:http/http" => "calls the granted hosts",
        "fuseml:state/state" => "keeps small values between calls",
        _ if name.starts_with("wasi:") => return format!("{import} (WASI)"),
        _ => return format!("{import} (not one of FuseML's)"),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_imports_of_the_outermost_component_count() {
        let bytes = wat::parse_str(
            r#"(component
                (import "fuseml:clock/clock@0.1.0" (instance))
                (component (import "inner:a/b" (instance)))
                (core module (import "core" "f" (func))))"#,
        )
        .expect("component");
        assert_eq!(imports(&bytes).expect("imports"), ["fuseml:clock/clock@0.1.0"]);
        assert_eq!(imports(b"no wasm").expect_err("text").code, "broken-component");
    }

    #[test]
    fn words_for_what_is_known_and_the_name_of_what_is_not() {
        assert_eq!(in_words("fuseml:clock/clock@0.1.0"), "reads the time");
        assert_eq!(in_words("wasi:io/poll@0.2.9"), "wasi:io/poll@0.2.9 (WASI)");
    }
}
