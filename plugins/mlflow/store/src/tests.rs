//! The store as the host calls it, against recorded answers of MLflow 3.17.2.

use crate::MlflowStore;
use fuseml_extension::fake::Fake;
use fuseml_extension::http::{Request, Response};
use fuseml_extension::store::{Change, Condition, Draft, Query};
use fuseml_extension::{ArtifactStore, Credential, Descriptor, Error, ErrorKind, Location, Page, Result};

const API: &str = "http://mlflow.example:5000/api/2.0/mlflow/";
const VERSION: &str = r#"{"model_version": {"name": "wine", "version": "1", "creation_timestamp": 1795420607012,
  "current_stage": "None", "description": "", "source": "models:/m-4f", "run_id": "03b5", "status": "READY",
  "tags": [{"key": "fuseml.digest", "value": "sha256:ab"}, {"key": "fuseml.key", "value": "k1"},
    {"key": "fuseml.attribute.framework", "value": "sklearn"}, {"key": "team", "value": "red"}],
  "run_link": "", "aliases": ["production"]}}"#;
const MODEL: &str = r#"{"model": {"info": {"model_id": "m-4f", "experiment_id": "1", "source_run_id": "03b5",
    "artifact_uri": "mlflow-artifacts:/1/models/m-4f/artifacts", "status": "LOGGED_MODEL_READY"},
  "data": {"params": [{"key": "alpha", "value": "0.1"}],
    "metrics": [{"key": "rmse", "value": 0.9, "step": 0}, {"key": "rmse", "value": 0.82, "step": 1},
      {"key": "r2", "value": "NaN", "step": 0}]}}}"#;
const MISSING: &str = r#"{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Model Version (name=wine, version=9) not found", "sqlstate": "KAM00"}"#;
const EXISTS: &str =
    r#"{"error_code": "RESOURCE_ALREADY_EXISTS", "message": "Registered Model (name=wine) already exists."}"#;

/// A server that answers by method and start of what follows the API's address.
fn server(answers: &'static [(&'static str, &'static str, u16, &'static str)]) -> Fake {
    let fake = Fake::install();
    fake.setting("endpoint", "http://mlflow.example:5000/");
    fake.http(move |request| {
        let path = request.url.replace(API, "").replace("http://mlflow.example:5000/", "/");
        let fits =
            |(method, start, ..): &&(&str, &str, u16, &str)| request.method == *method && path.starts_with(start);
        let (_, _, status, body) = answers.iter().find(fits).unwrap_or_else(|| panic!("{} {path}", request.method));
        Ok(Fake::json(*status, body))
    });
    fake
}

fn store() -> MlflowStore {
    MlflowStore::new().unwrap()
}

fn sent(fake: &Fake, method: &str, path: &str) -> Vec<serde_json::Value> {
    let fits = |request: &Request| request.method == method && request.url.ends_with(path);
    let body = |request: Request| serde_json::from_slice(&request.body.unwrap_or_default()).unwrap();
    fake.requests().into_iter().filter(fits).map(body).collect()
}

fn draft(uri: &str) -> Draft {
    let credential = Credential { kind: "none".into(), secret: None, parameters: vec![] };
    Draft {
        descriptor: Descriptor {
            id: String::new(),
            kind: "model".into(),
            name: "wine".into(),
            version: String::new(),
            digest: Some("sha256:ab".into()),
            created: 0,
            attributes: vec![("format".into(), "mlflow".into()), ("framework".into(), "sklearn".into())],
            metrics: vec![],
            labels: vec![("team".into(), "red".into())],
            tags: vec!["candidate".into()],
            parents: vec![],
        },
        contents: Location {
            scheme: "models".into(),
            uri: uri.into(),
            credential,
            digest: None,
            size_bytes: None,
            expires: None,
        },
        idempotency_key: "k1".into(),
    }
}

#[test]
fn gets_a_whole_descriptor() {
    server(&[
        ("GET", "model-versions/get?name=wine&version=1", 200, VERSION),
        ("GET", "logged-models/m-4f", 200, MODEL),
    ]);
    let model = store().get("wine/1".into()).unwrap();
    assert_eq!(
        (model.id.as_str(), model.created, model.digest.as_deref()),
        ("wine/1", 1795420607012, Some("sha256:ab"))
    );
    assert_eq!((model.metrics, model.tags), (vec![("rmse".to_owned(), 0.82)], vec!["production".to_owned()]));
    assert_eq!(model.labels, [("team".to_owned(), "red".to_owned())]);
    let attributes: Vec<String> = model.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        attributes,
        ["format=mlflow", "mlflow-run=03b5", "mlflow-model-id=m-4f", "framework=sklearn", "parameter.alpha=0.1"]
    );
}

