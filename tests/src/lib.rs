//! The world of end-to-end tests: a server in a temporary folder, MLflow beside it, and a person at a keyboard.

mod marketplace;
mod podman;
mod postgres;
mod ray;
mod registry;
mod screen;
mod terminal;
mod variant;
mod website;

pub use marketplace::Marketplace;
pub use podman::Podman;
pub use postgres::{postgres, postgres_program};
pub use ray::Ray;
pub use registry::OciRegistry;
pub use screen::Screen;
pub use terminal::Terminal;
pub use variant::{copy, variant};
pub use website::Website;

use fuseml_registry::testing::S3;
use std::{
    fs,
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Longest wait for a server to come up or a run to get somewhere.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A tool that the test command installs; a test without it fails and says how to run it.
pub fn tool(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable);
    PathBuf::from(path.unwrap_or_else(|| panic!("{variable} is not set: run these tests with `cargo xtask test`")))
}

/// A process with everything that it starts, ended with the value.
pub struct Group(Child);

impl Group {
    /// Started with its output in the file.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let log = fs::File::create(log).expect("log");
        let err = log.try_clone().expect("log");
        Self(command.process_group(0).stdin(Stdio::null()).stdout(log).stderr(err).spawn().expect("spawn"))
    }

    /// Sends it to all of them, and waits for the first.
    pub fn signal(&mut self, signal: nix::sys::signal::Signal) {
        self.tell(signal);
        let _ = self.0.wait();
    }

    /// Sends it to all of them.
    pub fn tell(&self, signal: nix::sys::signal::Signal) {
        let group = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).expect("process id"));
        // Gone already is as good.
        let _ = nix::sys::signal::killpg(group, signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(nix::sys::signal::Signal::SIGKILL);
    }
}

/// A real MLflow server with its own database.
pub struct Mlflow {
    pub url: String,
    _group: Group,
    _folder: TempDir,
}

impl Mlflow {
    pub fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// Behind MLflow's own login: `admin` with this password.
    pub fn behind_login(password: &str) -> Self {
        let auth = [("MLFLOW_AUTH_ADMIN_PASSWORD", password), ("MLFLOW_FLASK_SERVER_SECRET_KEY", "for-a-test-only")];
        Self::start_with(&["--app-name", "basic-auth"], &auth)
    }

    fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let port = free_port();
        let group = Group::start(
            Command::new(tool("FUSEML_TEST_MLFLOW"))
                .args(["server", "--host", "127.0.0.1", "--workers", "1", "--port", &port.to_string()])
                .args(arguments)
                .envs(variables.iter().copied())
                .current_dir(folder.path())
                .arg("--backend-store-uri")
                .arg(format!("sqlite:///{}", folder.path().join("mlflow.db").display()))
                .arg("--artifacts-destination")
                .arg(folder.path().join("artifacts"))
                .env("MLFLOW_DISABLE_TELEMETRY", "true")
                .env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false"),
            &folder.path().join("log"),
        );
        let url = format!("http://127.0.0.1:{port}");
        let mlflow = Self { url, _group: group, _folder: folder };
        until("MLflow answers", || mlflow.get("/health").is_some());
        mlflow
    }

    /// Logs a model of one file, as a training run would; answers its `models:/…` URI.
    pub fn log_model(&self) -> String {
        let client = reqwest::blocking::Client::new();
        let api = format!("{}/api/2.0/mlflow/logged-models", self.url);
        let sent = |request: reqwest::blocking::RequestBuilder| {
            request.send().and_then(reqwest::blocking::Response::error_for_status).expect("MLflow takes it")
        };
        let body = serde_json::json!({"experiment_id": "0", "name": "sample"});
        let made: serde_json::Value = sent(client.post(&api).json(&body)).json().expect("JSON");
        let (info, text) =
            (&made["model"]["info"], |value: &serde_json::Value| value.as_str().expect("text").to_owned());
        let (id, root) = (text(&info["model_id"]), text(&info["artifact_uri"]));
        let root = root.strip_prefix("mlflow-artifacts:/").expect("proxied");
        let file = format!("{}/api/2.0/mlflow-artifacts/artifacts/{root}/MLmodel", self.url);
        sent(client.put(file).body("flavors:\n  python_function: {loader_module: mlflow.sklearn}\n"));
        let ready = serde_json::json!({"model_id": id, "status": "LOGGED_MODEL_READY"});
        sent(client.patch(format!("{api}/{id}")).json(&ready));
        format!("models:/{id}")
    }

    /// The JSON or text of a GET that succeeds.
    pub fn get(&self, path: &str) -> Option<serde_json::Value> {
        let response = reqwest::blocking::get(format!("{}{path}", self.url)).ok()?.error_for_status().ok()?;
        let text = response.text().ok()?;
        Some(serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)))
    }
}

