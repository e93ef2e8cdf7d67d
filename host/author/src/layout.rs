//! The folder that is installed: the manifest, the components, and what comes with them.

use crate::{build::Made, files};
use fuseml_domain::{Error, Manifest, Result};
use std::path::Path;

/// Lays the extension out in `staging`, which it makes.
///
/// # Errors
/// `invalid` when manifest and folder do not say the same.
pub(crate) fn lay_out(source: &Path, manifest: &Manifest, made: &[Made], staging: &Path) -> Result<()> {
    files::remove(staging)?;
    for component in made {
        files::write(&staging.join(&component.file), &component.bytes)?;
    }
    copy_rest(source, staging)?;
    check(manifest, made, staging)
}

/// What an extension holds besides its components.
fn copy_rest(source: &Path, staging: &Path) -> Result<()> {
    for file in ["extension.toml", "README.md"] {
        if source.join(file).is_file() {
            files::copy(&source.join(file), &staging.join(file))?;
        }
    }
    let templates = source.join("templates");
    if templates.is_dir() {
        for file in files::sorted_entries(&templates)? {
            let Some(name) = file.file_name().filter(|_| file.is_file()) else {
                let message = format!("`{}` is no file; templates are files side by side", file.display());
                return Err(Error::invalid("template-folder", message));
            };
            files::copy(&file, &staging.join("templates").join(name))?;
        }
    }
    Ok(())
}

/// Manifest and folder must say the same, both ways.
fn check(manifest: &Manifest, made: &[Made], staging: &Path) -> Result<()> {
    let components = manifest.components.iter().map(|component| component.file.as_str());
    let templates = manifest.templates.iter().map(|template| template.file.as_str());
    let named: Vec<&str> = components.chain(templates).collect();
    if let Some(missing) = named.iter().find(|file| !staging.join(file).is_file()) {
        let message = format!("extension.toml names `{missing}`, which nothing in the project makes");
        return Err(Error::invalid("file-missing", message));
    }
    if let Some(extra) = made.iter().find(|made| !named.contains(&made.file.as_str())) {
        let message = format!("the project makes `{}`, which extension.toml does not name", extra.file);
        return Err(Error::invalid("component-unnamed", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(manifest: &str, file: &str) -> Result<()> {
        let folder = tempfile::tempdir().expect("folder");
        files::write(&folder.path().join("extension.toml"), manifest.as_bytes())?;
        let manifest = Manifest::parse(manifest)?;
        let made = [Made { file: file.to_owned(), bytes: Vec::new() }];
        lay_out(folder.path(), &manifest, &made, &folder.path().join("out"))
    }

    #[test]
    fn manifest_and_folder_say_the_same() {
        let head = "schema_version = 1\nname = \"a\"\nversion = \"0.1.0\"\ntitle = \"A\"\ndescription = \"a\"\nlicense = \"MIT\"\n";
        let component = "[[components]]\nname = \"store\"\nworld = \"fuseml:artifact-store/artifact-store@0.1.0\"\n\
                         file = \"components/store.wasm\"\n";
        let whole = format!("{head}{component}");
        outcome(&whole, "components/store.wasm").expect("whole");
        assert_eq!(outcome(&whole, "components/other.wasm").expect_err("missing").code, "file-missing");
        assert_eq!(outcome(head, "components/store.wasm").expect_err("extra").code, "component-unnamed");
        let template = format!("{whole}[[templates]]\nfile = \"templates/t.yaml\"\n");
        assert_eq!(outcome(&template, "components/store.wasm").expect_err("template").code, "file-missing");
    }
}
