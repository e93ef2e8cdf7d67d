//! Our registry beside Docker's: the same client, the same bytes.

use crate::{
    daemon::Daemon,
    figures::{heading, line, ratio},
};
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{Body, Client, Method, RequestBuilder, header};
use sha2::{Digest as _, Sha256};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

const MIB: usize = 1 << 20;
const SMALL: usize = 1_000;
/// Of the one large blob, in MiB.
const LARGE: usize = 1_024;
/// Transfers at one time.
const AT_ONCE: usize = 4;
const CALLERS: usize = 8;
const ASKED_FOR: Duration = Duration::from_secs(3);

/// A registry and who speaks to it.
#[derive(Clone)]
struct Registry {
    client: Client,
    base: String,
    token: Option<String>,
}

fn hex(hash: &[u8]) -> String {
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// Bytes that do not compress and differ for every seed.
fn noise(seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(MIB);
    while bytes.len() < MIB {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.into()
}

impl Registry {
    fn request(&self, method: Method, address: String) -> RequestBuilder {
        let request = self.client.request(method, address);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn push(&self, digest: &str, size: usize, body: Body) -> Result<()> {
        let begun = self.request(Method::POST, format!("{}/blobs/uploads/", self.base)).send().await?;
        let place = begun.error_for_status()?.headers()[header::LOCATION].to_str()?.to_owned();
        let place = match place.starts_with('/') {
            true => reqwest::Url::parse(&self.base)?.join(&place)?.to_string(),
            false => place,
        };
        let join = if place.contains('?') { '&' } else { '?' };
        self.request(Method::PUT, format!("{place}{join}digest={digest}"))
            .header(header::CONTENT_LENGTH, size)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(body)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    /// Fetches and verifies; answers the size.
    async fn pull(&self, digest: &str) -> Result<usize> {
        let response = self.request(Method::GET, format!("{}/blobs/{digest}", self.base)).send().await?;
        let (mut hash, mut size) = (Sha256::new(), 0);
        let mut bytes = response.error_for_status()?.bytes_stream();
        while let Some(chunk) = bytes.try_next().await? {
            hash.update(&chunk);
            size += chunk.len();
        }
        ensure!(hex(&hash.finalize()) == digest, "something else came for {digest}");
        Ok(size)
    }

    async fn push_all(&self, blobs: &[(String, Bytes)]) -> Result<Duration> {
        let begun = Instant::now();
        let pushes = stream::iter(blobs).map(|(digest, bytes)| self.push(digest, bytes.len(), bytes.clone().into()));
        pushes.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        Ok(begun.elapsed())
    }

    async fn pull_all(&self, blobs: &[(String, Bytes)]) -> Result<Duration> {
        let begun = Instant::now();
        let pulls = stream::iter(blobs).map(|(digest, _)| self.pull(digest));
        let sizes = pulls.buffer_unordered(AT_ONCE).try_collect::<Vec<usize>>().await?;
        ensure!(sizes.iter().sum::<usize>() == blobs.len() * MIB, "bytes are missing");
        Ok(begun.elapsed())
    }

    async fn push_large(&self, digest: &str) -> Result<Duration> {
        let begun = Instant::now();
        let chunk = noise(u64::MAX);
        let chunks = stream::iter((0..LARGE).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));
        self.push(digest, LARGE * MIB, Body::wrap_stream(chunks)).await?;
        Ok(begun.elapsed())
    }

    async fn pull_large(&self, digest: &str) -> Result<Duration> {
        let begun = Instant::now();
        ensure!(self.pull(digest).await? == LARGE * MIB, "bytes are missing");
        Ok(begun.elapsed())
    }

    async fn push_manifest(&self, layer: &str) -> Result<String> {
        let config = Bytes::from_static(b"{}");
        let config_digest = hex(&Sha256::digest(&config));
        self.push(&config_digest, config.len(), config.into()).await?;
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config_digest, "size": 2},
            "layers": [{"mediaType": "application/octet-stream", "digest": layer, "size": MIB}],
        });
        let bytes = manifest.to_string();
        let address = format!("{}/manifests/{}", self.base, hex(&Sha256::digest(bytes.as_bytes())));
        let sent = self.request(Method::PUT, address.clone()).header(header::CONTENT_TYPE, media_type).body(bytes);
        sent.send().await?.error_for_status()?;
        Ok(address)
    }

    /// Answers a second.
    async fn rate(&self, method: Method, address: &str) -> Result<f64> {
        let (shared, begun) = (Arc::new(self.clone()), Instant::now());
        let callers = (0..CALLERS).map(|_| {
            let (registry, method, address) = (shared.clone(), method.clone(), address.to_owned());
            tokio::spawn(async move {
                let mut answers = 0_u32;
                while begun.elapsed() < ASKED_FOR {
                    let request = registry.request(method.clone(), address.clone());
                    let request = request.header(header::ACCEPT, "application/vnd.oci.image.manifest.v1+json");
                    request.send().await?.error_for_status()?.bytes().await?;
                    answers += 1;
                }
                Ok::<_, anyhow::Error>(answers)
            })
        });
        let mut answers = 0;
        for caller in callers.collect::<Vec<_>>() {
            answers += caller.await??;
        }
        Ok(f64::from(answers) / begun.elapsed().as_secs_f64())
    }
}

