//! OCI images that runnables run in (S20, S111).

use crate::{Attributes, Beside, Digest, Error, Name, Result, Runnable, Surface};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{collections::BTreeMap, fmt, str::FromStr};

/// One image, by digest: `[<registry>/]<repository>@<digest>`. Without a registry it is this server's own.
///
/// Whoever keeps a foreign one may delete it, and nobody here can say how it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Image {
    pub registry: Option<String>,
    pub repository: String,
    pub digest: Digest,
}

impl Image {
    /// One that this server keeps.
    pub fn own(repository: &str, digest: Digest) -> Self {
        Self { registry: None, repository: repository.to_owned(), digest }
    }
}

/// What an image's configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfiguration {
    /// Entry point and arguments.
    pub command: Vec<String>,
    /// `<os>/<architecture>` of each.
    pub platforms: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

/// The label that holds a runnable's description, as `fuseml runnable register` reads it.
pub const RUNNABLE_LABEL: &str = "org.fuseml.runnable";

/// A description alone: what an image describes lies in the image.
pub struct NothingBeside;

impl Beside for NothingBeside {
    fn script(&self, path: &str) -> Result<String> {
        let message = format!("`{path}` cannot be read: scripts of an image are in the image");
        Err(Error::invalid("runnable", message))
    }

    fn component(&self, _: &Name, path: &str) -> Result<Image> {
        Err(Error::invalid("runnable", format!("`{path}` cannot be read: an image of a component is that component")))
    }
}

impl ImageConfiguration {
    /// The runnable that an image is: as its label describes it, or a task that runs its entry point.
    ///
    /// # Errors
    /// `invalid` for a description that cannot be, or is another runnable's.
    pub fn runnable(&self, name: &Name, image: Image) -> Result<Runnable> {
        let text = match self.labels.get(RUNNABLE_LABEL) {
            Some(text) => text.clone(),
            None => format!("schema_version: 1\nname: '{name}'\nkind: task\n"),
        };
        let source = format!("the label {RUNNABLE_LABEL}");
        let mut runnable = Runnable::parse_for(&text, &source, Some(&image), &NothingBeside)?;
        if runnable.name != *name {
            let message = format!("{source} describes `{}`; it was pushed as `{name}`", runnable.name);
            return Err(Error::invalid("runnable", message));
        }
        if runnable.command.is_empty() {
            runnable.command.clone_from(&self.command);
        }
        Ok(runnable)
    }

    /// What its platforms and usual labels say, as attributes.
    pub fn attributes(&self) -> Attributes {
        let said = [("version", "image-version"), ("source", "source"), ("revision", "revision")];
        let label = |name: &str| self.labels.get(&format!("org.opencontainers.image.{name}")).cloned();
        let mut found: Attributes =
            said.into_iter().filter_map(|(name, attribute)| Some((attribute.to_owned(), label(name)?))).collect();
        if !self.platforms.is_empty() {
            found.insert("platforms".to_owned(), self.platforms.join(", "));
        }
        found
    }
}

/// What the configuration of a WebAssembly component's image is (CNCF's *Wasm OCI Artifact*).
pub const WASM_CONFIGURATION: &str = "application/vnd.wasm.config.v0+json";

/// A component as an image: what registries' clients push for one, and find here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentImage {
    pub configuration: Vec<u8>,
    pub manifest: Vec<u8>,
}

impl ComponentImage {
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

    /// The same component is the same image: nothing in it says when it was made.
    ///
    /// # Errors
    /// `invalid` when the bytes are no component.
    pub fn of(component: &[u8]) -> Result<Self> {
        let surface = Surface::of(component)?;
        let layer = Digest::of(component);
        let configuration = json!({
            "architecture": "wasm", "os": "wasip2", "layerDigests": [layer.to_string()],
            "component": {"imports": surface.imports, "exports": surface.exports},
        });
        let configuration = configuration.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": Self::MANIFEST,
            "config": {
                "mediaType": WASM_CONFIGURATION,
                "digest": Digest::of(&configuration).to_string(),
                "size": configuration.len(),
            },
            "layers": [{"mediaType": "application/wasm", "digest": layer.to_string(), "size": component.len()}],
        });
        Ok(Self { configuration, manifest: manifest.to_string().into_bytes() })
    }

    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(registry) = &self.registry {
            write!(f, "{registry}/")?;
        }
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

