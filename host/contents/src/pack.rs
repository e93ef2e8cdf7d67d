//! Packs: small files that are kept and sent together, as a tar archive of entries `sha256/<digest>`.
//!
//! Any archiver reads one, and what an entry must be is its name, so nothing beside the pack has to be believed.

use crate::disk::{Copied, copy_hashed};
use fuseml_domain::{Digest, Error, Result, SMALL_FILE, port::PackedFile};
use std::io::{Read, Write};

/// Files of a pack together, in bytes, but for the last one.
pub const PACK_BYTES: u64 = 32 << 20;
const HEADER_BYTES: u64 = 512;

/// Writes a pack.
pub struct PackWriter<W: Write> {
    archive: tar::Builder<Counted<W>>,
    files: Vec<PackedFile>,
}

impl<W: Write> PackWriter<W> {
    pub fn new(writer: W) -> Self {
        Self { archive: tar::Builder::new(Counted { writer, count: 0 }), files: Vec::new() }
    }

    /// Adds a file that must still be what its digest says.
    ///
    /// # Errors
    /// `conflict` when it is not; the pack is of no use then.
    pub fn append(&mut self, digest: &Digest, size_bytes: u64, reader: impl Read) -> Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_size(size_bytes);
        header.set_mode(0o644);
        let offset = self.archive.get_ref().count + HEADER_BYTES;
        let mut hashed = Hashed { reader: reader.take(size_bytes), hash: Default::default(), size_bytes: 0 };
        self.archive
            .append_data(&mut header, format!("sha256/{}", digest.hex()), &mut hashed)
            .map_err(|error| Error::io("a pack cannot be written", &error))?;
        if hashed.copied() != (Copied { digest: digest.clone(), size_bytes }) {
            return Err(Error::conflict(
                "changed",
                format!("the file {digest} was changed while it was read; try again"),
            ));
        }
        self.files.push(PackedFile { digest: digest.clone(), offset, size_bytes });
        Ok(())
    }

    /// The archive's end. Answers the writer and what lies where.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> Result<(W, Vec<PackedFile>)> {
        let counted = self.archive.into_inner().map_err(|error| Error::io("a pack cannot be written", &error))?;
        Ok((counted.writer, self.files))
    }
}

/// Reads a pack from its beginning to its end; `each` is given every file's digest, size in bytes and bytes, and reads
/// all of them. Answers what lies where.
///
/// # Errors
/// `invalid` for what is no pack, and for a file that is not what its name says.
pub fn read_pack(
    reader: impl Read,
    mut each: impl FnMut(&Digest, u64, &mut dyn Read) -> Result<()>,
) -> Result<Vec<PackedFile>> {
    let invalid = |why: String| Error::invalid("pack", format!("this is no pack: {why}"));
    let mut archive = tar::Archive::new(reader);
    let mut files = Vec::new();
    for entry in archive.entries().map_err(|error| invalid(error.to_string()))? {
        let mut entry = entry.map_err(|error| invalid(error.to_string()))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let digest = name.strip_prefix("sha256/").and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
        let digest = digest.filter(|_| entry.header().entry_type().is_file());
        let digest = digest.ok_or_else(|| invalid(format!("it holds `{}`", name.escape_debug())))?;
        let size_bytes = entry.size();
        if size_bytes >= SMALL_FILE {
            return Err(invalid(format!("{digest} has {size_bytes} bytes, too many for a pack")));
        }
        let offset = entry.raw_file_position();
        let mut hashed = Hashed { reader: &mut entry, hash: Default::default(), size_bytes: 0 };
        each(&digest, size_bytes, &mut hashed)?;
        if hashed.copied() != (Copied { digest: digest.clone(), size_bytes }) {
            return Err(invalid(format!("{digest} is not what its name says; send it again")));
        }
        files.push(PackedFile { digest, offset, size_bytes });
    }
    Ok(files)
}

/// Reads to the end and forgets it.
pub(crate) fn skim(reader: &mut dyn Read) -> Result<()> {
    copy_hashed(reader, &mut std::io::sink()).map(drop).map_err(|error| Error::io("a pack cannot be read", &error))
}

struct Counted<W> {
    writer: W,
    count: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.writer.write(bytes)?;
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}

struct Hashed<R> {
    reader: R,
    hash: sha2::Sha256,
    size_bytes: u64,
}

impl<R> Hashed<R> {
    fn copied(self) -> Copied {
        Copied { digest: Digest::from_hash(&sha2::Digest::finalize(self.hash)), size_bytes: self.size_bytes }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(bytes)?;
        sha2::Digest::update(&mut self.hash, &bytes[..read]);
        self.size_bytes += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(files: &[&str]) -> (Vec<u8>, Vec<PackedFile>) {
        let mut writer = PackWriter::new(Vec::new());
        for text in files {
            writer.append(&Digest::of(text.as_bytes()), text.len() as u64, text.as_bytes()).expect("file");
        }
        writer.finish().expect("pack")
    }

    #[test]
    fn what_was_packed_lies_where_the_index_says() {
        let (bytes, files) = pack(&["one", "", &"x".repeat(1000)]);
        for (file, text) in files.iter().zip(["one", "", &"x".repeat(1000)]) {
            let begin = file.offset as usize;
            assert_eq!(&bytes[begin..begin + file.size_bytes as usize], text.as_bytes());
        }
        assert_eq!(read_pack(bytes.as_slice(), |_, _, reader| skim(reader)).expect("pack"), files);
    }

    #[test]
    fn a_file_that_changes_under_the_writer_is_noticed() {
        let mut writer = PackWriter::new(Vec::new());
        assert_eq!(writer.append(&Digest::of(b"old"), 3, b"new".as_slice()).expect_err("changed").code, "changed");
    }

    #[test]
    fn a_pack_that_lies_is_refused() {
        let (good, files) = pack(&["hello"]);
        let mut changed = good.clone();
        changed[files[0].offset as usize] = b'J';
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        archive.append_data(&mut header, "etc/passwd", b"".as_slice()).expect("entry");
        let named_otherwise = archive.into_inner().expect("archive");
        for bytes in [changed, named_otherwise, good[..600].to_vec(), b"no archive at all".repeat(100)] {
            let refused = read_pack(bytes.as_slice(), |_, _, reader| skim(reader)).expect_err("refused");
            assert!(refused.message.starts_with("this is no pack") || refused.code == "io", "{refused:?}");
        }
    }
}
