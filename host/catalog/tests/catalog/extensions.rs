//! Extensions come in, change version and go, whole or not at all.

use fuseml_catalog::{CallFilter, CallRecord, Catalog, InstalledVersion, RefusalRecord, SealedSecret};
use fuseml_database::{on_each_database, testing::Stand};
use fuseml_domain::{Attributes, Capability, Digest, Grants, Instance, Manifest, Name, Scope, Template};
use jiff::Timestamp;
use std::collections::BTreeMap;

const TEMPLATE: &str = "schema_version: 1
name: train
description: d
inputs:
  code: {kind: codeset}
steps:
  build: {build: tool, codeset: '${inputs.code}'}
";

fn name(text: &str) -> Name {
    text.parse().expect("name")
}

async fn catalog(stand: &Stand) -> Catalog {
    let catalog = Catalog::open(&stand.place).await.expect("catalog");
    catalog.create_project(&name("shop")).await.expect("project");
    catalog
}

fn version(extension: &str, number: &str, extra: &str, templates: &[&str]) -> InstalledVersion {
    let manifest = Manifest::parse(&format!(
        "schema_version = 1\nname = \"{extension}\"\nversion = \"{number}\"\ntitle = \"T\"\ndescription = \"d\"\nlicense = \"MIT\"\n{extra}"
    ));
    InstalledVersion {
        manifest: manifest.expect("manifest"),
        components: BTreeMap::from([(name("store"), Digest::of(number.as_bytes()))]),
        templates: templates.iter().map(|text| Template::parse(text, "t.yaml").expect("template")).collect(),
        installed: Timestamp::UNIX_EPOCH,
        origin: None,
        revoked: None,
    }
}

fn instance(text: &str, extension: &str) -> Instance {
    Instance {
        name: name(text),
        extension: name(extension),
        settings: Attributes::new(),
        grants: Grants::default(),
        scope: Scope::Global,
        zone: None,
        budget: Default::default(),
        record: false,
        enabled: true,
    }
}

async fn two_extensions_cannot_bring_one_template(stand: Stand) {
    let catalog = catalog(&stand).await;
    let install = async |extension: &str| {
        catalog.install_extension(&version(extension, "0.1.0", "", &[TEMPLATE]), &instance(extension, extension)).await
    };

    install("one").await.expect("first");

    assert_eq!(install("one").await.expect_err("again").code, "installed");
    assert_eq!(install("two").await.expect_err("taken").code, "template-exists");
    assert!(catalog.instance(&name("two")).await.is_err(), "nothing of a refused extension stays");
    assert!(catalog.extension(&name("two")).await.is_err());
}

