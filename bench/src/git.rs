//! Pushing and cloning a repository, beside git's own server program `git http-backend`.

use crate::{
    daemon::{Daemon, output},
    datasets::many,
    figures::{heading, line, ratio, spread},
};
use anyhow::{Context as _, Result, ensure};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tokio::io::{AsyncBufReadExt as _, BufReader};

const FILES: usize = 10_000;
const ROUNDS: usize = 5;
const PUSHES: usize = 30;

/// What the program answers by the rules of CGI, passed on as it comes.
async fn backend(State(folder): State<PathBuf>, request: Request) -> Response {
    match cgi(&folder, request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
    }
}

async fn cgi(folder: &Path, request: Request) -> Result<Response> {
    let header = |headers: &HeaderMap, name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let headers = request.headers();
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "bench")
        .env("PATH_INFO", request.uri().path())
        .env("QUERY_STRING", request.uri().query().unwrap_or_default())
        .env("REQUEST_METHOD", request.method().as_str())
        .env("CONTENT_TYPE", header(headers, "content-type"))
        .env("HTTP_CONTENT_ENCODING", header(headers, "content-encoding"))
        .env("GIT_PROTOCOL", header(headers, "git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("no input")?;
    tokio::spawn(async move {
        let body = request.into_body().into_data_stream().map_err(std::io::Error::other);
        let mut body = tokio_util::io::StreamReader::new(body);
        // A program that has enough closes its end.
        let _ = tokio::io::copy(&mut body, &mut input).await;
    });
    let mut answer = BufReader::new(child.stdout.take().context("no output")?);
    let mut response = Response::builder();
    loop {
        let mut text = String::new();
        answer.read_line(&mut text).await?;
        let Some((name, value)) = text.trim_end().split_once(": ") else { break };
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap_or_default()),
            _ => response.header(name, value),
        };
    }
    let body = tokio_util::io::ReaderStream::with_capacity(answer, 64 << 10);
    // The program is waited for with the last of its answer.
    tokio::spawn(async move { child.wait().await });
    Ok(response.body(Body::from_stream(body))?)
}

fn git(folder: &Path, arguments: &[&str]) -> Result<Duration> {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0"]);
    let begun = Instant::now();
    output(command.env("GIT_TERMINAL_PROMPT", "0").args(arguments).current_dir(folder))?;
    Ok(begun.elapsed())
}

/// One that the peer lets be pushed to.
fn repository(bare: &Path, name: &str) -> Result<()> {
    git(bare, &["init", "--quiet", "--bare", "--initial-branch", "main", name])?;
    git(&bare.join(name), &["config", "http.receivepack", "true"]).map(drop)
}

struct Times {
    push: Vec<Duration>,
    again: Vec<Duration>,
    clone: Vec<Duration>,
}

impl Times {
    fn new() -> Self {
        Self { push: Vec::new(), again: Vec::new(), clone: Vec::new() }
    }

    /// Everything into an empty repository, one changed file, and a clone.
    fn round(&mut self, folder: &Path, url: &str, round: usize) -> Result<()> {
        let source = folder.join("source");
        self.push.push(git(&source, &["push", "--quiet", url, "HEAD:refs/heads/main"])?);
        std::fs::write(source.join("7/7"), format!("{url} {round}"))?;
        git(&source, &["commit", "--quiet", "--all", "--message", "one changed"])?;
        self.again.push(git(&source, &["push", "--quiet", url, "HEAD:refs/heads/main"])?);
        let clone = folder.join("clone");
        self.clone.push(git(folder, &["clone", "--quiet", url, "clone"])?);
        Ok(std::fs::remove_dir_all(clone)?)
    }
}

