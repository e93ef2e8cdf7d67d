//! A workload's log: written by the supervisor up to a limit, read by the agent in pieces.

use fuseml_domain::LogChunk;
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

const CHUNK: u64 = 64 * 1024;

/// Makes the file with the first that is written: many workloads say nothing.
pub(crate) struct LogWriter {
    path: PathBuf,
    file: Option<File>,
    /// It was said that the file cannot be made; who prints a lot would have it said as often.
    is_lost: bool,
    left: u64,
    full: bool,
    line_open: bool,
}

impl LogWriter {
    pub(crate) fn new(path: PathBuf, limit: u64) -> Self {
        Self { path, file: None, is_lost: false, left: limit, full: false, line_open: false }
    }

    /// With the file there from the beginning.
    pub(crate) fn open(path: PathBuf, limit: u64) -> io::Result<Self> {
        let mut log = Self::new(path, limit);
        log.make()?;
        Ok(log)
    }

    fn make(&mut self) -> io::Result<()> {
        self.file = Some(OpenOptions::new().create(true).append(true).open(&self.path)?);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.file.is_none()
            && let Err(error) = self.make()
            && !std::mem::replace(&mut self.is_lost, true)
        {
            tracing::error!(log = %self.path.display(), %error, "a log cannot be written");
        }
        let _ = self.file.as_mut().map(|file| file.write_all(bytes));
    }

    /// Never fails: a full disk must not stop the workload.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.full || bytes.is_empty() {
            return;
        }
        let fits = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let (kept, rest) = bytes.split_at(fits);
        self.append(kept);
        self.left -= kept.len() as u64;
        self.line_open = kept.last().map_or(self.line_open, |last| *last != b'\n');
        if !rest.is_empty() {
            self.full = true;
            self.note("the log has reached its limit; the rest is not kept");
        }
    }

    /// A line of FuseML's own, kept even when the log is full.
    pub(crate) fn note(&mut self, line: &str) {
        let start = if self.line_open { "\n" } else { "" };
        self.append(format!("{start}[fuseml] {line}\n").as_bytes());
        self.line_open = false;
    }
}

/// The next piece of the log; `ended` says that the workload will write no more.
pub(crate) fn read(path: &Path, cursor: u64, ended: bool) -> io::Result<LogChunk> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => {
            file.seek(SeekFrom::Start(cursor))?;
            file.take(CHUNK).read_to_end(&mut bytes)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let whole = bytes.len() as u64 == CHUNK;
    if whole || !ended {
        bytes.truncate(bytes.len() - cut_character(&bytes));
    }
    Ok(LogChunk {
        text: String::from_utf8_lossy(&bytes).into_owned(),
        cursor: cursor + bytes.len() as u64,
        ended: ended && !whole,
    })
}

/// How many bytes at the end are the beginning of a character whose rest is yet to come.
fn cut_character(bytes: &[u8]) -> usize {
    let tail = bytes.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    match std::str::from_utf8(tail) {
        Err(error) if error.error_len().is_none() => tail.len(),
        _ => 0,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_between_characters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert_eq!(read(&path, 0, false).unwrap(), LogChunk { text: String::new(), cursor: 0, ended: false });

        std::fs::write(&path, "für \u{1F980}".as_bytes().split_last().unwrap().1).unwrap();
        let chunk = read(&path, 0, false).unwrap();
        assert_eq!((chunk.text.as_str(), chunk.cursor, chunk.ended), ("für ", 5, false));
        let rest = read(&path, chunk.cursor, true).unwrap();
        assert_eq!((rest.text.as_str(), rest.cursor, rest.ended), ("\u{FFFD}", 8, true));

        std::fs::write(&path, "a".to_owned() + &"ü".repeat(40_000)).unwrap();
        let chunk = read(&path, 0, true).unwrap();
        assert_eq!((chunk.cursor, chunk.ended), (65_535, false));
        assert!(!chunk.text.contains('\u{FFFD}'));
        assert!(read(&path, chunk.cursor, true).unwrap().ended);
    }

    #[test]
    fn the_limit_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = LogWriter::new(path.clone(), 10);
        log.write(b"123456");
        log.write(b"7890ab");
        log.write(b"more");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "1234567890\n[fuseml] the log has reached its limit; the rest is not kept\n");
    }
}
