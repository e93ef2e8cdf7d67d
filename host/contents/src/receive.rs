//! Trees from and to clients: a list of files, then what of it is not here, and back again.

use crate::{
    disk::{Copied, blocking},
    pack::{PackWriter, read_pack, skim},
    store::{TreeStore, repository, unstorable},
    verify::Source,
};
use bytes::Bytes;
use fuseml_domain::{Digest, Error, Result, SMALL_FILE, Series, Tree, TreeFile};
use futures::{Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

/// Largest pack that is taken, in bytes: what is packed, and the archive's own headers for very small files.
const MOST_PACK: u64 = 512 << 20;

/// What of a tree is not stored; numbers count the tree's files from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Small files that come together, in packs.
    pub together: Vec<usize>,
    /// Files that come as blobs of their own.
    pub alone: Vec<usize>,
}

impl TreeStore {
    /// Keeps a list of files and says which of them are still to come. What is here already stays for as long as
    /// new uploads do. For a `repair` all of it is read again, and what is damaged is still to come too.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub async fn expect(&self, series: &Series, tree: &Tree, repair: bool) -> Result<Missing> {
        let (store, series, tree) = (self.clone(), series.clone(), tree.clone());
        blocking(move || {
            let repository = repository(&series)?;
            store.keep_list(&repository, &tree)?;
            let is_small = |size: u64| size < SMALL_FILE;
            let small: Vec<_> =
                tree.files().iter().filter(|file| is_small(file.size_bytes)).map(|file| &file.digest).collect();
            let packs = series.packs(tree.files().len(), small.len());
            let places = if packs { store.hold_packs(&repository, &small)? } else { Default::default() };
            let is_damaged = |file: &TreeFile| match repair {
                true => Ok(store.found(file, &places)?.as_ref() != Some(&file.digest)),
                false => Ok::<_, Error>(false),
            };
            let mut missing = Missing::default();
            let mut seen = std::collections::HashSet::new();
            for (number, file) in tree.files().iter().enumerate().filter(|(_, file)| seen.insert(&file.digest)) {
                if packs && is_small(file.size_bytes) {
                    if !places.contains_key(&file.digest) {
                        missing.together.push(number);
                    } else if is_damaged(file)? {
                        store.wait(store.index.forget(&file.digest))?;
                        missing.together.push(number);
                    }
                } else if !store.holds(&repository, &file.digest, file.size_bytes)? || is_damaged(file)? {
                    missing.alone.push(number);
                }
            }
            Ok(missing)
        })
        .await
    }

    /// Takes a pack of small files. Answers how many they are.
    ///
    /// # Errors
    /// `invalid` for what is no pack, or whose files are not what their names say; nothing of it is kept then.
    pub async fn take_pack<E: std::error::Error>(
        &self,
        series: &Series,
        bytes: impl Stream<Item = std::result::Result<Bytes, E>>,
    ) -> Result<usize> {
        let (store, series) = (self.clone(), series.clone());
        let incoming = tempfile::NamedTempFile::new_in(&self.incoming).map_err(unstorable)?;
        let mut file = tokio::fs::File::from_std(incoming.reopen().map_err(unstorable)?);
        let (mut hash, mut size_bytes) = (Sha256::new(), 0);
        let mut bytes = std::pin::pin!(bytes);
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk.map_err(|_| Error::invalid("pack", "the pack ended too early; send it again"))?;
            size_bytes += chunk.len() as u64;
            if size_bytes > MOST_PACK {
                return Err(Error::invalid("pack", format!("a pack has at most {MOST_PACK} bytes")));
            }
            hash.update(&chunk);
            if let Err(error) = file.write_all(&chunk).await {
                // Its room is free again, and the client is heard out, or most do not hear the answer.
                drop(incoming);
                while let Some(Ok(chunk)) = bytes.next().await
                    && size_bytes <= MOST_PACK
                {
                    size_bytes += chunk.len() as u64;
                }
                return Err(unstorable(error));
            }
        }
        file.flush().await.map_err(unstorable)?;
        let copied = Copied { digest: Digest::from_hash(&hash.finalize()), size_bytes };
        blocking(move || {
            let reader = std::io::BufReader::new(incoming.reopen().map_err(unstorable)?);
            let files = read_pack(reader, |_, _, reader| skim(reader))?;
            store.keep_pack(&repository(&series)?, incoming, &copied, &files)?;
            Ok(files.len())
        })
        .await
    }

    /// Writes those of a stored tree's small files as a pack, each once.
    ///
    /// # Errors
    /// When one is not in the tree, not small, not there or damaged.
    pub fn send_pack(&self, tree: &Digest, files: &[usize], writer: impl std::io::Write) -> Result<()> {
        let source = Source::own(format!("the stored tree {tree}"));
        let tree = self.read_list(tree)?;
        let places = self.places(&tree)?;
        let mut pack = PackWriter::new(writer);
        for number in files {
            let file = tree.files().get(*number).filter(|file| file.size_bytes < SMALL_FILE).ok_or_else(|| {
                Error::invalid("files", format!("{number} is not the number of a small file of this tree"))
            })?;
            let reader = self.open_file(file, &places)?.ok_or_else(|| source.missing(file))?;
            pack.append(&file.digest, file.size_bytes, reader).map_err(|error| {
                if error.code == "changed" { source.changed(file, "other bytes", "these") } else { error }
            })?;
        }
        pack.finish().map(drop)
    }
}
