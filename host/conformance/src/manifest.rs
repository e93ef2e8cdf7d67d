//! The package by itself: what can be judged without running anything.

use crate::Verdict;
use fuseml_domain::{Manifest, Template};
use std::path::Path;

/// Names under which a licence's text is looked for.
const LICENCES: [&str; 4] = ["LICENSE", "LICENSE.md", "LICENSE.txt", "COPYING"];

pub(crate) fn judge(manifest: &Manifest, folder: &Path) -> Vec<(&'static str, Verdict)> {
    let broken = |found: String, fix: &str| Verdict::Broken { found, fix: fix.to_owned() };
    let readme = match std::fs::read_to_string(folder.join("README.md")) {
        Ok(text) if !text.trim().is_empty() => Verdict::Kept,
        _ => broken(
            "there is no README.md with words in it".to_owned(),
            "say in README.md what it adapts and which settings it takes",
        ),
    };
    let licence = if manifest.license.trim().is_empty() {
        broken("`license` is empty".to_owned(), "name the licence in extension.toml by its SPDX identifier")
    } else if manifest.license.contains("LicenseRef") && !LICENCES.iter().any(|name| folder.join(name).exists()) {
        broken(format!("`{}` is no public licence and its text is missing", manifest.license), "add a LICENSE file")
    } else {
        Verdict::Kept
    };
    let mut templates = Verdict::Kept;
    for template in &manifest.templates {
        let read = std::fs::read_to_string(folder.join(&template.file)).map_err(|error| error.to_string());
        if let Err(why) = read.and_then(|text| Template::parse(&text, &template.file).map_err(|error| error.message)) {
            templates = broken(format!("{}: {why}", template.file), "correct the template");
            break;
        }
    }
    vec![("has-a-readme", readme), ("has-a-licence", licence), ("templates-are-valid", templates)]
}
