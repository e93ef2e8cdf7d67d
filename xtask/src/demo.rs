//! The main job as a person types it: every command is printed before it runs.

use crate::setup::{self, Tools, cargo, run};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub(crate) fn run_demo(keep: bool) -> Result<()> {
    let tools = setup::all()?;
    run(&mut cargo(&["build", "--release", "--package", "fuseml"]))?;
    let demo = Demo::new(&tools)?;
    let outcome = demo.play(&tools);
    if keep && outcome.is_ok() {
        demo.leave();
        return Ok(());
    }
    demo.clean_up();
    outcome
}

struct Demo {
    folder: PathBuf,
    program: PathBuf,
    mlflow: Group,
    mlflow_url: String,
    server: Group,
}

/// A process with all that it starts; ended together.
struct Group(Child);

impl Group {
    fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let log = fs::File::create(log)?;
        let child = command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok(Self(child))
    }

    fn signal(&self, signal: &str) {
        // Gone already is as good.
        let _ =
            Command::new("kill").arg(signal).arg("--").arg(format!("-{}", self.0.id())).stderr(Stdio::null()).status();
    }
}

impl Demo {
    fn new(tools: &Tools) -> Result<Self> {
        let folder = setup::target().join("demo");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let port = free_port()?;
        let mlflow_url = format!("http://127.0.0.1:{port}");
        say(&format!("mlflow server --port {port} …"));
        let mlflow = Group::start(
            Command::new(&tools.mlflow)
                .args(["server", "--host", "127.0.0.1", "--workers", "1", "--port", &port.to_string()])
                .arg("--backend-store-uri")
                .arg(format!("sqlite:///{}", folder.join("mlflow.db").display()))
                .arg("--artifacts-destination")
                .arg(folder.join("mlflow-artifacts"))
                .env("MLFLOW_DISABLE_TELEMETRY", "true")
                .env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false"),
            &folder.join("mlflow.log"),
        )?;
        let program = setup::target().join("release/fuseml");
        say("fuseml server start");
        let server = Group::start(
            Command::new(&program)
                .args(["server", "start", "--listen", "127.0.0.1:0", "--data"])
                .arg(folder.join("data"))
                .env("FUSEML_UV", &tools.uv)
                .env("UV_CACHE_DIR", &tools.uv_cache),
            &folder.join("server.log"),
        )?;
        let demo = Self { folder, program, mlflow, mlflow_url, server };
        demo.wait_until("the FuseML server", || demo.runs())?;
        demo.wait_until("MLflow", || {
            let url = format!("{}/health", demo.mlflow_url);
            Command::new("curl").args(["-sf", "-o", "/dev/null", &url]).status().is_ok_and(|status| status.success())
        })?;
        Ok(demo)
    }

    fn play(&self, tools: &Tools) -> Result<()> {
        let extension = tools.mlflow_extension.display().to_string();
        let endpoint = format!("endpoint={}", self.mlflow_url);
        let code = self.folder.join("myapp");
        copy(&setup::root().join("examples/mlflow-wine"), &code)?;
        let path = code.display().to_string();
        self.fuseml(&["extension", "install", &extension, "--set", &endpoint, "--grant", "all"])?;
        self.fuseml(&["project", "create", "myproj"])?;
        self.fuseml(&["project", "set", "myproj"])?;
        self.fuseml(&[
            "pipeline",
            "add",
            "mlflow-training",
            "--name",
            "training-pipeline",
            "--input",
            "mlflow_code=code://*",
        ])?;
        self.fuseml(&[
            "pipeline",
            "add",
            "mlflow-serving",
            "--name",
            "serving-pipeline",
            "--input",
            "model=model://*",
        ])?;
        self.fuseml(&["codeset", "push", &path, "--name", "myapp", "--wait"])?;
        self.fuseml(&["pipeline", "results", "show", "--current-code", "--recursive"])?;
        self.predict(&code)?;

        heading("Only training code changes: the environment is reused, the URL stays");
        change(&code.join("train.py"), |text| format!("{text}\n# Trained once more.\n"))?;
        self.fuseml(&["codeset", "push", &path, "--name", "myapp", "--wait"])?;
        self.fuseml(&["pipeline", "results", "show", "--current-code", "--recursive"])?;
        self.predict(&code)?;

        heading("A dependency changes: the environment is built again");
        change(&code.join("conda.yaml"), |text| text.replace("      - pandas", "      - tabulate\n      - pandas"))?;
        self.fuseml(&["codeset", "push", &path, "--name", "myapp", "--wait"])?;

        heading("What there is now");
        for command in [["run", "list"], ["artifact", "list"], ["service", "list"]] {
            self.fuseml(&command)?;
        }
        let model = self.output(&["artifact", "list", "--kind", "model", "-o", "json"])?;
        let address = model.split('"').find(|part| part.starts_with("model://")).context("no model was registered")?;
        self.fuseml(&["artifact", "show", address])?;
        self.fuseml(&["lineage", address])
    }

