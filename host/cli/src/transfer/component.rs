//! A component, to the server's registry, as an image of its own.

use super::{blob, progress};
use crate::client::Client;
use fuseml_domain::{ComponentImage, Digest, Error, Result};
use reqwest::{Method, StatusCode, header};
use std::io::Write as _;

/// Sends what the repository does not have: the component, its configuration, its manifest.
pub(crate) async fn push_component(client: &Client, repository: &str, component: &[u8]) -> Result<()> {
    let image = ComponentImage::of(component)?;
    let bar = progress("sending", component.len() as u64);
    for bytes in [component, &image.configuration] {
        let digest = Digest::of(bytes);
        let there = client.request(Method::HEAD, &format!("/v2/{repository}/blobs/{digest}"));
        if client.answer(there).await?.status() == StatusCode::OK {
            continue;
        }
        let failed = |error: std::io::Error| Error::io("a file in the making", &error);
        let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        blob::send(client, repository, &digest, file.path(), &bar).await?;
    }
    bar.finish_and_clear();
    let path = format!("/v2/{repository}/manifests/{}", image.digest());
    let request = client.request(Method::PUT, &path).header(header::CONTENT_TYPE, ComponentImage::MANIFEST);
    client.call(request.body(image.manifest)).await.map(drop)
}
