//! Signs each namespace's metadata: TUF's targets, snapshot and timestamp under the marketplace's root.

use crate::{
    Marketplace,
    account::time,
    database::{failed, from_json},
    namespace::keys,
    publish::VersionRecord,
};
use async_trait::async_trait;
use aws_lc_rs::{rand::SystemRandom, signature::Ed25519KeyPair};
use fuseml_database::WriteTransaction;
use fuseml_domain::{Error, Name, Result, SecretText};
use fuseml_marketplace::{FIELD, NamespaceFacts, SigningKey, target};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use sqlx::Row as _;
use std::{
    collections::HashMap,
    fs,
    num::NonZeroU64,
    path::{Path, PathBuf},
};
use tough::{
    TargetName,
    editor::signed::SignedRole,
    key_source::KeySource,
    schema::{Hashes, KeyHolder, Metafile, Role, RoleKeys, RoleType, Root, Snapshot, Targets},
    sign::Sign,
};
use zeroize::Zeroizing;

const SPECIFICATION: &str = "1.0.0";
/// How long a client believes what it is told without hearing anything newer.
const TIMESTAMP_LIVES: SignedDuration = SignedDuration::from_hours(24);
const METADATA_LIVES: SignedDuration = SignedDuration::from_hours(24 * 30);
const ROOT_LIVES: SignedDuration = SignedDuration::from_hours(24 * 365 * 3);

/// The marketplace's own keys: the root says which online key signs, the online key signs everything else.
#[derive(Debug)]
pub(crate) struct Keys {
    folder: PathBuf,
    /// The newest root metadata.
    root: Root,
    pub(crate) online: SigningKey,
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::internal("metadata", format!("metadata cannot be signed: {error}"))
}

impl Keys {
    /// Reads the keys, or makes them the first time.
    pub(crate) async fn open(data: &Path, passphrase: Option<&SecretText>) -> Result<Self> {
        let folder = data.join("keys");
        let roots = data.join("metadata");
        for folder in [&folder, &roots] {
            fs::create_dir_all(folder).map_err(|error| Error::io(folder.display(), &error))?;
        }
        let online = folder.join("online.pem");
        let Some(root) = newest_root(&roots)? else {
            let (root_key, online_key) = (SigningKey::generate()?, SigningKey::generate()?);
            write_private(&folder.join("root.pem"), &root_key.to_pem(passphrase)?)?;
            write_private(&online, &online_key.to_pem(passphrase)?)?;
            let root = sign_root(&roots, 1, &root_key, &online_key).await?;
            return Ok(Self { folder, root, online: online_key });
        };
        let root_key = folder.join("root.pem");
        if root_key.is_file() {
            read_key(&root_key, passphrase)?;
        }
        Ok(Self { root, online: read_key(&online, passphrase)?, folder })
    }

    /// A root metadata file, `None` when there is none of that version.
    pub(crate) fn root_file(&self, version: u64) -> Option<Vec<u8>> {
        fs::read(root_path(&self.folder.with_file_name("metadata"), version)).ok()
    }

    /// The id of the root key, which clients that add the marketplace expect.
    pub(crate) fn root_id(&self) -> Option<String> {
        let role = self.root.roles.get(&RoleType::Root)?;
        role.keyids.first().map(|id| hex::encode(&**id))
    }

    pub(crate) fn newest_root(&self) -> Result<Vec<u8>> {
        self.root_file(self.root.version.get()).ok_or_else(|| internal("the root metadata is gone"))
    }

    async fn signed<T: Role + Serialize>(&self, role: T) -> Result<SignedRole<T>> {
        let source: Box<dyn KeySource> = Box::new(Source(Zeroizing::new(self.online.pkcs8().to_vec())));
        SignedRole::new(role, &KeyHolder::Root(self.root.clone()), &[source], &SystemRandom::new())
            .await
            .map_err(internal)
    }
}

/// Root versions that a rotation adds at the most.
const MOST_ROOTS: u64 = 1000;

/// Replaces the online key, as after a theft; what the old one was locked with does not matter. Every namespace is
/// signed anew when it is asked for next. Clients keep the newest root that they saw: `above` is a version that some
/// of them may have seen although this folder, brought back from an older archive, does not know it.
///
/// # Errors
/// When the root key is not in the data folder: put it there for as long as this takes.
pub async fn rotate(data: &Path, above: Option<u64>, passphrase: Option<&SecretText>) -> Result<u64> {
    let _alone = take(data)?;
    let (keys, roots) = (data.join("keys"), data.join("metadata"));
    let missing = || Error::not_found("marketplace", format!("{} is no marketplace's folder", data.display()));
    let known = newest_root(&roots)?.ok_or_else(missing)?.version.get();
    let last = known.max(above.unwrap_or(0)).saturating_add(1);
    if last - known > MOST_ROOTS {
        let message =
            format!("the newest root is of version {known}; {} above it is no version to believe", last - known);
        return Err(Error::invalid("root-version", message));
    }
    let root_key = read_key(&keys.join("root.pem"), passphrase)?;
    let online = SigningKey::generate()?;
    // The key first: a root that names a key which nobody has would be worse than a key that no root names.
    write_private(&keys.join("online.pem"), &online.to_pem(passphrase)?)?;
    // Each follows the one before: clients walk from the one they know to the last.
    for version in known + 1..=last {
        sign_root(&roots, version, &root_key, &online).await?;
    }
    Ok(last)
}

