//! The distribution protocol over HTTP, request by request, on a real listener.

use async_trait::async_trait;
use axum::http::HeaderMap;
use fuseml_domain::Digest;
use fuseml_registry::{Access, Action, Refusal, Repository, Store, Tag, testing::S3};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;

/// Everybody reads; who has the token writes everywhere but in `closed/…`, where nobody even reads.
struct Rules;

#[async_trait]
impl Access for Rules {
    async fn allow(&self, headers: &HeaderMap, repository: &Repository, action: Action) -> Result<(), Refusal> {
        let known = headers.get("authorization").is_some_and(|value| value == "Bearer writer");
        match action {
            _ if repository.as_str().starts_with("closed/") => Err(Refusal::Denied("closed".to_owned())),
            Action::Pull => Ok(()),
            _ if known => Ok(()),
            _ => Err(Refusal::Unknown("Bearer realm=\"here\"".to_owned())),
        }
    }
    async fn greet(&self, _headers: &HeaderMap) -> Result<(), Refusal> {
        Ok(())
    }
    fn is_fixed(&self, _repository: &Repository, tag: &Tag) -> bool {
        tag.as_str().starts_with(|c: char| c.is_ascii_digit())
    }
}

struct World {
    url: String,
    client: Client,
    store: Store,
    folder: Arc<tempfile::TempDir>,
}

impl World {
    async fn on_disk() -> Self {
        Self::on(Arc::new(tempfile::tempdir().expect("folder"))).await
    }

    async fn on(folder: Arc<tempfile::TempDir>) -> Self {
        let store = Store::on_disk(folder.path().to_owned()).expect("store");
        Self::with(store, folder).await
    }

    async fn on_s3() -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("folder"));
        let s3 = S3::start(&folder.path().join("s3")).await;
        let store = Store::at("s3://bkt/b", s3.options(), folder.path().join("uploads")).expect("store");
        Self::with(store, folder).await
    }

    async fn with(store: Store, folder: Arc<tempfile::TempDir>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let router = fuseml_registry::router(store.clone(), Arc::new(Rules), 10 << 20);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut headers = HeaderMap::new();
        headers.insert("authorization", "Bearer writer".parse().expect("header"));
        let client = Client::builder().default_headers(headers).no_proxy().build().expect("client");
        Self { url, client, store, folder }
    }

    fn at(&self, path: &str) -> String {
        if path.starts_with('/') { format!("{}{path}", self.url) } else { format!("{}/v2/{path}", self.url) }
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(self.at(path)).send().await.expect("answer")
    }

    async fn blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let path = self.at(&format!("{repository}/blobs/uploads/?digest={digest}"));
        let answer = self.client.post(path).body(bytes.to_vec()).send().await.expect("answer");
        assert_eq!(answer.status(), StatusCode::CREATED);
        digest
    }

    async fn begin(&self, repository: &str) -> String {
        let answer = self.client.post(self.at(&format!("{repository}/blobs/uploads/"))).send().await.expect("answer");
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        header(&answer, "location")
    }

    async fn put(&self, repository: &str, reference: &str, manifest: &Value) -> Response {
        let media_type = manifest["mediaType"].as_str().unwrap_or("application/vnd.oci.image.manifest.v1+json");
        let path = self.at(&format!("{repository}/manifests/{reference}"));
        let request = self.client.put(path).header("content-type", media_type).body(manifest.to_string());
        request.send().await.expect("answer")
    }

    /// A manifest over one layer, pushed.
    async fn image(&self, repository: &str, reference: &str, layer: &[u8]) -> (Value, Digest) {
        let config = self.blob(repository, b"{}").await;
        let digest = self.blob(repository, layer).await;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config.to_string(), "size": 2},
            "layers": [{"mediaType": "text/plain", "digest": digest.to_string(), "size": layer.len()}],
        });
        let answer = self.put(repository, reference, &manifest).await;
        assert_eq!(answer.status(), StatusCode::CREATED, "{:?}", answer.text().await);
        (manifest.clone(), Digest::of(manifest.to_string().as_bytes()))
    }
}

