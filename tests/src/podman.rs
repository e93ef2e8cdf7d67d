//! podman with images and containers of its own, and an image to put things on.

use crate::{World, tool};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

/// Programs of this machine that images made here have.
const PROGRAMS: [&str; 5] = ["sh", "mkdir", "cp", "cat", "sleep"];

pub struct Podman {
    folder: TempDir,
}

impl Podman {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let at = folder.path().display();
        let storage = format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{at}/graph\"\nrunroot = \"{at}/run\"\n");
        // What works without the right to raise limits, on whatever version of control groups there is.
        let engine = "[containers]\ndefault_ulimits = [\"nofile=20000:20000\", \"nproc=4096:4096\"]\n[engine]\n\
                      runtime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n";
        fs::write(folder.path().join("storage.conf"), storage).expect("configuration");
        fs::write(folder.path().join("containers.conf"), engine).expect("configuration");
        Self { folder }
    }

    /// What whoever calls podman needs in its environment, so that it is this one.
    pub fn variables(&self) -> Vec<(String, String)> {
        let at = |file: &str| self.folder.path().join(file).display().to_string();
        let podman = tool("FUSEML_TEST_PODMAN").display().to_string();
        let configured = [("CONTAINERS_CONF", at("containers.conf")), ("CONTAINERS_STORAGE_CONF", at("storage.conf"))];
        configured
            .into_iter()
            .chain([("FUSEML_PODMAN", podman)])
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut podman = Command::new(tool("FUSEML_TEST_PODMAN"));
        podman.args(arguments).envs(self.variables()).output().expect("podman")
    }

    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "podman {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Builds an image of a shell and these files, with a label, and pushes it to a server as a runnable.
    pub fn push(&self, world: &World, name: &str, label: &str, files: &[(&str, &str)]) {
        let context = self.folder.path().join(name);
        let root = context.join("root");
        Self::programs(&root);
        for (path, text) in files {
            put(&root.join(path), text.as_bytes());
        }
        fs::write(context.join("Containerfile"), "FROM scratch\nCOPY root /\n").expect("file");
        let image = format!("{}/{name}:v1", world.url().trim_start_matches("http://"));
        let label = format!("org.fuseml.runnable={label}");
        self.good(&["build", "--quiet", "--label", &label, "--tag", &image, &context.display().to_string()]);
        let login = format!("ada:{}", world.token());
        self.good(&["push", "--quiet", "--tls-verify=false", "--creds", &login, &image]);
        self.good(&["rmi", &image]);
    }

    /// A shell and what it needs, in this folder.
    pub fn programs(root: &Path) {
        PROGRAMS.iter().for_each(|program| put_program(root, program));
    }

    /// Digests of the images that there are here.
    pub fn images(&self) -> Vec<String> {
        self.good(&["images", "--all", "--quiet", "--no-trunc"]).lines().map(str::to_owned).collect()
    }

    /// Forgets all images.
    pub fn forget_images(&self) {
        self.good(&["rmi", "--all", "--force"]);
    }

    /// Names of the containers that there are, running or not.
    pub fn containers(&self) -> Vec<String> {
        self.good(&["ps", "--all", "--format", "{{.Names}}"]).lines().map(str::to_owned).collect()
    }
}

impl Default for Podman {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Mounts would keep the folder.
        self.run(&["rm", "--all", "--force", "--time", "0"]);
    }
}

fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("folder")).expect("folder");
    fs::write(path, bytes).expect("file");
}

/// A program with the libraries that it loads.
fn put_program(root: &Path, name: &str) {
    let program = PathBuf::from("/bin").join(name);
    let said = Command::new("ldd").arg(&program).output().expect("ldd");
    let said = String::from_utf8(said.stdout).expect("text");
    let libraries = said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    for path in libraries.chain([program]) {
        let target = root.join(path.strip_prefix("/").expect("absolute"));
        fs::create_dir_all(target.parent().expect("folder")).expect("folder");
        fs::copy(fs::canonicalize(&path).expect("program"), target).expect("copied");
    }
}
