//! Whether a step's `when` holds.

use fuseml_domain::{Condition, Descriptor, Error, Result, Run, Value, When, port::Catalog};

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
            Ok(lacking(&catalog.artifact(&address).await?, condition))
        }
        (When::Artifact { condition, .. }, Value::Anonymous(artifact)) => Ok(lacking(&artifact, condition)),
        (When::Value { value, one_of } | When::Said { value, one_of, .. }, found) => {
            let found = found.said();
            let is_met = one_of.contains(&found);
            Ok((!is_met).then(|| format!("{value} is `{found}`, not {}", one_of.join(" or "))))
        }
        (When::Artifact { artifact, .. }, Value::Text(text)) => {
            Err(Error::invalid("type", format!("`when` asks {artifact} with `where`, but it is `{text}`")))
        }
    }
}

fn lacking(artifact: &Descriptor, condition: &Condition) -> Option<String> {
    let is_met = condition.matches(artifact);
    (!is_met).then(|| format!("{} is not what was asked for: {condition}", artifact.address.short()))
}
