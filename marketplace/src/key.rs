//! Keys that sign packages and statements: Ed25519 to sign; Ed25519 or ECDSA P-256 to verify.

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1, ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use fuseml_domain::{Digest, Error, Result, SecretText};
use pem::{EncodeConfig, LineEnding};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, str::FromStr};
use zeroize::Zeroizing;

const PRIVATE: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// The SHA-256 of a public key's `SubjectPublicKeyInfo` in DER.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its beginning, for people.
    pub fn short(&self) -> &str {
        self.0.get(..16).unwrap_or(&self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A key that signs. Its bytes are wiped when it goes away.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// A new Ed25519 key.
    ///
    /// # Errors
    /// When the machine has no random numbers.
    pub fn generate() -> Result<Self> {
        let failed = |_| Error::internal("random", "the machine gave no random numbers for a key");
        // Version 1: OpenSSL reads no other.
        let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(failed)?;
        Self::from_pkcs8(Zeroizing::new(document.as_ref().to_vec()))
    }

    fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8)
            .map_err(|_| Error::invalid("key", "this is no Ed25519 key in PKCS #8 form"))?;
        Ok(Self { pair, pkcs8 })
    }

    /// From a PEM text `BEGIN PRIVATE KEY`, or `BEGIN ENCRYPTED PRIVATE KEY` with its passphrase (PKCS #8).
    ///
    /// # Errors
    /// `invalid` for anything else, `denied` for a missing or wrong passphrase; neither text is repeated.
    pub fn from_pem(text: &str, passphrase: Option<&SecretText>) -> Result<Self> {
        let parsed = pem::parse(text).map_err(|_| Error::invalid("key", "this is no PEM file"))?;
        let tag = parsed.tag().to_owned();
        let der = Zeroizing::new(parsed.into_contents());
        match (tag.as_str(), passphrase) {
            (PRIVATE, _) => Self::from_pkcs8(der),
            (ENCRYPTED, Some(passphrase)) => {
                let locked = EncryptedPrivateKeyInfoRef::try_from(&der[..])
                    .map_err(|_| Error::invalid("key", "this is no encrypted key in PKCS #8 form"))?;
                let opened = locked.decrypt(passphrase.expose());
                let opened =
                    opened.map_err(|_| Error::denied("passphrase", "the key does not open with this passphrase"))?;
                Self::from_pkcs8(Zeroizing::new(opened.as_bytes().to_vec()))
            }
            (ENCRYPTED, None) => Err(Error::denied("passphrase", "this key has a passphrase, and none was given")),
            _ => Err(Error::invalid("key", format!("this PEM file holds no {PRIVATE}"))),
        }
    }

    /// Whether a PEM text needs a passphrase.
    pub fn is_encrypted(text: &str) -> bool {
        text.contains(&format!("-----BEGIN {ENCRYPTED}-----"))
    }

    /// The key as a PEM text, encrypted (scrypt, AES-256) where there is a passphrase.
    ///
    /// # Errors
    /// When the machine has no random numbers.
    pub fn to_pem(&self, passphrase: Option<&SecretText>) -> Result<Zeroizing<String>> {
        let Some(passphrase) = passphrase else {
            return Ok(Zeroizing::new(encode(PRIVATE, self.pkcs8.to_vec())));
        };
        let failed = |_| Error::internal("key", "the key could not be encrypted");
        let locked = PrivateKeyInfoRef::try_from(&self.pkcs8[..]).map_err(failed)?;
        let locked = locked.encrypt(passphrase.expose()).map_err(failed)?;
        Ok(Zeroizing::new(encode(ENCRYPTED, locked.as_bytes().to_vec())))
    }

    /// For libraries that sign by themselves.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// # Errors
    /// Never for a key that was made or read; the library leaves it open.
    pub fn public(&self) -> Result<PublicKey> {
        let der = self.pair.public_key().as_der();
        let der = der.map_err(|_| Error::internal("key", "the public key cannot be written"))?;
        Ok(PublicKey { der: der.as_ref().to_vec(), algorithm: Algorithm::Ed25519 })
    }

    /// The key's 32 bytes, as signed notes carry them.
    pub(crate) fn raw_public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// With the line ends that other tools write.
fn encode(tag: &str, der: Vec<u8>) -> String {
    pem::encode_config(&pem::Pem::new(tag, der), EncodeConfig::new().set_line_ending(LineEnding::LF))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Ed25519,
    EcdsaP256,
}

