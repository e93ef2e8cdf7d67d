//! Conditions in MLflow's filter language, as far as it says exactly the same.
//!
//! What it would answer differently goes back to the host: `!=` on a tag leaves out versions without the tag,
//! `like` has other wildcards, and there is no filter on time, metrics or attributes of the logged model.

use crate::descriptor::{ATTRIBUTE, OWN, RUN, is_derived};
use fuseml_extension::store::Condition;

/// The filter, and the conditions that it does not hold.
pub(crate) fn translate(conditions: Vec<Condition>) -> (String, Vec<Condition>) {
    let mut clauses = Vec::new();
    let mut unapplied = Vec::new();
    for condition in conditions {
        match clause(&condition) {
            Some(clause) => clauses.push(clause),
            None => unapplied.push(condition),
        }
    }
    (clauses.join(" AND "), unapplied)
}

fn clause(condition: &Condition) -> Option<String> {
    let value = quoted(&condition.value)?;
    match (condition.field.as_str(), condition.operator.as_str()) {
        ("name", operator @ ("=" | "!=")) => Some(format!("name {operator} {value}")),
        (field, "=") => {
            if let Some(label) = field.strip_prefix("label.") {
                return if label.starts_with(OWN) { None } else { tag(label, &value) };
            }
            match field.strip_prefix("attribute.")? {
                RUN => Some(format!("run_id = {value}")),
                derived if is_derived(derived) => None,
                attribute => tag(&format!("{ATTRIBUTE}{attribute}"), &value),
            }
        }
        _ => None,
    }
}

pub(crate) fn tag(key: &str, quoted_value: &str) -> Option<String> {
    let plain = !key.is_empty() && !key.contains(['`', '\'', '"', '\\']) && !key.chars().any(char::is_control);
    plain.then(|| format!("tags.`{key}` = {quoted_value}"))
}

/// MLflow knows no escape, so a value with quotes cannot be said.
pub(crate) fn quoted(value: &str) -> Option<String> {
    let plain = !value.contains(['\'', '"', '\\', '`']) && !value.chars().any(char::is_control);
    plain.then(|| format!("'{value}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_mlflow_can_and_gives_back_the_rest() {
        for (field, operator, value, clause) in [
            ("name", "=", "wine", Some("name = 'wine'")),
            ("name", "!=", "wine", Some("name != 'wine'")),
            ("label.team", "=", "red", Some("tags.`team` = 'red'")),
            ("attribute.framework", "=", "sklearn", Some("tags.`fuseml.attribute.framework` = 'sklearn'")),
            ("attribute.mlflow-run", "=", "ab12", Some("run_id = 'ab12'")),
            ("attribute.parameter.alpha", "=", "0.1", None),
            ("attribute.format", "=", "mlflow", None),
            ("label.team", "!=", "red", None),
            ("label.te`am", "=", "red", None),
            ("name", "like", "wi%", None),
            ("name", "=", "x' OR name != '", None),
            ("metric.rmse", "<", "0.5", None),
            ("tag", "=", "production", None),
        ] {
            let own = |text: &str| text.to_owned();
            let condition = Condition { field: own(field), operator: own(operator), value: own(value) };
            let (filter, unapplied) = translate(vec![condition]);
            assert_eq!((filter.as_str(), unapplied.len()), (clause.unwrap_or(""), usize::from(clause.is_none())));
        }
    }
}
