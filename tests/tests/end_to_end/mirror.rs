//! A mirror: what was asked for once stays to be had, and what it says is verified like what the origin says.

use fuseml_tests::{Marketplace, World, variant};
use reqwest::Method;
use std::{fs, path::Path};

const NEXT: (&str, &str) = ("\nversion = \"0.1.0\"", "\nversion = \"0.1.1\"");

/// A marketplace with one extension, its mirror, and a server that knows the mirror alone.
fn mirrored(world: &World) -> (Marketplace, Marketplace) {
    let market = Marketplace::start(world, "market");
    market.publisher(world, "ada", "acme");
    world.fuseml(&["extension", "publish", &variant(world, "first", &[]), "--namespace", "acme"]).good();
    let mirror = market.mirror(world, "mirror");
    world.fuseml(&["marketplace", "add", "hub", &mirror.url, "--root-key", &market.root_key()]).good();
    (market, mirror)
}

fn install(world: &World) {
    world.fuseml(&["extension", "install", "acme/mlflow", "--grant", "all"]).good();
}

/// Removes the extension, and what the server fetched of it.
fn forget(world: &World) {
    world.fuseml(&["extension", "remove", "mlflow"]).good();
    fs::remove_dir_all(world.data().join("packages")).expect("packages");
}

#[test]
fn what_was_asked_for_once_is_installed_while_the_marketplace_is_away() {
    let world = World::new();
    let (market, mirror) = mirrored(&world);
    install(&world);
    forget(&world);
    drop(market);

    install(&world);

    assert_eq!(world.json(&["extension", "audit"])[0]["state"], "ok");
    // What nobody asked for before is not made up.
    let (status, said) = mirror.http(Method::GET, "/api/v1/extensions/acme/other", None, None);
    assert_eq!(status, 503, "{said}");
    assert!(said.contains("does not answer"), "{said}");
    let absent = format!("/v2/acme/mlflow/manifests/sha256:{}", "0".repeat(64));
    assert_eq!(mirror.http(Method::GET, &absent, None, None).0, 502);
}

#[test]
fn news_of_the_marketplace_come_through_its_mirror() {
    let world = World::new();
    let (_market, mirror) = mirrored(&world);
    install(&world);
    world.fuseml(&["extension", "publish", &variant(&world, "next", &[NEXT]), "--namespace", "acme"]).good();
    assert_eq!(world.json(&["extension", "outdated"])[0]["newest"], "0.1.1");

    world.fuseml(&["extension", "revoke", "acme/mlflow@0.1.0", "--reason", "It is too old."]).good();

    world.fuseml(&["extension", "audit"]).bad(5);
    let found = world.json(&["extension", "search", "registry", "--marketplace", &mirror.url]);
    assert_eq!(found["extensions"][0]["version"], "0.1.1");
}

#[test]
fn a_mirror_takes_nothing_and_cannot_lie() {
    let world = World::new();
    let (market, mirror) = mirrored(&world);
    install(&world);
    forget(&world);
    let documents = world.folder.path().join("mirror/documents");

    let (status, said) = mirror.http(Method::POST, "/v2/acme/mlflow/blobs/uploads/", None, None);
    assert_eq!(status, 403, "{said}");
    assert!(said.contains("publish at the marketplace itself"), "{said}");
    let (status, said) = mirror.http(Method::POST, "/api/v1/accounts", None, None);
    assert_eq!((status, said.contains("nothing that this mirror")), (404, true), "{said}");
    let (status, said) = mirror.http(Method::GET, "/api/v1/me", None, None);
    assert_eq!(status, 404, "{said}");

    // While the origin answers, what it signed last decides what is kept.
    let lie = || changed(&documents, "\"status\": \"available\"", "\"status\": \"aaailable\"");
    lie();
    install(&world);
    forget(&world);
    lie();
    drop(market);
    world.fuseml(&["marketplace", "remove", "hub"]).good();
    world.fuseml(&["marketplace", "add", "hub", &mirror.url]).good();
    let refused = world.fuseml(&["extension", "install", "acme/mlflow", "--grant", "all"]).bad(4);
    assert!(refused.stderr().contains("hub"), "{}", refused.stderr());
}

/// Changes all files that hold a text; there is one at least.
fn changed(folder: &Path, from: &str, to: &str) {
    let mut changed = 0;
    for entry in fs::read_dir(folder).expect("folder").flatten() {
        let text = fs::read_to_string(entry.path()).expect("text");
        if text.contains(from) {
            fs::write(entry.path(), text.replace(from, to)).expect("file");
            changed += 1;
        }
    }
    assert!(changed > 0, "nothing holds {from}");
}
