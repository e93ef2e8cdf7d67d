//! `MLmodel`: the description in an MLflow model's folder. The model itself, mostly a pickle, is not looked at.

use crate::{ReadAt, Result, malformed};
use fuseml_domain::Attributes;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The file is written by hand at times, and holds signatures of wide tables.
const MOST_BYTES: u64 = 4 << 20;

#[derive(Deserialize)]
struct MlModel {
    flavors: indexed::Flavors,
    mlflow_version: Option<String>,
    #[serde(default)]
    signature: Option<Map<String, Value>>,
}

/// Flavours in the order of the file: the first that is not `python_function` is the framework.
mod indexed {
    use serde::{
        Deserialize, Deserializer,
        de::{MapAccess, Visitor},
    };
    use serde_json::{Map, Value};

    pub(super) struct Flavors(pub(super) Vec<(String, Map<String, Value>)>);

    impl<'de> Deserialize<'de> for Flavors {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Pairs;
            impl<'de> Visitor<'de> for Pairs {
                type Value = Flavors;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("flavours by their names")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Flavors, A::Error> {
                    let mut pairs = Vec::new();
                    while let Some(pair) = map.next_entry()? {
                        pairs.push(pair);
                    }
                    Ok(Flavors(pairs))
                }
            }
            deserializer.deserialize_map(Pairs)
        }
    }
}

pub(crate) fn read(file: &dyn ReadAt) -> Result<Attributes> {
    if file.size() > MOST_BYTES {
        return Err(malformed(format!("it has {} bytes", file.size())));
    }
    let bytes = file.read_at(0, usize::try_from(file.size()).unwrap_or(0))?;
    let text = String::from_utf8(bytes).map_err(|_| malformed("it is no UTF-8 text"))?;
    let model: MlModel = serde_saphyr::from_str(&text).map_err(|error| malformed(error.to_string()))?;
    let flavors = model.flavors.0;
    let framework = flavors.iter().find(|(name, _)| name != "python_function").or(flavors.first());
    let mut found = Attributes::from([("format".to_owned(), "mlflow".to_owned())]);
    // Whatever can load it, also where another framework trained it.
    let names: Vec<_> = flavors.iter().map(|(name, _)| name.as_str()).collect();
    found.insert("flavors".to_owned(), names.join(", "));
    if let Some((name, flavor)) = framework {
        found.insert("framework".to_owned(), name.clone());
        let own = flavor.get(&format!("{name}_version"));
        let version = own.or_else(|| flavor.iter().find(|(key, _)| key.ends_with("_version")).map(|(_, value)| value));
        found.extend(version.and_then(Value::as_str).map(|text| ("framework-version".to_owned(), text.to_owned())));
    }
    found.extend(model.mlflow_version.map(|version| ("mlflow-version".to_owned(), version)));
    if let Some(signature) = model.signature {
        // Each part is JSON within the YAML.
        let part = |(name, text): (String, Value)| Some((name, serde_json::from_str(text.as_str()?).ok()?));
        let parts: Map<String, Value> = signature.into_iter().filter_map(part).collect();
        found.insert("signature".to_owned(), Value::Object(parts).to_string());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = r#"
flavors:
  python_function:
    env: {conda: conda.yaml}
    python_version: 3.11.2
  sklearn:
    pickled_model: model.pkl
    sklearn_version: 1.5.2
mlflow_version: 3.1.0
signature:
  inputs: '[{"type": "double", "name": "alcohol"}]'
  outputs: '[{"type": "tensor"}]'
  params: null
"#;

    #[test]
    fn the_first_framework_its_version_and_the_signature_are_read() {
        let found = read(&MODEL.as_bytes().to_vec()).expect("model");
        assert_eq!((found["framework"].as_str(), found["framework-version"].as_str()), ("sklearn", "1.5.2"));
        assert_eq!(found["flavors"], "python_function, sklearn");
        assert_eq!((found["format"].as_str(), found["mlflow-version"].as_str()), ("mlflow", "3.1.0"));
        assert_eq!(
            found["signature"],
            r#"{"inputs":[{"name":"alcohol","type":"double"}],"outputs":[{"type":"tensor"}]}"#
        );
    }

    #[test]
    fn what_is_no_description_is_refused() {
        for text in ["", "- a", "flavors: 3", "flavors: {a: b}", "flavors: {}\nflavors: {}", "\u{0}"] {
            assert!(read(&text.as_bytes().to_vec()).is_err(), "{text:?}");
        }
    }
}
