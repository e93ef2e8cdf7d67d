//! As much of an OCI registry's interface as a store needs. Contents never come through here: the registry is told
//! what to do with them.

use fuseml_extension::{Credential, Error, Location, Result, configuration, http};
use serde_json::Value;

const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                        application/vnd.docker.distribution.manifest.v2+json";

/// One registry.
#[derive(Debug)]
pub struct Registry {
    endpoint: String,
}

/// A manifest as it lies there.
#[derive(Debug)]
pub struct Manifest {
    pub digest: String,
    pub media_type: String,
    pub bytes: Vec<u8>,
}

impl Manifest {
    pub fn json(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&self.bytes)?)
    }
}

impl Registry {
    pub fn configured() -> Result<Self> {
        Ok(Self { endpoint: configuration::require("endpoint")? })
    }

    pub fn health(&self) -> Result<()> {
        let response = http::Request::get(format!("{}/v2/", self.endpoint)).send()?;
        match response.is_success() {
            true => Ok(()),
            false => Err(Error::unavailable("no-registry", format!("{} is no registry", self.endpoint))),
        }
    }

    fn ask(&self, method: &str, path: &str) -> http::Request {
        http::Request::new(method, format!("{}/v2/{path}", self.endpoint))
    }

    fn host(&self) -> &str {
        self.endpoint.split_once("://").map_or(&self.endpoint, |(_, host)| host)
    }

    /// Repository and digest of `<this registry>/<repository>@<digest>`.
    pub fn place<'a>(&self, location: &'a Location) -> Result<(&'a str, &'a str)> {
        let place = location.uri.strip_prefix(self.host()).and_then(|rest| rest.strip_prefix('/'));
        place.filter(|_| location.scheme == "oci").and_then(split_id).ok_or_else(|| {
            let message = format!("contents must lie in {}, as oci <host>/<repository>@<digest>", self.host());
            Error::invalid("contents", message)
        })
    }

    pub fn location(&self, repository: &str, digest: &str) -> Location {
        Location {
            scheme: "oci".to_owned(),
            uri: format!("{}/{repository}@{digest}", self.host()),
            credential: Credential { kind: "none".to_owned(), secret: None, parameters: Vec::new() },
            digest: Some(digest.to_owned()),
            size_bytes: None,
            expires: None,
        }
    }

    /// A manifest by tag or digest; `None` where there is none.
    pub fn manifest(&self, repository: &str, reference: &str) -> Result<Option<Manifest>> {
        let path = format!("{repository}/manifests/{reference}");
        let response = self.ask("GET", &path).header("accept", ACCEPTED).send()?;
        let header = |name: &str| response.header(name).unwrap_or_default().to_owned();
        match response.status {
            200 => Ok(Some(Manifest {
                digest: header("docker-content-digest"),
                media_type: header("content-type"),
                bytes: response.body,
            })),
            404 => Ok(None),
            status => Err(refused(&path, status)),
        }
    }

    pub fn put_manifest(&self, repository: &str, reference: &str, media_type: &str, bytes: Vec<u8>) -> Result<()> {
        let path = format!("{repository}/manifests/{reference}");
        let mut request = self.ask("PUT", &path).header("content-type", media_type);
        request.body = Some(bytes);
        let response = request.send()?;
        if response.is_success() { Ok(()) } else { Err(refused(&path, response.status)) }
    }

    /// One that is gone already is no error.
    pub fn delete_manifest(&self, repository: &str, digest: &str) -> Result<()> {
        let path = format!("{repository}/manifests/{digest}");
        match self.ask("DELETE", &path).send()?.status {
            200..300 | 404 => Ok(()),
            status => Err(refused(&path, status)),
        }
    }

    /// Lets the registry take a blob of one repository into another.
    pub fn mount(&self, repository: &str, digest: &str, from: &str) -> Result<()> {
        let path = format!("{repository}/blobs/uploads/?mount={digest}&from={from}");
        match self.ask("POST", &path).send()?.status {
            201 => Ok(()),
            status => Err(refused(&path, status)),
        }
    }

    /// Everything of a list that is answered in pages.
    pub fn list(&self, path: &str, field: &str) -> Result<Vec<String>> {
        const PAGES: usize = 100;
        let (mut all, mut next) = (Vec::new(), path.to_owned());
        for _ in 0..PAGES {
            let response = self.ask("GET", &next).send()?;
            if response.status == 404 {
                return Ok(all);
            }
            if !response.is_success() {
                return Err(refused(&next, response.status));
            }
            let page: Value = response.json()?;
            let names = page.get(field).and_then(Value::as_array).into_iter().flatten();
            all.extend(names.filter_map(Value::as_str).map(str::to_owned));
            let link = response.header("link").and_then(|link| link.split_once("</v2/")?.1.split_once('>'));
            match link {
                Some((link, _)) => next = link.to_owned(),
                None => return Ok(all),
            }
        }
        Err(Error::unavailable("too-many", format!("{path} has more than {PAGES} pages")))
    }
}

fn refused(path: &str, status: u16) -> Error {
    Error::unavailable("registry", format!("the registry answered {status} to {path}"))
}

/// Repository and digest of `<repository>@sha256:<hex>`.
pub fn split_id(id: &str) -> Option<(&str, &str)> {
    let (repository, digest) = id.split_once('@')?;
    let hex = digest.strip_prefix("sha256:")?;
    let is_hex = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_hex && is_repository(repository)).then_some((repository, digest))
}

/// Words of lower-case letters and digits, with separators between them.
pub fn is_repository(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let is_part = |part: &str| {
        part.bytes().all(allowed) && part.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
    };
    text.len() <= 200 && text.split('/').all(is_part)
}
