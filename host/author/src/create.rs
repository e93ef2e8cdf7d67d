//! New projects: whole, so that they build as they are.

use crate::files;
use fuseml_domain::{Error, Name, Result};
use include_dir::{Dir, include_dir};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");
static WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../wit");
static RUST_SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../plugins/sdk");
static PYTHON_SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../plugins/sdk-python");
static JAVASCRIPT_SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../plugins/sdk-javascript");

/// Files of a project: where, and what.
type Files = Vec<(PathBuf, Vec<u8>)>;

/// A language that a project can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Rust,
    Python,
    JavaScript,
}

/// What a project's component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectKind {
    ArtifactStore,
    Builder,
    RuntimeAgent,
}

impl Language {
    pub const ALL: [Self; 3] = [Self::Rust, Self::Python, Self::JavaScript];
}

impl ProjectKind {
    pub const ALL: [Self; 3] = [Self::ArtifactStore, Self::Builder, Self::RuntimeAgent];
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::JavaScript => "javascript",
        })
    }
}

impl fmt::Display for ProjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ArtifactStore => "artifact-store",
            Self::Builder => "builder",
            Self::RuntimeAgent => "runtime-agent",
        })
    }
}

impl FromStr for Language {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        one_of(&Self::ALL, text, "language")
    }
}

impl FromStr for ProjectKind {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        one_of(&Self::ALL, text, "kind")
    }
}

fn one_of<T: Copy + fmt::Display>(all: &[T], text: &str, what: &str) -> Result<T> {
    all.iter().copied().find(|one| one.to_string() == text).ok_or_else(|| {
        let known: Vec<_> = all.iter().map(ToString::to_string).collect();
        Error::invalid("unknown-choice", format!("there is no {what} `{text}`; there are {}", known.join(", ")))
    })
}

/// Writes a new project to `folder`, in one step.
///
/// # Errors
/// `invalid` for a name that a package cannot have, `conflict` when the folder holds something; nothing is
/// written then.
pub fn create(language: Language, kind: ProjectKind, name: &Name, folder: &Path) -> Result<()> {
    check_name(name)?;
    if folder.is_file() || (folder.is_dir() && !files::sorted_entries(folder)?.is_empty()) {
        let message = format!("`{}` is not empty; choose another folder with --path", folder.display());
        return Err(Error::conflict("folder-not-empty", message));
    }
    let staging = files::beside(folder, "new")?;
    let result = project(language, kind, name).and_then(|all| {
        files::remove(&staging)?;
        all.iter().try_for_each(|(path, bytes)| files::write(&staging.join(path), bytes))?;
        // An empty folder gives way to a rename.
        std::fs::rename(&staging, folder).map_err(|error| files::io("moving into place", folder, &error))
    });
    if result.is_err() {
        let _ = files::remove(&staging);
    }
    result
}

/// Package managers take less than FuseML does.
fn check_name(name: &Name) -> Result<()> {
    if name.contains('.') || name.starts_with(|first: char| first.is_ascii_digit()) {
        let message = format!("`{}` cannot name a package; begin with a letter, and without `.`", &**name);
        return Err(Error::invalid("name", message));
    }
    Ok(())
}

fn project(language: Language, kind: ProjectKind, name: &Name) -> Result<Files> {
    let mut all = Files::new();
    let settings = match kind {
        ProjectKind::ArtifactStore => " --set endpoint=https://models.example",
        ProjectKind::Builder => "",
        ProjectKind::RuntimeAgent => " --set endpoint=http://127.0.0.1:8265",
    };
    let mut fill = |to: &str, template: String| {
        let text = text_of(&TEMPLATES, &template)?.replace("{{name}}", name).replace("{{settings}}", settings);
        all.push((PathBuf::from(to), text.into_bytes()));
        Ok::<(), Error>(())
    };
    fill("extension.toml", format!("kinds/{kind}.toml"))?;
    fill("check.toml", format!("kinds/{kind}-check.toml"))?;
    fill("README.md", format!("{language}/README.md"))?;
    fill(".gitignore", format!("{language}/gitignore"))?;
    match language {
        Language::Rust => {
            fill("Cargo.toml", format!("{language}/Cargo.toml.in"))?;
            fill("src/lib.rs", format!("{language}/{kind}.rs"))?;
            fill("src/tests.rs", format!("{language}/{kind}-tests.rs"))?;
            all.extend(rust_sdk()?);
        }
        Language::Python => {
            fill("pyproject.toml", format!("{language}/pyproject.toml"))?;
            fill("src/main.py", format!("{language}/{kind}.py"))?;
            fill("test_main.py", format!("{language}/{kind}-tests.py"))?;
            all.extend(python_sdk());
        }
        Language::JavaScript => {
            for file in ["package.json", "component.mjs", "native.mjs"] {
                fill(file, format!("{language}/{file}"))?;
            }
            fill("src/main.js", format!("{language}/{kind}.js"))?;
            fill("main.test.mjs", format!("{language}/{kind}.test.mjs"))?;
            all.extend(below(&JAVASCRIPT_SDK, Path::new("vendor")));
        }
    }
    all.extend(below(&WIT, Path::new("wit")));
    if kind == ProjectKind::Builder {
        all.extend(samples());
    }
    Ok(all)
}

/// Codesets for the check of a builder: one for it, one not.
fn samples() -> Files {
    [
        ("samples/job/job.py", "print(\"trained\")\n"),
        ("samples/job/requirements.txt", "scikit-learn==1.7.2\n"),
        ("samples/other/main.go", "package main\n"),
    ]
    .map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_owned()))
    .into()
}

/// The SDK's crate, with what it had from its workspace written out.
fn rust_sdk() -> Result<Files> {
    let folder = Path::new("vendor/fuseml-extension");
    let mut all = below(&RUST_SDK, folder);
    all.retain(|(path, _)| path.file_name().is_some_and(|name| name != "Cargo.toml"));
    let manifest = text_of(&TEMPLATES, "rust/sdk.toml.in")?.to_owned();
    all.push((folder.join("Cargo.toml"), manifest.into_bytes()));
    Ok(all)
}

/// What goes into the component to `vendor`, what is for tests beside it. Not what an interpreter left there.
fn python_sdk() -> Files {
    let whole = below(&PYTHON_SDK, Path::new(""));
    let source = whole.into_iter().filter(|(path, _)| path.extension().is_some_and(|ending| ending == "py"));
    let place = |path: PathBuf| if path.starts_with("native") { path } else { Path::new("vendor").join(path) };
    source.map(|(path, bytes)| (place(path), bytes)).collect()
}

fn text_of<'a>(folder: &'a Dir<'_>, path: &str) -> Result<&'a str> {
    let file = folder.get_file(path).and_then(include_dir::File::contents_utf8);
    file.ok_or_else(|| Error::internal("template-missing", format!("this program has no template `{path}`")))
}

fn below(dir: &Dir<'_>, to: &Path) -> Files {
    let mut all: Files = dir.files().map(|file| (to.join(file.path()), file.contents().to_owned())).collect();
    all.extend(dir.dirs().flat_map(|dir| below(dir, to)));
    all
}
