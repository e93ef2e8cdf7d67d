//! What comes from outside: codesets that follow a repository, artifacts that lie in tools, and what was known before
//! a catalog was lost.

use fuseml_catalog::{Catalog, SealedSecret};
use fuseml_database::{on_each_database, testing::Stand};
use fuseml_domain::{
    Attributes, Changed, CodesetImport, Descriptor, Digest, ImportOutcome, Name, StoreLook, StoreSync, StoredArtifact,
    port::Catalog as _,
};
use jiff::{SignedDuration, Timestamp};

fn name(text: &str) -> Name {
    text.parse().expect(text)
}

async fn catalog(stand: &Stand) -> Catalog {
    let catalog = Catalog::open(&stand.place).await.expect("catalog");
    catalog.create_project(&name("shop")).await.expect("project");
    catalog
}

fn import(codeset: &str, every: Option<SignedDuration>) -> CodesetImport {
    CodesetImport {
        project: name("shop"),
        name: name(codeset),
        url: "https://git.example/team/app.git".parse().expect("url"),
        branches: vec!["main".to_owned()],
        every,
        user: None,
        by: "ada".to_owned(),
        created: Timestamp::UNIX_EPOCH,
        last: None,
    }
}

fn sealed(key: &str) -> SealedSecret {
    let (instance, name) = ("shop".to_owned(), "import/app".to_owned());
    SealedSecret { instance, name, key: key.to_owned(), nonce: vec![1, 2], ciphertext: vec![255, 0] }
}

/// A version of a model that the instance `tool` has.
fn model(id: &str) -> Descriptor {
    let stored = StoredArtifact {
        id: id.to_owned(),
        kind: "model".to_owned(),
        name: "wine".to_owned(),
        version: "1".to_owned(),
        digest: None,
        created: 0,
        attributes: Attributes::new(),
        metrics: Default::default(),
        labels: Attributes::new(),
        tags: Vec::new(),
        parents: Vec::new(),
    };
    stored.describe(&name("shop"), &name("tool")).expect("artifact")
}

