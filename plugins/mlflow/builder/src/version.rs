//! Which Python an environment asks for, and which of those that the wrappers run on it gets.

use crate::yaml::Place;
use fuseml_extension::Result;

type Minor = (u32, u32);

/// What MLflow 3 and MLServer (below 3.13) run on, the preferred first.
const SUPPORTED: [Minor; 3] = [(3, 11), (3, 12), (3, 10)];

/// The version to take where nothing is asked for.
pub(crate) fn default() -> String {
    text(SUPPORTED[0])
}

fn text((major, minor): Minor) -> String {
    format!("{major}.{minor}")
}

/// The Python, as `3.11`, for a list of conditions such as `>=3.10,<3.13`; a bare version is exact.
///
/// Only the minor version counts: patches change no package, and neither an image nor an interpreter of
/// exactly one patch can be relied on to exist.
pub(crate) fn choose(conditions: &str, place: &Place) -> Result<String> {
    let mut fitting: Vec<Minor> = SUPPORTED.to_vec();
    for condition in conditions.split(',').map(str::trim).filter(|condition| !condition.is_empty()) {
        let Some(condition) = Condition::parse(condition) else {
            let message = format!("`{condition}` is no Python version; write one such as `3.11`");
            return Err(place.invalid("python-version", message));
        };
        fitting.retain(|minor| condition.allows(*minor));
    }
    match fitting.first() {
        Some(minor) => Ok(text(*minor)),
        None => {
            let mut supported = SUPPORTED;
            supported.sort_unstable();
            let supported = supported.map(text).join(", ");
            let message = format!("Python {conditions} is not among what MLflow 3 serves models with: {supported}");
            Err(place.unsupported("python-version", message))
        }
    }
}

struct Condition<'a> {
    operator: &'a str,
    minor: Minor,
    /// Does it go beyond the minor version, with a patch other than 0?
    patched: bool,
}

impl<'a> Condition<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let digits = text.find(|c: char| c.is_ascii_digit())?;
        let (operator, version) = text.split_at(digits);
        let mut parts = version.trim().trim_end_matches(".*").split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next().map_or(Some(None), |part| part.parse().ok().map(Some))?;
        let patch: u32 = parts.next().map_or(Some(0), |part| part.parse().ok())?;
        // `3` alone leaves the minor version open.
        let (operator, minor) = match (operator.trim(), minor) {
            ("" | "=" | "==" | "~=", None) => ("major", 0),
            (operator, minor) => (operator, minor.unwrap_or(0)),
        };
        let known = ["", "=", "==", "===", "!=", "~=", ">=", ">", "<=", "<", "major"].contains(&operator);
        known.then_some(Self { operator, minor: (major, minor), patched: patch > 0 })
    }

    fn allows(&self, minor: Minor) -> bool {
        match self.operator {
            "major" => minor.0 == self.minor.0,
            "!=" => self.patched || minor != self.minor,
            ">=" => minor >= self.minor,
            // 3.10.1 is more than 3.10, so only a bound on the patch keeps the minor version itself.
            ">" => {
                if self.patched {
                    minor >= self.minor
                } else {
                    minor > self.minor
                }
            }
            "<=" => minor <= self.minor,
            "<" => {
                if self.patched {
                    minor <= self.minor
                } else {
                    minor < self.minor
                }
            }
            "~=" if !self.patched => minor.0 == self.minor.0 && minor >= self.minor,
            _ => minor == self.minor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses() {
        let place = Place { file: "conda.yaml".into(), line: 3 };
        for (conditions, chosen) in [
            ("", Some("3.11")),
            ("3", Some("3.11")),
            ("3.11.4", Some("3.11")),
            ("=3.10", Some("3.10")),
            ("==3.12.*", Some("3.12")),
            (">=3.8", Some("3.11")),
            (">=3.12", Some("3.12")),
            (">3.11", Some("3.12")),
            ("<3.11", Some("3.10")),
            (">=3.8,<3.11", Some("3.10")),
            ("~=3.12", Some("3.12")),
            ("!=3.11", Some("3.12")),
            ("3.8", None),
            ("three", None),
        ] {
            assert_eq!(choose(conditions, &place).ok().as_deref(), chosen, "{conditions}");
        }
    }
}
