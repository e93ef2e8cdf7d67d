//! What a component imports and exports, read from its bytes without running anything.

use crate::{Error, Result};
use wasmparser::{Encoding, Parser, Payload};

/// Names of interfaces, in the component's own order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surface {
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

impl Surface {
    /// Of the outermost component.
    ///
    /// # Errors
    /// `invalid` when the bytes are no WebAssembly.
    pub fn of(bytes: &[u8]) -> Result<Self> {
        read(bytes).map_err(|error| Error::invalid("broken-component", format!("the component is broken: {error}")))
    }
}

fn read(bytes: &[u8]) -> wasmparser::Result<Surface> {
    let mut surface = Surface::default();
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding: Encoding::Component | Encoding::Module, .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    surface.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    surface.exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(surface)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outermost_component_counts() {
        let bytes = wat::parse_str(
            r#"(component
                (import "fuseml:clock/clock@0.1.0" (instance $clock))
                (component (import "inner:a/b" (instance)))
                (core module (import "core" "f" (func)))
                (export "fuseml:builder/build@0.1.0" (instance $clock)))"#,
        )
        .expect("component");
        let surface = Surface::of(&bytes).expect("surface");
        assert_eq!(surface.imports, ["fuseml:clock/clock@0.1.0"]);
        assert_eq!(surface.exports, ["fuseml:builder/build@0.1.0"]);
        assert_eq!(Surface::of(b"no wasm").expect_err("text").code, "broken-component");
    }
}
