//! `config.json` of models of the Transformers family.

use crate::{ReadAt, Result, malformed};
use fuseml_domain::Attributes;
use serde::Deserialize;

const MOST_BYTES: u64 = 4 << 20;

#[derive(Deserialize)]
struct Config {
    model_type: Option<String>,
    architectures: Option<Vec<String>>,
    transformers_version: Option<String>,
}

pub(crate) fn read(file: &dyn ReadAt) -> Result<Attributes> {
    if file.size() > MOST_BYTES {
        return Err(malformed(format!("it has {} bytes", file.size())));
    }
    let bytes = file.read_at(0, usize::try_from(file.size()).unwrap_or(0))?;
    let config: Config = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    let mut found = Attributes::new();
    let mut add = |name: &str, value: Option<String>| found.extend(value.map(|value| (name.to_owned(), value)));
    add("framework", config.transformers_version.as_ref().map(|_| "transformers".to_owned()));
    add("framework-version", config.transformers_version);
    add("architecture", config.model_type);
    add("model-class", config.architectures.and_then(|classes| classes.into_iter().next()));
    Ok(found)
}
