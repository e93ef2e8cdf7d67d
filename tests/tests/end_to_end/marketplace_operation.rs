//! A marketplace as its operator keeps it.

use fuseml_tests::{Marketplace, Terminal, World, postgres, postgres_program, until, variant};
use reqwest::Method;
use std::{fs, os::unix::fs::PermissionsExt as _};

const NEXT: (&str, &str) = ("\nversion = \"0.1.0\"", "\nversion = \"0.1.1\"");

#[test]
fn what_a_backup_holds_is_brought_back_and_clients_believe_it_again() {
    let world = World::new();
    let market = Marketplace::start(&world, "market");
    market.publisher(&world, "ada", "acme");
    let (first, next) = (variant(&world, "first", &[]), variant(&world, "next", &[NEXT]));
    world.fuseml(&["extension", "publish", &first, "--namespace", "acme"]).good();
    world.fuseml(&["marketplace", "add", "hub", &market.url]).good();
    world.fuseml(&["extension", "install", "acme/mlflow", "--grant", "all"]).good();
    let place = |name: &str| world.folder.path().join(name).display().to_string();
    let mut terminal = Terminal { world: &world, said: String::new() };

    // While it serves; then something is published that the archive does not know.
    terminal.types(0, &format!("marketplace backup {} --folder {}", place("backup.tar"), place("market")));
    world.fuseml(&["extension", "publish", &next, "--namespace", "acme"]).good();
    world.fuseml(&["extension", "outdated"]).good();
    terminal.types(5, &format!("marketplace restore {} --folder {}", place("backup.tar"), place("market")));
    terminal.types(0, &format!("marketplace restore {} --folder {}", place("backup.tar"), place("restored")));
    let market = Marketplace::start_instead(&world, "restored", market);

    terminal.types(0, "extension audit");
    terminal.types(3, "extension install hub:acme/mlflow@0.1.1");
    terminal.types(0, &format!("extension publish {next} --namespace acme"));
    terminal.types(0, "extension upgrade mlflow acme/mlflow");
    insta::assert_snapshot!(terminal.steady());
    let mode = fs::metadata(place("backup.tar")).expect("archive").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // As it should be: the root key is kept elsewhere.
    fs::remove_file(place("restored/keys/root.pem")).expect("root key");
    world.fuseml(&["marketplace", "backup", &place("second.tar"), "--folder", &place("restored")]).good();
    let said = world.fuseml(&["marketplace", "restore", &place("second.tar"), "--folder", &place("again")]).good();
    assert!(said.stderr().contains("rotate-key"), "{}", said.stderr());
    drop(market);
}

#[test]
fn what_a_revoked_version_touched_is_named_and_what_it_would_start_is_frozen() {
    let world = World::new();
    let market = Marketplace::start(&world, "market");
    market.publisher(&world, "ada", "acme");
    world.fuseml(&["extension", "publish", &variant(&world, "first", &[]), "--namespace", "acme"]).good();
    world.fuseml(&["marketplace", "add", "hub", &market.url]).good();
    world.fuseml(&["extension", "install", "acme/mlflow", "--grant", "all"]).good();
    for words in [
        "project create myproj",
        "project set myproj",
        "pipeline add mlflow-training --name train --input mlflow_code=code://*",
    ] {
        world.fuseml(&words.split(' ').collect::<Vec<_>>()).good();
    }
    let code = world.example();
    world.fuseml(&["codeset", "push", &code.display().to_string(), "--name", "wine", "--wait"]).good();
    let touched = |path: &str| {
        let text = fs::read_to_string(code.join("train.py")).expect("code") + path;
        fs::write(code.join("train.py"), text).expect("code");
        world.fuseml(&["codeset", "push", &code.display().to_string(), "--name", "wine"]).good();
    };
    let runs = || world.json(&["run", "list"]).as_array().expect("runs").len();
    let mut terminal = Terminal { world: &world, said: String::new() };

    world.fuseml(&["extension", "revoke", "acme/mlflow@0.1.0", "--reason", "It leaks."]).good();
    terminal.types(5, "extension audit");
    terminal.types(0, "pipeline list");
    touched("\n# changed while it is frozen\n");
    terminal.types(5, "run start train");
    assert_eq!(runs(), 1);
    world.fuseml(&["extension", "restore", "acme/mlflow@0.1.0", "--reason", "It does not."]).good();
    terminal.types(0, "extension audit");
    terminal.types(0, "pipeline list");
    terminal.types(0, "pipeline freeze train --reason holidays");
    terminal.types(0, "pipeline list");
    terminal.types(0, "pipeline thaw train");
    touched("\n# changed afterwards\n");

    until("the next push starts a run", || runs() == 2);
    insta::assert_snapshot!(terminal.steady());
}

