//! Secrets at rest: sealed with XChaCha20-Poly1305, each bound to its instance and name, so that a row copied to
//! another instance does not open. Keys come from the environment or lie in a file of the data folder; the first is
//! the one that seals, the others only open.

use crate::folder::write_private;
use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use fuseml_catalog::{Catalog, SealedSecret};
use fuseml_domain::{Digest, Error, Name, Result, SecretText, port::Secrets};
use std::path::{Path, PathBuf};
use tokio::sync::RwLock;
use zeroize::Zeroizing;

/// Longest secret, in bytes.
const MAX_SECRET: usize = 16 << 10;

pub(crate) struct Vault {
    catalog: Catalog,
    keys: RwLock<Vec<Key>>,
    /// `None` when the keys came from the environment.
    file: Option<PathBuf>,
}

struct Key {
    /// The beginning of its digest: says which key sealed a secret, and nothing about it.
    id: String,
    bytes: Zeroizing<[u8; 32]>,
}

impl Key {
    fn new(bytes: [u8; 32]) -> Self {
        Self { id: Digest::of(&bytes).hex()[..12].to_owned(), bytes: Zeroizing::new(bytes) }
    }

    fn random() -> Self {
        Self::new(rand::random())
    }
}

impl Vault {
    /// Keys from `text` (32 bytes each in base64, separated by commas or lines), else from the file, which is made
    /// with a new key when it is missing.
    pub(crate) fn new(catalog: Catalog, text: Option<&str>, file: &Path) -> Result<Self> {
        if let Some(text) = text {
            return Ok(Self { catalog, keys: RwLock::new(parse(text, "FUSEML_SECRET_KEYS")?), file: None });
        }
        let keys = match std::fs::read_to_string(file) {
            Ok(text) => parse(&Zeroizing::new(text), &file.display().to_string())?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let keys = vec![Key::random()];
                write_keys(file, &keys)?;
                keys
            }
            Err(error) => return Err(Error::io(format!("{} cannot be read", file.display()), &error)),
        };
        Ok(Self { catalog, keys: RwLock::new(keys), file: Some(file.to_owned()) })
    }

    pub(crate) async fn put(&self, instance: &Name, name: &str, value: &[u8]) -> Result<()> {
        if value.is_empty() || value.len() > MAX_SECRET {
            return Err(Error::invalid("secret", format!("the secret `{name}` must have 1 to {MAX_SECRET} bytes")));
        }
        if std::str::from_utf8(value).is_ok_and(|text| text.contains(['\n', '\r', '\0'])) {
            return Err(Error::invalid(
                "secret",
                format!("the secret `{name}` has more than one line; none fits a header"),
            ));
        }
        let keys = self.keys.read().await;
        self.catalog.put_secret(&seal(&keys[0], instance, name, value)?).await
    }

    /// Seals a secret of something that a project has, bound to what it is for: `import/app`, `webhook/labels`.
    pub(crate) async fn seal_for(&self, project: &Name, purpose: &str, secret: &SecretText) -> Result<SealedSecret> {
        let secret = secret.expose();
        if secret.is_empty() || secret.len() > MAX_SECRET || secret.iter().any(|byte| byte.is_ascii_control()) {
            return Err(Error::invalid("secret", format!("a secret is one line of 1 to {MAX_SECRET} bytes")));
        }
        seal(&self.keys.read().await[0], project, purpose, secret)
    }

    pub(crate) async fn open(&self, sealed: &SealedSecret) -> Result<SecretText> {
        unseal(&self.keys.read().await, sealed)
    }

    /// Makes a new key, seals everything with it, then forgets the old ones. A crash in between leaves a file with
    /// both keys, which opens everything. With keys from the environment, seals everything with the first of them.
    pub(crate) async fn rotate(&self) -> Result<usize> {
        let mut keys = self.keys.write().await;
        if let Some(file) = &self.file {
            keys.insert(0, Key::random());
            if let Err(error) = write_keys(file, &keys) {
                keys.remove(0);
                return Err(error);
            }
        }
        let count = self
            .catalog
            .reseal_secrets(|sealed| {
                let value = unseal(&keys, sealed)?;
                seal(&keys[0], &sealed.instance.parse()?, &sealed.name, value.expose())
            })
            .await?;
        if let Some(file) = &self.file {
            keys.truncate(1);
            write_keys(file, &keys)?;
        }
        Ok(count)
    }
}

