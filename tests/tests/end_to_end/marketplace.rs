//! A marketplace from both sides: publishers who own names, admins who find, verify and trust; and those who try to
//! deceive them.

use fuseml_tests::{Marketplace, Terminal, World, tool, until, variant};
use reqwest::Method;
use serde_json::{Value, json};
use std::{fs, net::TcpListener, process::Command};

const NEXT: (&str, &str) = ("\nversion = \"0.1.0\"", "\nversion = \"0.1.1\"");

/// For what is shown: its path is the world's own.
fn first(world: &World) -> String {
    variant(world, "first", &[])
}

fn built() -> String {
    std::env::var("FUSEML_TEST_EXTENSION").expect("cargo xtask test")
}

#[test]
fn what_a_publisher_signs_an_admin_finds_installs_upgrades_and_loses_when_it_is_revoked() {
    let world = World::new();
    let market = Marketplace::start(&world, "market");
    market.publisher(&world, "ada", "acme");
    let (first, next) = (first(&world), variant(&world, "next", &[NEXT]));
    let mut terminal = Terminal { world: &world, said: String::new() };

    terminal.types(0, &format!("extension publish {first} --namespace acme"));
    terminal.types(0, &format!("marketplace add hub {}", market.url));
    terminal.types(0, "extension search registry --kind model --without internet");
    terminal.types(0, "extension info acme/mlflow@0.1.0");
    terminal.types(0, "extension install acme/mlflow@^0.1 --grant all");
    terminal.types(0, "extension audit");
    terminal.types(0, &format!("extension publish {next} --namespace acme"));
    terminal.types(0, "extension outdated");
    terminal.types(0, "extension upgrade mlflow acme/mlflow");
    terminal.says(0, &["extension", "yank", "acme/mlflow@0.1.1", "--reason", "It logs too much."]);
    terminal.types(0, "extension audit");
    terminal.says(0, &["extension", "revoke", "acme/mlflow@0.1.1", "--reason", "It reads what it should not."]);
    terminal.types(5, "extension audit");
    terminal.types(0, "extension show mlflow");
    terminal.types(4, "extension upgrade mlflow acme/mlflow@0.1.1");
    terminal.says(0, &["extension", "restore", "acme/mlflow@0.1.1", "--reason", "It was a false alarm."]);
    terminal.types(0, "extension audit");
    terminal.says(0, &["extension", "revoke", "acme/mlflow@0.1.0", "--reason", "It is too old."]);
    terminal.types(0, "extension audit");
    terminal.types(4, "extension rollback mlflow");
    terminal.types(0, "extension list");

    insta::assert_snapshot!(terminal.steady());
}

#[test]
fn a_known_vulnerability_is_said_to_whoever_has_it_or_is_about_to() {
    let world = World::new();
    let market = Marketplace::start(&world, "market");
    market.publisher(&world, "ada", "acme");
    let (first, next) = (first(&world), variant(&world, "next", &[NEXT]));
    world.fuseml(&["extension", "publish", &first, "--namespace", "acme"]).good();
    world.fuseml(&["marketplace", "add", "hub", &market.url]).good();
    world.fuseml(&["extension", "install", "acme/mlflow", "--grant", "all"]).good();
    let mut terminal = Terminal { world: &world, said: String::new() };
    let advise = |more: &[&'static str]| {
        let words = ["extension", "advise", "acme/mlflow", "--id", "ACME-2026-1", "--affected", "<0.1.1"];
        [&words[..], &["--severity", "high", "--title", "It sends names of models in clear text."], more].concat()
    };

    terminal.says(2, &advise(&["--fixed", "0.1.0"]));
    terminal.says(0, &advise(&["--fixed", "0.1.1"]));
    terminal.types(5, "extension audit");
    terminal.types(0, "extension info acme/mlflow@0.1.0");
    terminal.types(0, &format!("extension publish {next} --namespace acme"));
    terminal.types(0, "extension upgrade mlflow acme/mlflow");
    terminal.types(0, "extension audit");
    terminal.types(0, "extension rollback mlflow");
    terminal.types(5, "extension audit");
    terminal.types(0, "extension advise acme/mlflow --id ACME-2026-1 --withdraw");
    terminal.types(0, "extension audit");

    insta::assert_snapshot!(terminal.steady());
    let (_, page) = market.http(Method::GET, "/extensions/acme/mlflow/0.1.0", None, None);
    assert!(!page.contains("Vulnerable"), "{page}");
    let eve = market.account(&world, "eve", false);
    let said = json!({"affected": "*", "severity": "low", "title": "A rumour."});
    let at = "/api/v1/extensions/acme/mlflow/advisories/EVE-1";
    assert_eq!(market.http(Method::PUT, at, Some(&eve), Some(said)).0, 403);
}