#[test]
fn registers_a_new_version_once() {
    let fake = server(&[
        ("GET", "model-versions/search", 200, "{}"),
        ("GET", "logged-models/m-4f", 200, MODEL),
        ("POST", "registered-models/create", 400, EXISTS),
        ("POST", "model-versions/create", 200, VERSION),
        ("POST", "registered-models/alias", 200, "{}"),
        ("GET", "model-versions/get", 200, VERSION),
    ]);
    assert_eq!(store().register(draft("models:/m-4f")).unwrap().id, "wine/1");
    let body = &sent(&fake, "POST", "model-versions/create")[0];
    assert_eq!((body["run_id"].as_str(), body["model_id"].as_str()), (Some("03b5"), Some("m-4f")));
    let keys: Vec<_> = body["tags"].as_array().unwrap().iter().map(|tag| tag["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["fuseml.key", "fuseml.digest", "team", "fuseml.attribute.framework"]);
    assert_eq!(sent(&fake, "POST", "alias")[0]["alias"], "candidate");
}

#[test]
fn registers_a_known_key_as_what_it_made() {
    const FOUND: &str = r#"{"model_versions": [{"name": "wine", "version": "1"}]}"#;
    const TAKEN: &str =
        r#"{"registered_model": {"name": "wine", "aliases": [{"alias": "candidate", "version": "2"}]}}"#;
    let fake = server(&[
        (
            "GET",
            "model-versions/search?filter=name%20%3D%20%27wine%27%20AND%20tags.%60fuseml.key%60%20%3D%20%27k1%27",
            200,
            FOUND,
        ),
        ("GET", "registered-models/get", 200, TAKEN),
        ("GET", "model-versions/get", 200, VERSION),
        ("GET", "logged-models/m-4f", 200, MODEL),
    ]);
    assert_eq!(store().register(draft("models:/m-4f")).unwrap().id, "wine/1");
    assert!(fake.requests().iter().all(|request| request.method == "GET"));
}

#[test]
fn searches_by_page_and_adds_aliases() {
    const PAGE: &str = r#"{"model_versions": [{"name": "wine", "version": "1", "source": "s3://b/k", "creation_timestamp": 5}],
      "next_page_token": "eyJvZmZzZXQiOiAyfQ=="}"#;
    const ALIASES: &str = r#"{"registered_model": {"name": "wine", "aliases": [{"alias": "a", "version": "1"}, {"alias": "b", "version": "2"}]}}"#;
    server(&[
        ("GET", "model-versions/search?filter=&max_results=2", 200, PAGE),
        ("GET", "registered-models/get?name=wine", 200, ALIASES),
    ]);
    let late = Condition { field: "created".into(), operator: ">".into(), value: "3".into() };
    let query = Query { kind: "model".into(), conditions: vec![late.clone()] };
    let found = store().search(query, Page { cursor: None, limit: 2 }).unwrap();
    assert_eq!((found.next.as_deref(), found.unapplied), (Some("eyJvZmZzZXQiOiAyfQ=="), vec![late]));
    assert_eq!((found.items[0].tags.as_slice(), found.items.len()), (["a".to_owned()].as_slice(), 1));
}

#[test]
fn updates_labels_and_its_own_tags_only() {
    let fake = server(&[
        ("GET", "model-versions/get", 200, VERSION),
        ("GET", "logged-models/m-4f", 200, MODEL),
        ("POST", "", 200, "{}"),
        ("DELETE", "", 200, "{}"),
    ]);
    let change = Change {
        labels: Some(vec![("owner".into(), "ana".into())]),
        add_tags: vec!["best".into()],
        remove_tags: vec!["production".into(), "elsewhere".into()],
    };
    store().update("wine/1".into(), change).unwrap();
    assert_eq!(sent(&fake, "DELETE", "delete-tag")[0]["key"], "team");
    assert_eq!(sent(&fake, "POST", "set-tag")[0]["key"], "owner");
    assert_eq!(sent(&fake, "POST", "alias")[0]["alias"], "best");
    assert_eq!(sent(&fake, "DELETE", "alias").len(), 1);
    let reserved =
        Change { labels: Some(vec![("fuseml.key".into(), "x".into())]), add_tags: vec![], remove_tags: vec![] };
    assert_eq!(store().update("wine/1".into(), reserved).unwrap_err().code, "reserved-label");
}

#[test]
fn deleting_what_is_gone_is_no_error() {
    server(&[("DELETE", "model-versions/delete", 404, MISSING)]);
    assert_eq!(store().delete("wine/9".into()), Ok(()));
}

#[test]
fn locates_every_file() {
    const URI: &str = r#"{"artifact_uri": "mlflow-artifacts:/1/models/m-4f/artifacts"}"#;
    const TOP: &str =
        r#"{"files": [{"path": "MLmodel", "is_dir": false, "file_size": 681}, {"path": "sub", "is_dir": true}]}"#;
    const SUB: &str = r#"{"files": [{"path": "a b.txt", "is_dir": false, "file_size": 1}]}"#;
    server(&[
        ("GET", "model-versions/get-download-uri?name=wine&version=1", 200, URI),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts?path=1%2Fmodels%2Fm-4f%2Fartifacts%2Fsub", 200, SUB),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts?path=1%2Fmodels%2Fm-4f%2Fartifacts", 200, TOP),
    ]);
    let contents = store().locate("wine/1".into()).unwrap();
    assert_eq!((contents.root.scheme.as_str(), contents.root.size_bytes), ("http", Some(682)));
    let files: Vec<_> = contents.files.iter().map(|file| (file.path.as_str(), file.uri.as_str())).collect();
    let root = "http://mlflow.example:5000/api/2.0/mlflow-artifacts/artifacts/1/models/m-4f/artifacts";
    assert_eq!(contents.root.uri, root);
    assert_eq!(files, [("MLmodel", &*format!("{root}/MLmodel")), ("sub/a b.txt", &*format!("{root}/sub/a%20b.txt"))]);
}

