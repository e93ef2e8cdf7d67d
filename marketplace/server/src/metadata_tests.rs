//! Metadata as clients see it, and as those who would deceive them would send it.

use super::*;
use crate::{Caller, Scope, publish::put_version};
use fuseml_domain::{Digest, Manifest};
use fuseml_marketplace::{Freshness, KeyState, NamespaceIndex, Published, Status};
use std::collections::BTreeMap;
use tempfile::TempDir;
use url::Url;

async fn open(data: &Path) -> Result<Marketplace> {
    Marketplace::open_beside(&config(data)).await
}

fn config(data: &Path) -> crate::MarketplaceConfig {
    crate::MarketplaceConfig::new(data.to_owned(), PathBuf::new())
}

struct World {
    folder: TempDir,
    market: Marketplace,
    namespace: Name,
    root: Vec<u8>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let market = open(&folder.path().join("market")).await.expect("marketplace");
        let (ada, namespace): (Name, Name) = ("ada".parse().expect("name"), "acme".parse().expect("name"));
        market.add_account(&ada, false).await.expect("account");
        let caller = Caller { account: ada, operator: false, scope: Scope::Account };
        market.add_namespace(&caller, &namespace).await.expect("namespace");
        let key = SigningKey::generate().and_then(|key| key.public()).expect("key");
        market.put_key(&caller, &namespace, &key, KeyState::Active).await.expect("key");
        let root = market.keys.read().await.newest_root().expect("root");
        Self { folder, market, namespace, root }
    }

    async fn publish(&self, number: &str) {
        let text = format!(
            "schema_version = 1\nname = \"tool\"\nversion = \"{number}\"\ntitle = \"T\"\ndescription = \"D\"\nlicense = \"MIT\"\n"
        );
        let manifest = Manifest::parse(&text).expect("manifest");
        let published = Published {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            digest: Digest::of(number.as_bytes()),
            size: 1,
            published: Timestamp::now(),
            key: SigningKey::generate().and_then(|key| key.public()).expect("key").id(),
            status: Status::Available,
            statement: None,
            fuseml: None,
            dependencies: BTreeMap::new(),
        };
        let record = VersionRecord {
            published,
            manifest,
            readme: String::new(),
            changes: String::new(),
            takes: Default::default(),
            makes: Default::default(),
            reason: None,
            report: serde_json::Value::Null,
            account: "ada".parse().expect("name"),
        };
        let mut transaction = self.market.database.write().await.expect("transaction");
        put_version(&mut transaction, &self.namespace, &record).await.expect("version");
        self.market.sign(&mut transaction, &self.namespace).await.expect("signed");
        transaction.commit().await.expect("commit");
    }

    /// What the marketplace serves at this moment, in a folder of its own.
    async fn serve(&self, name: &str) -> PathBuf {
        let site = self.folder.path().join(name);
        let place = site.join(&*self.namespace);
        fs::create_dir_all(&place).expect("folder");
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as("SELECT file, bytes FROM metadata WHERE namespace = $1")
            .bind(&*self.namespace)
            .fetch_all(&self.market.database.pool)
            .await
            .expect("rows");
        for (file, bytes) in rows {
            fs::write(place.join(file), bytes).expect("file");
        }
        for version in 1..9 {
            if let Some(bytes) = self.market.keys.read().await.root_file(version) {
                fs::write(place.join(format!("{version}.root.json")), bytes).expect("file");
            }
        }
        site
    }

    async fn load(&self, site: &Path, seen: &str) -> Result<NamespaceIndex> {
        let url = Url::from_directory_path(site).expect("address");
        NamespaceIndex::load(&self.root, &url, &self.namespace, &self.folder.path().join(seen), Freshness::Required)
            .await
    }

    async fn refused(&self, site: &Path, seen: &str) -> String {
        self.load(site, seen).await.map(|_| "nothing was refused".to_owned()).unwrap_or_else(|error| error.code)
    }
}

/// One namespace's file of a site, changed.
fn change(site: &Path, file: &str, change: impl Fn(String) -> String) {
    let path = site.join("acme").join(file);
    let text = fs::read_to_string(&path).expect("file");
    let changed = change(text.clone());
    assert_ne!(text, changed, "{file} was to be changed");
    fs::write(path, changed).expect("file");
}