fn header(answer: &Response, name: &str) -> String {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

async fn code(answer: Response) -> (StatusCode, String) {
    let status = answer.status();
    let body: Value = answer.json().await.expect("JSON");
    (status, body["errors"][0]["code"].as_str().unwrap_or_default().to_owned())
}

async fn what_was_pushed_is_pulled_by_tag_and_by_digest_whole_or_in_part(world: World) {
    let (manifest, digest) = world.image("team/app", "1.0.0", b"hello, world").await;

    for reference in ["1.0.0", &digest.to_string()] {
        let answer = world.get(&format!("team/app/manifests/{reference}")).await;
        assert_eq!(header(&answer, "docker-content-digest"), digest.to_string());
        assert_eq!(header(&answer, "content-type"), "application/vnd.oci.image.manifest.v1+json");
        assert_eq!(answer.json::<Value>().await.expect("JSON"), manifest);
    }
    let layer = Digest::of(b"hello, world");
    assert_eq!(world.get(&format!("team/app/blobs/{layer}")).await.text().await.expect("text"), "hello, world");
    let path = world.at(&format!("team/app/blobs/{layer}"));
    for (range, status, text) in
        [("bytes=7-11", 206, "world"), ("bytes=7-", 206, "world"), ("bytes=-5", 206, "world"), ("bytes=20-30", 416, "")]
    {
        let answer = world.client.get(&path).header("range", range).send().await.expect("answer");
        assert_eq!(answer.status().as_u16(), status, "{range}");
        if status == 206 {
            assert_eq!(header(&answer, "content-range"), "bytes 7-11/12", "{range}");
            assert_eq!(answer.text().await.expect("text"), text);
        }
    }
    let answer = world.client.head(&path).send().await.expect("answer");
    assert_eq!((answer.status().as_u16(), header(&answer, "content-length")), (200, "12".to_owned()));
}

async fn an_upload_goes_on_where_it_stopped_also_in_another_process(world: World) {
    let place = world.begin("app").await;
    let chunk = |world: &World, range: &str, text: &'static str| {
        world.client.patch(world.at(&place)).header("content-range", range).body(text).send()
    };
    let answer = chunk(&world, "0-5", "hello,").await.expect("answer");
    assert_eq!((answer.status().as_u16(), header(&answer, "range")), (202, "0-5".to_owned()));

    let wrong = chunk(&world, "9-14", " world").await.expect("answer");
    assert_eq!(wrong.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let world = World::on(world.folder.clone()).await;
    let answer = world.get(&place).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "range")), (204, "0-5".to_owned()));
    let digest = Digest::of(b"hello, world");
    chunk(&world, "6-11", " world").await.expect("answer");
    let answer = world.client.put(world.at(&format!("{place}?digest={digest}"))).send().await.expect("answer");

    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(world.get(&header(&answer, "location")).await.text().await.expect("text"), "hello, world");
    assert_eq!(code(world.get(&place).await).await, (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN".to_owned()));
}

async fn what_is_not_what_it_says_is_refused(world: World) {
    let (manifest, _) = world.image("app", "latest", b"layer").await;
    let place = world.begin("app").await;
    let other = Digest::of(b"other");
    let path = world.at(&format!("{place}?digest={other}"));
    let answer = world.client.put(path).body("bytes").send().await.expect("answer");
    assert_eq!(code(answer).await, (StatusCode::BAD_REQUEST, "DIGEST_INVALID".to_owned()));
    assert_eq!(code(world.get(&format!("app/blobs/{other}")).await).await.1, "BLOB_UNKNOWN");

    let changed = |change: &dyn Fn(&mut Value)| {
        let mut changed = manifest.clone();
        change(&mut changed);
        changed
    };
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": other.to_string(), "size": 1}],
    });
    for (what, reference, manifest, expected) in [
        (
            "a missing layer",
            "x",
            changed(&|m| m["layers"][0]["digest"] = json!(other.to_string())),
            "MANIFEST_BLOB_UNKNOWN",
        ),
        ("a wrong size", "x", changed(&|m| m["layers"][0]["size"] = json!(1)), "MANIFEST_INVALID"),
        ("an old schema", "x", changed(&|m| m["schemaVersion"] = json!(1)), "MANIFEST_INVALID"),
        ("another digest", &other.to_string(), manifest.clone(), "DIGEST_INVALID"),
        ("an index over nothing", "x", index, "MANIFEST_BLOB_UNKNOWN"),
        ("no document", "x", json!([]), "MANIFEST_INVALID"),
    ] {
        assert_eq!(code(world.put("app", reference, &manifest).await).await.1, expected, "{what}");
    }
    let swapped = world.client.put(world.at("app/manifests/x")).header("content-type", "text/html");
    let answer = swapped.body(manifest.to_string()).send().await.expect("answer");
    assert_eq!(code(answer).await.1, "MANIFEST_INVALID");
    for path in ["App/tags/list", "app/nothing", "app/manifests/.x", "app/blobs/md5:00"] {
        let answer = world.get(path).await;
        assert!(answer.status().is_client_error(), "{path}");
    }
    let large = vec![0; (10 << 20) + 1];
    let answer = world.client.patch(world.at(&world.begin("app").await)).body(large).send().await.expect("answer");
    assert_eq!(code(answer).await, (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID".to_owned()));
}

async fn a_fixed_tag_never_moves_and_others_do(world: World) {
    let (first, _) = world.image("app", "1.0.0", b"first").await;
    let (second, digest) = world.image("app", "latest", b"second").await;

    assert_eq!(world.put("app", "1.0.0", &first).await.status(), StatusCode::CREATED, "the same again");
    assert_eq!(code(world.put("app", "1.0.0", &second).await).await, (StatusCode::FORBIDDEN, "DENIED".to_owned()));
    let deleted = world.client.delete(world.at("app/manifests/1.0.0")).send().await.expect("answer");
    assert_eq!(deleted.status(), StatusCode::FORBIDDEN);
    assert_eq!(world.put("app", "latest", &first).await.status(), StatusCode::CREATED);
    assert_ne!(header(&world.get("app/manifests/latest").await, "docker-content-digest"), digest.to_string());
}

async fn tags_come_in_pages_and_referrers_by_type(world: World) {
    let (manifest, digest) = world.image("app", "b", b"layer").await;
    for tag in ["c", "a", "d"] {
        world.put("app", tag, &manifest).await;
    }
    let page = world.get("app/tags/list?n=2&last=a").await;
    assert_eq!(header(&page, "link"), "</v2/app/tags/list?n=2&last=c>; rel=\"next\"");
    assert_eq!(page.json::<Value>().await.expect("JSON")["tags"], json!(["b", "c"]));

    let mut signature = manifest.clone();
    signature["artifactType"] = json!("text/signature");
    signature["subject"] = json!({
        "mediaType": manifest["mediaType"], "digest": digest.to_string(), "size": manifest.to_string().len(),
    });
    let pushed = world.put("app", &Digest::of(signature.to_string().as_bytes()).to_string(), &signature).await;
    assert_eq!(header(&pushed, "oci-subject"), digest.to_string());
    let about = |filter: &str| world.at(&format!("app/referrers/{digest}{filter}"));
    for (filter, count) in [("", 1), ("?artifactType=text%2Fsignature", 1), ("?artifactType=other", 0)] {
        let answer = world.client.get(about(filter)).send().await.expect("answer");
        let applied = header(&answer, "oci-filters-applied");
        assert_eq!(applied.is_empty(), filter.is_empty());
        let found: Value = answer.json().await.expect("JSON");
        assert_eq!(found["manifests"].as_array().map(Vec::len), Some(count), "{filter}");
    }
    let nothing = world.get(&format!("app/referrers/{}", Digest::of(b"nothing"))).await;
    assert_eq!(nothing.json::<Value>().await.expect("JSON")["manifests"], json!([]));
    let gone = world.client.delete(world.at(&format!("app/manifests/{digest}"))).send().await.expect("answer");
    assert_eq!(gone.status(), StatusCode::ACCEPTED);
    assert_eq!(world.get("app/tags/list").await.json::<Value>().await.expect("JSON")["tags"], json!([]));
}

async fn a_blob_is_mounted_only_from_where_it_may_be_read(world: World) {
    let digest = world.blob("one", b"shared").await;
    for (from, digest, status) in [
        ("one", digest.clone(), StatusCode::CREATED),
        ("closed/one", digest.clone(), StatusCode::ACCEPTED),
        ("one", Digest::of(b"nothing"), StatusCode::ACCEPTED),
    ] {
        let path = world.at(&format!("two/blobs/uploads/?mount={digest}&from={from}"));
        assert_eq!(world.client.post(path).send().await.expect("answer").status(), status, "{from}");
    }
    assert_eq!(world.get(&format!("two/blobs/{digest}")).await.text().await.expect("text"), "shared");
    assert_eq!(code(world.get(&format!("three/blobs/{digest}")).await).await.1, "BLOB_UNKNOWN");
}

async fn nobody_writes_without_being_known_and_nothing_is_told_of_closed_places(world: World) {
    let nobody = Client::builder().no_proxy().build().expect("client");
    let answer = nobody.post(world.at("app/blobs/uploads/")).send().await.expect("answer");
    assert_eq!(header(&answer, "www-authenticate"), "Bearer realm=\"here\"");
    assert_eq!(code(answer).await, (StatusCode::UNAUTHORIZED, "UNAUTHORIZED".to_owned()));
    let answer = world.get("closed/app/tags/list").await;
    assert_eq!(code(answer).await, (StatusCode::FORBIDDEN, "DENIED".to_owned()));
}

/// Later than anything that was written.
fn later() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(1)
}