/// A key that verifies; written as PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey {
    der: Vec<u8>,
    algorithm: Algorithm,
}

impl JsonSchema for PublicKey {
    fn schema_name() -> Cow<'static, str> {
        "PublicKey".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "A `SubjectPublicKeyInfo` in PEM."})
    }
}

/// How `SubjectPublicKeyInfo` begins for each (RFC 8410, RFC 5480).
const ED25519_PREFIX: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const P256_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

impl PublicKey {
    pub(crate) fn raw(&self) -> &[u8] {
        let prefix = match self.algorithm {
            Algorithm::Ed25519 => ED25519_PREFIX,
            Algorithm::EcdsaP256 => P256_PREFIX,
        };
        self.der.get(prefix.len()..).unwrap_or_default()
    }

    pub fn id(&self) -> KeyId {
        KeyId(Digest::of(&self.der).hex().to_owned())
    }

    /// Whether this key made that signature.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.algorithm {
            Algorithm::Ed25519 => UnparsedPublicKey::new(&ED25519, self.raw()).verify(message, signature).is_ok(),
            Algorithm::EcdsaP256 => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.raw()).verify(message, signature).is_ok()
            }
        }
    }
}

impl FromStr for PublicKey {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::invalid("key", "this is no public key: an Ed25519 or ECDSA P-256 key in PEM form");
        let parsed = pem::parse(text).map_err(|_| invalid())?;
        if parsed.tag() != PUBLIC {
            return Err(invalid());
        }
        let der = parsed.into_contents();
        let algorithm = match () {
            () if der.starts_with(ED25519_PREFIX) && der.len() == ED25519_PREFIX.len() + 32 => Algorithm::Ed25519,
            () if der.starts_with(P256_PREFIX) && der.len() == P256_PREFIX.len() + 65 => Algorithm::EcdsaP256,
            () => return Err(invalid()),
        };
        Ok(Self { der, algorithm })
    }
}

impl TryFrom<String> for PublicKey {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(PUBLIC, self.der.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_file_and_verifies_what_it_signed() {
        let key = SigningKey::generate().expect("key");
        let again = SigningKey::from_pem(&key.to_pem(None).expect("PEM"), None).expect("PEM");
        let public: PublicKey = again.public().expect("public").to_string().parse().expect("PEM");
        let signature = key.sign(b"message");
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"massage", &signature));
        assert!(!SigningKey::generate().expect("key").public().expect("public").verifies(b"message", &signature));
        assert_eq!(public.raw(), key.raw_public());
    }

    #[test]
    fn a_key_with_a_passphrase_opens_with_that_alone() {
        let key = SigningKey::generate().expect("key");
        let (right, wrong) = (SecretText::new("correct horse"), SecretText::new("battery staple"));
        let locked = key.to_pem(Some(&right)).expect("PEM");

        assert!(SigningKey::is_encrypted(&locked) && !SigningKey::is_encrypted(&key.to_pem(None).expect("PEM")));
        let opened = SigningKey::from_pem(&locked, Some(&right)).expect("opened");
        assert_eq!(opened.raw_public(), key.raw_public());
        for refused in [SigningKey::from_pem(&locked, Some(&wrong)), SigningKey::from_pem(&locked, None)] {
            let error = refused.expect_err("refused");
            assert!(error.code == "passphrase" && !error.message.contains("horse"), "{error}");
        }
    }

    #[test]
    fn what_openssl_signed_with_p256_is_verified() {
        use base64::Engine as _;
        let public: PublicKey = "-----BEGIN PUBLIC KEY-----\n\
            MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEsBNz1QxSaGSTPs8Q63jQshTj0t0e\n\
            6oOspBZ1CpE4A28u9yVbnrsCdfCQ2GlBEHkzA2O9d7K6RnjmUVxUfhzpIw==\n-----END PUBLIC KEY-----\n"
            .parse()
            .expect("key");
        let signature =
            "MEUCIBs+lQDrdWoc3WX4AQMqyiA5tqGTAR6tmuMbgzFh87ZAAiEAp/IRKsGDImbh3dGXRPgksYxKO2a4o21f/xPnvBfUOCs=";
        let signature = base64::engine::general_purpose::STANDARD.decode(signature).expect("base64");
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"massage", &signature));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        for text in ["", "secret", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"] {
            let error = SigningKey::from_pem(text, None).expect_err(text);
            assert!(!error.message.contains("c2Vj") && !error.message.contains("secret"), "{error}");
            assert!(text.parse::<PublicKey>().is_err());
        }
    }
}