fn number(site: &Path) -> u64 {
    let text = fs::read_to_string(site.join("acme/timestamp.json")).expect("file");
    serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["signed"]["version"].as_u64().expect("version")
}

#[tokio::test]
async fn a_client_sees_what_was_published_with_its_keys() {
    let world = World::new().await;
    world.publish("0.1.0").await;
    world.publish("0.2.0").await;
    let index = world.load(&world.serve("site").await, "seen").await.expect("index");
    let versions: Vec<_> = index.versions.iter().map(|version| version.version.to_string()).collect();
    assert_eq!(versions, ["0.1.0", "0.2.0"]);
    assert_eq!((index.facts.keys.len(), index.keys_for(&index.versions[0]).len()), (1, 1));
}

#[tokio::test]
async fn older_metadata_than_was_seen_is_a_rollback() {
    let world = World::new().await;
    world.publish("0.1.0").await;
    let old = world.serve("old").await;
    world.publish("0.2.0").await;
    let new = world.serve("new").await;
    world.load(&new, "seen").await.expect("newer");

    assert_eq!(world.refused(&old, "seen").await, "rollback");
    assert_eq!(world.refused(&new, "seen").await, "nothing was refused");
}

#[tokio::test]
async fn metadata_of_two_moments_does_not_mix() {
    let world = World::new().await;
    world.publish("0.1.0").await;
    let old = world.serve("old").await;
    world.publish("0.2.0").await;
    let new = world.serve("new").await;
    let (before, now) = (number(&old), number(&new));
    for file in ["snapshot", "targets"] {
        let site = world.serve(&format!("mixed-{file}")).await;
        let (from, to) = (format!("acme/{before}.{file}.json"), format!("acme/{now}.{file}.json"));
        fs::copy(old.join(from), site.join(to)).expect("copy");
        assert_eq!(world.refused(&site, "fresh").await, "mixed-metadata", "{file}");
    }
}

#[tokio::test]
async fn what_somebody_changed_or_signed_with_another_key_is_forged() {
    let (world, other) = (World::new().await, World::new().await);
    world.publish("0.1.0").await;
    other.publish("6.6.6").await;
    let site = world.serve("changed").await;
    change(&site, "timestamp.json", |text| text.replace("\"signed\": {", "\"signed\": {\"more\": 1,"));
    assert_eq!(world.refused(&site, "seen-1").await, "forged-metadata");
    assert_eq!(world.refused(&other.serve("others").await, "seen-2").await, "forged-metadata");
    let site = world.serve("cut").await;
    change(&site, "timestamp.json", |text| text[..text.len() / 2].to_owned());
    assert_eq!(world.refused(&site, "seen-3").await, "forged-metadata");
    let site = world.serve("gone").await;
    fs::remove_file(site.join("acme/timestamp.json")).expect("file");
    assert_eq!(world.refused(&site, "seen-4").await, "namespace");
}

#[tokio::test]
async fn one_namespaces_metadata_is_not_anothers() {
    let world = World::new().await;
    world.publish("0.1.0").await;
    let site = world.serve("site").await;
    fs::rename(site.join("acme"), site.join("bank")).expect("rename");
    let url = Url::from_directory_path(&site).expect("address");
    let bank = "bank".parse().expect("name");
    let refused =
        NamespaceIndex::load(&world.root, &url, &bank, &world.folder.path().join("seen"), Freshness::Required).await;
    assert_eq!(refused.expect_err("refused").code, "forged-metadata");
}

#[tokio::test]
async fn metadata_that_is_held_back_gets_too_old_to_be_believed() {
    let world = World::new().await;
    world.publish("0.1.0").await;
    let site = world.serve("site").await;
    let path = site.join("acme/timestamp.json");
    let signed: tough::schema::Signed<tough::schema::Timestamp> =
        serde_json::from_slice(&fs::read(&path).expect("file")).expect("timestamp");
    let past = tough::schema::Timestamp { expires: Timestamp::now() - SignedDuration::from_secs(1), ..signed.signed };
    let frozen = world.market.keys.read().await.signed(past).await.expect("signed");
    fs::write(&path, frozen.buffer()).expect("file");
    assert_eq!(world.refused(&site, "seen").await, "expired-metadata");
}