pub(crate) async fn measure(program: &Path) -> Result<()> {
    heading(&format!("Git: a repository of {FILES} files of 4,000 bytes"));
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("source");
    std::fs::create_dir(&source)?;
    many(&source, FILES)?;
    git(&source, &["init", "--quiet", "--initial-branch", "main", "."])?;
    git(&source, &["add", "--all"])?;
    git(&source, &["commit", "--quiet", "--message", "first"])?;
    git(&source, &["repack", "-adq"])?;

    let bare = folder.path().join("bare");
    std::fs::create_dir(&bare)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let peer = format!("http://{}", listener.local_addr()?);
    let app = Router::new().fallback(backend).with_state(bare.clone());
    let serving = tokio::spawn(axum::serve(listener, app).into_future());

    let data = folder.path().join("server");
    let daemon = Daemon::start("/healthz", |port| {
        let mut command = Command::new(program);
        command.args(["server", "start", "--listen", &format!("127.0.0.1:{port}")]).env("FUSEML_DATA", &data);
        Ok(command)
    })
    .await?;
    let token = std::fs::read_to_string(data.join("admin-token"))?;
    output(Command::new(program).args(["project", "create", "bench"]).env("FUSEML_DATA", &data))?;
    let ours_url = daemon.url.replace("http://", &format!("http://admin:{}@", token.trim()));

    let (mut ours, mut theirs) = (Times::new(), Times::new());
    for round in 0..ROUNDS {
        let name = format!("code{round}.git");
        repository(&bare, &name)?;
        let (peer, at) = (format!("{peer}/{name}"), folder.path().to_owned());
        theirs = tokio::task::spawn_blocking(move || theirs.round(&at, &peer, round).map(|()| theirs)).await??;
        let (url, at) = (format!("{ours_url}/git/bench/{name}"), folder.path().to_owned());
        ours = tokio::task::spawn_blocking(move || ours.round(&at, &url, round).map(|()| ours)).await??;
    }
    for (what, ours, theirs) in [
        ("push into an empty repository", ours.push, theirs.push),
        ("push of one changed file", ours.again, theirs.again),
        ("clone", ours.clone, theirs.clone),
    ] {
        let (ours, theirs) = (spread(ours).median, spread(theirs).median);
        line(what, &format!("{ours:.2?}, git http-backend {theirs:.2?}: {}", ratio(ours, theirs)));
    }
    let fuseml = |arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(["--project", "bench", "--output", "json"]).args(arguments).current_dir(folder.path());
        output(command.env("FUSEML_DATA", &data).env("XDG_CONFIG_HOME", &data))
    };
    let peer = format!("{peer}/code.git");
    repository(&bare, "code.git")?;
    let (ours, at) = (format!("{ours_url}/git/bench/app.git"), folder.path());
    tokio::task::block_in_place(|| first_steps(fuseml, at, &ours, &peer))?;
    serving.abort();
    Ok(())
}

/// Pushes to where each starts a run, and where nothing follows.
fn first_steps(fuseml: impl Fn(&[&str]) -> Result<String>, folder: &Path, ours: &str, peer: &str) -> Result<()> {
    const RUNNABLE: &str =
        "{schema_version: 1, name: look, kind: look, command: ['true'], inputs: {code: {kind: codeset}}}";
    const TEMPLATE: &str = "{schema_version: 1, name: look, description: looks, inputs: {code: {kind: codeset}},
        steps: {look: {run: {kind: look}, inputs: {code: '${inputs.code}'}, reuse: off}}}";
    for (file, text) in [("runnable.yaml", RUNNABLE), ("look.yaml", TEMPLATE)] {
        std::fs::write(folder.join(file), text)?;
    }
    fuseml(&["runnable", "register", "runnable.yaml"])?;
    fuseml(&["pipeline", "add", "look.yaml", "--name", "look", "--input", "code=code://bench/app"])?;
    let source = folder.join("app");
    std::fs::create_dir(&source)?;
    git(&source, &["init", "--quiet", "--initial-branch", "main", "."])?;
    let (mut until, mut plain) = (Vec::new(), Vec::new());
    for number in 1..=PUSHES {
        std::fs::write(source.join("train.py"), number.to_string())?;
        git(&source, &["add", "--all"])?;
        git(&source, &["commit", "--quiet", "--message", "next"])?;
        plain.push(git(&source, &["push", "--quiet", peer, "HEAD:refs/heads/main"])?);
        let begun = Timestamp::now();
        git(&source, &["push", "--quiet", ours, "HEAD:refs/heads/main"])?;
        let started = loop {
            let run = fuseml(&["run", "show", &format!("look/{number}")]).unwrap_or_default();
            let run: Value = serde_json::from_str(&run).unwrap_or_default();
            if let Some(started) = run["steps"][0]["started"].as_str() {
                break started.parse::<Timestamp>()?;
            }
            ensure!(begun.duration_until(Timestamp::now()).as_secs() < 30, "push {number} starts nothing");
        };
        until.push(Duration::try_from(started.duration_since(begun))?);
    }
    let (until, plain) = (spread(until), spread(plain));
    let more = until.median.saturating_sub(plain.median);
    line(
        &format!("{PUSHES} pushes of one file until the first step begins"),
        &format!(
            "{:.1?}, p99 {:.1?}; git http-backend's push alone {:.1?}: {more:.1?} more (goal 50 ms)",
            until.median, until.p99, plain.median
        ),
    );
    Ok(())
}