async fn what_nothing_names_is_collected_and_everything_else_stays(world: World) {
    let index = "application/vnd.oci.image.index.v1+json";
    let (_, tagged) = world.image("a/tool", "0.1.0", b"kept by its tag").await;
    let (listed, listed_digest) = world.image("a/tool", &digest_of(b"kept by an index"), b"kept by an index").await;
    let (_, unnamed) = world.image("a/tool", &digest_of(b"named by nothing"), b"named by nothing").await;
    let list = json!({
        "schemaVersion": 2, "mediaType": index,
        "manifests": [{"mediaType": listed["mediaType"], "digest": listed_digest.to_string(), "size": listed.to_string().len()}],
    });
    assert_eq!(world.put("a/tool", "0.2.0", &list).await.status(), StatusCode::CREATED);
    let mut about = Vec::new();
    for subject in [&tagged, &unnamed] {
        let (mut manifest, _) = world.image("a/other", "any", b"a signature").await;
        manifest["subject"] = json!({"mediaType": listed["mediaType"], "digest": subject.to_string(), "size": 1});
        world.blob("a/tool", b"{}").await;
        world.blob("a/tool", b"a signature").await;
        let digest = Digest::of(manifest.to_string().as_bytes());
        assert_eq!(world.put("a/tool", &digest.to_string(), &manifest).await.status(), StatusCode::CREATED);
        about.push(digest);
    }
    let lone = world.blob("a/tool", b"pushed for a manifest that never came").await;
    let shared = Digest::of(b"{}");

    let young = world.store.collect(Timestamp::UNIX_EPOCH).await.expect("collected");
    assert_eq!(young.manifests + young.blobs, 0);
    let collected = world.store.collect(later()).await.expect("collected");

    assert_eq!(collected.manifests, 2);
    for kept in [&tagged, &listed_digest, &about[0]] {
        assert_eq!(world.get(&format!("a/tool/manifests/{kept}")).await.status(), StatusCode::OK, "{kept}");
    }
    for gone in [&unnamed, &about[1]] {
        assert_eq!(world.get(&format!("a/tool/manifests/{gone}")).await.status(), StatusCode::NOT_FOUND, "{gone}");
    }
    let blob = async |digest: &Digest| world.get(&format!("a/tool/blobs/{digest}")).await.status();
    for kept in
        [&shared, &Digest::of(b"kept by its tag"), &Digest::of(b"kept by an index"), &Digest::of(b"a signature")]
    {
        assert_eq!(blob(kept).await, StatusCode::OK, "{kept}");
    }
    for gone in [&lone, &Digest::of(b"named by nothing")] {
        assert_eq!(blob(gone).await, StatusCode::NOT_FOUND, "{gone}");
    }
    let again = world.store.collect(later()).await.expect("collected");
    assert_eq!((again.manifests, again.blobs), (0, 0));
}