#[tokio::test]
async fn a_stolen_online_key_is_replaced_and_what_it_fast_forwarded_is_forgotten() {
    let world = World::new().await;
    world.publish("0.1.0").await;
    let site = world.serve("stolen").await;
    // The thief signs a version so high that nothing honest ever comes after it.
    let path = site.join("acme/timestamp.json");
    let signed: tough::schema::Signed<tough::schema::Timestamp> =
        serde_json::from_slice(&fs::read(&path).expect("file")).expect("timestamp");
    let forward = tough::schema::Timestamp { version: NonZeroU64::MAX, ..signed.signed };
    let forward = world.market.keys.read().await.signed(forward).await.expect("signed");
    fs::write(&path, forward.buffer()).expect("file");
    world.load(&site, "seen").await.expect("the thief has the key");
    assert_eq!(world.refused(&world.serve("honest").await, "seen").await, "rollback");

    let data = world.folder.path().join("market");
    rotate(&data, None, None).await.expect("rotated");
    let market = open(&data).await.expect("marketplace");
    market.metadata(&world.namespace, "timestamp.json").await.expect("signed anew");
    let after = World { market, ..world };
    let site = after.serve("after").await;

    assert_eq!(after.refused(&site, "seen").await, "nothing was refused");
    assert_eq!(number(&site), 4, "it goes on counting where it honestly was");
    after.publish("0.2.0").await;
    let news = after.serve("news").await;
    assert_eq!(after.refused(&news, "seen").await, "nothing was refused");
    assert_eq!(after.refused(&site, "seen").await, "rollback", "a replaced key is forgiven once");
}

#[tokio::test]
async fn a_marketplace_brought_back_from_before_its_last_rotation_is_believed_by_who_saw_that() {
    let world = World::new().await;
    world.publish("0.1.0").await;
    let data = world.folder.path().join("market");
    let archive = world.folder.path().join("archive.tar");
    crate::back_up(&config(&data), &archive).await.expect("archive");
    rotate(&data, None, None).await.expect("rotated");
    let market = open(&data).await.expect("marketplace");
    market.metadata(&world.namespace, "timestamp.json").await.expect("signed anew");
    let world = World { market, ..world };
    world.load(&world.serve("rotated").await, "seen").await.expect("a client that saw the second root");
    let (folder, namespace) = (world.folder.path().to_owned(), world.namespace.clone());
    let brought_back = async |name: &str, above| {
        let data = folder.join(name);
        crate::restore(&archive, &config(&data), above).await.expect("restored");
        let market = open(&data).await.expect("marketplace");
        market.metadata(&namespace, "timestamp.json").await.expect("signed anew");
        market
    };

    let unaware = World { market: brought_back("unaware", None).await, ..world };
    assert_eq!(unaware.refused(&unaware.serve("site-1").await, "seen").await, "forged-metadata");
    let aware = World { market: brought_back("aware", Some(2)).await, ..unaware };
    assert_eq!(aware.refused(&aware.serve("site-2").await, "seen").await, "nothing was refused");
}

#[tokio::test]
async fn an_online_key_that_nobody_can_open_is_replaced() {
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("market");
    Keys::open(&data, None).await.expect("keys");
    fs::write(data.join("keys/online.pem"), "lost").expect("file");

    assert_eq!(rotate(&data, None, None).await.expect("rotated"), 2);

    Keys::open(&data, None).await.expect("keys");
}

#[tokio::test]
async fn keys_that_lie_in_clear_are_locked_once_there_is_a_passphrase() {
    let folder = tempfile::tempdir().expect("folder");
    let (data, passphrase) = (folder.path().join("market"), SecretText::new("correct horse"));
    let before = Keys::open(&data, None).await.expect("keys").online.public().expect("key");
    assert!(!SigningKey::is_encrypted(&fs::read_to_string(data.join("keys/root.pem")).expect("key")));

    let locked = Keys::open(&data, Some(&passphrase)).await.expect("keys");

    assert_eq!(locked.online.public().expect("key"), before);
    for file in ["keys/root.pem", "keys/online.pem"] {
        assert!(SigningKey::is_encrypted(&fs::read_to_string(data.join(file)).expect("key")), "{file}");
    }
    let refused = Keys::open(&data, None).await.expect_err("locked");
    assert_eq!(refused.code, "passphrase");
    rotate(&data, None, Some(&passphrase)).await.expect("rotated");
    assert_ne!(Keys::open(&data, Some(&passphrase)).await.expect("keys").online.public().expect("key"), before);
}
