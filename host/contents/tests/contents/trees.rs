//! The built-in store: what comes out is what went in, or an error that names the file.

use crate::support::{at, contents_of, make_executable, series, stored, trees, write};
use fuseml_contents::{Contents, Damage, Repositories, TreeStore};
use fuseml_domain::{Contents as Wanted, Digest, ErrorKind, Tree, port::ContentStore as _};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::PathBuf,
    sync::Arc,
};
use tempfile::TempDir;

struct World {
    folder: TempDir,
    trees: Arc<TreeStore>,
    contents: Contents,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let trees = trees(&folder.path().join("contents"));
        let repositories = Arc::new(Repositories::new(folder.path().join("git")).unwrap());
        let contents = Contents::new(trees.clone(), repositories).unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        fs::create_dir(folder.path().join("work")).unwrap();
        Self { folder, trees, contents }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn store(&self, files: &[(&str, &str)]) -> Tree {
        write(&self.path("in"), files);
        self.contents.store_tree(&series(), &self.path("in")).await.unwrap()
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.path("contents/blobs/sha256").join(&digest.hex()[..2]).join(digest.hex())
    }

    fn damage(&self, digest: &Digest, text: &str) {
        fs::remove_file(self.blob(digest)).unwrap();
        fs::write(self.blob(digest), text).unwrap();
    }

    /// The error of staging, with nothing left of it.
    async fn refused(&self, wanted: &Wanted) -> fuseml_domain::Error {
        let error = self.contents.stage(wanted, &self.path("work/input")).await.unwrap_err();
        assert_eq!(fs::read_dir(self.path("work")).unwrap().count(), 0);
        error
    }
}

fn paths(tree: &Tree) -> Vec<&str> {
    tree.files().iter().map(|file| file.path.as_str()).collect()
}

#[tokio::test]
async fn a_directory_comes_back_as_it_was() {
    let world = World::new();
    write(
        &world.path("in"),
        &[("model.pkl", "weights"), ("a/b/c.txt", "deep"), ("empty", ""), ("ü \n-", "odd"), ("run", "#!")],
    );
    make_executable(&world.path("in/run"));
    let tree = world.contents.store_tree(&series(), &world.path("in")).await.unwrap();
    assert_eq!(paths(&tree), ["a/b/c.txt", "empty", "model.pkl", "run", "ü \n-"]);
    assert_eq!(world.contents.tree(&tree.digest()).await.unwrap(), tree);
    world.contents.stage(&stored(&tree), &world.path("work/input")).await.unwrap();
    assert_eq!(contents_of(&world.path("work/input")), contents_of(&world.path("in")));
    assert_eq!(fs::metadata(world.path("work/input")).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(world.path("contents/incoming")).unwrap().count(), 0);
    // What is there is not written over.
    let again = world.contents.stage(&stored(&tree), &world.path("work/input")).await.unwrap_err();
    assert_eq!(again.kind, ErrorKind::Conflict);
}

#[tokio::test]
async fn empty_folders_come_back_too() {
    let world = World::new();
    fs::create_dir_all(world.path("in/empty/deeper")).unwrap();
    let tree = world.store(&[("other/file", "text")]).await;
    assert_eq!((paths(&tree), tree.empty_folders()), (vec!["other/file"], &["empty/deeper".to_owned()][..]));
    world.contents.stage(&stored(&tree), &world.path("work/input")).await.unwrap();
    assert_eq!(contents_of(&world.path("work/input")), contents_of(&world.path("in")));
}

#[tokio::test]
async fn the_same_bytes_are_kept_once_and_not_written_again() {
    let world = World::new();
    let tree = world.store(&[("a", "same"), ("b/c", "same")]).await;
    let blob = world.blob(&tree.files()[0].digest);
    let before = fs::metadata(&blob).unwrap();
    assert_eq!(before.permissions().mode() & 0o777, 0o444);
    assert_eq!(world.store(&[]).await, tree);
    let after = fs::metadata(&blob).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    let blobs = fs::read_dir(world.path("contents/blobs/sha256")).unwrap();
    let blobs = blobs.map(|folder| fs::read_dir(folder.unwrap().path()).unwrap().count());
    assert_eq!(blobs.sum::<usize>(), 2, "one file and one list");
}

#[tokio::test]
async fn a_damaged_file_is_named_and_healed_by_storing_it_again() {
    let world = World::new();
    let tree = world.store(&[("model.pkl", "weights"), ("other", "fine")]).await;
    let (model, digest) = (tree.files()[0].digest.clone(), tree.digest());
    assert_eq!(world.trees.verify(&digest).await.unwrap(), []);

    world.damage(&model, "weightz");
    let found = Digest::of(b"weightz");
    let error = world.refused(&stored(&tree)).await;
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Internal, "digest-mismatch"));
    assert_eq!(
        error.message,
        format!(
            "the file model.pkl of the stored tree {digest} has digest {found} but {model} was registered: it was \
             changed after registration; register it anew or restore it"
        )
    );
    let damage = Damage { path: "model.pkl".to_owned(), registered: model.clone(), found: Some(found) };
    assert_eq!(world.trees.verify(&digest).await.unwrap(), [damage]);

    world.damage(&model, "longer than it was");
    assert_eq!(world.refused(&stored(&tree)).await.code, "digest-mismatch");
    fs::remove_file(world.blob(&model)).unwrap();
    assert_eq!(world.refused(&stored(&tree)).await.code, "missing-file");
    assert_eq!(world.trees.verify(&digest).await.unwrap()[0].found, None);

    world.store(&[]).await;
    world.damage(&model, "");
    world.store(&[]).await;
    world.contents.stage(&stored(&tree), &world.path("work/input")).await.unwrap();
}