/// Where an image over this layer is, by digest.
fn digest_of(layer: &[u8]) -> String {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}").to_string(), "size": 2},
        "layers": [{"mediaType": "text/plain", "digest": Digest::of(layer).to_string(), "size": layer.len()}],
    });
    Digest::of(manifest.to_string().as_bytes()).to_string()
}

async fn what_was_acknowledged_while_a_collection_ran_is_there_whole(world: World) {
    let store = world.store.clone();
    let collections = tokio::spawn(async move {
        let mut done = 0;
        for _ in 0..40 {
            store.collect(later()).await.expect("collected");
            done += 1;
        }
        done
    });
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let mut acknowledged = Vec::new();
    for number in 0..60_u32 {
        let (config, layer) = (world.blob("a/tool", b"{}").await, world.blob("a/tool", &number.to_le_bytes()).await);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config.to_string(), "size": 2},
            "layers": [{"mediaType": "text/plain", "digest": layer.to_string(), "size": 4}],
        });
        let answer = world.put("a/tool", &format!("0.0.{number}"), &manifest).await;
        match answer.status() {
            StatusCode::CREATED => acknowledged.push((number, layer)),
            // What nothing named yet was collected: the client is told, and pushes again.
            status => {
                assert_eq!((status, code(answer).await.1.as_str()), (StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN"))
            }
        }
    }
    assert_eq!(collections.await.expect("collections"), 40);

    assert!(!acknowledged.is_empty());
    for (number, layer) in acknowledged {
        assert_eq!(world.get(&format!("a/tool/manifests/0.0.{number}")).await.status(), StatusCode::OK, "{number}");
        for blob in [layer, Digest::of(b"{}")] {
            assert_eq!(world.get(&format!("a/tool/blobs/{blob}")).await.status(), StatusCode::OK, "{number} {blob}");
        }
    }
}