async fn an_import_is_due_when_it_says_so_and_a_change_of_it_counts_more_than_a_look(stand: Stand) {
    let catalog = catalog(&stand).await;
    let hourly = import("app", Some(SignedDuration::from_hours(1)));
    // Numbers and secrets that are there, and that are not, in turn: databases remember types of statements.
    catalog.put_import(&hourly, Some(&sealed("one"))).await.expect("put");
    catalog.put_import(&import("asked", None), None).await.expect("put");
    catalog.put_import(&import("open", Some(SignedDuration::from_hours(1))), None).await.expect("put");
    let due = |at: Timestamp| {
        let catalog = catalog.clone();
        async move {
            catalog
                .due_imports(at, 10)
                .await
                .expect("due")
                .into_iter()
                .map(|(_, name)| name.to_string())
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(due(Timestamp::UNIX_EPOCH).await, ["app", "open"]);

    let at = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(5);
    let last = Some(ImportOutcome { at, registered: 2, error: None, failures: 0 });
    let looked = CodesetImport { last, ..hourly.clone() };
    catalog.end_look(&hourly, &looked, Timestamp::now()).await.expect("end");
    assert_eq!(due(at).await, ["open"]);
    let (found, secret) = catalog.import(&name("shop"), &name("app")).await.expect("read").expect("import");
    assert!(found == looked && secret == Some(sealed("one")));

    // Somebody says otherwise while a look is under way.
    catalog.put_import(&import("app", None), None).await.expect("put");
    catalog.end_look(&looked, &hourly, Timestamp::now()).await.expect("end");
    assert_eq!(catalog.import(&name("shop"), &name("app")).await.expect("read").expect("import").0.every, None);

    // Somebody asks for another look while one is under way: that is kept, and one that failed is not forgotten.
    let asked = import("asked", None);
    let began = Timestamp::now();
    catalog.look_now(&name("shop"), &name("asked")).await.expect("asked");
    let looked = CodesetImport { last: looked.last, ..asked.clone() };
    catalog.end_look(&asked, &looked, began).await.expect("end");
    assert!(due(Timestamp::now()).await.contains(&"asked".to_owned()));
    std::thread::sleep(std::time::Duration::from_millis(5));
    catalog.end_look(&looked, &asked, Timestamp::now()).await.expect("end");
    assert!(!due(Timestamp::MAX).await.contains(&"asked".to_owned()));
    catalog.look_again(&name("shop"), &name("asked"), Timestamp::now()).await.expect("again");
    assert!(due(Timestamp::now()).await.contains(&"asked".to_owned()));

    catalog.put_import(&hourly, Some(&sealed("one"))).await.expect("put");
    assert_eq!(catalog.reseal_secrets(|_| Ok(sealed("two"))).await.expect("resealed"), 1);
    let (_, secret) = catalog.import(&name("shop"), &name("app")).await.expect("read").expect("import");
    assert!(secret == Some(sealed("two")));
    catalog.remove_import(&name("shop"), &name("app")).await.expect("removed");
    assert_eq!(catalog.remove_import(&name("shop"), &name("app")).await.expect_err("gone").code, "unknown-import");
}

async fn an_artifact_of_a_tool_is_known_by_the_tools_own_id_and_its_files_are_recorded_once(stand: Stand) {
    let catalog = catalog(&stand).await;
    catalog.register(&[model("wine/1"), model("wine/2")]).await.expect("registered");
    let tool = name("tool");
    let found = catalog.stored(&tool, "wine/2").await.expect("read").expect("artifact");
    assert_eq!(found.address, model("wine/2").address);
    assert_eq!(catalog.stored(&name("other"), "wine/2").await.expect("read"), None);
    assert_eq!(catalog.stored_ids(&tool, "wine/1", 10).await.expect("ids"), ["wine/2"]);
    assert_eq!(catalog.stored_count(&tool).await.expect("count"), 2);

    let (first, second) = (Digest::of(b"first"), Digest::of(b"second"));
    let read = Attributes::from([("format".to_owned(), "onnx".to_owned()), ("version".to_owned(), "9".to_owned())]);
    let recorded = catalog.record_contents(&found.address, &first, &read).await.expect("recorded");
    assert_eq!((recorded.attributes["format"].as_str(), recorded.attributes["version"].as_str()), ("onnx", "1"));
    let again = catalog.record_contents(&found.address, &second, &read).await.expect("recorded");
    assert_eq!(again.digest, Some(first.clone()));
    let history = catalog.history(&found.address, 10).await.expect("history");
    let changes: Vec<_> = history.into_iter().filter_map(|entry| Some(entry.change?.what)).collect();
    assert_eq!(changes, [Changed::Recorded { digest: first }]);
}

async fn what_was_known_before_comes_back_and_starts_nothing(stand: Stand) {
    let catalog = catalog(&stand).await;
    assert_eq!(catalog.restore(&[model("wine/1")]).await.expect("restored"), 1);
    assert_eq!(catalog.restore(&[model("wine/1")]).await.expect("restored"), 0);
    assert!(catalog.pending_events(10).await.expect("events").is_empty());
    catalog.register(&[model("wine/2")]).await.expect("registered");
    assert_eq!(catalog.pending_events(10).await.expect("events").len(), 1);
}

async fn how_a_store_is_followed_needs_its_instance(stand: Stand) {
    let catalog = catalog(&stand).await;
    let look = StoreLook::new(Timestamp::UNIX_EPOCH);
    let sync = StoreSync { instance: name("tool"), project: name("shop"), every: None, cursor: None, last: look };
    catalog.put_store_sync(&sync).await.expect_err("there is no such instance");
    assert_eq!(catalog.store_sync(&name("tool")).await.expect("read"), None);
    assert!(catalog.store_syncs().await.expect("read").is_empty());
}

on_each_database!(
    an_import_is_due_when_it_says_so_and_a_change_of_it_counts_more_than_a_look,
    an_artifact_of_a_tool_is_known_by_the_tools_own_id_and_its_files_are_recorded_once,
    what_was_known_before_comes_back_and_starts_nothing,
    how_a_store_is_followed_needs_its_instance,
);