#[test]
fn only_an_operator_collects_what_nothing_names() {
    let world = World::without_server();
    let market = Marketplace::start(&world, "market");
    let ada = market.account(&world, "ada", false);
    let operator = market.account(&world, "operator", true);

    assert_eq!(market.http(Method::POST, "/api/v1/collect", Some(&ada), None).0, 403);

    market.login(&world, &operator);
    assert_eq!(world.json(&["marketplace", "collect"])["blobs"], 0);
}

/// What a publisher and an admin do, on a marketplace with another database: all of it, but for what is shown.
#[test]
fn a_marketplace_on_postgresql_serves_as_one_on_a_file_and_survives_being_killed_and_brought_back() {
    let (world, database) = (World::new(), postgres());
    let market = Marketplace::start_on(&world, "market", &database);
    let token = market.publisher(&world, "ada", "acme");
    let (first, next) = (variant(&world, "first", &[]), variant(&world, "next", &[NEXT]));
    let publish = |folder: &str| world.fuseml(&["extension", "publish", folder, "--namespace", "acme"]);
    publish(&first).good();
    assert!(publish(&first).bad(5).stderr().contains("versions never change"));
    world.fuseml(&["marketplace", "add", "hub", &market.url]).good();
    world.fuseml(&["extension", "install", "acme/mlflow", "--grant", "all"]).good();
    let place = |name: &str| world.folder.path().join(name).display().to_string();
    let kept = ["--folder", &place("market"), "--database", &database];
    postgres_program("pg_dump", &["--format=custom", "--file", &place("dump"), &database]);
    let said = world.fuseml(&[&["marketplace", "backup", &place("backup.tar")], &kept[..]].concat()).good();
    assert!(said.stderr().contains("pg_dump") && !said.stderr().contains("postgres@"), "{}", said.stderr());

    // Killed, and started again with everything that it acknowledged.
    let market = Marketplace::start_instead(&world, "market", market);
    publish(&next).good();
    assert_eq!(world.json(&["extension", "outdated"])[0]["newest"], "0.1.1");
    for words in ["registry", "mlfl", "models regist"] {
        let found = world.json(&["extension", "search", words, "--marketplace", &market.url]);
        assert_eq!(found["extensions"][0]["version"], "0.1.1", "{words}");
    }
    let advise = ["--affected", "<0.1.1", "--severity", "low", "--title", "It says too much.", "--fixed", "0.1.1"];
    world.fuseml(&[&["extension", "advise", "acme/mlflow", "--id", "ACME-1"], &advise[..]].concat()).good();
    let audit = world.fuseml(&["extension", "audit", "-o", "json"]).bad(5).stdout();
    assert!(audit.contains("\"state\": \"vulnerable\""), "{audit}");
    let change = |what: &str, version: &str| {
        world.fuseml(&["extension", what, &format!("acme/mlflow@{version}"), "--reason", "It is so."]).good();
    };
    change("yank", "0.1.1");
    assert!(world.json(&["extension", "outdated"]).as_array().expect("list").is_empty());
    change("restore", "0.1.1");
    change("revoke", "0.1.0");
    world.fuseml(&["extension", "audit"]).bad(5);
    let operator = market.account(&world, "operator", true);
    let (status, said) = market.http(Method::GET, "/api/v1/tokens", Some(&token), None);
    assert_eq!(status, 200, "{said}");
    let (status, said) = market.http(Method::POST, "/api/v1/collect", Some(&operator), None);
    assert_eq!(status, 200, "{said}");
    for page in ["/", "/extensions/acme/mlflow", "/namespaces/acme", "/feed.atom"] {
        assert_eq!(market.http(Method::GET, page, None, None).0, 200, "{page}");
    }

    let again = postgres();
    postgres_program("pg_restore", &["--dbname", &again, &place("dump")]);
    let restore = ["marketplace", "restore", &place("backup.tar"), "--folder", &place("restored")];
    assert!(world.fuseml(&restore).bad(2).stderr().contains("--database"));
    world.fuseml(&[&restore[..], &["--database", &again]].concat()).good();
    let port = market.port();
    drop(market);
    let _market = Marketplace::start_at(&world, "restored", port, &again);
    assert_eq!(world.json(&["extension", "audit"])[0]["state"], "ok");
}
