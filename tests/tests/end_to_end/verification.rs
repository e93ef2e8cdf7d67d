//! A namespace proves who it is by what only its owner can put on a website or into a repository.

use fuseml_tests::{Marketplace, Terminal, Website, World};
use reqwest::Method;
use serde_json::json;
use std::{fs, process::Command};

fn git(folder: &std::path::Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=ada", "-c", "user.email=ada@acme.example"]).args(arguments).current_dir(folder);
    assert!(git.output().expect("git").status.success(), "git {arguments:?}");
}

/// The word that a namespace's owner was told, from what is to be done.
fn word(said: &serde_json::Value) -> String {
    let to_do = said["proofs"][0]["to_do"].as_str().expect("to do");
    to_do.trim_end_matches('`').rsplit(' ').next().expect("word").to_owned()
}

#[test]
fn a_namespace_is_verified_by_its_website_or_its_repository_and_looked_at_again_when_it_moves() {
    let world = World::without_server();
    let place = world.folder.path().join("website");
    let website = Website::start(&place);
    let variables = [("SSL_CERT_FILE", website.authority.as_str())];
    let market = Marketplace::start_with(&world, "market", &variables, &["--verify-private"]);
    market.publisher(&world, "ada", "acme");
    let mut terminal = Terminal { world: &world, said: String::new() };

    terminal.types(2, "marketplace namespace verify acme");
    terminal.types(0, &format!("marketplace namespace describe acme --website {}/about", website.url));
    terminal.types(5, "marketplace namespace verify acme");
    let said = world.fuseml(&["marketplace", "namespace", "verify", "acme", "-o", "json"]).bad(5);
    let word = word(&serde_json::from_str(&said.stdout()).expect("JSON"));
    let well_known = place.join("site/.well-known");
    fs::create_dir_all(&well_known).expect("folder");
    fs::write(well_known.join("fuseml-namespace"), format!("other {word}\nacme {word}x\n")).expect("file");
    terminal.types(5, "marketplace namespace verify acme");
    fs::write(well_known.join("fuseml-namespace"), format!("# ours\nacme {word}\n")).expect("file");
    terminal.types(0, "marketplace namespace verify acme");
    terminal.types(0, "marketplace namespace show acme");
    let (_, page) = market.http(Method::GET, "/namespaces/acme", None, None);
    assert!(page.contains("Verified by localhost"), "{page}");

    // It moves to a repository, and its website forgets it.
    fs::remove_file(well_known.join("fuseml-namespace")).expect("file");
    terminal.types(0, &format!("marketplace namespace describe acme --repository {}/tools.git", website.url));
    assert_eq!(world.json(&["marketplace", "namespace", "show", "acme"])["about"]["verified"], false);
    let repository = place.join("site/tools.git");
    fs::create_dir_all(&repository).expect("folder");
    git(&repository, &["init", "--bare", "--quiet", "."]);
    let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    git(&repository, &["hash-object", "-t", "tree", "-w", "/dev/null"]);
    git(&repository, &["update-ref", "refs/tags/fuseml-other", tree]);
    git(&repository, &["update-server-info"]);
    terminal.types(5, "marketplace namespace verify acme");
    git(&repository, &["update-ref", &format!("refs/tags/fuseml-{word}"), tree]);
    git(&repository, &["update-server-info"]);
    terminal.types(0, "marketplace namespace verify acme");

    let said = terminal.steady().replace(&word, "[word]");
    insta::assert_snapshot!(said.replace(website.url.rsplit(':').next().expect("port"), "[port]"));
}

#[test]
fn a_marketplace_does_not_look_where_its_operator_did_not_allow() {
    let world = World::without_server();
    let market = Marketplace::start(&world, "market");
    let token = market.publisher(&world, "ada", "acme");
    let eve = market.account(&world, "eve", false);
    for website in ["https://localhost:1", "https://127.0.0.1:1", "https://[::1]:1", "https://169.254.169.254"] {
        world.fuseml(&["marketplace", "namespace", "describe", "acme", "--website", website]).good();
        let (status, said) = market.http(Method::POST, "/api/v1/namespaces/acme/verification", Some(&token), None);
        assert!(status == 200 && said.contains("not a public address"), "{website}: {said}");
    }
    let (status, said) = market.http(Method::POST, "/api/v1/namespaces/acme/verification", Some(&eve), None);
    assert_eq!(status, 403, "{said}");
    let lie = json!({"website": "https://acme.example", "verified": true, "verified_by": "acme.example"});
    let (status, said) = market.http(Method::PUT, "/api/v1/namespaces/acme", Some(&token), Some(lie));
    assert_eq!(status, 403, "{said}");
}
