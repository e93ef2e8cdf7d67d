//! A real Ray cluster of one node.

use crate::{Group, free_port, tool, until};
use std::process::Command;
use tempfile::TempDir;

pub struct Ray {
    /// Of its dashboard.
    pub url: String,
    _group: Group,
    _folder: TempDir,
}

const PORTS: [&str; 4] = ["port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port", "ray-client-server-port"];

impl Ray {
    pub fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().expect("folder"), free_port());
        let group = Group::start(
            Command::new(tool("FUSEML_TEST_RAY"))
                .args(["start", "--head", "--block", "--num-cpus=2", "--object-store-memory=100000000"])
                .args(["--dashboard-host=127.0.0.1", "--disable-usage-stats"])
                // Else clusters on one machine answer for each other.
                .args(PORTS.map(|name| format!("--{name}={}", free_port())))
                .arg(format!("--dashboard-port={port}"))
                .arg(format!("--temp-dir={}", folder.path().join("ray").display())),
            &folder.path().join("log"),
        );
        let url = format!("http://127.0.0.1:{port}");
        let version = format!("{url}/api/version");
        let answers = || reqwest::blocking::get(&version).is_ok_and(|answer| answer.status().is_success());
        until("Ray answers", answers);
        Self { url, _group: group, _folder: folder }
    }
}