#[tokio::test]
async fn a_damaged_list_is_refused() {
    let world = World::new();
    let tree = world.store(&[("a", "1")]).await;
    world.damage(&tree.digest(), r#"{"files":[]}"#);
    assert_eq!(world.contents.tree(&tree.digest()).await.unwrap_err().code, "digest-mismatch");
    assert_eq!(world.refused(&stored(&tree)).await.code, "digest-mismatch");
    assert_eq!(world.contents.tree(&Digest::of(b"none")).await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn links_inside_are_what_they_lead_to() {
    let world = World::new();
    write(&world.path("in"), &[("blobs/x", "weights"), ("folder/y", "y")]);
    symlink("blobs/x", world.path("in/model.pkl")).unwrap();
    symlink(world.path("in/folder"), world.path("in/same")).unwrap();
    let tree = world.store(&[]).await;
    assert_eq!(paths(&tree), ["blobs/x", "folder/y", "model.pkl", "same/y"]);
    assert_eq!(tree.files()[0].digest, tree.files()[2].digest);
}

/// Puts something into the folder that no tree can hold.
type Make = fn(&World);

#[tokio::test]
async fn what_is_no_file_of_the_directory_is_refused_by_name() {
    let cases: [(&str, Make, &str); 6] = [
        ("secret", |world| symlink("/etc/passwd", world.path("in/secret")).unwrap(), "leads out of its directory"),
        ("up", |world| symlink("../contents", world.path("in/up")).unwrap(), "leads out of its directory"),
        ("nowhere", |world| symlink("missing", world.path("in/nowhere")).unwrap(), "to nothing"),
        ("self", |world| symlink("self", world.path("in/self")).unwrap(), "leads back to itself"),
        ("a/loop", |world| symlink("../a", world.path("in/a/loop")).unwrap(), "a folder that it lies in"),
        (
            "socket",
            |world| drop(std::os::unix::net::UnixListener::bind(world.path("in/socket")).unwrap()),
            "neither a file nor a folder",
        ),
    ];
    for (path, make, why) in cases {
        let world = World::new();
        write(&world.path("in"), &[("a/b", "1")]);
        make(&world);
        for error in [
            world.contents.store_tree(&series(), &world.path("in")).await.unwrap_err(),
            world.contents.store_listing(&series(), &world.path("in")).await.unwrap_err(),
        ] {
            assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
            assert!(error.message.contains(&format!("`{path}`")) && error.message.contains(why), "{error}");
        }
    }
    let world = World::new();
    symlink("/etc", world.path("output")).unwrap();
    assert_eq!(world.contents.store_tree(&series(), &world.path("output")).await.unwrap_err().code, "no-directory");
}

#[tokio::test]
async fn two_folders_that_link_to_each_other_end() {
    let world = World::new();
    write(&world.path("in"), &[("x/1", "1"), ("y/2", "2")]);
    symlink("../y", world.path("in/x/y")).unwrap();
    symlink("../x", world.path("in/y/x")).unwrap();
    assert_eq!(world.contents.store_tree(&series(), &world.path("in")).await.unwrap_err().code, "link");
}

#[tokio::test]
async fn a_listing_knows_the_files_without_keeping_them() {
    let world = World::new();
    write(&world.path("in"), &[("model.pkl", "weights")]);
    let listing = world.contents.store_listing(&series(), &world.path("in")).await.unwrap();
    assert_eq!(world.contents.tree(&listing.digest()).await.unwrap(), listing);
    assert_eq!(world.trees.verify(&listing.digest()).await.unwrap()[0].found, None);
    assert_eq!(world.refused(&stored(&listing)).await.code, "missing-file");
    assert_eq!(world.store(&[]).await, listing);
}

#[tokio::test]
async fn a_local_directory_is_taken_as_it_was_registered() {
    let world = World::new();
    write(&world.path("in"), &[("a/model", "weights"), ("b", "b")]);
    let tree = world.contents.store_listing(&series(), &world.path("in")).await.unwrap();
    write(&world.path("in"), &[("later", "not part of it")]);
    let plain = world.path("in").display().to_string();
    let wanted = |uri: &str| Wanted { tree: Some(tree.clone()), ..at("file", uri) };
    for (uri, target) in [(plain.clone(), "work/1"), (format!("file://{plain}"), "work/2")] {
        world.contents.stage(&wanted(&uri), &world.path(target)).await.unwrap();
        assert_eq!(contents_of(&world.path(target)).len(), 3);
    }
    fs::remove_dir_all(world.path("work")).unwrap();
    fs::create_dir(world.path("work")).unwrap();

    write(&world.path("in"), &[("a/model", "weightz")]);
    let error = world.refused(&wanted(&plain)).await;
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Invalid, "digest-mismatch"));
    fs::remove_file(world.path("in/a/model")).unwrap();
    symlink("/dev/zero", world.path("in/a/model")).unwrap();
    assert_eq!(world.refused(&wanted(&plain)).await.code, "missing-file");
    assert_eq!(world.refused(&at("file", &plain)).await.code, "no-tree");
    assert_eq!(world.refused(&wanted("/nowhere/at/all")).await.kind, ErrorKind::NotFound);
    assert_eq!(world.refused(&at("s3", "s3://bucket/x")).await.kind, ErrorKind::Unsupported);
}
