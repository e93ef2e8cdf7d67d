//! Extension packages as they arrive: a tar of plain files, unpacked only where nothing can escape.

use fuseml_domain::{Component, Error, Manifest, Result, Template, check_relative_path};
use std::{fs, io::Read, path::Path};

/// The largest package, unpacked, in bytes: a Python component is some 20 MB.
const MAX_BYTES: u64 = 512 << 20;
const MAX_FILES: usize = 10_000;

/// An unpacked package that was read and makes sense by itself.
pub(crate) struct Package {
    pub(crate) manifest: Manifest,
    pub(crate) templates: Vec<Template>,
    pub(crate) components: Vec<(Component, Vec<u8>)>,
}

/// Unpacks a tar of regular files and folders into an empty folder; anything else in it is refused.
pub(crate) fn unpack(bytes: impl Read, target: &Path) -> Result<()> {
    let damaged = |error: std::io::Error| Error::invalid("package", format!("the package is no readable tar: {error}"));
    let mut archive = tar::Archive::new(bytes.take(MAX_BYTES));
    let mut total = 0;
    for (index, entry) in archive.entries().map_err(damaged)?.enumerate() {
        let mut entry = entry.map_err(damaged)?;
        let path = entry.path().map_err(damaged)?.to_str().map(|path| path.trim_end_matches('/').to_owned());
        let path = path.ok_or_else(|| Error::invalid("package", "the package has a file whose name is no text"))?;
        let kind = entry.header().entry_type();
        if kind.is_dir() && (path == "." || path.is_empty()) {
            continue;
        }
        let path = path.strip_prefix("./").unwrap_or(&path).to_owned();
        check_relative_path(&path).map_err(|error| error.context("the package has a file that it may not have"))?;
        total += entry.size();
        if index >= MAX_FILES || total > MAX_BYTES {
            return Err(Error::invalid(
                "package",
                format!("the package has over {MAX_FILES} files or {MAX_BYTES} bytes"),
            ));
        }
        let place = target.join(&path);
        let made = match kind {
            kind if kind.is_dir() => fs::create_dir_all(&place),
            kind if kind.is_file() => place.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
                let mut file = fs::File::create_new(&place)?;
                std::io::copy(&mut entry, &mut file).map(drop)
            }),
            _ => {
                return Err(Error::invalid(
                    "package",
                    format!("`{path}` in the package is neither a file nor a folder"),
                ));
            }
        };
        made.map_err(|error| Error::io(format!("`{path}` of the package cannot be unpacked"), &error))?;
    }
    Ok(())
}

/// Reads an unpacked package; nothing of it is run.
pub(crate) fn read(folder: &Path) -> Result<Package> {
    let manifest = Manifest::parse(&text(folder, "extension.toml")?)?;
    let templates = manifest
        .templates
        .iter()
        .map(|template| {
            let read = Template::parse(&text(folder, &template.file)?, &template.file)?;
            read.check_installed().map_err(|error| error.context(&template.file))?;
            Ok(read)
        })
        .collect::<Result<_>>()?;
    let components = manifest
        .components
        .iter()
        .map(|component| Ok((component.clone(), bytes(folder, &component.file)?)))
        .collect::<Result<_>>()?;
    Ok(Package { manifest, templates, components })
}

fn bytes(folder: &Path, file: &str) -> Result<Vec<u8>> {
    fs::read(folder.join(file))
        .map_err(|error| Error::invalid("package", format!("the package's file `{file}` cannot be read: {error}")))
}

fn text(folder: &Path, file: &str) -> Result<String> {
    String::from_utf8(bytes(folder, file)?)
        .map_err(|_| Error::invalid("package", format!("the package's file `{file}` is no UTF-8 text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, tar::EntryType)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(0);
            header.set_mode(0o644);
            // Written past the crate's own check, as an attacker would.
            header.as_gnu_mut().expect("gnu").name[..path.len()].copy_from_slice(path.as_bytes());
            if *kind == tar::EntryType::Symlink {
                header.set_link_name("/etc/passwd").expect("link");
            }
            header.set_cksum();
            builder.append(&header, std::io::empty()).expect("append");
        }
        builder.into_inner().expect("tar")
    }

    #[test]
    fn a_package_that_reaches_outside_is_refused_and_writes_nothing_there() {
        for (path, kind) in [
            ("../evil", tar::EntryType::Regular),
            ("/tmp/evil", tar::EntryType::Regular),
            ("a/../../evil", tar::EntryType::Regular),
            ("link", tar::EntryType::Symlink),
            ("hard", tar::EntryType::Link),
            ("device", tar::EntryType::Char),
        ] {
            let outside = tempfile::tempdir().expect("folder");
            let inside = outside.path().join("inside");
            fs::create_dir(&inside).expect("folder");

            let refused = unpack(archive(&[(path, kind)]).as_slice(), &inside);

            assert!(refused.is_err(), "{path}");
            assert_eq!(fs::read_dir(outside.path()).expect("list").count(), 1, "{path}");
        }
    }

    #[test]
    fn the_same_file_twice_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let twice = archive(&[("a", tar::EntryType::Regular), ("a", tar::EntryType::Regular)]);
        assert!(unpack(twice.as_slice(), folder.path()).is_err());
    }
}
