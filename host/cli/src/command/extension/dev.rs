//! `fuseml extension dev`: a project in a running server, brought up to date at every change, with every call of
//! it shown down to the host calls.

use super::{author, install, package::Opened, say_health};
use crate::{
    Options,
    client::Client,
    output::{micros, moment, print},
};
use clap::Args;
use fuseml_catalog::{CallRecord, LogRecord};
use fuseml_domain::{Error, ErrorKind, Name};
use fuseml_sandbox::{HostCall, Tape};
use fuseml_server::{ConfigureRequest, ExtensionView, InstanceView, UpgradeOptions, UpgradeView};
use notify::{RecursiveMode, Watcher as _};
use reqwest::Method;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::mpsc;

/// Folders that builds write to, and that nobody edits.
const NOT_WATCHED: [&str; 5] = ["target", "node_modules", ".git", "__pycache__", ".venv"];
/// Editors write a file in several steps.
const QUIET: Duration = Duration::from_millis(300);
const POLL: Duration = Duration::from_millis(300);
/// Characters shown of an argument or an answer.
const SHOWN: usize = 160;

#[derive(Args)]
pub(crate) struct DevArguments {
    /// The project's folder
    #[arg(default_value = ".")]
    path: PathBuf,
    #[command(flatten)]
    instance: install::InstanceArguments,
}

pub(super) async fn dev(client: &Client, arguments: &DevArguments, options: &Options) -> anyhow::Result<()> {
    let (sender, mut changes) = mpsc::unbounded_channel();
    let watched = arguments.path.canonicalize().map_err(|error| Error::io(arguments.path.display(), &error))?;
    let _watcher = watch(&watched, sender)?;
    let session = Session::begin(client, arguments, &watched).await?;
    let mut seen = Seen::now(client, &session.instance).await?;
    eprintln!("Watching {}; Ctrl-C ends. Every call is shown as it happens.", watched.display());
    // One for the whole session: a second one would not hear of a key pressed before it.
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            _ = &mut interrupted => break,
            Some(()) = changes.recv() => {
                tokio::time::sleep(QUIET).await;
                while changes.try_recv().is_ok() {}
                if let Err(error) = session.reload(client).await {
                    eprintln!("error: {error:#}\nThe version before goes on.");
                }
            }
            () = tokio::time::sleep(POLL) => seen.show(client, &session.instance, options).await?,
        }
    }
    session.end(client).await
}

/// Says when something below the folder changes.
fn watch(folder: &Path, changed: mpsc::UnboundedSender<()>) -> anyhow::Result<notify::RecommendedWatcher> {
    let root = folder.to_owned();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let edits = event.kind.is_create() || event.kind.is_modify() || event.kind.is_remove();
        if edits && event.paths.iter().any(|path| is_source(&root, path)) {
            let _ = changed.send(());
        }
    })?;
    watcher.watch(folder, RecursiveMode::Recursive)?;
    Ok(watcher)
}

fn is_source(root: &Path, path: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(root) else { return false };
    let mut parts = inside.components().map(|part| part.as_os_str().to_string_lossy());
    !parts.any(|part| NOT_WATCHED.contains(&&*part) || part.ends_with('~') || part.starts_with(".#"))
}

struct Session {
    path: PathBuf,
    extension: Name,
    instance: Name,
}

impl Session {
    /// Builds, installs or upgrades, and switches recording on.
    async fn begin(client: &Client, arguments: &DevArguments, path: &Path) -> anyhow::Result<Self> {
        let built = Opened::at(&build(path)?)?;
        let name = install::read_manifest(built.folder())?.name;
        let found: Result<ExtensionView, Error> = client.get(&format!("/api/v1/extensions/{name}"), &[]).await;
        let session = Self { path: path.to_owned(), extension: name.clone(), instance: name };
        match found {
            Err(error) if error.kind == ErrorKind::NotFound => {
                install::install_granted(client, &built, &arguments.instance).await?;
            }
            Err(error) => return Err(error.into()),
            Ok(_) => session.upgrade(client, built.folder()).await?,
        }
        session.record(client, true).await?;
        Ok(session)
    }

    async fn reload(&self, client: &Client) -> anyhow::Result<()> {
        let built = build(&self.path)?;
        self.upgrade(client, &built).await?;
        let view: InstanceView = client.get(&format!("/api/v1/instances/{}", self.instance), &[]).await?;
        say_health(&view);
        Ok(())
    }

