//! Git smart HTTP, served by git's own `http-backend` as a CGI program: streams both ways with backpressure,
//! protocol version 2, compressed and chunked requests.
//!
//! Only what a smart client asks for is served: files of the repository are not. A fetch ends with its client; a
//! push that was received is carried through, whether or not the client still listens.

use crate::{Repositories, git, repository::settle_default_branch};
use bytes::{Bytes, BytesMut};
use fuseml_domain::{Error, Name, Result};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{io, path::PathBuf, pin::Pin, process::Stdio};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    sync::mpsc,
    task::JoinHandle,
};

pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

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
    /// Ends only once git has: then a push has moved its references. Dropped early it ends a fetch, not a push.
    pub body: ByteStream,
}

/// The longest CGI header that is read, in bytes.
const MAX_HEADER: usize = 16 << 10;
/// What waits for a slow client: so many chunks of so many bytes.
const CHUNKS: usize = 4;
const CHUNK: usize = 64 << 10;
/// So much of git's complaints is kept for the log.
const MAX_COMPLAINT: u64 = 4 << 10;

type Chunks = mpsc::Receiver<io::Result<Bytes>>;

impl Repositories {
    /// Answers one request of a git client. The repository must exist.
    pub async fn serve(&self, request: GitRequest) -> Result<GitResponse> {
        let query = check_form(&request)?;
        let repository = self.existing(&request.project, &request.name)?;
        let mut child = self.backend(&request, query)?.spawn().map_err(|error| git::not_started(&error))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(complaints)) = pipes else {
            return Err(Error::internal("git", "git has no pipes"));
        };
        let (sender, mut chunks) = mpsc::channel(CHUNKS);
        let exchange = Exchange {
            child,
            // The request is fed while the answer is read: git answers before it has read everything.
            feed: tokio::spawn(feed(request.body, input)),
            complaints: tokio::spawn(listen(complaints)),
            receives: request.service == "git-receive-pack",
            repository,
        };
        tokio::spawn(exchange.run(output, sender));
        let mut read = BytesMut::new();
        let (status, headers) = read_header(&mut chunks, &mut read).await?;
        let begun = futures::stream::iter((!read.is_empty()).then(|| Ok(read.freeze())));
        let rest = futures::stream::poll_fn(move |context| chunks.poll_recv(context));
        Ok(GitResponse { status, headers, body: Box::pin(begun.chain(rest)) })
    }

    fn backend(&self, request: &GitRequest, query: &str) -> Result<Command> {
        let root = std::path::absolute(self.root()).map_err(|error| Error::io("the repositories", &error))?;
        let mut command = git::isolated();
        command
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("PATH_INFO", format!("/{}/{}.git/{}", request.project, request.name, request.service))
            .env("REQUEST_METHOD", &request.method)
            .env("QUERY_STRING", query)
            .env("REMOTE_USER", "fuseml")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Git starts others; as a group they are ended together.
            .process_group(0)
            // When the server stops, a push is not torn in two.
            .kill_on_drop(request.service != "git-receive-pack");
        for (variable, value) in [
            ("CONTENT_TYPE", &request.content_type),
            ("HTTP_CONTENT_ENCODING", &request.content_encoding),
            ("GIT_PROTOCOL", &request.git_protocol),
        ] {
            // A variable cannot hold a zero byte; nothing that a git client means does.
            if let Some(value) = value.as_ref().filter(|value| !value.contains('\0')) {
                command.env(variable, value);
            }
        }
        Ok(command)
    }
}

/// The query that git is given: of the client's own spelling nothing is left that git could read otherwise than
/// whoever checked the client's rights.
fn check_form(request: &GitRequest) -> Result<&'static str> {
    let service = request.query.split('&').find_map(|pair| pair.strip_prefix("service="));
    match (request.method.as_str(), request.service.as_str(), service) {
        ("GET", "info/refs", Some("git-upload-pack")) => Ok("service=git-upload-pack"),
        ("GET", "info/refs", Some("git-receive-pack")) => Ok("service=git-receive-pack"),
        ("POST", "git-upload-pack" | "git-receive-pack", _) => Ok(""),
        (method, path, _) => {
            let path = path.escape_debug();
            Err(Error::not_found("git-service", format!("there is no {method} {path} here: use git 1.6.6 or newer")))
        }
    }
}

