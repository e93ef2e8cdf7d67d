//! The store's ids, `<name>/<version>`, and the percent-encoding that makes names safe in them and in URLs.

use fuseml_extension::{Error, Result};
use std::fmt;

/// One version of a registered model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Id {
    pub name: String,
    pub version: String,
}

impl Id {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            let text = text.escape_debug();
            Error::invalid(
                "model-id",
                format!("`{text}` is no id of an MLflow model version; it is `<name>/<version>`"),
            )
        };
        let (name, version) = text.split_once('/').ok_or_else(wrong)?;
        let name = decode(name).filter(|name| !name.is_empty()).ok_or_else(wrong)?;
        version.parse::<u64>().map_err(|_| wrong())?;
        Ok(Self { name, version: version.to_owned() })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", encode(&self.name), self.version)
    }
}

/// Everything but RFC 3986's unreserved characters as `%XX`.
pub(crate) fn encode(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// The same for each part of a path.
pub(crate) fn encode_path(path: &str) -> String {
    path.split('/').map(encode).collect::<Vec<_>>().join("/")
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
        rest = after.get(2..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip() {
        for name in ["wine", "a b", "ä%2f", "100%", "a.b-c_d~e"] {
            let id = Id { name: name.to_owned(), version: "12".to_owned() };
            assert_eq!(Id::parse(&id.to_string()), Ok(id));
        }
        for text in ["", "wine", "wine/", "wine/x", "/1", "%zz/1", "wine/1/2"] {
            assert_eq!(Id::parse(text).map_err(|e| e.code), Err("model-id".to_owned()), "{text}");
        }
    }
}
