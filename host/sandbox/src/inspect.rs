//! Judges a component's bytes before anything is compiled, in words that its author can act on: is it a
//! component, is it whole, does it fit its world, does it import only what its manifest requests.

use crate::api::{v0_1, v0_2};
use fuseml_domain::{Capability, Component, Contract, Error, Result, Surface, World, is_offered_wasi};
use std::{collections::BTreeSet, sync::LazyLock};
use wasmparser::{Validator, WasmFeatures};
use wit_component::DecodedWasm;
use wit_parser::{Resolve, WorldId, WorldItem, WorldKey};

/// A world that this host runs, with the interfaces it names.
struct Known {
    contract: Contract,
    resolve: Resolve,
    id: WorldId,
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
}

static WORLDS: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let encoded = |contract: &Contract| match (contract.world, contract.minor) {
        (World::Builder, _) => v0_1::builder::COMPONENT_TYPE,
        (World::ArtifactStore, 1) => v0_1::artifact_store::COMPONENT_TYPE,
        (World::ArtifactStore, _) => v0_2::artifact_store::COMPONENT_TYPE,
        (World::RuntimeAgent, _) => v0_1::runtime_agent::COMPONENT_TYPE,
    };
    Contract::ALL.into_iter().filter_map(|contract| known(contract, encoded(&contract))).collect()
});

fn known(contract: Contract, encoded: &[u8]) -> Option<Known> {
    let (resolve, id) = wit_parser::decoding::decode_world(encoded).ok()?;
    let names = |items: &wit_parser::IndexMap<WorldKey, WorldItem>| {
        items.keys().map(|key| resolve.name_world_key(key)).collect::<BTreeSet<_>>()
    };
    let (imports, exports) = (names(&resolve.worlds[id].imports), names(&resolve.worlds[id].exports));
    Some(Known { contract, imports, exports, id, resolve })
}

/// See [`crate::Sandbox::inspect`].
pub(crate) fn inspect(bytes: &[u8], component: &Component, features: WasmFeatures, most: usize) -> Result<()> {
    let refuse = |code: &str, why: String| Err(Error::invalid(code, format!("{} {why}", component.file)));
    if let Err(why) = is_component(bytes, most) {
        return refuse("not-a-component", why);
    }
    if let Err(error) = Validator::new_with_features(features).validate_all(bytes) {
        return refuse("broken-component", format!("is broken or uses what this server does not run: {error}"));
    }
    let interfaces = Surface::of(bytes).map_err(|error| error.context(&component.file))?;
    let world = known_world(component)?;
    check_exports(&interfaces.exports, world, component)?;
    check_imports(interfaces.imports.iter().map(String::as_str), component)?;
    if let Err(error) = targets(world, bytes, &interfaces.imports) {
        return refuse(
            "world-mismatch",
            format!("does not fit its world {}: {:#}; build it against that version's WIT", world.contract, error),
        );
    }
    Ok(())
}

/// Whether the types fit. WASI has so many versions that its types are taken as the component states them; the
/// linker compares them when the component is loaded.
fn targets(world: &Known, bytes: &[u8], imports: &[String]) -> anyhow::Result<()> {
    if !imports.iter().any(|import| is_offered_wasi(import)) {
        return wit_component::targets(&world.resolve, world.id, bytes);
    }
    let DecodedWasm::Component(own, own_world) = wit_component::decode(bytes)? else {
        anyhow::bail!("it is no component");
    };
    let mut resolve = world.resolve.clone();
    let own_world = resolve.merge(own)?.map_world(own_world, Default::default())?;
    let wasi: Vec<_> = resolve.worlds[own_world]
        .imports
        .iter()
        .filter(|(key, _)| is_offered_wasi(&resolve.name_world_key(key)))
        .map(|(key, item)| (key.clone(), item.clone()))
        .collect();
    resolve.worlds[world.id].imports.extend(wasi);
    wit_component::targets(&resolve, world.id, bytes)
}

/// Refuses imports that the world does not offer or the manifest does not request. Done again whenever a
/// component is loaded, whatever was said when it was installed.
pub(crate) fn check_imports<'a>(imports: impl Iterator<Item = &'a str>, component: &Component) -> Result<()> {
    let world = known_world(component)?;
    for import in imports {
        if is_offered_wasi(import) {
            continue;
        }
        if import.starts_with("wasi:http/") {
            return Err(Error::invalid(
                "import-unknown",
                format!(
                    "{} imports `{import}`, which this server does not offer; send requests through `fuseml:http/http@0.1.0`, which asks for its hosts",
                    component.file
                ),
            ));
        }
        if !world.imports.contains(import) {
            let offered: Vec<_> = world.imports.iter().map(String::as_str).collect();
            return Err(Error::invalid(
                "import-unknown",
                format!(
                    "{} imports `{import}`, which the world {} does not offer; it offers {}",
                    component.file,
                    world.contract,
                    offered.join(", ")
                ),
            ));
        }
        let needed = Capability::of_interface(import);
        if let Some(capability) =
            needed.filter(|needed| !component.requests.iter().any(|request| request.capability == *needed))
        {
            return Err(Error::invalid(
                "import-unrequested",
                format!(
                    "{} imports `{import}`, but the component `{}` does not request `{capability}` in extension.toml; request it with a reason, or remove the import",
                    component.file, component.name
                ),
            ));
        }
    }
    Ok(())
}

fn check_exports(exports: &[String], world: &Known, component: &Component) -> Result<()> {
    let has = |known: &Known| known.exports.iter().all(|export| exports.contains(export));
    if has(world) {
        return Ok(());
    }
    if let Some(other) = WORLDS.iter().find(|known| has(known)) {
        return Err(Error::invalid(
            "other-world",
            format!(
                "{} implements the world {}, but extension.toml says that the component `{}` implements {}",
                component.file, other.contract, component.name, world.contract
            ),
        ));
    }
    let missing: Vec<_> =
        world.exports.iter().filter(|export| !exports.contains(export)).map(|name| format!("`{name}`")).collect();
    let exported = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
    Err(Error::invalid(
        "export-missing",
        format!(
            "{} does not export {}, which the world {} demands; it exports {exported}",
            component.file,
            missing.join(", "),
            world.contract
        ),
    ))
}

fn known_world(component: &Component) -> Result<&'static Known> {
    let contract = component.contract()?;
    WORLDS.iter().find(|known| known.contract == contract).ok_or_else(|| {
        Error::unsupported("world", format!("this server runs no components of the world {contract} yet"))
    })
}

/// By its first bytes.
fn is_component(bytes: &[u8], most: usize) -> Result<(), String> {
    if bytes.len() > most {
        return Err(format!("has {} bytes; a component has at most {most}", bytes.len()));
    }
    if bytes.starts_with(b"\x7fELF") {
        return Err("is code compiled for one machine, not a component; publish the .wasm it was made from".to_owned());
    }
    match bytes.get(..8) {
        _ if bytes.is_empty() => Err("is empty".to_owned()),
        Some(b"\0asm\x01\0\0\0") => {
            Err("is a core WebAssembly module, not a component; make one of it with `wasm-tools component new` or your language's component tools".to_owned())
        }
        Some(b"\0asm\x0d\0\x01\0") => Ok(()),
        Some([b'\0', b'a', b's', b'm', ..]) => {
            Err("is WebAssembly of a version that this server does not know".to_owned())
        }
        _ => Err("is no WebAssembly at all".to_owned()),
    }
}