pub(crate) async fn measure(program: &Path, docker_registry: &Path) -> Result<()> {
    let (ours, theirs) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (market, token) = Daemon::marketplace(program, ours.path()).await?;
    let docker = Daemon::docker_registry(docker_registry, theirs.path()).await?;
    let client = Client::new();
    let namespace = client.post(format!("{}/api/v1/namespaces", market.url)).bearer_auth(&token);
    namespace.json(&serde_json::json!({"name": "bench"})).send().await?.error_for_status()?;
    let registry = |daemon: &Daemon, token: Option<String>| Registry {
        client: client.clone(),
        base: format!("{}/v2/bench/data", daemon.url),
        token,
    };
    let ours = registry(&market, Some(token));
    let theirs = registry(&docker, None);

    heading("The marketplace's registry beside Docker's; ours is on the disk (fsync) when it answers, Docker's is not");
    let blobs: Vec<(String, Bytes)> = (0..SMALL as u64)
        .map(|seed| {
            let bytes = noise(seed + 1);
            (hex(&Sha256::digest(&bytes)), bytes)
        })
        .collect();
    let both = |name: &str, ours: Duration, theirs: Duration, mib: usize| {
        let rate = |time: Duration| format!("{:.0} MiB/s", mib as f64 / time.as_secs_f64());
        line(name, &format!("{}; Docker's {}  {} its time", rate(ours), rate(theirs), ratio(ours, theirs)));
    };
    both(
        "push of 1,000 blobs of 1 MiB, four at a time",
        ours.push_all(&blobs).await?,
        theirs.push_all(&blobs).await?,
        SMALL,
    );
    both("pull of them, verified", ours.pull_all(&blobs).await?, theirs.pull_all(&blobs).await?, SMALL);
    let mut hash = Sha256::new();
    let chunk = noise(u64::MAX);
    (0..LARGE).for_each(|_| hash.update(&chunk));
    let large = hex(&hash.finalize());
    both("push of one blob of 1 GiB", ours.push_large(&large).await?, theirs.push_large(&large).await?, LARGE);
    both("pull of it, verified", ours.pull_large(&large).await?, theirs.pull_large(&large).await?, LARGE);

    let layer = &blobs.first().context("blobs")?.0;
    let (our_manifest, their_manifest) = (ours.push_manifest(layer).await?, theirs.push_manifest(layer).await?);
    for method in [Method::GET, Method::HEAD] {
        let (ours, theirs) =
            (ours.rate(method.clone(), &our_manifest).await?, theirs.rate(method.clone(), &their_manifest).await?);
        let what = format!("{method} of a manifest, {CALLERS} callers");
        line(&what, &format!("{ours:.0}/s; Docker's {theirs:.0}/s  {:.2}x its rate", ours / theirs));
    }
    Ok(())
}