#[test]
fn other_places_are_not_served() {
    server(&[("GET", "model-versions/get-download-uri", 200, r#"{"artifact_uri": "s3://bucket/1"}"#)]);
    let error = store().locate("wine/1".into()).unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unsupported, "artifacts-not-proxied"));
    assert_eq!(store().register(draft("file:///m")).unwrap_err().code, "contents-elsewhere");
}

#[test]
fn bad_servers_become_typed_errors_that_name_the_url() {
    use ErrorKind::{Denied, Internal, NotFound, Unavailable, Unsupported};
    let text = |status, body: &str| Ok(Response { status, headers: vec![], body: body.into() });
    let dead = Err(Error::unavailable("connection-refused", "connection refused"));
    let cases: Vec<(Result<Response>, ErrorKind, &str)> = vec![
        (dead, Unavailable, "connection-refused"),
        (text(200, "<html>hello</html>"), Internal, "mlflow-answer"),
        (text(200, "{\"model_version\": 3}"), Internal, "mlflow-answer"),
        (text(404, MISSING), NotFound, "resource-does-not-exist"),
        (text(403, "Invalid Host header"), Denied, "http-status"),
        (text(503, "busy"), Unavailable, "http-status"),
        (text(500, "\u{0}"), Internal, "http-status"),
    ];
    for (answer, kind, code) in cases {
        let fake = Fake::install();
        fake.setting("endpoint", "http://mlflow.example:5000");
        fake.http(move |_| answer.clone());
        let error = store().get("wine/9".into()).unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (kind, code), "{}", error.message);
        assert!(error.message.contains("http://mlflow.example:5000"), "{}", error.message);
        assert!(store().health().unwrap_err().message.contains("http://mlflow.example:5000"));
    }
    for (version, healthy) in [("3.17.2", Ok(())), ("2.9.1", Err(Unsupported)), ("<html>", Err(Internal))] {
        let fake = Fake::install();
        fake.setting("endpoint", "http://mlflow.example:5000");
        fake.http(move |request| {
            Ok(match &request.url {
                url if url.ends_with("/version") => Fake::json(200, version),
                url if url.ends_with("/health") => Fake::json(200, "OK"),
                _ => Fake::json(200, "{}"),
            })
        });
        assert_eq!(store().health().map_err(|error| error.kind), healthy);
    }
    let fake = Fake::install();
    fake.setting("endpoint", "http://mlflow.example:5000");
    fake.secret("authorization");
    fake.http(|request| {
        Ok(match &request.url {
            url if url.ends_with("/version") => Fake::json(200, "3.17.2"),
            url if url.ends_with("/health") => Fake::json(200, "OK"),
            _ if request.secret_headers.is_empty() => Fake::json(401, "You are not authenticated."),
            _ => Fake::json(200, "{}"),
        })
    });
    assert_eq!(store().health(), Ok(()), "the login that the host keeps is used");
    Fake::install();
    assert_eq!(MlflowStore::new().unwrap_err().code, "setting-missing");
}
