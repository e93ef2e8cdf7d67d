//! `conda.yaml`, translated to what pip installs: images and environments here hold Python packages only.
//!
//! What cannot be translated is refused with the line and a way out; nothing is left out in silence.

use crate::requirements::Requirements;
use crate::version;
use crate::yaml::{self, Node, Place, Value};
use fuseml_extension::Result;

/// Packages with another name on the Python package index.
const RENAMED: [(&str, &str); 4] =
    [("pytorch", "torch"), ("py-xgboost", "xgboost"), ("matplotlib-base", "matplotlib"), ("opencv", "opencv-python")];

/// Packages that are no Python packages, and what to do instead.
const NOT_PYTHON: [(&str, &str); 8] = [
    ("cudatoolkit", CUDA),
    ("cuda-toolkit", CUDA),
    ("cudnn", CUDA),
    ("pytorch-cuda", CUDA),
    ("gcc", NATIVE),
    ("gxx", NATIVE),
    ("openjdk", NATIVE),
    ("r-base", NATIVE),
];
const CUDA: &str = "the Python packages bring their own CUDA libraries, so remove the line";
const NATIVE: &str = "environments hold Python packages only, so use a package that brings it along";

/// The Python version, if it names one, and what it wants installed.
pub(crate) fn read(file: &str, text: &str, requirements: &mut Requirements) -> Result<Option<String>> {
    let conda = yaml::parse(file, text)?;
    requirements.files.push(file.to_owned());
    let mut python = None;
    for item in conda.list("dependencies")? {
        if let Value::Map(sections) = &item.value {
            pip_section(item, sections, requirements)?;
            continue;
        }
        let (name, conditions) = translate(item.text("a dependency")?, &item.place)?;
        match name.as_str() {
            "python" => python = Some(version::choose(&conditions, &item.place)?),
            _ => requirements.add_line(&item.place, &format!("{name}{conditions}"))?,
        }
    }
    Ok(python)
}

fn pip_section(item: &Node, sections: &[(String, Node)], requirements: &mut Requirements) -> Result<()> {
    if let Some((name, node)) = sections.iter().find(|(name, _)| name != "pip") {
        let message = format!("`{name}:` is no section that conda knows; only `pip:` is");
        return Err(node.place.invalid("conda-section", message));
    }
    requirements.add_list(item.list("pip")?)
}

/// `conda-forge::scikit-learn=1.5` → `scikit-learn`, `==1.5.*`.
fn translate(spec: &str, place: &Place) -> Result<(String, String)> {
    let spec = spec.split_once(" #").map_or(spec, |(spec, _)| spec).trim();
    let bare = spec.rsplit_once("::").map_or(spec, |(_channel, bare)| bare);
    let end = bare.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(bare.len());
    let (name, rest) = bare.split_at(end);
    if let Some((_, instead)) = NOT_PYTHON.iter().find(|(other, _)| *other == name) {
        return Err(place.unsupported("conda-package", format!("`{name}` is no Python package: {instead}")));
    }
    let renamed = RENAMED.iter().find(|(conda, _)| *conda == name).map_or(name, |(_, pip)| *pip);
    let Some(conditions) = conditions(rest.trim()) else {
        let message = format!(
            "`{spec}` cannot be translated for pip; write `{renamed}=1.2` or `{renamed}>=1.2,<2`, without a build, \
             `|` or `[…]`"
        );
        return Err(place.unsupported("conda-spec", message));
    };
    Ok((renamed.to_owned(), conditions))
}

/// conda's conditions in pip's words; `None` for builds, alternatives and bracket forms.
fn conditions(text: &str) -> Option<String> {
    if text.contains(['|', '[', ']']) {
        return None;
    }
    if text.is_empty() || text == "*" {
        return Some(String::new());
    }
    let version = |text: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || ".*+!_".contains(c);
        (!text.is_empty() && text.chars().all(fits)).then(|| text.to_owned())
    };
    if let Some(exact) = text.strip_prefix("==") {
        return version(exact.trim()).map(|version| format!("=={version}"));
    }
    if let Some(start) = text.strip_prefix('=') {
        // One `=` means "starting with".
        return version(start.trim().trim_end_matches(".*")).map(|version| format!("=={version}.*"));
    }
    if text.starts_with(['<', '>', '!', '~']) {
        let conditions: String = text.split_whitespace().collect();
        let known = |part: &str| version(part.trim_start_matches(['<', '>', '=', '!', '~'])).is_some();
        return conditions.split(',').all(known).then_some(conditions);
    }
    version(text).map(|version| format!("=={version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs() {
        for (spec, pip) in [
            ("numpy", Some("numpy")),
            ("scikit-learn=1.5", Some("scikit-learn==1.5.*")),
            ("scikit-learn=1.5.*", Some("scikit-learn==1.5.*")),
            ("conda-forge::scikit-learn==1.5.1", Some("scikit-learn==1.5.1")),
            ("pandas >=2, <3", Some("pandas>=2,<3")),
            ("pandas 2.2.1", Some("pandas==2.2.1")),
            ("pytorch=2.3  # CPU", Some("torch==2.3.*")),
            ("numpy=1.26.4=py311h64a7726_0", None),
            ("numpy 1.26.4 py311h64a7726_0", None),
            ("numpy>=1.8|1.7.*", None),
            ("numpy[version='>=1.8']", None),
            ("cudatoolkit=11.8", None),
        ] {
            let place = Place { file: "conda.yaml".into(), line: 1 };
            let translated = translate(spec, &place).ok().map(|(name, conditions)| name + &conditions);
            assert_eq!(translated.as_deref(), pip, "{spec}");
        }
    }
}
