//! A PostgreSQL server for tests and measurements, gone with its data when it is dropped.

use crate::{guest, setup::run};
use anyhow::{Context as _, Result};
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub(crate) struct Postgres {
    /// Of its maintenance database; whoever tests makes one of his own.
    pub(crate) url: String,
    /// Has `pg_dump` and its like.
    pub(crate) programs: PathBuf,
    folder: PathBuf,
}

/// Debian keeps each version's programs in a folder of its own.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Whether what is committed survives the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    /// As operators run it: for measurements.
    Yes,
    No,
}

impl Postgres {
    pub(crate) fn start(durable: Durable) -> Result<Self> {
        if programs().is_none() {
            guest::debian(&["postgresql"])?;
        }
        let programs = programs().context("the tests need PostgreSQL's server: install it")?;
        let folder = std::env::temp_dir().join(format!("fuseml-postgres-{}", std::process::id()));
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = Self { url: format!("postgres://postgres@127.0.0.1:{port}/postgres"), programs, folder };
        fs::create_dir_all(&server.folder)?;
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&server.folder))?;
        }
        let data = server.folder.join("data");
        let init = ["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"];
        run(server.command("initdb").arg("-D").arg(&data).args(init).stdout(Stdio::null()))?;
        let options = format!(
            "-p {port} -k {} -c listen_addresses=127.0.0.1 -c max_connections=400 -c fsync={}",
            server.folder.display(),
            if durable == Durable::Yes { "on" } else { "off" }
        );
        let log = server.folder.join("log");
        run(server
            .command("pg_ctl")
            .arg("-D")
            .arg(&data)
            .arg("-l")
            .arg(log)
            .args(["-o", &options, "-w", "start"])
            .stdout(Stdio::null()))?;
        Ok(server)
    }

    /// One of its programs, as somebody whom it lets run: not as root.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if is_root() { Command::new("runuser") } else { Command::new(&program) };
        if is_root() {
            command.args(["-u", "postgres", "--"]).arg(program);
        }
        command.current_dir(&self.folder);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut stop = self.command("pg_ctl");
        let _ = stop
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-m", "immediate", "stop"])
            .stdout(Stdio::null())
            .status();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(Path::new(VERSIONS)).ok()?.flatten();
    versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").is_file()).max()
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}
