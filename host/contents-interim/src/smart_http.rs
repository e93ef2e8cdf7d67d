//! Git smart HTTP, served by git's own `http-backend` as a CGI program: streams both ways, protocol version 2,
//! compressed and chunked requests.

use crate::Repositories;
use bytes::Bytes;
use fuseml_domain::{Error, Name, Result};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use std::{pin::Pin, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
};
use tokio_util::io::ReaderStream;

pub type ByteStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// One request below `/git/<project>/<name>.git/`.
pub struct GitRequest {
    pub project: Name,
    pub name: Name,
    /// `info/refs`, `git-upload-pack` or `git-receive-pack`; nothing else is served.
    pub service: String,
    pub method: String,
    pub query: String,
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub git_protocol: Option<String>,
    pub body: ByteStream,
}

pub struct GitResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// The program is ended when this is dropped early.
    pub body: ByteStream,
}

/// The longest CGI header that is read, in bytes.
const MAX_HEADER: usize = 16 << 10;

impl Repositories {
    /// Answers one request of a git client. The repository must exist.
    pub async fn serve(&self, request: GitRequest) -> Result<GitResponse> {
        let form = (request.method.as_str(), request.service.as_str());
        if !matches!(form, ("GET", "info/refs") | ("POST", "git-upload-pack" | "git-receive-pack")) {
            return Err(Error::not_found("git-service", format!("git has no service {} {}", form.0, form.1)));
        }
        let mut child = self
            .backend(&request)
            .spawn()
            .map_err(|error| Error::unavailable("git", format!("git cannot be run: {error}; install git")))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (mut input, output) = pipes.ok_or_else(|| Error::internal("git", "git has no pipes"))?;
        let mut body = request.body;
        // The request is fed while the answer is read: git answers before it has read everything.
        let feed = tokio::spawn(async move {
            while let Some(chunk) = body.try_next().await? {
                input.write_all(&chunk).await?;
            }
            input.shutdown().await
        });
        let mut output = BufReader::new(output);
        let (status, headers) = read_header(&mut output).await?;
        Ok(GitResponse { status, headers, body: stream(child, output, feed) })
    }

    fn backend(&self, request: &GitRequest) -> Command {
        // Not `git http-backend`: every setting must come from the environment, which the CGI program reads itself.
        let mut command = Command::new("git");
        command
            .arg("http-backend")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_COUNT", "2")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .env("GIT_CONFIG_KEY_1", "core.hooksPath")
            .env("GIT_CONFIG_VALUE_1", "/dev/null")
            .env("GIT_PROJECT_ROOT", self.root())
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("PATH_INFO", format!("/{}/{}.git/{}", request.project, request.name, request.service))
            .env("REMOTE_USER", "admin")
            .env("REQUEST_METHOD", &request.method)
            .env("QUERY_STRING", &request.query)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        for (variable, value) in [
            ("CONTENT_TYPE", &request.content_type),
            ("HTTP_CONTENT_ENCODING", &request.content_encoding),
            ("GIT_PROTOCOL", &request.git_protocol),
        ] {
            if let Some(value) = value {
                command.env(variable, value);
            }
        }
        command
    }
}

async fn read_header(output: &mut BufReader<tokio::process::ChildStdout>) -> Result<(u16, Vec<(String, String)>)> {
    let mut status = 200;
    let mut headers = Vec::new();
    let mut read = 0;
    loop {
        let mut line = String::new();
        read += output.read_line(&mut line).await.map_err(|error| Error::io("git's answer", &error))?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if read > MAX_HEADER {
            return Err(Error::internal("git", "git's answer has an endless header"));
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.eq_ignore_ascii_case("status") {
            true => status = value.trim().split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(500),
            false => headers.push((name.to_owned(), value.trim().to_owned())),
        }
    }
    match headers.is_empty() {
        true => Err(Error::internal("git", "git gave no answer")),
        false => Ok((status, headers)),
    }
}

/// The rest of the answer; the child lives as long as it is read.
fn stream(
    child: Child,
    output: BufReader<tokio::process::ChildStdout>,
    feed: tokio::task::JoinHandle<std::io::Result<()>>,
) -> ByteStream {
    let state = (ReaderStream::new(output), child, feed);
    Box::pin(futures::stream::unfold(state, |(mut reader, mut child, feed)| async move {
        match reader.next().await {
            Some(chunk) => Some((chunk, (reader, child, feed))),
            None => {
                feed.abort();
                // Only then has git moved its references for certain.
                let ended = child.wait().await;
                ended.err().map(|error| (Err(error), (reader, child, feed)))
            }
        }
    }))
}