    /// An author at work approves what the own code asks for.
    async fn upgrade(&self, client: &Client, folder: &Path) -> anyhow::Result<()> {
        let path = format!("/api/v1/extensions/{}/upgrade", self.extension);
        let asked = UpgradeOptions { package: None, approve: true, shadow: false };
        let request = client.request(Method::POST, &path).multipart(install::form(&asked, Some(folder))?);
        match client.read::<UpgradeView>(request).await {
            Ok(view) => eprintln!("Reloaded {} {}.", self.extension, view.to),
            Err(error) if error.code == "same-version" => eprintln!("Nothing of the package has changed."),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn record(&self, client: &Client, on: bool) -> anyhow::Result<()> {
        let path = format!("/api/v1/instances/{}/settings", self.instance);
        let request = ConfigureRequest { record: Some(on), ..ConfigureRequest::default() };
        let _: InstanceView = client.send(Method::PUT, &path, &request).await?;
        Ok(())
    }

    async fn end(&self, client: &Client) -> anyhow::Result<()> {
        self.record(client, false).await?;
        eprintln!("\n{0} stays installed; `fuseml extension remove {0}` removes it.", self.extension);
        Ok(())
    }
}

fn build(path: &Path) -> anyhow::Result<PathBuf> {
    author::build_quietly(path)
}

/// What was shown already.
struct Seen {
    call: String,
    line: i64,
}

impl Seen {
    async fn now(client: &Client, instance: &Name) -> anyhow::Result<Self> {
        let calls: Vec<CallRecord> = calls(client, instance, 1).await?;
        let lines = lines(client, instance, 0).await?;
        Ok(Self {
            call: calls.into_iter().next().map(|call| call.id).unwrap_or_default(),
            line: lines.last().map_or(0, |(sequence, _)| *sequence),
        })
    }

    /// Lines first: a call's receipt comes when it has ended.
    async fn show(&mut self, client: &Client, instance: &Name, options: &Options) -> anyhow::Result<()> {
        for (sequence, line) in lines(client, instance, self.line).await? {
            self.line = sequence;
            print(&format!("  log {:<5} {}\n", line.level, line.message))?;
        }
        let mut fresh = calls(client, instance, 100).await?;
        // Version 7 identifiers sort by time.
        fresh.retain(|call| call.id > self.call);
        fresh.reverse();
        for call in fresh {
            self.call.clone_from(&call.id);
            let tape: Option<Tape> = match call.recorded {
                true => Some(client.get(&format!("/api/v1/calls/{}/tape", call.id), &[]).await?),
                false => None,
            };
            match options.output {
                crate::output::Format::Table => print(&shown(&call, tape.as_ref()))?,
                _ => options.output.print(&(call, tape), |_| crate::output::Rows::new(&[]))?,
            }
        }
        Ok(())
    }
}

async fn calls(client: &Client, instance: &Name, limit: u32) -> anyhow::Result<Vec<CallRecord>> {
    let query = [("instance", instance.to_string()), ("limit", limit.to_string())];
    Ok(client.get("/api/v1/calls", &query).await?)
}

async fn lines(client: &Client, instance: &Name, after: i64) -> anyhow::Result<Vec<(i64, LogRecord)>> {
    let query = [("after", after.to_string()), ("limit", "1000".to_owned())];
    Ok(client.get(&format!("/api/v1/instances/{instance}/logs"), &query).await?)
}

fn shown(call: &CallRecord, tape: Option<&Tape>) -> String {
    let subject = call.subject.as_deref().unwrap_or_default();
    let mut text = format!(
        "{} {}.{}({subject}) {} in {}, {} of CPU, {} KiB\n",
        moment(call.started),
        call.component,
        call.function,
        call.outcome,
        micros(call.wall_us),
        micros(call.cpu_us),
        call.memory_bytes >> 10,
    );
    for HostCall { function, arguments, answer } in tape.iter().flat_map(|tape| &tape.host) {
        text += &format!("  {function} {} -> {}\n", short(arguments), short(answer));
    }
    for refusal in &call.refusals {
        text += &format!("  refused: {}\n", refusal.what);
    }
    if let Some(tape) = tape {
        text += &format!("  answer: {}\n", short(&tape.answer));
    }
    text
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_author_edits_is_watched() {
        let root = Path::new("/project");
        for (path, source) in [
            ("/project/src/lib.rs", true),
            ("/project/extension.toml", true),
            ("/project/target/extension/extension.toml", false),
            ("/project/node_modules/a/b.js", false),
            ("/project/src/__pycache__/main.pyc", false),
            ("/project/src/main.py~", false),
            ("/elsewhere/src/lib.rs", false),
        ] {
            assert_eq!(is_source(root, Path::new(path)), source, "{path}");
        }
    }
}
