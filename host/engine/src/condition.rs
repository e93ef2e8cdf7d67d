//! Whether a step's `when` holds.

use fuseml_domain::{Error, Result, Run, Value, When, port::Catalog};

/// Why it does not; `None` when it does.
pub(crate) async fn unmet(catalog: &dyn Catalog, run: &Run, when: &When) -> Result<Option<String>> {
    let found = match when {
        When::Said { said, .. } => Value::Text(said.clone()),
        When::Artifact { artifact: reference, .. } | When::Value { value: reference, .. } => {
            crate::work::resolve(run, reference)?
        }
    };
    match (when, found) {
        (When::Artifact { condition, .. }, Value::Artifact(address)) => {
            let artifact = catalog.artifact(&address).await?;
            let is_met = condition.matches(&artifact);
            Ok((!is_met).then(|| format!("{} is not what was asked for: {condition}", address.short())))
        }
        (When::Value { value, one_of } | When::Said { value, one_of, .. }, found) => {
            let found = match found {
                Value::Text(text) => text,
                Value::Artifact(address) => address.to_string(),
            };
            let is_met = one_of.contains(&found);
            Ok((!is_met).then(|| format!("{value} is `{found}`, not {}", one_of.join(" or "))))
        }
        (When::Artifact { artifact, .. }, Value::Text(text)) => {
            Err(Error::invalid("type", format!("`when` asks {artifact} with `where`, but it is `{text}`")))
        }
    }
}