/// On any free port.
const SERVER: [&str; 4] = ["server", "start", "--listen", "127.0.0.1:0"];

/// A server's folder and the commands of a person who uses it.
pub struct World {
    pub folder: TempDir,
    /// The address of the server's PostgreSQL database, if it has one.
    database: Option<String>,
    /// Where its contents are, if that is not its folder.
    storage: Option<S3>,
    /// Who is told of lineage.
    openlineage: Option<String>,
    /// What its server's environment has beside that.
    variables: Vec<(String, String)>,
    server: Option<Group>,
}

impl World {
    /// A running server, with nothing in it.
    pub fn new() -> Self {
        let mut world = Self::without_server();
        world.start();
        world
    }

    /// For commands that need none.
    pub fn without_server() -> Self {
        Self {
            folder: tempfile::tempdir().expect("folder"),
            database: None,
            storage: None,
            openlineage: None,
            variables: Vec::new(),
            server: None,
        }
    }

    /// A running server that runs images with this podman.
    pub fn with_podman(podman: &Podman) -> Self {
        let mut world = Self::without_server();
        world.variables = podman.variables();
        world.start();
        world
    }

    /// A running server whose machine is in this zone.
    pub fn in_zone(zone: &str) -> Self {
        let mut world = Self::without_server();
        world.variables = vec![("FUSEML_ZONE".to_owned(), zone.to_owned())];
        world.start();
        world
    }

    /// A project `myproj` and the mlflow extension, with an endpoint if there is a server.
    pub fn with_mlflow(mlflow: Option<&Mlflow>) -> Self {
        Self::new().and_mlflow(mlflow)
    }

    /// The same on a PostgreSQL database.
    pub fn on_postgres_with_mlflow(mlflow: &Mlflow) -> Self {
        let mut world = Self::without_server();
        world.database = Some(postgres());
        world.start();
        world.and_mlflow(Some(mlflow))
    }

    /// On a PostgreSQL database, with its contents in S3.
    pub fn on_postgres_and_s3() -> Self {
        let mut world = Self::without_server();
        world.database = Some(postgres());
        world.storage = Some(S3::beside(&world.folder.path().join("s3")));
        world.start();
        world
    }

    /// A running server on a PostgreSQL database, which others can join.
    pub fn on_postgres() -> Self {
        let mut world = Self::without_server();
        world.database = Some(postgres());
        world.start();
        world
    }

    /// From its next start on.
    pub fn tell_lineage_to(&mut self, url: String) {
        self.openlineage = Some(url);
    }

