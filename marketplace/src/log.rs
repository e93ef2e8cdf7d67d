//! The public log of a marketplace: everything that was published, yanked, revoked, and by which key.
//!
//! A Merkle tree as in RFC 6962; its head is a signed note, as checksum databases and transparency logs write them.
//! A client keeps the last head it saw and asks for a proof that the log only grew since.

use crate::key::{KeyId, PublicKey, SigningKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ct_merkle::{ConsistencyProof, RootHash, mem_backed_tree::MemoryBackedTree};
use fuseml_domain::{Digest, Error, Name, Result};
use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    Published,
    Yanked,
    Revoked,
    Restored,
    KeyAdded,
    KeyRetired,
    KeyRevoked,
    Advised,
    /// An advisory was withdrawn.
    Withdrawn,
    Deprecated,
    Undeprecated,
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub at: Timestamp,
    pub event: Event,
    pub namespace: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Which signed it, or which it is about.
    pub key: KeyId,
}

/// The log as a tree over the entries' bytes.
#[derive(Debug, Default)]
pub struct Log {
    tree: MemoryBackedTree<Sha256, Vec<u8>>,
}

impl Log {
    pub fn append(&mut self, entry: Vec<u8>) {
        self.tree.push(entry);
    }

    pub fn size(&self) -> u64 {
        self.tree.len()
    }

    /// The entries' bytes from `from` on.
    pub fn entries(&self, from: usize, most: usize) -> &[Vec<u8>] {
        let items = self.tree.items();
        let from = from.min(items.len());
        &items[from..items.len().min(from.saturating_add(most))]
    }

    pub fn checkpoint(&self, origin: &str, key: &SigningKey) -> String {
        let root = self.tree.root();
        let text = format!("{origin}\n{}\n{}\n", root.num_leaves(), STANDARD.encode(root.as_bytes()));
        let signature = [note_key(origin, key.raw_public()).as_slice(), &key.sign(text.as_bytes())].concat();
        format!("{text}\n\u{2014} {origin} {}\n", STANDARD.encode(signature))
    }

    /// That the log of today continues the one that had `old` entries, in base64.
    ///
    /// # Errors
    /// `invalid` when there never were so many.
    pub fn consistency(&self, old: u64) -> Result<String> {
        match self.size().checked_sub(old) {
            // Everything continues nothing and itself.
            Some(0) => Ok(String::new()),
            _ if old == 0 => Ok(String::new()),
            Some(added) => Ok(STANDARD.encode(self.tree.prove_consistency(added as usize).as_bytes())),
            None => Err(Error::invalid("log", format!("the log has {} entries, not {old}", self.size()))),
        }
    }
}

fn note_key(origin: &str, public: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(origin.as_bytes());
    hash.update([b'\n', 1]);
    hash.update(public);
    hash.finalize()[..4].to_vec()
}

/// A log's head that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub size: u64,
    root: Vec<u8>,
}

impl Checkpoint {
    /// Reads a signed note.
    ///
    /// # Errors
    /// `denied` with the code `forged-log`.
    pub fn verify(note: &str, key: &PublicKey) -> Result<Self> {
        let forged = |why: &str| Error::denied("forged-log", format!("the head of the marketplace's log {why}"));
        let (text, signatures) = note.split_once("\n\n").ok_or_else(|| forged("is no signed note"))?;
        let text = format!("{text}\n");
        let [origin, size, root, ..] = text.lines().collect::<Vec<_>>()[..] else {
            return Err(forged("is not whole"));
        };
        let signed = signatures.lines().any(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let ["\u{2014}", name, signature] = words[..] else { return false };
            let Ok(signature) = STANDARD.decode(signature) else { return false };
            let Some((id, signature)) = signature.split_at_checked(4) else { return false };
            name == origin && id == note_key(origin, key.raw()) && key.verifies(text.as_bytes(), signature)
        });
        if !signed {
            return Err(forged("is not signed by the marketplace's key"));
        }
        let size = size.parse().map_err(|_| forged("has no size"))?;
        let root = STANDARD.decode(root).ok().filter(|root| root.len() == 32).ok_or_else(|| forged("has no root"))?;
        Ok(Self { size, root })
    }

    /// Refuses a log that lost or changed something since `old` was its head.
    ///
    /// # Errors
    /// `denied` with the code `forked-log`.
    pub fn continues(&self, old: &Self, proof: &str) -> Result<()> {
        let forked = || {
            Error::denied(
                "forked-log",
                format!(
                    "the marketplace's log of {} entries does not continue the one of {} that was seen before",
                    self.size, old.size
                ),
            )
        };
        match old.size {
            0 => return Ok(()),
            same if same == self.size => return if self.root == old.root { Ok(()) } else { Err(forked()) },
            _ => {}
        }
        let proof = STANDARD.decode(proof).map_err(|_| forked())?;
        let proof = ConsistencyProof::<Sha256>::try_from_bytes(proof).map_err(|_| forked())?;
        self.root_hash()?.verify_consistency(&old.root_hash()?, &proof).map_err(|_| forked())
    }

    fn root_hash(&self) -> Result<RootHash<Sha256>> {
        let bytes: [u8; 32] =
            self.root.as_slice().try_into().map_err(|_| Error::internal("log", "a root of another size"))?;
        Ok(RootHash::new(bytes.into(), self.size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(entries: &[&str]) -> Log {
        let mut log = Log::default();
        entries.iter().for_each(|entry| log.append(entry.as_bytes().to_vec()));
        log
    }

    #[test]
    fn a_log_that_grew_continues_and_one_that_changed_does_not() {
        let key = SigningKey::generate().expect("key");
        let public = key.public().expect("key");
        let head = |log: &Log| Checkpoint::verify(&log.checkpoint("market", &key), &public).expect("head");
        let (old, new) = (log(&["a", "b", "c"]), log(&["a", "b", "c", "d", "e"]));
        let proof = new.consistency(3).expect("proof");

        assert_eq!(head(&new).continues(&head(&old), &proof), Ok(()));
        assert_eq!(head(&new).continues(&head(&log(&[])), ""), Ok(()));
        assert_eq!(head(&old).continues(&head(&old), ""), Ok(()));
        for changed in [log(&["a", "x", "c", "d", "e"]), log(&["a", "b", "c", "d"]), log(&["a"]), log(&["a", "b", "x"])]
        {
            let proof = changed.consistency(3).unwrap_or_default();
            let refused = head(&changed).continues(&head(&old), &proof);
            match changed.size() {
                4 => assert_eq!(refused, Ok(())),
                _ => assert_eq!(refused.expect_err("forked").code, "forked-log"),
            }
        }
        assert!(old.consistency(4).is_err());
    }

    #[test]
    fn a_head_that_somebody_else_signed_is_refused() {
        let (key, other) = (SigningKey::generate().expect("key"), SigningKey::generate().expect("key"));
        let note = log(&["a"]).checkpoint("market", &other);
        for note in [note.as_str(), "", "market\n1\n", &note.replace("market\n1", "market\n2")] {
            let public = key.public().expect("key");
            assert_eq!(Checkpoint::verify(note, &public).expect_err(note).code, "forged-log");
        }
    }
}
