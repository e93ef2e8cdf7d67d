//! The marketplace's OpenAPI document: valid, and true of what is answered.

use fuseml_tests::{Marketplace, World, tool, variant};
use reqwest::Method;
use serde_json::{Value, json};
use std::{fs, process::Command};

fn document(market: &Marketplace) -> Value {
    let (status, text) = market.http(Method::GET, "/api/v1/openapi.json", None, None);
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn the_description_is_a_valid_openapi_document() {
    let world = World::without_server();
    let market = Marketplace::start(&world, "market");
    let path = world.folder.path().join("openapi.json");
    fs::write(&path, document(&market).to_string()).expect("file");

    let judged = Command::new(tool("FUSEML_TEST_OPENAPI")).arg(&path).output().expect("the validator");

    let said = String::from_utf8_lossy(&judged.stdout).into_owned() + &String::from_utf8_lossy(&judged.stderr);
    assert!(judged.status.success() && said.contains("OK"), "{said}");
}

#[test]
fn every_answer_is_as_described() {
    let world = World::new();
    let market = Marketplace::start(&world, "market");
    let token = market.publisher(&world, "ada", "acme");
    world.fuseml(&["extension", "publish", &variant(&world, "first", &[]), "--namespace", "acme"]).good();
    let document = document(&market);
    let mut described: Vec<&String> = document["paths"].as_object().expect("paths").keys().collect();

    for (path, at) in [
        ("/api/v1/me", "/api/v1/me"),
        ("/api/v1/tokens", "/api/v1/tokens"),
        ("/api/v1/namespaces/{namespace}", "/api/v1/namespaces/acme"),
        ("/api/v1/namespaces/{namespace}", "/api/v1/namespaces/nobody"),
        ("/api/v1/extensions", "/api/v1/extensions?q=mlflow&order=newest"),
        ("/api/v1/extensions", "/api/v1/extensions?limit=x"),
        ("/api/v1/extensions", "/api/v1/extensions?unknown=1"),
        ("/api/v1/extensions/{namespace}/{name}", "/api/v1/extensions/acme/mlflow"),
        ("/api/v1/extensions/{namespace}/{name}", "/api/v1/extensions/acme/%20"),
        ("/api/v1/extensions/{namespace}/{name}/versions/{version}", "/api/v1/extensions/acme/mlflow/versions/0.1.0"),
        ("/api/v1/extensions/{namespace}/{name}/versions/{version}", "/api/v1/extensions/acme/mlflow/versions/x"),
        ("/api/v1/log/checkpoint", "/api/v1/log/checkpoint"),
        ("/api/v1/log/entries", "/api/v1/log/entries?from=1"),
        ("/api/v1/log/proof", "/api/v1/log/proof?old=1"),
    ] {
        let (status, text) = market.http(Method::GET, at, Some(&token), None);
        fits(&document, path, "get", status, &text);
        described.retain(|it| *it != path);
    }
    // What changes something fails as described when nothing is sent.
    for path in described {
        for method in document["paths"][path].as_object().expect("operations").keys() {
            let at = path.replace("{namespace}", "acme").replace("{name}", "other").replace(['{', '}'], "");
            let verb = method.to_uppercase().parse().expect("method");
            let (status, text) = market.http(verb, &at, None, None);
            assert_eq!(status, 401, "{method} {at}: {text}");
            fits(&document, path, method, status, &text);
        }
    }
}

/// Whether an answer is as the document says of that operation and status.
fn fits(document: &Value, path: &str, method: &str, status: u16, text: &str) {
    let responses = &document["paths"][path][method]["responses"];
    let response = responses.get(status.to_string()).or_else(|| responses.get("default"));
    let response = response.unwrap_or_else(|| panic!("{method} {path} says nothing of {status}: {responses}"));
    let (_, content) = response["content"].as_object().and_then(|content| content.iter().next()).expect("content");
    let answer = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    let mut schema = content["schema"].clone();
    schema["components"] = document["components"].clone();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    let validator = jsonschema::validator_for(&schema).expect("schema");
    let wrong: Vec<String> = validator.iter_errors(&answer).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{method} {path} {status}: {wrong:?}: {text}");
}