    /// A project `myproj` and the mlflow extension, with an endpoint if there is a server.
    pub fn and_mlflow(self, mlflow: Option<&Mlflow>) -> Self {
        let extension = tool("FUSEML_TEST_EXTENSION").display().to_string();
        let mut install = vec!["extension", "install", &extension, "--grant", "all"];
        let endpoint = mlflow.map(|mlflow| format!("endpoint={}", mlflow.url));
        install.extend(endpoint.iter().flat_map(|endpoint| ["--set", endpoint]));
        self.fuseml(&install).good();
        self.fuseml(&["project", "create", "myproj"]).good();
        self.fuseml(&["project", "set", "myproj"]).good();
        self
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn start(&mut self) {
        self.start_by(self.command(&SERVER));
    }

    /// At the address that it had before it was killed.
    pub fn start_again(&mut self, url: &str) {
        let address = url.trim_start_matches("http://");
        self.start_by(self.command(&["server", "start", "--listen", address]));
    }

    /// With a disk of its own for contents, which is full after so many MiB and gone with the server.
    pub fn start_on_a_small_disk(&mut self, mebibytes: u32) {
        let contents = self.data().join("contents");
        fs::create_dir_all(&contents).expect("folder");
        let script = format!("mount -t tmpfs -o size={mebibytes}m tmpfs '{}' && exec \"$@\"", contents.display());
        let server = self.command(&SERVER);
        let mut command = self.command_of("unshare", &["-rm", "sh", "-c", &script, "sh"]);
        command.arg(server.get_program()).args(server.get_args());
        self.start_by(command);
    }

    fn start_by(&mut self, command: Command) {
        let log = self.folder.path().join("server.log");
        self.server = Some(self.started(command, &log));
    }

    fn started(&self, mut command: Command, log: &Path) -> Group {
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("FUSEML_UV", tool("FUSEML_UV")).envs(self.database.iter().map(|url| ("FUSEML_DATABASE", url)));
        if let Some(s3) = &self.storage {
            command.env("FUSEML_STORAGE", "s3://bkt").envs(s3.variables());
        }
        if let Some(url) = &self.openlineage {
            command.env("FUSEML_OPENLINEAGE_URL", url).env("FUSEML_OPENLINEAGE_API_KEY", "marquez");
        }
        let group = Group::start(&mut command, log);
        until("the server is ready", || fs::read_to_string(log).is_ok_and(|log| log.contains("Ready.")));
        group
    }

    /// One more server on the same database, and its address.
    pub fn beside(&self, name: &str) -> (Group, String) {
        let log = self.folder.path().join(name);
        let server = self.started(self.command(&SERVER), &log);
        let said = fs::read_to_string(&log).expect("log");
        let url = said.lines().find_map(|line| line.trim().strip_prefix("url")).expect("url");
        (server, url.trim().to_owned())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.signal(nix::sys::signal::Signal::SIGKILL);
    }

    /// As Ctrl-C does.
    pub fn stop(&mut self) {
        self.signal(nix::sys::signal::Signal::SIGTERM);
    }

    fn signal(&mut self, signal: nix::sys::signal::Signal) {
        if let Some(mut server) = self.server.take() {
            server.signal(signal);
        }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(tool("FUSEML_TEST_PROGRAM"), arguments)
    }

    fn command_of(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("FUSEML_DATA", self.data())
            .env("XDG_CONFIG_HOME", self.folder.path().join("config"))
            .env("XDG_CACHE_HOME", self.folder.path().join("cache"))
            .env("USER", "ada")
            .env("COLUMNS", "200");
        command
    }

    /// What a person typed after `fuseml`.
    pub fn fuseml(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).stdin(Stdio::null()).output().expect("fuseml");
        Said { line: arguments.join(" "), output }
    }

    /// The same with these variables.
    pub fn fuseml_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Said {
        let mut command = self.command(arguments);
        let output = command.envs(variables.iter().copied()).stdin(Stdio::null()).output().expect("fuseml");
        Said { line: arguments.join(" "), output }
    }

    /// The same with this on standard input.
    pub fn fuseml_reading(&self, arguments: &[&str], input: &str) -> Said {
        let file = self.folder.path().join("input");
        fs::write(&file, input).expect("input");
        let input = fs::File::open(file).expect("input");
        let output = self.command(arguments).stdin(input).output().expect("fuseml");
        Said { line: arguments.join(" "), output }
    }

    /// The same in a terminal.
    pub fn on_screen(&self, arguments: &[&str]) -> Screen {
        Screen::start(self.command(arguments))
    }

    /// The same, left to run until somebody waits for it.
    pub fn begin(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("fuseml")
    }

    /// The same, left to run: what it prints goes to the file.
    pub fn spawn(&self, arguments: &[&str], log: &Path) -> Group {
        self.spawn_with(&[], arguments, log)
    }