#[async_trait]
impl Secrets for Vault {
    async fn secret(&self, instance: &Name, name: &str) -> Result<Option<SecretText>> {
        let Some(sealed) = self.catalog.secret(instance, name).await? else { return Ok(None) };
        unseal(&self.keys.read().await, &sealed).map(Some)
    }
}

fn parse(text: &str, source: &str) -> Result<Vec<Key>> {
    let refuse =
        || Error::invalid("secret-keys", format!("{source} must hold keys of 32 bytes in base64, the newest first"));
    let mut keys = Vec::new();
    for line in text.split([',', '\n']).map(str::trim).filter(|line| !line.is_empty()) {
        let bytes = Zeroizing::new(BASE64_STANDARD.decode(line).map_err(|_| refuse())?);
        keys.push(Key::new(bytes.as_slice().try_into().map_err(|_| refuse())?));
    }
    if keys.is_empty() { Err(refuse()) } else { Ok(keys) }
}

fn write_keys(file: &Path, keys: &[Key]) -> Result<()> {
    let mut text = Zeroizing::new(String::new());
    for key in keys {
        BASE64_STANDARD.encode_string(key.bytes.as_slice(), &mut text);
        text.push('\n');
    }
    write_private(file, text.as_bytes())
}

fn seal(key: &Key, instance: &Name, name: &str, value: &[u8]) -> Result<SealedSecret> {
    let nonce: [u8; 24] = rand::random();
    let bound = bound_to(instance, name);
    let ciphertext = XChaCha20Poly1305::new((&*key.bytes).into())
        .encrypt(&XNonce::from(nonce), Payload { msg: value, aad: bound.as_bytes() })
        .map_err(|_| Error::internal("seal", format!("the secret `{name}` of {instance} cannot be sealed")))?;
    Ok(SealedSecret {
        instance: instance.to_string(),
        name: name.to_owned(),
        key: key.id.clone(),
        nonce: nonce.to_vec(),
        ciphertext,
    })
}

fn unseal(keys: &[Key], sealed: &SealedSecret) -> Result<SecretText> {
    let SealedSecret { instance, name, .. } = sealed;
    let key = keys.iter().find(|key| key.id == sealed.key).ok_or_else(|| {
        Error::unavailable(
            "secret-key-missing",
            format!(
                "the secret `{name}` of {instance} is sealed with the key {}, which the server does not have",
                sealed.key
            ),
        )
    })?;
    let damaged = || Error::internal("sealed", format!("the secret `{name}` of {instance} is damaged; set it again"));
    let nonce: [u8; 24] = sealed.nonce.as_slice().try_into().map_err(|_| damaged())?;
    let bound = bound_to(&instance.parse()?, name);
    XChaCha20Poly1305::new((&*key.bytes).into())
        .decrypt(&XNonce::from(nonce), Payload { msg: &sealed.ciphertext, aad: bound.as_bytes() })
        .map(SecretText::new)
        .map_err(|_| damaged())
}

fn bound_to(instance: &Name, name: &str) -> String {
    format!("{instance}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_with_its_key_under_its_instance_and_name() {
        let (key, other) = (Key::random(), Key::random());
        let (mine, yours): (Name, Name) = ("mine".parse().expect("name"), "yours".parse().expect("name"));
        let sealed = seal(&key, &mine, "token", b"s3cret").expect("seal");
        assert!(!sealed.ciphertext.windows(6).any(|window| window == b"s3cret"));

        let keys = [other, key];
        assert_eq!(unseal(&keys, &sealed).expect("opens").expose(), b"s3cret");

        assert_eq!(unseal(&keys[..1], &sealed).expect_err("no key").code, "secret-key-missing");
        let moved = SealedSecret { instance: yours.to_string(), ..sealed.clone() };
        assert_eq!(unseal(&keys, &moved).expect_err("moved").code, "sealed");
        let renamed = SealedSecret { name: "other".to_owned(), ..sealed.clone() };
        assert_eq!(unseal(&keys, &renamed).expect_err("renamed").code, "sealed");
        let mut cut = sealed;
        cut.ciphertext.pop();
        assert_eq!(unseal(&keys, &cut).expect_err("cut").code, "sealed");
    }

    #[test]
    fn keys_that_are_none_are_refused_without_being_shown() {
        for text in ["", "aGVsbG8=", "not base64!"] {
            let error = parse(text, "the file").err().expect("refused");
            assert!(text.is_empty() || !error.message.contains(text), "{error}");
        }
        let two = format!("{}\n{}", BASE64_STANDARD.encode([1; 32]), BASE64_STANDARD.encode([2; 32]));
        assert_eq!(parse(&two, "the file").expect("keys").len(), 2);
    }
}
