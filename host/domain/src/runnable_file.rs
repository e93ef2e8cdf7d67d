//! A runnable as a person writes it (S22–S31, S43): YAML, with scripts and packages beside it.

use crate::{
    Attributes, Delivery, Digest, Environment, Error, Image, InputDelivery, InputSlot, Kind, Name, OutputSlot,
    Parameter, Range, Result, Runnable, ServiceSpec, ValueType, scalar::Scalar,
};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "A runnable of FuseML")]
struct RunnableText {
    schema_version: u32,
    name: Name,
    kind: String,
    image: Option<Image>,
    /// The file of a WebAssembly component, or the folder of a program that becomes one.
    component: Option<String>,
    environment: Option<EnvironmentText>,
    #[serde(default)]
    command: Vec<String>,
    /// Path in the working directory, and which file's text it gets.
    #[serde(default)]
    scripts: IndexMap<String, String>,
    #[serde(default)]
    variables: Attributes,
    #[serde(default)]
    inputs: IndexMap<String, InputText>,
    #[serde(default)]
    outputs: IndexMap<String, OutputText>,
    #[serde(default)]
    parameters: IndexMap<String, ParameterText>,
    service: Option<ServiceText>,
    #[serde(default)]
    resources: IndexMap<String, crate::scalar::Scalar>,
    #[serde(default)]
    labels: Attributes,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EnvironmentText {
    python: Option<String>,
    #[serde(default)]
    requirements: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct InputText {
    kind: Kind,
    description: Option<String>,
    #[serde(default)]
    requires: Attributes,
    #[serde(default)]
    optional: bool,
    /// A folder of its files if not given.
    #[serde(rename = "as", default)]
    delivery: InputDelivery,
    /// Where it is in the working directory: the input's own name if not given. Not of a location.
    path: Option<String>,
    /// Of a location, the variable that says it: the input's name in capitals if not given.
    environment: Option<String>,
    /// Globs of files whose change matters.
    #[serde(default)]
    watch: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OutputText {
    kind: Kind,
    description: Option<String>,
    #[serde(default)]
    provides: Attributes,
    path: Option<String>,
    report: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ParameterText {
    #[serde(rename = "type")]
    value_type: ValueType,
    description: Option<String>,
    default: Option<Scalar>,
    /// The least and the greatest number.
    minimum: Option<Scalar>,
    maximum: Option<Scalar>,
    /// All values that it takes.
    #[serde(rename = "enum", default)]
    one_of: Vec<Scalar>,
    /// At most one of the three; the variable of the same name in capitals if none.
    environment: Option<String>,
    argument: Option<String>,
    file: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ServiceText {
    ready: String,
    predict: String,
}

/// The files that lie beside a description.
pub trait Beside {
    /// The text of a script.
    fn script(&self, path: &str) -> Result<String>;
    /// The component that the runnable of this name is, as the image under which its server will keep it.
    fn component(&self, runnable: &Name, path: &str) -> Result<Image>;
}

impl Runnable {
    /// The JSON Schema of the file, for editors.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(RunnableText).to_value()
    }

    /// Reads a description; `source` is its name, for messages.
    ///
    /// # Errors
    /// `invalid` for what is no description, or describes what could not run; whatever `beside` answers.
    pub fn parse(text: &str, source: &str, beside: &impl Beside) -> Result<Self> {
        Self::parse_for(text, source, None, beside)
    }

    /// The same for a runnable in this image, whatever the description says.
    ///
    /// # Errors
    /// As for [`Runnable::parse`].
    pub fn parse_for(text: &str, source: &str, image: Option<&Image>, beside: &impl Beside) -> Result<Self> {
        let options = serde_saphyr::options! { with_snippet: false };
        let mut read: RunnableText = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| Error::invalid("runnable", format!("{source}: {error}")))?;
        if let Some(image) = image {
            read.image = Some(image.clone());
        }
        Self::of_text(read, beside).map_err(|error| error.context(source))
    }

    fn of_text(read: RunnableText, beside: &impl Beside) -> Result<Self> {
        if read.schema_version != 1 {
            let message = format!("schema_version is {}; this program reads 1", read.schema_version);
            return Err(Error::unsupported("schema-version", message));
        }
        if read.image.is_some() && read.component.is_some() {
            return Err(Error::invalid("runnable", "it is a component or runs in an image, not both"));
        }
        let scripts = read.scripts.into_iter().map(|(path, file)| Ok((path, beside.script(&file)?)));
        let inputs = read.inputs.into_iter().map(|(name, text)| Ok((name.clone(), input(&name, text)?)));
        let parameters = read.parameters.into_iter().map(|(name, text)| Ok((name.clone(), parameter(&name, text)?)));
        let mut runnable = Self {
            environment: read.environment.map(|text| Environment::of(&read.name, text.python, text.requirements)),
            name: read.name,
            kind: read.kind,
            image: read.image,
            component: None,
            command: read.command,
            scripts: scripts.collect::<Result<_>>()?,
            variables: read.variables,
            inputs: inputs.collect::<Result<_>>()?,
            outputs: read.outputs.into_iter().map(|(name, text)| (name.clone(), output(name, text))).collect(),
            parameters: parameters.collect::<Result<_>>()?,
            service: read
                .service
                .map(|service| ServiceSpec { readiness_path: service.ready, predict_path: service.predict }),
            resources: read.resources.into_iter().map(|(name, text)| (name, text.0)).collect(),
            labels: read.labels,
            instance: None,
        };
        // Making a component may take its time: what else is wrong is said before.
        runnable.check_parts()?;
        if let Some(path) = read.component {
            runnable.image = Some(beside.component(&runnable.name, &path)?);
        }
        runnable.check()?;
        Ok(runnable)
    }
}

impl Environment {
    /// Python with packages.
    fn of(name: &Name, python: Option<String>, requirements: Vec<String>) -> Self {
        let digest = Digest::of(format!("{python:?}\n{}", requirements.join("\n")).as_bytes());
        let packages: Vec<_> = requirements.iter().map(|one| format!("'{}'", one.replace('\'', ""))).collect();
        let mut dockerfile = format!("FROM python:{}-slim\n", python.as_deref().unwrap_or("3"));
        if !packages.is_empty() {
            dockerfile += &format!("RUN pip install --no-cache-dir {}\n", packages.join(" "));
        }
        Self { name: name.to_string(), dockerfile, python, requirements, digest }
    }
}

fn input(name: &str, text: InputText) -> Result<InputSlot> {
    let path = match (text.delivery, text.path, text.environment) {
        (InputDelivery::Location, None, variable) => variable.unwrap_or_else(|| variable_named(name)),
        (InputDelivery::Directory | InputDelivery::File, path, None) => path.unwrap_or_else(|| name.to_owned()),
        _ => {
            let message = format!("the input `{name}` has a `path`, or as a location the variable `environment`");
            return Err(Error::invalid("input", message));
        }
    };
    Ok(InputSlot {
        description: text.description,
        kind: text.kind,
        requires: text.requires,
        optional: text.optional,
        delivery: text.delivery,
        path,
        change_filter: text.watch,
    })
}

fn variable_named(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

fn output(name: String, text: OutputText) -> OutputSlot {
    OutputSlot {
        description: text.description,
        kind: text.kind,
        provides: text.provides,
        path: text.path.unwrap_or(name),
        report: text.report,
    }
}

fn parameter(name: &str, text: ParameterText) -> Result<Parameter> {
    let ParameterText { value_type, description, default, minimum, maximum, one_of, environment, argument, file } =
        text;
    let range = Range { minimum, maximum, one_of };
    let (delivery, target) = match (environment, argument, file) {
        (Some(variable), None, None) => (Delivery::Environment, variable),
        (None, Some(argument), None) => (Delivery::Argument, argument),
        (None, None, Some(path)) => (Delivery::File, path),
        (None, None, None) => (Delivery::Environment, variable_named(name)),
        _ => {
            let message = format!("the parameter `{name}` reaches it in one way: environment, argument or file");
            return Err(Error::invalid("parameter", message));
        }
    };
    Ok(Parameter { description, value_type, range, default: default.map(String::from), delivery, target })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORER: &str = "
schema_version: 1
name: scorer
kind: predictor
environment: {python: '3.12', requirements: [scikit-learn==1.5.2]}
command: [python, score.py]
scripts: {score.py: src/score.py}
inputs:
  model: {kind: model, requires: {framework: sklearn}}
parameters:
  threshold: {type: number, default: 0.5}
  top-k: {type: integer, default: 3, argument: '--top-k={}'}
service: {ready: /health, predict: /score}
";

    struct Folder;

    impl Beside for Folder {
        fn script(&self, path: &str) -> Result<String> {
            Ok(format!("# {path}\n"))
        }
        fn component(&self, runnable: &Name, path: &str) -> Result<Image> {
            Ok(Image::own(&format!("shop/runnable/{runnable}"), Digest::of(path.as_bytes())))
        }
    }

    fn read(text: &str) -> Result<Runnable> {
        Runnable::parse(text, "scorer.yaml", &Folder)
    }

    #[test]
    fn a_description_becomes_a_runnable_with_what_it_leaves_out() {
        let scorer = read(SCORER).expect("runnable");
        assert_eq!(scorer.scripts["score.py"], "# src/score.py\n");
        assert_eq!(scorer.inputs["model"].path, "model");
        let threshold = &scorer.parameters["threshold"];
        assert_eq!((threshold.target.as_str(), threshold.default.as_deref()), ("THRESHOLD", Some("0.5")));
        assert_eq!(scorer.parameters["top-k"].delivery, Delivery::Argument);
        assert_eq!(scorer.digest(), read(SCORER).expect("again").digest());
        let other = read(&SCORER.replace("1.5.2", "1.6.0")).expect("other");
        assert_ne!(scorer.environment.expect("one").digest, other.environment.expect("one").digest);
    }

    #[test]
    fn a_component_is_the_image_that_keeps_it_and_needs_no_command() {
        let text = "{schema_version: 1, name: check, kind: validator, component: check.wasm}";
        let check = read(text).expect("runnable");
        assert_eq!(check.image, Some(Image::own("shop/runnable/check", Digest::of(b"check.wasm"))));
        assert!(check.command.is_empty() && check.component.is_none(), "the server says which it is");
        let image = format!("a.example/b@{}", Digest::of(b""));
        let both = read(&text.replace("component:", &format!("image: {image}, component:"))).expect_err("both");
        assert!(both.message.contains("not both"), "{both}");
    }

    #[test]
    fn what_could_not_run_is_refused() {
        for (from, to, why) in [
            ("schema_version: 1", "schema_version: 2", "schema_version is 2"),
            ("name: scorer", "name: Scorer", "is not a name"),
            ("kind: predictor", "kind: predictor\ncolour: red", "colour"),
            ("command: [python, score.py]", "command: []", "has no command"),
            ("{score.py: src/score.py}", "{../score.py: src/score.py}", "a path it may not have"),
            ("kind: model, ", "kind: banana, ", "banana"),
            ("default: 0.5", "default: much", "a number"),
            ("argument: '--top-k={}'", "argument: a, file: b", "in one way"),
            ("ready: /health", "ready: health", "do not begin with `/`"),
            ("kind: predictor", "kind: predictor\nimage: python:3.12", "a tag may mean something else tomorrow"),
        ] {
            let refused = read(&SCORER.replace(from, to)).expect_err(to);
            assert!(refused.message.contains(why) && refused.message.contains("scorer.yaml"), "{to}: {refused}");
        }
    }
}