/// What holds on a disk holds in an object store.
macro_rules! on_each {
    ($($rule:ident),* $(,)?) => {
        mod disk {
            $(#[tokio::test] async fn $rule() { super::$rule(super::World::on_disk().await).await })*
        }
        mod s3 {
            $(#[tokio::test] async fn $rule() { super::$rule(super::World::on_s3().await).await })*
        }
    };
}

on_each! {
    what_was_pushed_is_pulled_by_tag_and_by_digest_whole_or_in_part,
    an_upload_goes_on_where_it_stopped_also_in_another_process,
    what_is_not_what_it_says_is_refused,
    a_fixed_tag_never_moves_and_others_do,
    tags_come_in_pages_and_referrers_by_type,
    a_blob_is_mounted_only_from_where_it_may_be_read,
    nobody_writes_without_being_known_and_nothing_is_told_of_closed_places,
    what_nothing_names_is_collected_and_everything_else_stays,
    what_was_acknowledged_while_a_collection_ran_is_there_whole,
}

#[tokio::test]
async fn what_is_listed_about_a_manifest_is_there() {
    let world = World::on_disk().await;
    let (manifest, digest) = world.image("app", "b", b"layer").await;
    let mut signature = manifest.clone();
    signature["subject"] = json!({
        "mediaType": manifest["mediaType"], "digest": digest.to_string(), "size": manifest.to_string().len(),
    });
    let about = Digest::of(signature.to_string().as_bytes());
    let listed = async || {
        let answer = world.get(&format!("app/referrers/{digest}")).await;
        answer.json::<Value>().await.expect("JSON")["manifests"].as_array().map(Vec::len)
    };
    world.put("app", &about.to_string(), &signature).await;
    assert_eq!(listed().await, Some(1));

    // As it was when a server died while it kept one.
    let kept = world.folder.path().join("repositories/app/_manifests").join(about.hex());
    std::fs::remove_file(kept).expect("the manifest");

    assert_eq!(listed().await, Some(0));
    world.put("app", &about.to_string(), &signature).await;
    assert_eq!(listed().await, Some(1));
}
