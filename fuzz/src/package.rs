//! Packages, components and what registries are sent.

use fuseml_domain::{Digest, ErrorKind, Surface};
use fuseml_registry::{Code, Repository, Store};
use std::{fs, path::Path};
use tokio::runtime::{Builder, Runtime};

pub(crate) fn component(bytes: &[u8]) {
    let _ = Surface::of(bytes);
}

/// The input up to a zero byte is the layout's index; what follows, cut at zero bytes, are its blobs.
pub(crate) fn layout(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("folder");
    let (from, to) = (folder.path().join("layout"), folder.path().join("outer/target"));
    fs::create_dir_all(from.join("blobs/sha256")).expect("folder");
    fs::create_dir_all(&to).expect("folder");
    let mut parts = bytes.split(|byte| *byte == 0);
    fs::write(from.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("file");
    fs::write(from.join("index.json"), parts.next().unwrap_or_default()).expect("file");
    for blob in parts.take(8) {
        fs::write(from.join("blobs/sha256").join(Digest::of(blob).hex()), blob).expect("file");
    }
    if let Err(error) = fuseml_marketplace::read(&from, &to) {
        assert_ne!(error.kind, ErrorKind::Internal, "{error}");
    }
    assert_eq!(count(&folder.path().join("outer")), 1, "nothing leaves its folder");
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).expect("folder").count()
}

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().expect("runtime");
}

/// As a manifest that is pushed.
pub(crate) fn distribution(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::on_disk(folder.path().to_owned()).expect("store");
    let repository: Repository = "a/tool".parse().expect("name");
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            store.put_blob(&repository, "{}".into()).await.expect("blob");
            let media_type = "application/vnd.oci.image.manifest.v1+json";
            match store.put_manifest(&repository, media_type, bytes.to_vec().into()).await {
                Ok((digest, _)) => {
                    let kept = store.manifest(&repository, &digest).await.expect("what was taken is there");
                    assert_eq!(&kept.bytes[..], bytes);
                }
                Err(error) => assert_ne!(error.code, Code::Unknown, "{error:?}"),
            }
        });
    });
}