/// Holds a marketplace's folder for as long as the answer lives: a server signs with the keys that it began with.
pub(crate) fn take(data: &Path) -> Result<fs::File> {
    fs::create_dir_all(data).map_err(|error| Error::io(data.display(), &error))?;
    let path = data.join("lock");
    let file = fs::File::create(&path).map_err(|error| Error::io(path.display(), &error))?;
    file.try_lock().map_err(|_| {
        let message = format!("a marketplace already runs on {}; stop it first", data.display());
        Error::conflict("marketplace-runs", message)
    })?;
    Ok(file)
}

fn root_path(folder: &Path, version: u64) -> PathBuf {
    folder.join(format!("{version}.root.json"))
}

/// The root metadata with the highest version in that folder.
fn newest_root(folder: &Path) -> Result<Option<Root>> {
    let Some(version) = (1..).take_while(|version| root_path(folder, *version).is_file()).last() else {
        return Ok(None);
    };
    let bytes = read(&root_path(folder, version))?;
    Ok(Some(serde_json::from_slice::<tough::schema::Signed<Root>>(&bytes).map_err(internal)?.signed))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::io(path.display(), &error))
}

/// One of the marketplace's own keys. One that lies there in clear although there is a passphrase is locked with it.
fn read_key(path: &Path, passphrase: Option<&SecretText>) -> Result<SigningKey> {
    let text = Zeroizing::new(String::from_utf8(read(path)?).map_err(internal)?);
    let key = SigningKey::from_pem(&text, passphrase).map_err(|error| match passphrase {
        None if SigningKey::is_encrypted(&text) => {
            let variable = "FUSEML_MARKETPLACE_PASSPHRASE, or --passphrase-file, has the passphrase that opens it";
            Error::denied("passphrase", format!("{} is locked; {variable}", path.display()))
        }
        _ => error.context(path.display()),
    })?;
    if passphrase.is_some() && !SigningKey::is_encrypted(&text) {
        write_private(path, &key.to_pem(passphrase)?)?;
    }
    Ok(key)
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let staging = path.with_extension("new");
    let write = || {
        let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&staging)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&staging, path)
    };
    write().map_err(|error| Error::io(path.display(), &error))
}

async fn sign_root(folder: &Path, version: u64, root_key: &SigningKey, online: &SigningKey) -> Result<Root> {
    let role = |key: &SigningKey| -> Result<(RoleKeys, _)> {
        let key = Ed25519KeyPair::from_pkcs8(key.pkcs8()).map_err(internal)?.tuf_key();
        let id = key.key_id().map_err(internal)?;
        Ok((RoleKeys { keyids: vec![id.clone()], threshold: NonZeroU64::MIN, _extra: HashMap::new() }, (id, key)))
    };
    let ((root_role, root_pair), (online_role, online_pair)) = (role(root_key)?, role(online)?);
    let root = Root {
        spec_version: SPECIFICATION.to_owned(),
        consistent_snapshot: true,
        version: NonZeroU64::new(version).ok_or_else(|| internal("version 0"))?,
        expires: Timestamp::now() + ROOT_LIVES,
        keys: HashMap::from([root_pair, online_pair]),
        roles: HashMap::from([
            (RoleType::Root, root_role),
            (RoleType::Targets, online_role.clone()),
            (RoleType::Snapshot, online_role.clone()),
            (RoleType::Timestamp, online_role),
        ]),
        _extra: HashMap::new(),
    };
    let source: Box<dyn KeySource> = Box::new(Source(Zeroizing::new(root_key.pkcs8().to_vec())));
    let signed = SignedRole::new(root.clone(), &KeyHolder::Root(root.clone()), &[source], &SystemRandom::new())
        .await
        .map_err(internal)?;
    let path = root_path(folder, version);
    let staging = path.with_extension("new");
    fs::write(&staging, signed.buffer())
        .and_then(|()| fs::rename(&staging, &path))
        .map_err(|error| Error::io(path.display(), &error))?;
    Ok(root)
}