    /// The same with these variables.
    pub fn spawn_with(&self, variables: &[(&str, &str)], arguments: &[&str], log: &Path) -> Group {
        Group::start(self.command(arguments).envs(variables.iter().copied()), log)
    }

    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let said = self.fuseml(&[arguments, &["-o", "json"]].concat()).good();
        serde_json::from_str(&said.stdout()).expect("JSON")
    }

    pub fn url(&self) -> String {
        let running = self.json(&["server", "status"]);
        running[0]["url"].as_str().expect("url").to_owned()
    }

    pub fn token(&self) -> String {
        fs::read_to_string(self.data().join("admin-token")).expect("token")
    }

    /// An answered request with the admin's token.
    pub fn http(
        &self,
        method: reqwest::Method,
        url: &str,
        body: Option<serde_json::Value>,
    ) -> (u16, serde_json::Value) {
        let request = reqwest::blocking::Client::new().request(method, url).bearer_auth(self.token()).timeout(PATIENCE);
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().expect("answer");
        (response.status().as_u16(), response.json().unwrap_or_default())
    }

    /// A copy of the example project, for a test to change.
    pub fn example(&self) -> PathBuf {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/mlflow-wine");
        let to = self.folder.path().join("wine");
        fs::create_dir_all(&to).expect("folder");
        for entry in fs::read_dir(from).expect("example") {
            let entry = entry.expect("example");
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copy");
        }
        to
    }

    /// A codeset of these files.
    pub fn code(&self, name: &str, files: &[(&str, &str)]) -> String {
        let folder = self.folder.path().join(name);
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            fs::write(path, text).expect("file");
        }
        folder.display().to_string()
    }

    /// The text with everything that differs from run to run replaced.
    pub fn steady(&self, text: &str) -> String {
        let mut steady = text.replace(&self.folder.path().display().to_string(), "[folder]");
        for (pattern, name) in [
            (r"http://127\.0\.0\.1:\d+", "[url]"),
            (r"\b[0-9a-f]{64}\b", "[digest]"),
            (r"sha256:[0-9a-f]{12}\b", "[digest]"),
            (r"gitCommit:[0-9a-f]{12}\b", "gitCommit:[commit]"),
            (r"fmk_[0-9a-f]+", "[token]"),
            (r"\b[0-9a-f]{16}\b", "[key]"),
            (r"\b[0-9a-f]{40}\b", "[commit]"),
            (r"(model://\w+/)[0-9a-f]{21}\b", "${1}[model]"),
            (r"(runnable://[^/]+/[^/]+/)[0-9a-f]{12}\b", "${1}[runnable]"),
            (r"(code://[^/]+/[^/]+/)[0-9a-f]{7}\b", "${1}[code]"),
            (r"\b\d+m\d\ds\b|\b\d+\.\d+m?s\b|\b\d+µs", "[time]"),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "[moment]"),
            (r"\(([0-9a-f]{12})\)", "([environment])"),
            (r"process \d+", "process [pid]"),
        ] {
            steady = regex::Regex::new(pattern).expect(pattern).replace_all(&steady, name).into_owned();
        }
        steady
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for World {
    /// Jobs and services outlive a killed server: their supervisors are asked to end them.
    fn drop(&mut self) {
        self.stop();
        let workloads = self.data().join("agents/process/workloads");
        for entry in fs::read_dir(workloads).into_iter().flatten().flatten() {
            let lock = fs::read(entry.path().join("lock")).unwrap_or_default();
            let lock = serde_json::from_slice::<serde_json::Value>(&lock).unwrap_or_default();
            let Some(pid) = lock["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()) else { continue };
            // Another process may have the number of one that is gone.
            let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if command.contains("process-supervisor") && !entry.path().join("exit.json").exists() {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
            }
        }
    }
}

/// What a command answered.
#[derive(Debug)]
pub struct Said {
    line: String,
    output: Output,
}

impl Said {
    /// Succeeded.
    pub fn good(self) -> Self {
        assert!(self.output.status.success(), "fuseml {} failed:\n{}{}", self.line, self.stdout(), self.stderr());
        self
    }

    /// Failed with this exit code.
    pub fn bad(self, code: i32) -> Self {
        assert_eq!(self.output.status.code(), Some(code), "fuseml {}:\n{}{}", self.line, self.stdout(), self.stderr());
        self
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    listener.local_addr().expect("address").port()
}

/// Waits for something that will be; how long it takes is no part of any test.
pub fn until(what: &str, ready: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ready() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(50));
    }
}