#[test]
fn a_deprecated_extension_goes_on_working_is_found_last_and_says_what_to_use_instead() {
    let world = World::new();
    let market = Marketplace::start(&world, "market");
    market.publisher(&world, "ada", "acme");
    world.fuseml(&["extension", "publish", &first(&world), "--namespace", "acme"]).good();
    let other = variant(&world, "other", &[("name = \"mlflow\"", "name = \"tracker\"")]);
    world.fuseml(&["extension", "publish", &other, "--namespace", "acme"]).good();
    world.fuseml(&["marketplace", "add", "hub", &market.url]).good();
    world.fuseml(&["extension", "install", "acme/mlflow", "--grant", "all"]).good();
    let found = |words: &str| {
        let found = world.json(&["extension", "search", words, "--marketplace", &market.url]);
        let names = found["extensions"].as_array().expect("list").iter();
        names.map(|it| it["name"].as_str().expect("name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found("registry").last().map(String::as_str), Some("tracker"));
    let mut terminal = Terminal { world: &world, said: String::new() };

    let words = ["extension", "deprecate", "acme/mlflow", "--reason", "It has a successor."];
    terminal.says(2, &[&words[..], &["--instead", "tracker"]].concat());
    terminal.says(0, &[&words[..], &["--instead", "acme/tracker"]].concat());
    terminal.types(0, "extension audit");
    terminal.types(0, "extension info acme/mlflow");
    for words in ["registry", ""] {
        assert_eq!(found(words), ["tracker", "mlflow"], "`{words}`");
    }
    let (_, page) = market.http(Method::GET, "/extensions/acme/mlflow", None, None);
    assert!(page.contains("Deprecated: It has a successor; use acme/tracker instead"), "{page}");
    let eve = market.account(&world, "eve", false);
    let at = "/api/v1/extensions/acme/mlflow/deprecation";
    assert_eq!(market.http(Method::DELETE, at, Some(&eve), None).0, 403);
    terminal.types(0, "extension deprecate acme/mlflow --undo");
    terminal.types(0, "extension audit");

    insta::assert_snapshot!(terminal.steady());
}

#[test]
fn what_would_embarrass_or_endanger_is_not_published() {
    let world = World::new();
    let market = Marketplace::start(&world, "market");
    let operator = market.account(&world, "operator", true);
    market.publisher(&world, "ada", "acme");
    let mut terminal = Terminal { world: &world, said: String::new() };
    let first = first(&world);
    let secret = variant(&world, "secret", &[]);
    fs::write(format!("{secret}/templates/key.txt"), "-----BEGIN PRIVATE KEY-----\n").expect("file");
    let bare = variant(&world, "bare", &[]);
    fs::remove_file(format!("{bare}/README.md")).expect("file");
    let asks_more = variant(
        &world,
        "asks-more",
        &[("\nversion = \"0.1.0\"", "\nversion = \"0.1.1\""), ("kinds = [\"model\"]", "kinds = [\"dataset\"]")],
    );
    let alike = variant(&world, "alike", &[("name = \"mlflow\"", "name = \"mlfl0w\"")]);

    terminal.types(2, &format!("extension publish {secret} --namespace acme"));
    terminal.types(2, &format!("extension publish {bare} --namespace acme"));
    terminal.types(0, &format!("extension publish {first} --namespace acme"));
    terminal.types(5, &format!("extension publish {first} --namespace acme"));
    terminal.types(2, &format!("extension publish {asks_more} --namespace acme"));
    for name in ["mlflow", "mlfl0w", "tenserflow", "acne"] {
        let code = if name == "acne" { 0 } else { 4 };
        terminal.types(code, &format!("marketplace namespace add {name}"));
    }
    terminal.types(5, "marketplace namespace add a-cme");
    terminal.types(2, "marketplace namespace add \u{430}cme");
    market.publisher(&world, "eve", "evil");
    terminal.types(3, &format!("extension publish {first} --namespace acne"));
    terminal.types(5, &format!("extension publish {alike} --namespace evil"));
    terminal.types(4, &format!("extension publish {first} --namespace acme"));

    insta::assert_snapshot!(terminal.steady());
    let folder = world.folder.path().join("market").display().to_string();
    let refused = world.fuseml(&["marketplace", "rotate-key", "--folder", &folder]).bad(5);
    assert!(refused.stderr().contains("stop it first"), "{}", refused.stderr());
    let (status, said) = market.http(Method::POST, "/api/v1/accounts", None, Some(json!({"name": "x"})));
    assert_eq!(status, 401, "{said}");
    let (status, said) = market.http(Method::POST, "/api/v1/accounts", Some(&operator), Some(json!({"name": "zoe"})));
    assert_eq!(status, 200, "{said}");
}

#[test]
fn an_upload_reaches_nobody_while_it_is_checked() {
    let world = World::new();
    let market = Marketplace::start(&world, "market");
    market.publisher(&world, "eve", "evil");
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    listener.set_nonblocking(true).expect("listener");
    let inside = format!("http://{}", listener.local_addr().expect("address"));
    let setting = "required = false\n";
    let nosy = variant(&world, "nosy", &[(setting, &format!("{setting}default = \"{inside}\"\n"))]);
    fs::write(format!("{nosy}/check.toml"), format!("[settings]\nendpoint = \"{inside}\"\n")).expect("samples");

    world.fuseml(&["extension", "publish", &nosy, "--namespace", "evil"]).good();

    let reached = listener.accept().expect_err("nobody");
    assert_eq!(reached.kind(), std::io::ErrorKind::WouldBlock);
    let (_, view) = market.http(Method::GET, "/api/v1/extensions/evil/mlflow/versions/0.1.0", None, None);
    assert!(view.contains("nothing may be reached in this check"), "{view}");
    // The same package, trusted, does ask: the listener would have noticed.
    let _check = world.spawn(&["extension", "check", &nosy], &world.folder.path().join("check.log"));
    until("the listener is asked", || listener.accept().is_ok());
}

#[test]
fn a_token_does_what_it_is_for_and_nothing_after_its_end() {
    let world = World::new();
    let market = Marketplace::start(&world, "market");
    let ada = market.publisher(&world, "ada", "acme");
    world.fuseml(&["marketplace", "namespace", "add", "other"]).good();
    let scoped = |place: &str| {
        world.json(&["marketplace", "token", "add", "ci", "--publish", place])["token"]
            .as_str()
            .expect("token")
            .to_owned()
    };
    let (narrow, other) = (scoped("acme/tool"), scoped("other"));
    let begin = |token: Option<&str>, place: &str| {
        market.http(Method::POST, &format!("/v2/{place}/blobs/uploads/"), token, None).0
    };

    for (token, place, expected) in [
        (Some(ada.as_str()), "acme/tool", 202),
        (Some(&narrow), "acme/tool", 202),
        (Some(&narrow), "acme/mlflow", 403),
        (Some(&other), "acme/tool", 403),
        (Some("fmk_stolen"), "acme/tool", 401),
        (None, "acme/tool", 401),
        (Some(&ada), "tool", 403),
    ] {
        assert_eq!(begin(token, place), expected, "{place}");
    }
    let (status, said) = market.http(Method::GET, "/api/v1/tokens", Some(&narrow), None);
    assert_eq!(status, 403, "{said}");
    let listed = world.json(&["marketplace", "token", "list"]);
    for token in listed.as_array().expect("tokens").iter().filter(|token| token["label"] == "ci") {
        assert!(token.get("token").is_none(), "{token}");
        world.fuseml(&["marketplace", "token", "remove", token["id"].as_str().expect("id")]).good();
    }
    assert_eq!(begin(Some(&narrow), "acme/tool"), 401, "a removed token is a stolen one");
}

#[test]
fn a_key_with_a_passphrase_signs_for_who_knows_it_and_opens_elsewhere() {
    let world = World::new();
    let market = Marketplace::start(&world, "market");
    let token = market.account(&world, "ada", false);
    market.login(&world, &token);
    world.fuseml(&["marketplace", "namespace", "add", "acme"]).good();
    let known = [("FUSEML_KEY_PASSPHRASE", "correct horse")];
    world.fuseml_with(&known, &["marketplace", "key", "add", "acme"]).good();
    let publish = ["extension", "publish", &first(&world), "--namespace", "acme"];

    let refused = world.fuseml(&publish).bad(4);
    assert!(refused.stderr().contains("has a passphrase, and none was given"), "{}", refused.stderr());
    world.fuseml_with(&[("FUSEML_KEY_PASSPHRASE", "battery staple")], &publish).bad(4);
    world.fuseml_with(&known, &publish).good();

    let shown = world.fuseml_with(&known, &["marketplace", "key", "show", "acme"]).good().stdout();
    let file = world.folder.path().join("config/fuseml/keys/acme.pem");
    let opened = Command::new(tool("FUSEML_TEST_OPENSSL"))
        .args(["pkey", "-passin", "pass:correct horse", "-pubout", "-in"])
        .arg(file)
        .output()
        .expect("openssl");
    assert_eq!(String::from_utf8_lossy(&opened.stdout), shown, "{}", String::from_utf8_lossy(&opened.stderr));
}

#[test]
fn a_package_signed_by_a_key_that_ended_or_of_somebody_else_is_refused() {
    let world = World::new();
    let market = Marketplace::start(&world, "market");
    market.publisher(&world, "ada", "acme");
    world.fuseml(&["extension", "publish", &built(), "--namespace", "acme"]).good();
    world.fuseml(&["marketplace", "add", "hub", &market.url]).good();
    let view: Value = world.json(&["marketplace", "namespace", "show", "acme"]);
    let pem = view["keys"][0]["key"].as_str().expect("PEM");
    let listed = world.fuseml(&["marketplace", "key", "show", "acme"]).good().stdout();
    assert_eq!(pem.trim().replace("\r\n", "\n"), listed.trim().replace("\r\n", "\n"));
    let id = world.fuseml(&["marketplace", "namespace", "show", "acme"]).good().stdout();
    let id = id.lines().find_map(|line| line.strip_prefix("key")).expect("key").split_whitespace().next().expect("id");
    let next = variant(&world, "next", &[NEXT]);

    // A retired key's signatures stay good, and it signs nothing new.
    world.fuseml(&["marketplace", "key", "retire", "acme", id]).good();
    let refused = world.fuseml(&["extension", "publish", &next, "--namespace", "acme"]).bad(4);
    assert!(refused.stderr().contains("none of the keys"), "{}", refused.stderr());
    world.fuseml(&["extension", "install", "acme/mlflow", "--grant", "all"]).good();
    world.fuseml(&["extension", "audit"]).good();

    // A revoked one's do not: what it signed runs no more, and is not installed any more.
    world.fuseml(&["marketplace", "key", "revoke", "acme", id]).good();
    let audit = world.fuseml(&["extension", "audit"]).bad(5);
    assert!(audit.stderr().contains("no key of its namespace that counts"), "{}", audit.stderr());
    world.fuseml(&["extension", "remove", "mlflow"]).good();
    let refused = world.fuseml(&["extension", "install", "acme/mlflow", "--grant", "all"]).bad(4);
    assert!(refused.stderr().contains("none of the keys"), "{}", refused.stderr());
}

#[test]
fn one_name_in_two_marketplaces_is_never_chosen_by_chance() {
    let mut world = World::new();
    let (one, two) = (Marketplace::start(&world, "one"), Marketplace::start(&world, "two"));
    for (market, extension) in [(&one, built()), (&two, variant(&world, "theirs", &[NEXT]))] {
        market.publisher(&world, "ada", "acme");
        world.fuseml(&["extension", "publish", &extension, "--namespace", "acme"]).good();
    }
    let mut terminal = Terminal { world: &world, said: String::new() };

    terminal.types(3, "extension install acme/mlflow --grant all");
    terminal.types(4, &format!("marketplace add one {} --root-key 00", one.url));
    terminal.types(0, &format!("marketplace add one {}", one.url));
    terminal.types(0, &format!("marketplace add two {} --priority 50", two.url));
    terminal.types(5, "extension install acme/mlflow --grant all");
    terminal.types(0, "extension install one:acme/mlflow --grant all");
    terminal.types(4, "extension upgrade mlflow two:acme/mlflow");
    terminal.types(3, "extension install three:acme/mlflow");
    fs::write(
        world.data().join("trust.toml"),
        "signed_only = true\n[[namespaces]]\nmarketplace = \"one\"\nnamespace = \"acme\"\nkeys = [\"00\"]\n",
    )
    .expect("trust.toml");
    let said = terminal.said;
    world.stop();
    world.start();
    let mut terminal = Terminal { world: &world, said };
    terminal.types(4, "extension upgrade mlflow one:acme/mlflow");
    terminal.types(4, &format!("extension upgrade mlflow {}", variant(&world, "local", &[NEXT])));

    insta::assert_snapshot!(terminal.steady());
}

#[test]
fn a_site_without_a_network_installs_from_one_file_with_the_root_key_alone() {
    let world = World::new();
    let market = Marketplace::start(&world, "market");
    market.publisher(&world, "ada", "acme");
    world.fuseml(&["extension", "publish", &built(), "--namespace", "acme"]).good();
    let file = world.folder.path().join("bundle.tar").display().to_string();
    world.fuseml(&["marketplace", "export", "acme/mlflow@^0.1", "--out", &file]).good();
    let key = market.root_key();
    drop(market);

    let import = |file: &str, arguments: &[&str]| {
        world.fuseml(&[&["marketplace", "import", file, "--name", "hub"], arguments].concat())
    };
    import(&file, &[]).bad(4);
    import(&file, &["--root-key", "00"]).bad(4);
    // One byte of what is signed, and one of what the signed digests name.
    for (name, from, to) in [
        ("signed", "\"namespace\": \"acme\"", "\"namespace\": \"evil\""),
        ("named", "schema_version", "schema_veRsion"),
    ] {
        let changed = world.folder.path().join(name).display().to_string();
        let bytes = fs::read(&file).expect("bundle");
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect("the text");
        let bytes = [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat();
        fs::write(&changed, bytes).expect("bundle");
        let taken = import(&changed, &["--root-key", &key]);
        if name == "named" {
            taken.good();
            let refused = world.fuseml(&["extension", "install", "hub:acme/mlflow", "--grant", "all"]).bad(2);
            assert!(refused.stderr().contains("damaged"), "{}", refused.stderr());
            world.fuseml(&["marketplace", "remove", "hub"]).good();
        } else {
            taken.bad(4);
        }
    }
    import(&file, &["--root-key", &key]).good();
    world.fuseml(&["extension", "install", "acme/mlflow", "--grant", "all"]).good();

    assert_eq!(world.json(&["extension", "audit"])[0]["state"], "ok");
    assert_eq!(world.json(&["extension", "list"])[0]["origin"]["namespace"], "acme");
}

#[test]
fn the_catalogue_says_to_people_what_the_interface_says_to_programs() {
    let world = World::new();
    let market = Marketplace::start(&world, "market");
    market.publisher(&world, "ada", "acme");
    world.fuseml(&["extension", "publish", &built(), "--namespace", "acme"]).good();
    let get = |path: &str| market.http(Method::GET, path, None, None);

    let (_, home) = get("/?q=mlflow&world=&kind=model&without=");
    assert!(home.contains("acme/mlflow") && !home.contains("<script"), "{home}");
    let (_, page) = get("/extensions/acme/mlflow");
    for words in [
        "may call the server in its setting `endpoint` and nothing else",
        "fuseml extension install acme/mlflow@0.1.0",
        "Rules kept",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let (_, feed) = get("/feed.atom");
    assert!(feed.contains("acme/mlflow 0.1.0"), "{feed}");
    for (path, status) in [
        ("/namespaces/acme", 200),
        ("/extensions/acme/mlflow/0.1.0", 200),
        ("/extensions/acme/mlflow/9.9.9", 404),
        ("/extensions/acme/%3Cscript%3E", 422),
        ("/namespaces/nobody", 404),
        ("/metadata/acme/..%2Fkeys", 404),
        ("/api/v1/extensions?page_token=x", 422),
    ] {
        let (found, text) = get(path);
        assert_eq!(found, status, "{path}: {text}");
        assert!(!text.contains("<script"), "{text}");
    }
    // Downloads of one caller count once a day.
    for _ in 0..5 {
        get("/v2/acme/mlflow/manifests/0.1.0");
    }
    let downloads = || {
        let (_, found) = get("/api/v1/extensions");
        let found: Value = serde_json::from_str(&found).expect("JSON");
        found["extensions"][0]["downloads"].as_u64().expect("a number")
    };
    // Nobody waits for a count.
    until("the download is counted", || downloads() > 0);
    assert_eq!(downloads(), 1);
}
