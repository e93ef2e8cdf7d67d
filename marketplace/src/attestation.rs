//! Signed statements: in-toto statements in DSSE envelopes.

use crate::key::{KeyId, PublicKey, SigningKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use fuseml_domain::{Digest, Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::collections::BTreeMap;

pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// What cosign writes when it signs an image; the predicate is empty.
pub const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
/// That a version is yanked, revoked or available again; the predicate is a [`StatusChange`](crate::StatusChange).
pub const STATUS: &str = "https://fuseml.github.io/attestation/status/v1";
/// What a check of a package found (in-toto's own predicate for test results).
pub const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// What is said, and about what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    pub statement_type: String,
    pub subject: Vec<Subject>,
    pub predicate_type: String,
    #[serde(default)]
    pub predicate: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// `<namespace>/<extension>`.
    pub name: String,
    /// By algorithm, in hex.
    pub digest: BTreeMap<String, String>,
}

impl Statement {
    /// About one digest.
    pub fn new(name: &str, digest: &Digest, predicate_type: &str, predicate: Value) -> Self {
        let digest = BTreeMap::from([("sha256".to_owned(), digest.hex().to_owned())]);
        Self {
            statement_type: STATEMENT.to_owned(),
            subject: vec![Subject { name: name.to_owned(), digest }],
            predicate_type: predicate_type.to_owned(),
            predicate,
        }
    }

    /// Refuses a statement about anything else, or of another kind.
    ///
    /// # Errors
    /// `denied`.
    pub fn check(&self, name: &str, digest: &Digest, predicate_type: &str) -> Result<()> {
        let about = |subject: &Subject| {
            subject.name == name && subject.digest.get("sha256").is_some_and(|hex| hex == digest.hex())
        };
        if self.statement_type != STATEMENT || self.predicate_type != predicate_type {
            let message = format!("the signed statement is {}, not {predicate_type}", self.predicate_type);
            return Err(Error::denied("statement", message));
        }
        match self.subject.as_slice() {
            [subject] if about(subject) => Ok(()),
            _ => Err(Error::denied("statement", format!("the signed statement is not about {name} with {digest}"))),
        }
    }

    /// # Errors
    /// `invalid` when the predicate has another shape.
    pub fn predicate<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.predicate.clone())
            .map_err(|error| Error::invalid("statement", format!("the signed statement is not understood: {error}")))
    }
}

/// A DSSE envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// Base64.
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
struct Signature {
    /// Base64.
    sig: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    keyid: String,
}

impl Envelope {
    /// # Errors
    /// When the statement cannot be written.
    pub fn sign(statement: &Statement, key: &SigningKey) -> Result<Self> {
        let payload = serde_json::to_vec(statement).map_err(|error| Error::internal("statement", error.to_string()))?;
        let sig = STANDARD.encode(key.sign(&authenticated(PAYLOAD_TYPE, &payload)));
        let keyid = key.public()?.id().to_string();
        Ok(Self {
            payload: STANDARD.encode(payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: vec![Signature { sig, keyid }],
        })
    }

    /// The statement, and which of the keys signed it. Key ids in the envelope are hints and decide nothing.
    ///
    /// # Errors
    /// `denied` when none of the keys signed it.
    pub fn verify(&self, keys: &[PublicKey]) -> Result<(Statement, KeyId)> {
        let damaged = |what: &str| Error::invalid("signature", format!("the {what} of a signature cannot be read"));
        if self.payload_type != PAYLOAD_TYPE {
            return Err(Error::invalid(
                "signature",
                format!("a signature is over {}", self.payload_type.escape_debug()),
            ));
        }
        let payload = STANDARD.decode(&self.payload).map_err(|_| damaged("statement"))?;
        let message = authenticated(&self.payload_type, &payload);
        let signatures: Vec<Vec<u8>> =
            self.signatures.iter().filter_map(|signature| STANDARD.decode(&signature.sig).ok()).collect();
        let signed = |key: &&PublicKey| signatures.iter().any(|signature| key.verifies(&message, signature));
        let key = keys
            .iter()
            .find(signed)
            .ok_or_else(|| Error::denied("signature", "none of the keys that are trusted here made the signature"))?;
        let statement = serde_json::from_slice(&payload).map_err(|_| damaged("statement"))?;
        Ok((statement, key.id()))
    }
}

/// DSSE's pre-authentication encoding.
fn authenticated(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut text = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    text.extend_from_slice(payload);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_says_who_signed_what() {
        let (key, other) = (SigningKey::generate().expect("key"), SigningKey::generate().expect("key"));
        let (digest, another) = (Digest::of(b"package"), Digest::of(b"other"));
        let statement = Statement::new("acme/tool", &digest, SIGNATURE, Value::Null);
        let envelope = Envelope::sign(&statement, &key).expect("envelope");
        let (public, unknown) = (key.public().expect("key"), other.public().expect("key"));

        let (said, id) = envelope.verify(&[unknown.clone(), public.clone()]).expect("verified");

        assert_eq!((said.clone(), id), (statement, public.id()));
        assert!(said.check("acme/tool", &digest, SIGNATURE).is_ok());
        for (name, digest, kind) in
            [("acme/other", &digest, SIGNATURE), ("acme/tool", &another, SIGNATURE), ("acme/tool", &digest, STATUS)]
        {
            assert!(said.check(name, digest, kind).is_err());
        }
        assert!(envelope.verify(&[unknown]).is_err());
        let mut changed = envelope;
        changed.payload = STANDARD.encode(b"{}");
        assert!(changed.verify(&[public]).is_err());
    }

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        let text = authenticated("http://example.com/HelloWorld", b"hello world");
        assert_eq!(text, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
