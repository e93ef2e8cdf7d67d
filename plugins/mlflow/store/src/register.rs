//! Register: a logged model of this server becomes a version in its registry.

use crate::api::{Server, Version};
use crate::descriptor::{self, ATTRIBUTE, DIGEST, KEY, check_labels, is_derived};
use crate::filter;
use fuseml_extension::store::Draft;
use fuseml_extension::{Descriptor, Error, ErrorKind, Result, log};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// MLflow's limit on the value of a tag.
const LONGEST_TAG: usize = 100_000;

pub(crate) fn register(server: &Server, draft: &Draft) -> Result<Descriptor> {
    let model_id = model_id(draft)?;
    check_labels(&draft.descriptor.labels)?;
    let tags = &draft.descriptor.tags;
    let (version, to_set): (Version, Vec<&String>) = match existing(server, draft)? {
        None => (create(server, draft, model_id)?, tags.iter().collect()),
        // A repetition: aliases that point somewhere may have moved on purpose, the others were not set yet.
        Some(version) if !tags.is_empty() => {
            let taken = server.aliases(&version.name)?;
            (version, tags.iter().filter(|tag| !taken.iter().any(|(alias, _)| alias == *tag)).collect())
        }
        Some(version) => (version, Vec::new()),
    };
    for alias in to_set {
        server.set_alias(&version.id(), alias)?;
    }
    descriptor::of_version(server, server.version(&version.id())?)
}

fn model_id(draft: &Draft) -> Result<&str> {
    let uri = &draft.contents.uri;
    let id = uri.strip_prefix("models:/").filter(|id| id.starts_with("m-") && !id.contains('/'));
    id.ok_or_else(|| {
        let message = format!(
            "an MLflow server registers only models that were logged to it, as `models:/m-…`, not `{uri}`; train with \
             MLFLOW_TRACKING_URI set to this server"
        );
        Error::unsupported("contents-elsewhere", message)
    })
}

/// The version that the same key made before.
fn existing(server: &Server, draft: &Draft) -> Result<Option<Version>> {
    let name = &draft.descriptor.name;
    let clauses = filter::quoted(name).zip(filter::quoted(&draft.idempotency_key));
    let Some((name, tag)) = clauses.and_then(|(name, key)| Some((name, filter::tag(KEY, &key)?))) else {
        let message = format!("MLflow cannot look for a model named `{name}`; use a name without quotes and `\\`");
        return Err(Error::invalid("model-name", message));
    };
    let page = server.versions(&format!("name = {name} AND {tag}"), 1, None)?;
    Ok(page.model_versions.into_iter().next())
}

fn create(server: &Server, draft: &Draft, model_id: &str) -> Result<Version> {
    #[derive(Deserialize)]
    struct Answer {
        model_version: Version,
    }
    let name = &draft.descriptor.name;
    // Asked first because `create` answers a missing one with an internal error.
    let model = server.logged_model(model_id).map_err(|error| match error.kind {
        ErrorKind::NotFound => Error { kind: ErrorKind::Invalid, code: "logged-model-missing".to_owned(), ..error },
        _ => error,
    })?;
    match server.send("POST", "registered-models/create", &json!({"name": name})) {
        Err(error) if error.kind != ErrorKind::Conflict => return Err(error),
        _ => {}
    }
    let mut body = Map::new();
    body.insert("name".to_owned(), json!(name));
    body.insert("source".to_owned(), json!(draft.contents.uri));
    body.insert("model_id".to_owned(), json!(model_id));
    body.insert("tags".to_owned(), Value::Array(tags(draft)));
    if !model.info.source_run_id.is_empty() {
        body.insert("run_id".to_owned(), json!(model.info.source_run_id));
    }
    let answer = server.send("POST", "model-versions/create", &Value::Object(body))?;
    Ok(serde_json::from_value::<Answer>(answer)?.model_version)
}

fn tags(draft: &Draft) -> Vec<Value> {
    let descriptor = &draft.descriptor;
    let tag = |key: &str, value: &str| json!({"key": key, "value": value});
    let mut tags = vec![tag(KEY, &draft.idempotency_key)];
    tags.extend(descriptor.digest.iter().map(|digest| tag(DIGEST, digest)));
    tags.extend(descriptor.labels.iter().map(|(name, value)| tag(name, value)));
    for (name, value) in descriptor.attributes.iter().filter(|(name, _)| !is_derived(name)) {
        if value.len() > LONGEST_TAG {
            log::warn(&format!("the attribute `{name}` is too long for an MLflow tag and is left out"));
            continue;
        }
        tags.push(tag(&format!("{ATTRIBUTE}{name}"), value));
    }
    tags
}
