//! Is a rebuild due, and why, in words (S48, S49).

use crate::environment::DEFAULT_FILES;
use fuseml_extension::builder::Previous;

/// `deciding` are the files that decide what is built; `changed` those that differ from the previous codeset.
pub(crate) fn decide(
    changed: &[String],
    deciding: &[String],
    digest: &str,
    previous: Option<&Previous>,
) -> (bool, String) {
    let Some(previous) = previous else {
        return (true, "first build".to_owned());
    };
    let among = |files: &[&str]| -> Vec<String> {
        changed.iter().filter(|file| files.contains(&file.as_str())).cloned().collect()
    };
    let read = among(&deciding.iter().map(String::as_str).collect::<Vec<_>>());
    if !read.is_empty() {
        return (true, format!("{} changed", list(&read)));
    }
    if previous.environment_digest != digest {
        // A file that decided before and is gone now was not read for this plan.
        let gone = among(&DEFAULT_FILES);
        let why = if gone.is_empty() { "the mlflow extension's own requirements".to_owned() } else { list(&gone) };
        return (true, format!("{why} changed"));
    }
    match changed {
        [] => (false, "nothing changed".to_owned()),
        changed => (false, format!("only {} changed", list(changed))),
    }
}

/// `a`, `a and b`, `a, b and 3 more files`.
fn list(files: &[String]) -> String {
    match files {
        [] => String::new(),
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [one, two, three] => format!("{one}, {two} and {three}"),
        [one, two, rest @ ..] => format!("{one}, {two} and {} more files", rest.len()),
    }
}
