//! For those who write extensions: nothing here needs a server.

use super::install::read_manifest;
use clap::Args;
use fuseml_author::{Built, BuiltComponent, Language, ProjectKind};
use fuseml_domain::Name;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(crate) struct BuildArguments {
    /// The project's folder, with extension.toml in it
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The folder to make; <PATH>/target/extension if not given
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct NewArguments {
    name: Name,
    /// rust, python or javascript
    #[arg(long, value_name = "LANGUAGE")]
    lang: Language,
    /// artifact-store, builder or runtime-agent
    #[arg(long)]
    kind: ProjectKind,
    /// The folder to make; one of the extension's name if not given
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

/// Writes a project and says what to do in it; its path goes to standard output.
pub(super) fn new(arguments: &NewArguments) -> anyhow::Result<()> {
    let folder = arguments.path.clone().unwrap_or_else(|| PathBuf::from(&*arguments.name));
    fuseml_author::create(arguments.lang, arguments.kind, &arguments.name, &folder)?;
    eprintln!("Wrote a project that builds as it is; its README.md has the next three commands.");
    println!("{}", folder.display());
    Ok(())
}

/// Builds a project; prose goes to standard error, the folder's path to standard output.
pub(super) fn build(arguments: &BuildArguments) -> anyhow::Result<()> {
    let out = arguments.out.clone().unwrap_or_else(|| default_out(&arguments.path));
    eprintln!("Building {} …", arguments.path.display());
    let built = fuseml_author::build(&arguments.path, &out)?;
    say(&built);
    println!("{}", built.folder.display());
    Ok(())
}

/// The built extension in a folder: the folder itself, or what its project makes.
pub(crate) fn built(path: &Path) -> anyhow::Result<PathBuf> {
    if is_built(path)? {
        return Ok(path.to_owned());
    }
    eprintln!("Building {} …", path.display());
    let built = fuseml_author::build(path, &default_out(path))?;
    say(&built);
    Ok(built.folder)
}

/// Builds a project; only an error has words.
pub(super) fn build_quietly(path: &Path) -> anyhow::Result<PathBuf> {
    Ok(fuseml_author::build(path, &default_out(path))?.folder)
}

fn default_out(path: &Path) -> PathBuf {
    path.join("target").join("extension")
}

/// Whether a folder holds every component that its manifest names.
fn is_built(folder: &Path) -> anyhow::Result<bool> {
    let manifest = read_manifest(folder)?;
    Ok(manifest.components.iter().all(|component| folder.join(&component.file).is_file()))
}

fn say(built: &Built) {
    eprintln!("Built with {}.", built.toolchain);
    for component in &built.components {
        eprintln!("{}: {}", component.file, size(component.bytes));
        eprintln!("  It {}.", abilities(component));
    }
}

/// What the imports let it do, without the interface that only has words.
fn abilities(component: &BuiltComponent) -> String {
    let imports = component.imports.iter().filter(|import| !import.starts_with("fuseml:types/"));
    let words: Vec<_> = imports.map(|import| fuseml_author::in_words(import)).collect();
    if words.is_empty() { "reaches nothing outside itself".to_owned() } else { words.join(", ") }
}

fn size(bytes: usize) -> String {
    const MEGA: usize = 1_000_000;
    if bytes < MEGA {
        return format!("{} KB", bytes.div_ceil(1000));
    }
    format!("{}.{} MB", bytes / MEGA, bytes % MEGA / 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_abilities_read_well() {
        assert_eq!(size(17_001), "18 KB");
        assert_eq!(size(18_540_000), "18.5 MB");
        let mut component = BuiltComponent {
            file: "components/store.wasm".to_owned(),
            bytes: 1,
            imports: vec!["fuseml:types/types@0.1.0".to_owned()],
        };
        assert_eq!(abilities(&component), "reaches nothing outside itself");
        component.imports.extend(["fuseml:clock/clock@0.1.0".to_owned(), "fuseml:http/http@0.1.0".to_owned()]);
        assert_eq!(abilities(&component), "reads the time, calls the granted hosts");
    }
}
