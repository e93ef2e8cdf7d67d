//! What a component imports, judged and in words.

use fuseml_domain::{Error, Result, Surface};

/// Refuses a component that imports what is not FuseML's.
///
/// # Errors
/// `invalid`, with the names of the strangers.
pub(crate) fn only_own(bytes: &[u8]) -> Result<()> {
    let strangers: Vec<_> =
        Surface::of(bytes)?.imports.into_iter().filter(|import| !import.starts_with("fuseml:")).collect();
    if strangers.is_empty() {
        return Ok(());
    }
    let message = format!("the component imports what no FuseML server offers: {}", strangers.join(", "));
    Err(Error::invalid("foreign-import", message))
}

/// An import for people: what it lets the component do.
pub fn in_words(import: &str) -> String {
    let name = import.split('@').next().unwrap_or(import);
    let words = match name {
        "fuseml:types/types" => "the words that all contracts share",
        "fuseml:logging/logging" => "writes log lines",
        "fuseml:clock/clock" => "reads the time",
        "fuseml:random/random" => "draws random bytes",
        "fuseml:configuration/configuration" => "reads its settings",
        "fuseml:files/files" => "reads the codeset's files",
        "fuseml:http/http" => "calls the granted hosts",
        "fuseml:artifact-events/artifact-events" => "sees which artifacts are registered",
        "fuseml:reveal/reveal" => "READS SECRETS",
        "fuseml:state/state" => "keeps small values between calls",
        _ if name.starts_with("wasi:") => return format!("{import} (WASI)"),
        _ => return format!("{import} (not one of FuseML's)"),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_what_is_known_and_the_name_of_what_is_not() {
        assert_eq!(in_words("fuseml:clock/clock@0.1.0"), "reads the time");
        assert_eq!(in_words("wasi:io/poll@0.2.9"), "wasi:io/poll@0.2.9 (WASI)");
    }
}
