//! Fetching outside repositories (S109–S110), with the git program.
//!
//! The host is a stranger: only `http` and `https` are spoken, redirects are not followed, the name is dialled at the
//! address that was looked at, every object is checked, and what goes on without end is ended.

use crate::{
    git,
    repository::{Repositories, TOLERATED, settle_default_branch},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use fuseml_domain::{CodesetImport, Error, Result, SecretText, never_meant};
use std::{net::IpAddr, time::Duration};
use tokio::time::timeout;

/// For all of it; the largest repositories take some minutes.
const LONGEST: Duration = Duration::from_secs(30 * 60);

impl Repositories {
    /// Makes the branches what they are in the outside repository. Registered commits stay, whatever happened there.
    ///
    /// # Errors
    /// `unavailable` when it cannot be reached, `denied` without the right login or for addresses that nobody may be
    /// led to.
    pub async fn follow(&self, import: &CodesetImport, token: Option<&SecretText>) -> Result<()> {
        let repository = self.existing(&import.project, &import.name)?;
        let (host, port) =
            (import.url.host_str().unwrap_or_default(), import.url.port_or_known_default().unwrap_or(443));
        let address = resolve(host, port).await?;
        let mut command = git::isolated();
        for setting in [
            "protocol.http.allow=always",
            "protocol.https.allow=always",
            "http.followRedirects=false",
            "http.lowSpeedLimit=1000",
            "http.lowSpeedTime=60",
            "fetch.fsckObjects=true",
            "fetch.writeCommitGraph=false",
            "submodule.recurse=false",
            "credential.helper=",
            &format!("http.curloptResolve={host}:{port}:{address}"),
        ] {
            command.args(["-c", setting]);
        }
        for fault in TOLERATED {
            command.args(["-c", &format!("fetch.fsck.{fault}=ignore")]);
        }
        if let Some(token) = token {
            let mut login = format!("{}:", import.user.as_deref().unwrap_or("git")).into_bytes();
            login.extend(token.expose());
            // In the environment of one process rather than in its arguments, which everyone can list.
            let header = format!("Authorization: Basic {}", BASE64_STANDARD.encode(login));
            command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "http.extraHeader");
            command.env("GIT_CONFIG_VALUE_0", header);
        }
        command.arg("--git-dir").arg(&repository).env("GIT_TERMINAL_PROMPT", "0");
        command.args([
            "fetch",
            "--quiet",
            "--prune",
            "--no-tags",
            "--force",
            "--no-auto-maintenance",
            "--no-write-fetch-head",
        ]);
        command.arg("--").arg(import.url.as_str());
        match import.branches.as_slice() {
            [] => drop(command.arg("+refs/heads/*:refs/heads/*")),
            some => drop(command.args(some.iter().map(|branch| format!("+refs/heads/{branch}:refs/heads/{branch}")))),
        }
        let done = timeout(LONGEST, command.output()).await.map_err(|_| {
            Error::unavailable(
                "import",
                format!("{} was still sending after {} minutes", import.url, LONGEST.as_secs() / 60),
            )
        })?;
        let done = done.map_err(|error| git::not_started(&error))?;
        if !done.status.success() {
            return Err(refused(import, &String::from_utf8_lossy(&done.stderr)));
        }
        settle_default_branch(&repository).await
    }
}

/// The address that a name leads to now, if one may be led there.
async fn resolve(host: &str, port: u16) -> Result<IpAddr> {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((plain, port)).await.map_err(|error| {
        Error::unavailable("import", format!("the host {host} is not found: {error}; is its name right?"))
    })?;
    let addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    if let Some((address, why)) = addresses.iter().find_map(|address| Some((address, never_meant(*address)?))) {
        return Err(Error::denied("import", format!("{host} leads to {address}: {why}")));
    }
    addresses.first().copied().ok_or_else(|| Error::unavailable("import", format!("the host {host} has no address")))
}

/// What git said, in our words where we know it.
fn refused(import: &CodesetImport, said: &str) -> Error {
    let url = &import.url;
    let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).take(5).collect();
    let said: String = lines.join("; ").chars().filter(|c| !c.is_control()).take(500).collect();
    if said.contains("Authentication failed") || said.contains("could not read Username") || said.contains("error: 403")
    {
        let message = format!("{url} asks for another login; give one with --token-stdin, and --user if it matters");
        return Error::denied("import", message);
    }
    if said.contains("not found") || said.contains("couldn't find remote ref") {
        return Error::not_found("import", format!("{url} has no such repository or branch: {said}"));
    }
    Error::unavailable("import", format!("{url} could not be fetched: {said}"))
}