/// A key as the library asks for it.
struct Source(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[async_trait]
impl KeySource for Source {
    async fn as_sign(&self) -> Result<Box<dyn Sign>, Failure> {
        Ok(Box::new(Ed25519KeyPair::from_pkcs8(&self.0)?))
    }
    async fn write(&self, _value: &str, _key_id_hex: &str) -> Result<(), Failure> {
        Err("keys are not written here".into())
    }
}

impl Marketplace {
    /// Signs a namespace as it will be once the transaction is through.
    pub(crate) async fn sign(&self, transaction: &mut WriteTransaction, namespace: &Name) -> Result<()> {
        let version: i64 = sqlx::query_scalar(
            "UPDATE namespaces SET metadata_version = metadata_version + 1, signed = $1 WHERE name = $2 \
             RETURNING metadata_version",
        )
        .bind(Timestamp::now().to_string())
        .bind(&**namespace)
        .fetch_one(&mut **transaction)
        .await
        .map_err(failed)?;
        let version = NonZeroU64::new(version.unsigned_abs()).ok_or_else(|| internal("version 0"))?;
        let keys = self.keys.read().await;
        let facts = NamespaceFacts {
            namespace: namespace.clone(),
            keys: self::keys(transaction, namespace).await?,
            marketplace: keys.online.public()?,
            advisories: crate::advisory::advisories(transaction, namespace).await?,
            deprecations: crate::deprecation::deprecations(transaction, namespace).await?,
        };
        let texts: Vec<String> = sqlx::query_scalar("SELECT document FROM versions WHERE namespace = $1")
            .bind(&**namespace)
            .fetch_all(&mut **transaction)
            .await
            .map_err(failed)?;
        let mut targets = HashMap::new();
        for text in texts {
            let published = from_json::<VersionRecord>(&text)?.published;
            let name = TargetName::new(format!("{}/{}", published.name, published.version)).map_err(internal)?;
            targets.insert(name, target(&published)?);
        }
        let expires = Timestamp::now() + METADATA_LIVES;
        let extra = HashMap::from([(FIELD.to_owned(), serde_json::to_value(&facts).map_err(internal)?)]);
        let spec_version = SPECIFICATION.to_owned();
        let targets =
            Targets { spec_version: spec_version.clone(), version, expires, targets, delegations: None, _extra: extra };
        let targets = keys.signed(targets).await?;
        let meta = HashMap::from([("targets.json".to_owned(), metafile(&targets, version)?)]);
        let snapshot = Snapshot { spec_version: spec_version.clone(), version, expires, meta, _extra: HashMap::new() };
        let snapshot = keys.signed(snapshot).await?;
        let timestamp = tough::schema::Timestamp {
            spec_version,
            version,
            expires: Timestamp::now() + TIMESTAMP_LIVES,
            meta: HashMap::from([("snapshot.json".to_owned(), metafile(&snapshot, version)?)]),
            _extra: HashMap::new(),
        };
        let timestamp = keys.signed(timestamp).await?;
        for (file, bytes) in [
            (format!("{version}.targets.json"), targets.buffer()),
            (format!("{version}.snapshot.json"), snapshot.buffer()),
            ("timestamp.json".to_owned(), timestamp.buffer()),
        ] {
            sqlx::query(
                "INSERT INTO metadata (namespace, file, bytes) VALUES ($1, $2, $3) \
                 ON CONFLICT (namespace, file) DO UPDATE SET bytes = excluded.bytes",
            )
            .bind(&**namespace)
            .bind(file)
            .bind(bytes)
            .execute(&mut **transaction)
            .await
            .map_err(failed)?;
        }
        // Clients that are under way still ask for the version before.
        let old = version.get().saturating_sub(2);
        sqlx::query("DELETE FROM metadata WHERE namespace = $1 AND file IN ($2, $3)")
            .bind(&**namespace)
            .bind(format!("{old}.targets.json"))
            .bind(format!("{old}.snapshot.json"))
            .execute(&mut **transaction)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// A metadata file as clients ask for it. Signs anew what would soon be too old to be believed.
    pub(crate) async fn metadata(&self, namespace: &Name, file: &str) -> Result<Vec<u8>> {
        let unknown = || Error::not_found("metadata", format!("{namespace} has no metadata `{}`", file.escape_debug()));
        if let Some(version) = file.strip_suffix(".root.json") {
            let version = version.parse().map_err(|_| unknown())?;
            return self.keys.read().await.root_file(version).ok_or_else(unknown);
        }
        if file == "timestamp.json" {
            self.refresh(namespace).await?;
        }
        let bytes: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT bytes FROM metadata WHERE namespace = $1 AND file = $2")
                .bind(&**namespace)
                .bind(file)
                .fetch_optional(&self.database.pool)
                .await
                .map_err(failed)?;
        bytes.ok_or_else(unknown)
    }

    async fn refresh(&self, namespace: &Name) -> Result<()> {
        let row = sqlx::query("SELECT signed FROM namespaces WHERE name = $1")
            .bind(&**namespace)
            .fetch_optional(&self.database.pool)
            .await
            .map_err(failed)?;
        let Some(row) = row else { return Ok(()) };
        let signed = time(row.get("signed"))?;
        let fresh = Timestamp::now().duration_since(signed) < TIMESTAMP_LIVES / 2;
        if fresh && signed >= self.keys_since {
            return Ok(());
        }
        let mut transaction = self.database.write().await?;
        self.sign(&mut transaction, namespace).await?;
        transaction.commit().await.map_err(failed)
    }
}

fn metafile<T: Role + Serialize>(role: &SignedRole<T>, version: NonZeroU64) -> Result<Metafile> {
    Ok(Metafile {
        length: Some(*role.length()),
        hashes: Some(Hashes { sha256: role.sha256().to_vec().into(), _extra: HashMap::new() }),
        version,
        _extra: HashMap::new(),
    })
}

#[cfg(test)]
#[path = "metadata_tests.rs"]
mod tests;
