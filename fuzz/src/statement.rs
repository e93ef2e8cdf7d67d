//! What is signed, and by which keys.

use fuseml_marketplace::{Checkpoint, Envelope, PublicKey, SigningKey};
use std::sync::LazyLock;

/// Nobody has its private half.
static KEY: LazyLock<PublicKey> =
    LazyLock::new(|| SigningKey::generate().and_then(|key| key.public()).expect("a key is made"));

pub(crate) fn envelope(bytes: &[u8]) {
    if let Ok(envelope) = serde_json::from_slice::<Envelope>(bytes) {
        assert!(envelope.verify(std::slice::from_ref(&KEY)).is_err(), "nobody signed it");
    }
}

pub(crate) fn note(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(Checkpoint::verify(text, &KEY).is_err(), "nobody signed it");
    }
}

pub(crate) fn key(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(key.to_string().parse::<PublicKey>().as_ref(), Ok(&key));
        assert!(!key.verifies(b"message", bytes));
    }
    let _ = SigningKey::from_pem(text, None);
}