    /// A real prediction over HTTP.
    fn predict(&self, code: &Path) -> Result<()> {
        let services = self.output(&["service", "list", "-o", "json"])?;
        let url = services.split('"').find(|part| part.ends_with("/predict")).context("nothing is served")?;
        let request = code.join("request.json");
        say(&format!("curl -H \"Authorization: Bearer $TOKEN\" -d @{} {url}", request.display()));
        let header =
            format!("Authorization: Bearer {}", fs::read_to_string(self.folder.join("data/admin-token"))?.trim());
        // The header comes from a file of this process: arguments can be listed by everyone.
        let headers = self.folder.join("header");
        fs::write(&headers, header)?;
        run(Command::new("curl")
            .args(["-sS", "--fail-with-body", "-H", "Content-Type: application/json", "-H"])
            .arg(format!("@{}", headers.display()))
            .arg("-d")
            .arg(format!("@{}", request.display()))
            .arg(url))?;
        println!();
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("FUSEML_DATA", self.folder.join("data"))
            .env("XDG_CONFIG_HOME", self.folder.join("config"));
        command
    }

    fn fuseml(&self, arguments: &[&str]) -> Result<()> {
        let quoted: Vec<_> = arguments
            .iter()
            .map(|word| if word.contains('*') { format!("'{word}'") } else { (*word).to_owned() })
            .collect();
        say(&format!("fuseml {}", quoted.join(" ")));
        run(&mut self.command(arguments))
    }

    fn output(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).stderr(Stdio::null()).output()?;
        Ok(String::from_utf8(output.stdout)?)
    }

    fn wait_until(&self, what: &str, ready: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(90);
        while !ready() {
            if Instant::now() > deadline {
                self.clean_up();
                bail!("{what} did not start; its log is below {}", self.folder.display());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn leave(&self) {
        heading("Left running");
        let data = self.folder.join("data");
        println!("export FUSEML_DATA={} XDG_CONFIG_HOME={}", data.display(), self.folder.join("config").display());
        println!("MLflow   {}", self.mlflow_url);
        println!("end it   kill {} -{}", self.server.0.id(), self.mlflow.0.id());
    }

    /// Whether the server announced itself and is not gone.
    fn runs(&self) -> bool {
        std::fs::read_dir(self.folder.join("data/servers")).is_ok_and(|mut servers| servers.next().is_some())
    }

    fn clean_up(&self) {
        self.server.signal("-TERM");
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.runs() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
        }
        self.mlflow.signal("-TERM");
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn say(command: &str) {
    println!("\n$ {command}");
}

fn heading(text: &str) {
    println!("\n# {text}");
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name()))?,
            false => drop(fs::copy(entry.path(), to.join(entry.file_name()))?),
        }
    }
    Ok(())
}

fn change(path: &Path, edit: impl FnOnce(String) -> String) -> Result<()> {
    let before = fs::read_to_string(path)?;
    let after = edit(before.clone());
    if before == after {
        bail!("{} did not change", path.display());
    }
    Ok(fs::write(path, after)?)
}