async fn another_version_takes_over_with_its_templates_and_grants(stand: Stand) {
    let catalog = catalog(&stand).await;
    let (old, new) = (version("tool", "0.1.0", "", &[]), version("tool", "0.2.0", "", &[TEMPLATE]));
    catalog.install_extension(&old, &instance("tool", "tool")).await.expect("install");
    let mut extension = catalog.extension(&name("tool")).await.expect("extension");
    extension.previous = Some(extension.active.clone());
    extension.active = new.digest().expect("digest");

    let granted: Grants = serde_json::from_str(r#"[{"component": "store", "capability": "state"}]"#).expect("grants");
    let grants = BTreeMap::from([(name("tool"), granted.clone())]);
    catalog.activate(&extension, &new, &grants).await.expect("activate");

    let active = catalog.active_versions().await.expect("versions");
    assert_eq!(active, [new]);
    assert_eq!(catalog.templates().await.expect("templates").len(), 1);
    assert_eq!(catalog.instance(&name("tool")).await.expect("instance").grants, granted);
    let before = catalog.version(&name("tool"), extension.previous.as_ref().expect("previous")).await;
    assert_eq!(before.expect("kept"), old);
}

async fn what_something_depends_on_stays(stand: Stand) {
    let catalog = catalog(&stand).await;
    catalog
        .install_extension(&version("tool", "0.1.0", "", &[TEMPLATE]), &instance("tool", "tool"))
        .await
        .expect("tool");
    let needs_tool = version("addon", "0.1.0", "[dependencies]\ntool = \"^0.1\"", &[]);
    catalog.install_extension(&needs_tool, &instance("addon", "addon")).await.expect("addon");
    let (provider, template) = catalog.template("train").await.expect("template");
    assert_eq!(provider.to_string(), "tool 0.1.0");
    let inputs = BTreeMap::from([("code".to_owned(), "code://*".to_owned())]);
    let pipeline = fuseml_domain::Pipeline::new(
        name("shop"),
        name("training"),
        template,
        &inputs,
        BTreeMap::new(),
        Timestamp::now(),
    );
    catalog.add_pipeline(&pipeline.expect("pipeline")).await.expect("add");

    let refused = catalog.remove_extension(&name("tool")).await.expect_err("in use");
    assert_eq!(refused.code, "in-use");
    assert!(refused.message.contains("the extension addon"), "{refused}");
    assert!(refused.message.contains("the pipeline training of the project shop"), "{refused}");
    assert!(catalog.remove_instance(&name("tool")).await.is_err());

    catalog.remove_pipeline(&name("shop"), &name("training")).await.expect("remove");
    catalog.remove_extension(&name("addon")).await.expect("nothing needs it");
    catalog.remove_extension(&name("tool")).await.expect("nothing needs it any more");
    assert!(catalog.instances().await.expect("instances").is_empty());
    assert!(catalog.templates().await.expect("templates").is_empty());
}

async fn secrets_go_with_their_instance_and_are_resealed_together(stand: Stand) {
    let catalog = catalog(&stand).await;
    catalog.install_extension(&version("tool", "0.1.0", "", &[]), &instance("tool", "tool")).await.expect("install");
    let sealed = |name: &str| SealedSecret {
        instance: "tool".to_owned(),
        name: name.to_owned(),
        key: "old".to_owned(),
        nonce: vec![1],
        ciphertext: vec![2],
    };
    catalog.put_secret(&sealed("a")).await.expect("put");
    catalog.put_secret(&sealed("b")).await.expect("put");

    let half = catalog.reseal_secrets(|secret| match secret.name.as_str() {
        "a" => Ok(SealedSecret { key: "new".to_owned(), ..secret.clone() }),
        _ => Err(fuseml_domain::Error::internal("sealed", "damaged")),
    });
    assert!(half.await.is_err());
    assert_eq!(catalog.secret(&name("tool"), "a").await.expect("secret").expect("there").key, "old");

    assert_eq!(catalog.secret_names(&name("tool")).await.expect("names"), ["a", "b"]);
    catalog.remove_extension(&name("tool")).await.expect("remove");
    assert!(catalog.secret(&name("tool"), "a").await.expect("secret").is_none());
}

async fn receipts_are_found_by_instance_by_subject_and_by_refusal(stand: Stand) {
    let catalog = catalog(&stand).await;
    let call = |id: &str, instance: &str, subject: Option<&str>, refused: bool| CallRecord {
        id: id.to_owned(),
        instance: name(instance),
        extension: "tool".to_owned(),
        version: "0.1.0".to_owned(),
        component: name("store"),
        digest: "sha256:00".to_owned(),
        function: "health".to_owned(),
        subject: subject.map(ToOwned::to_owned),
        started: Timestamp::now(),
        wall_us: 1,
        cpu_us: 1,
        memory_bytes: 1,
        requests: 0,
        bytes_sent: 0,
        bytes_received: 0,
        hosts: Vec::new(),
        secrets: Vec::new(),
        refusals: refused
            .then(|| RefusalRecord { capability: Some(Capability::Http), what: "https://telemetry.example".to_owned() })
            .into_iter()
            .collect(),
        outcome: "answered".to_owned(),
        recorded: false,
    };
    let calls = [
        (call("0a1", "one", Some("model://shop/m/1"), false), None),
        (call("0a2", "one", None, true), Some("{}".to_owned())),
        (call("0b1", "two", None, true), None),
        (call("0b2", "two", None, true), None),
    ];
    catalog.record(&calls, &[]).await.expect("record");

    let ids = async |filter: CallFilter| {
        let calls = catalog.calls(&filter).await.expect("calls");
        calls.into_iter().map(|call| call.id).collect::<Vec<_>>()
    };
    let all = || CallFilter { limit: 10, ..CallFilter::default() };
    assert_eq!(ids(all()).await, ["0b2", "0b1", "0a2", "0a1"]);
    assert_eq!(ids(CallFilter { instance: Some(name("one")), ..all() }).await, ["0a2", "0a1"]);
    assert_eq!(ids(CallFilter { subject: Some("model://shop/m/1".to_owned()), ..all() }).await, ["0a1"]);
    assert_eq!(ids(CallFilter { only_refused: true, limit: 2, ..all() }).await, ["0b2", "0b1"]);
    assert_eq!(catalog.call("0a2").await.expect("call").1.as_deref(), Some("{}"));
    assert_eq!(catalog.call("0a").await.expect_err("two").code, "ambiguous");
    assert_eq!(catalog.call("%").await.expect_err("none").code, "unknown-call");
    let refused = catalog.refusals(&name("two"), Timestamp::UNIX_EPOCH).await.expect("refusals");
    assert_eq!((refused.len(), refused[0].count), (1, 2));
}

on_each_database! {
    two_extensions_cannot_bring_one_template,
    another_version_takes_over_with_its_templates_and_grants,
    what_something_depends_on_stays,
    secrets_go_with_their_instance_and_are_resealed_together,
    receipts_are_found_by_instance_by_subject_and_by_refusal,
}