impl FromStr for Image {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            let message = format!(
                "`{}` is no image by its digest: {why}; the form is <registry>/<repository>@sha256:<digest>",
                text.escape_debug()
            );
            Error::invalid("image", message)
        };
        let (place, digest) = text.split_once('@').ok_or_else(|| {
            refuse("a tag may mean something else tomorrow, a digest does not (`skopeo inspect` shows it)")
        })?;
        let digest: Digest = digest.parse().map_err(|error: Error| refuse(&error.message))?;
        let (registry, repository) = match place.split_once('/') {
            // Like Docker: what has a dot or a port is a host.
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), rest),
            _ => (None, place),
        };
        // A tag beside a digest says nothing.
        let repository = repository.split_once(':').map_or(repository, |(repository, _)| repository);
        let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let named = |part: &str| !part.is_empty() && part.chars().all(of_name) && !part.starts_with(['.', '-']);
        if !repository.split('/').all(named) {
            return Err(refuse("the repository's name is none"));
        }
        let of_host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        if registry.is_some_and(|registry| registry.len() > 255 || !registry.chars().all(of_host)) {
            return Err(refuse("the registry is no host"));
        }
        Ok(Self { registry: registry.map(ToOwned::to_owned), repository: repository.to_owned(), digest })
    }
}

impl TryFrom<String> for Image {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Image> for String {
    fn from(image: Image) -> Self {
        image.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn an_image_is_named_by_its_digest() {
        for (text, registry, repository) in [
            ("docker.io/library/python", Some("docker.io"), "library/python"),
            ("localhost:5000/a", Some("localhost:5000"), "a"),
            ("shop/runnable/scorer", None, "shop/runnable/scorer"),
            ("quay.io/a/b:v1", Some("quay.io"), "a/b"),
        ] {
            let image: Image = format!("{text}@{DIGEST}").parse().expect(text);
            assert_eq!((image.registry.as_deref(), image.repository.as_str()), (registry, repository));
            assert_eq!(image.to_string().parse::<Image>().expect("again"), image);
        }
        for (text, why) in [
            ("python:3.12".to_owned(), "a tag may mean something else tomorrow"),
            ("python@sha256:12".to_owned(), "no image by its digest"),
            (format!("quay.io/../x@{DIGEST}"), "the repository's name is none"),
            (format!("quay.io/@{DIGEST}"), "the repository's name is none"),
            (format!("a b.c/x@{DIGEST}"), "the registry is no host"),
        ] {
            let refused = text.parse::<Image>().expect_err(&text);
            assert!(refused.message.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn an_image_says_what_it_runs_in_its_label_or_its_entry_point() {
        let name: Name = "scorer".parse().expect("name");
        let image = || format!("shop/runnable/scorer@{DIGEST}").parse::<Image>().expect("image");
        let mut configuration = ImageConfiguration { command: vec!["score".to_owned()], ..Default::default() };
        let task = configuration.runnable(&name, image()).expect("task");
        assert_eq!((task.kind.as_str(), &task.command, &task.image), ("task", &configuration.command, &Some(image())));

        let text = "{schema_version: 1, name: scorer, kind: predictor, inputs: {model: {kind: model}}}";
        configuration.labels.insert(RUNNABLE_LABEL.to_owned(), text.to_owned());
        let predictor = configuration.runnable(&name, image()).expect("predictor");
        assert_eq!((predictor.kind.as_str(), predictor.inputs.len(), predictor.command.len()), ("predictor", 1, 1));

        let other: Name = "other".parse().expect("name");
        assert!(configuration.runnable(&other, image()).expect_err("other").message.contains("describes `scorer`"));
        let scripts = text.replace("inputs:", "scripts: {a: b}, inputs:");
        configuration.labels.insert(RUNNABLE_LABEL.to_owned(), scripts);
        assert!(configuration.runnable(&name, image()).expect_err("scripts").message.contains("are in the image"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in ".{0,80}") {
            let _ = text.parse::<Image>();
            let _ = format!("{text}@{DIGEST}").parse::<Image>();
        }
    }
}
