//! The Python package `fuseml`, which every workload can import: files beside it, and nothing to install.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Files of the package, below the folder that Python searches.
pub(crate) const MODULES: [(&str, &str); 3] = [
    ("fuseml/__init__.py", include_str!("../../../sdk/python/src/fuseml/__init__.py")),
    ("fuseml/_autolog.py", include_str!("../../../sdk/python/src/fuseml/_autolog.py")),
    ("fuseml/_step.py", include_str!("../../../sdk/python/src/fuseml/_step.py")),
];

/// What makes it a project that `pip install` and editors know.
const PROJECT: [(&str, &str); 3] = [
    // That the package says its types (PEP 561).
    ("src/fuseml/py.typed", ""),
    ("pyproject.toml", include_str!("../../../sdk/python/pyproject.toml")),
    ("README.md", include_str!("../../../sdk/python/README.md")),
];

/// The variable that says where Python searches for modules.
pub(crate) const SEARCHED: &str = "PYTHONPATH";

/// Where Python searches: what a workload's own variable says, then here.
pub(crate) fn search(own: Option<&String>, here: &str) -> String {
    own.map_or_else(|| here.to_owned(), |own| format!("{own}:{here}"))
}

/// Puts the package below a folder. What is there already, and the same, is not touched: workloads may be reading it.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    write_all(folder, MODULES.iter().map(|(path, text)| (PathBuf::from(path), *text)))
}

/// Puts the package with its project's files into a folder, for `pip install` and editors.
///
/// # Errors
/// When the folder cannot be written.
pub fn write_python_sdk(folder: &Path) -> io::Result<()> {
    let modules = MODULES.iter().map(|(path, text)| (Path::new("src").join(path), *text));
    write_all(folder, modules.chain(PROJECT.iter().map(|(path, text)| (PathBuf::from(path), *text))))
}

fn write_all(folder: &Path, files: impl Iterator<Item = (PathBuf, &'static str)>) -> io::Result<()> {
    for (path, text) in files {
        let path = folder.join(path);
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        let new = path.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(new, path)?;
    }
    Ok(())
}
