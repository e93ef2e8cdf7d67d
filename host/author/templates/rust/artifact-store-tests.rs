use super::*;
use fuseml_extension::{ErrorKind, fake::Fake};

const INDEX: &str = r#"[
    {"name": "wine", "version": "2", "uri": "https://models.example/wine-2", "created": 2},
    {"name": "iris", "version": "1", "uri": "https://models.example/iris-1", "created": 1}
]"#;

/// A host whose web server answers with the list.
fn store() -> (Fake, Store) {
    let fake = Fake::install();
    fake.setting("endpoint", "https://models.example");
    fake.http(|request| match request.url.as_str() {
        "https://models.example/index.json" => Ok(Fake::json(200, INDEX)),
        _ => Ok(Fake::json(404, "null")),
    });
    (fake, Store::new().expect("settings"))
}

#[test]
fn pages_follow_each_other() {
    let (_fake, store) = store();
    let page = |cursor| {
        let query = Query { kind: "model".to_owned(), conditions: Vec::new() };
        store.search(query, Page { cursor, limit: 1 }).expect("page")
    };
    let first = page(None);
    assert_eq!(first.items[0].id, "iris/1");
    let second = page(first.next);
    assert_eq!(second.items[0].id, "wine/2");
    assert_eq!(second.next, None);
}

#[test]
fn a_model_is_located_and_another_is_not_there() {
    let (_fake, store) = store();
    assert_eq!(store.locate("iris/1".to_owned()).expect("contents").root.uri, "https://models.example/iris-1");
    assert_eq!(store.get("iris/9".to_owned()).expect_err("missing").kind, ErrorKind::NotFound);
}

#[test]
fn a_server_that_fails_is_not_healthy() {
    let (fake, store) = store();
    store.health().expect("healthy");
    fake.http(|_| Ok(Fake::json(500, "null")));
    assert!(store.health().is_err());
}

#[test]
fn it_only_reads() {
    let (_fake, store) = store();
    assert_eq!(store.delete("iris/1".to_owned()).expect_err("read-only").kind, ErrorKind::Unsupported);
}
