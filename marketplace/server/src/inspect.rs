//! What nobody wants to have published: secrets, and packages that explain nothing.

use fuseml_domain::{Error, Manifest, Result};
use std::{fs, path::Path};
use walkdir::WalkDir;

/// Beginnings of well-known credentials, with the length that they have at least.
const TOKENS: &[(&str, usize)] = &[
    ("AKIA", 20),
    ("ASIA", 20),
    ("ghp_", 40),
    ("github_pat_", 60),
    ("glpat-", 26),
    ("xoxb-", 30),
    ("sk-ant-", 40),
    ("hf_", 37),
    ("npm_", 40),
    ("fmk_", 68),
];
/// Files that are secrets by their name.
const NAMES: &[&str] =
    &[".env", ".netrc", ".npmrc", ".pypirc", "id_rsa", "id_ed25519", "credentials", ".git-credentials"];
const LARGEST_LOOKED_AT: u64 = 8 << 20;

/// Refuses a package that holds a secret, or lacks a licence or a readme.
///
/// # Errors
/// `invalid`, with the file and never with what was found in it.
pub fn inspect(folder: &Path, manifest: &Manifest) -> Result<()> {
    let refuse = |code: &str, why: String| Err(Error::invalid(code, why));
    if manifest.license.trim().is_empty() {
        return refuse("no-licence", "extension.toml names no license".to_owned());
    }
    let readme = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
    if readme.trim().len() < 40 {
        return refuse("no-readme", "the package has no README.md that says what it is for".to_owned());
    }
    for entry in WalkDir::new(folder).min_depth(1).into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
        let inside = entry.path().strip_prefix(folder).unwrap_or(entry.path()).display().to_string();
        let name = entry.file_name().to_string_lossy();
        if NAMES.contains(&&*name) || name.ends_with(".pem") || name.ends_with(".key") {
            return refuse("secret", format!("`{inside}` is a file in which secrets are kept; leave it out"));
        }
        if entry.metadata().is_ok_and(|data| data.len() > LARGEST_LOOKED_AT) {
            continue;
        }
        let bytes = fs::read(entry.path()).map_err(|error| Error::io(entry.path().display(), &error))?;
        if let Some(what) = secret(&bytes) {
            return refuse(
                "secret",
                format!("`{inside}` seems to hold {what}; take it out, and replace it where it is used"),
            );
        }
    }
    Ok(())
}

fn secret(bytes: &[u8]) -> Option<&'static str> {
    // Compiled components hold texts of libraries, keys among their test data too.
    let text = std::str::from_utf8(bytes).ok()?;
    if text.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let found = text.split(|c| !is_word(c)).any(|word| {
        TOKENS.iter().any(|(begin, length)| word.starts_with(begin) && word.len() >= *length && varied(word))
    });
    found.then_some("an access token")
}

/// `hf_xxxxxxxx…` in a guide is no secret.
fn varied(word: &str) -> bool {
    let mut letters: Vec<_> = word.bytes().collect();
    letters.sort_unstable();
    letters.dedup();
    letters.len() >= 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_and_placeholders_are_not() {
        for (text, found) in [
            ("-----BEGIN RSA PRIVATE KEY-----", true),
            ("key = \"AKIAIOSFODNN7EXAMPLE\"", true),
            ("token: ghp_0123456789abcdefghijABCDEFGHIJ456789", true),
            ("token: ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", false),
            ("AKIA is how they begin", false),
            ("plain text", false),
        ] {
            assert_eq!(secret(text.as_bytes()).is_some(), found, "{text}");
        }
        assert!(secret(&[0xff, 0xfe]).is_none());
    }
}