/// One run of the backend, kept by a task of its own so that it does not depend on who waits for the answer.
struct Exchange {
    child: Child,
    feed: JoinHandle<io::Result<()>>,
    complaints: JoinHandle<String>,
    receives: bool,
    repository: PathBuf,
}

impl Exchange {
    async fn run(mut self, mut output: ChildStdout, sender: mpsc::Sender<io::Result<Bytes>>) {
        let heard = self.forward(&mut output, &sender).await;
        if !heard && !self.receives {
            self.end_group();
        }
        self.feed.abort();
        let status = self.child.wait().await;
        let complaints = self.complaints.await.unwrap_or_default();
        if heard && !status.is_ok_and(|status| status.success()) {
            tracing::warn!(repository = %self.repository.display(), complaints, "git did not finish in order");
        }
        if self.receives
            && let Err(error) = settle_default_branch(&self.repository).await
        {
            tracing::warn!(repository = %self.repository.display(), %error, "no default branch");
        }
        // Only now does the answer end.
        drop(sender);
    }

    /// Passes git's output on; false when nobody listens any more. A push is then read to its end all the same,
    /// for git would stop at a closed pipe.
    async fn forward(&self, output: &mut ChildStdout, sender: &mpsc::Sender<io::Result<Bytes>>) -> bool {
        let mut heard = true;
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            let read = tokio::select! {
                read = output.read_buf(&mut chunk) => read,
                () = sender.closed(), if heard && !self.receives => return false,
            };
            match read {
                Ok(0) => return heard,
                Ok(_) => heard = heard && sender.send(Ok(chunk.freeze())).await.is_ok(),
                Err(error) => {
                    let _ = sender.send(Err(error)).await;
                    return heard;
                }
            }
            if !heard && !self.receives {
                return false;
            }
        }
    }

    fn end_group(&self) {
        // Not waited for yet, so the number is still this group's.
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

/// A body that breaks off ends git's input early, which git takes for what it is.
async fn feed(mut body: ByteStream, mut input: ChildStdin) -> io::Result<()> {
    while let Some(chunk) = body.try_next().await? {
        input.write_all(&chunk).await?;
    }
    input.shutdown().await
}

/// The beginning of what git complains about, once it says no more.
pub(crate) async fn listen(mut complaints: ChildStderr) -> String {
    let mut kept = Vec::new();
    let _ = (&mut complaints).take(MAX_COMPLAINT).read_to_end(&mut kept).await;
    // Whoever writes more must not wait for a reader.
    let _ = tokio::io::copy(&mut complaints, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).trim().to_owned()
}

/// Reads up to the empty line; what came beyond it is left in `read`.
async fn read_header(chunks: &mut Chunks, read: &mut BytesMut) -> Result<(u16, Vec<(String, String)>)> {
    const END: &[u8] = b"\r\n\r\n";
    let end = loop {
        if let Some(end) = read.windows(END.len()).position(|bytes| bytes == END) {
            break end;
        }
        if read.len() > MAX_HEADER {
            return Err(Error::internal("git", "git's answer has an endless header"));
        }
        match chunks.recv().await {
            Some(Ok(chunk)) => read.extend_from_slice(&chunk),
            Some(Err(error)) => return Err(Error::io("git's answer", &error)),
            None => return Err(Error::internal("git", "git gave no answer")),
        }
    };
    let header = read.split_to(end + END.len());
    let header = String::from_utf8_lossy(&header);
    let mut status = 200;
    let mut headers = Vec::new();
    for (name, value) in header.lines().filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.eq_ignore_ascii_case("status") {
            true => status = value.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(500),
            false => headers.push((name.to_owned(), value.to_owned())),
        }
    }
    Ok((status, headers))
}
