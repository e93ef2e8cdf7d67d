//! Codesets read straight from their commits: nothing is checked out.

use crate::{Repositories, git, repository::check_commit};
use async_trait::async_trait;
use fuseml_domain::{
    Descriptor, Error, Result,
    port::{CodesetFiles, Codesets, FileEntry},
};
use globset::GlobBuilder;
use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The largest file that a component may read, in bytes (`fuseml:files`).
const MAX_READ: u64 = 4 << 20;
/// Entries in one answer (`fuseml:files`).
const MAX_ENTRIES: usize = 10_000;
const MAX_GLOB: usize = 1024;
/// Commits whose lists are kept at hand.
const MAX_LISTINGS: usize = 32;

/// The files of a commit, sorted by path.
type Listing = Arc<Vec<FileEntry>>;

/// The lists read last. A commit never changes, so they are never stale.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listings(Arc<Mutex<VecDeque<(PathBuf, String, Listing)>>>);

impl Listings {
    async fn of(&self, repository: &Path, commit: &str) -> Result<Listing> {
        let known = lock(&self.0).iter().find(|(path, id, _)| path == repository && id == commit).map(|l| l.2.clone());
        if let Some(listing) = known {
            return Ok(listing);
        }
        let list = ["ls-tree", "-r", "-z", "--long", "--full-tree", "--end-of-options", commit];
        let listing = git::output(git::command(repository, list), &format!("reading the files of {commit}")).await?;
        let lines = listing.split(|byte| *byte == 0).filter(|line| !line.is_empty());
        let entries = lines.filter_map(|line| read_entry(line).transpose());
        let mut entries = entries.collect::<Result<Vec<_>>>()?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let listing = Arc::new(entries);
        let mut listings = lock(&self.0);
        listings.push_front((repository.to_owned(), commit.to_owned(), listing.clone()));
        listings.truncate(MAX_LISTINGS);
        Ok(listing)
    }
}

#[async_trait]
impl Codesets for Repositories {
    async fn files(&self, codeset: &Descriptor) -> Result<Arc<dyn CodesetFiles>> {
        check_commit(&codeset.id)?;
        let repository = self.existing(codeset.project(), &codeset.name)?;
        let entries = self.listings.of(&repository, &codeset.id).await?;
        Ok(Arc::new(CommitFiles { repository, entries, objects: Mutex::default() }))
    }

    async fn changed_files(&self, from: &Descriptor, to: &Descriptor) -> Result<Vec<String>> {
        check_commit(&from.id)?;
        check_commit(&to.id)?;
        let diff = ["diff-tree", "-r", "-z", "--name-only", "--no-renames", "--end-of-options", &from.id, &to.id];
        let repository = self.existing(to.project(), &to.name)?;
        let listing = git::output(git::command(&repository, diff), "comparing two versions").await?;
        let paths = listing.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        Ok(paths.map(|path| String::from_utf8_lossy(path).into_owned()).collect())
    }
}

/// `<mode> <type> <object> <size>\t<path>`; symbolic links and submodules are no files of the codeset, and a
/// name that is no text cannot cross the contract.
fn read_entry(line: &[u8]) -> Result<Option<FileEntry>> {
    let damaged = || Error::internal("git", "git listed a tree in an unknown form");
    let tab = line.iter().position(|byte| *byte == b'\t').ok_or_else(damaged)?;
    let (fields, path) = line.split_at(tab);
    let fields = std::str::from_utf8(fields).map_err(|_| damaged())?;
    let mut fields = fields.split_whitespace();
    let (Some(mode), Some(kind), Some(object), Some(size)) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(damaged());
    };
    let Ok(path) = std::str::from_utf8(&path[1..]) else { return Ok(None) };
    if kind != "blob" || mode == "120000" {
        return Ok(None);
    }
    Ok(Some(FileEntry {
        path: path.to_owned(),
        size_bytes: size.parse().map_err(|_| damaged())?,
        digest: format!("git:{object}"),
        executable: mode == "100755",
    }))
}

/// The files of one commit.
struct CommitFiles {
    repository: PathBuf,
    entries: Listing,
    /// Started by the first read.
    objects: Mutex<Option<Objects>>,
}

impl CodesetFiles for CommitFiles {
    fn find(&self, glob: &str, after: Option<&str>) -> Result<Vec<FileEntry>> {
        let refuse = |why: &dyn std::fmt::Display| {
            let shown: String = glob.escape_debug().take(80).collect();
            Error::invalid("glob", format!("`{shown}` is no pattern: {why}"))
        };
        if glob.len() > MAX_GLOB {
            return Err(refuse(&format!("it is longer than {MAX_GLOB} bytes")));
        }
        let matcher = GlobBuilder::new(glob).literal_separator(true).build().map_err(|error| refuse(&error))?;
        let matcher = matcher.compile_matcher();
        let start = after.map_or(0, |after| self.entries.partition_point(|entry| entry.path.as_str() <= after));
        let found = self.entries[start..].iter().filter(|entry| matcher.is_match(&entry.path));
        Ok(found.take(MAX_ENTRIES).cloned().collect())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>> {
        let shown = path.escape_debug();
        let found = self.entries.binary_search_by(|entry| entry.path.as_str().cmp(path));
        let entry = found
            .map(|index| &self.entries[index])
            .map_err(|_| Error::not_found("unknown-file", format!("the codeset has no file `{shown}`")))?;
        if entry.size_bytes > MAX_READ {
            let size = entry.size_bytes;
            let message = format!("`{shown}` has {size} bytes; at most {MAX_READ} can be read at once");
            return Err(Error::invalid("file-too-large", message));
        }
        let mut objects = lock(&self.objects);
        let mut running = match objects.take() {
            Some(running) => running,
            None => Objects::start(&self.repository).map_err(|error| git::not_started(&error))?,
        };
        let bytes = running.read(entry.digest.trim_start_matches("git:"), entry.size_bytes).map_err(|error| {
            Error::internal("git", format!("`{shown}` cannot be read from its repository: {error}"))
        })?;
        // Only a process whose last answer was in order is asked again.
        *objects = Some(running);
        Ok(bytes)
    }
}

/// `git cat-file --batch`: one process answers every read of a commit.
struct Objects {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Objects {
    fn start(repository: &Path) -> std::io::Result<Self> {
        let mut command = git::command(repository, ["cat-file", "--batch"]).into_std();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        match child.stdin.take().zip(child.stdout.take()) {
            Some((input, output)) => Ok(Self { child, input, output: BufReader::new(output) }),
            None => Err(std::io::Error::other("git has no pipes")),
        }
    }

    /// The answer is `<object> blob <size>`, the bytes, a line feed.
    fn read(&mut self, object: &str, size: u64) -> std::io::Result<Vec<u8>> {
        self.input.write_all(format!("{object}\n").as_bytes())?;
        let mut header = String::new();
        self.output.read_line(&mut header)?;
        if header.trim_end() != format!("{object} blob {size}") {
            return Err(std::io::Error::other(format!("git answers {:?}", header.trim_end())));
        }
        let mut bytes = Vec::with_capacity(size as usize + 1);
        (&mut self.output).take(size + 1).read_to_end(&mut bytes)?;
        match bytes.pop() {
            Some(b'\n') if bytes.len() as u64 == size => Ok(bytes),
            _ => Err(std::io::Error::other("git broke off")),
        }
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // It holds nothing; what matters is that no dead process stays in the table.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What these mutexes guard is whole after every step, so a panic elsewhere takes nothing from it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
