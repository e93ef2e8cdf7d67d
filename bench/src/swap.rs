//! Versions that take over from each other under load, in a real server.

use crate::{
    figures::{heading, line, spread},
    guest, stand,
};
use anyhow::{Context as _, Result, bail};
use fuseml_server::DataFolder;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const CALLERS: usize = 4;
const FOR: Duration = Duration::from_secs(5);

struct Server {
    process: Child,
    program: PathBuf,
    data: PathBuf,
}

impl Server {
    async fn start(program: &Path, data: PathBuf) -> Result<Self> {
        let process = Command::new(program)
            .args(["server", "start", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self { process, program: program.to_owned(), data };
        while server.url().is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }

    fn url(&self) -> Result<String> {
        let running = DataFolder::new(&self.data).running();
        Ok(running.first().context("no server runs")?.url.clone())
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        let output = Command::new(&self.program).args(arguments).arg("--data").arg(&self.data).output()?;
        if !output.status.success() {
            bail!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn package(folder: &Path, version: &str) -> Result<String> {
    let place = folder.join(version);
    fs::create_dir_all(&place)?;
    let manifest = format!(
        "schema_version = 1\nname = \"swapped\"\nversion = \"{version}\"\ntitle = \"Swapped\"\ndescription = \"Answers.\"\n\
         license = \"Apache-2.0\"\n[[components]]\nname = \"store\"\nworld = \"{}\"\nfile = \"store.wasm\"\n\
         kinds = [\"model\"]\n",
        stand::STORE
    );
    fs::write(place.join("extension.toml"), manifest)?;
    fs::write(place.join("store.wasm"), guest::store(&[], &format!(r#"(data (i32.const 50000) "{version}")"#)))?;
    Ok(place.display().to_string())
}

pub(crate) async fn measure(program: &Path) -> Result<()> {
    heading("Hot swap under load: health of an instance over REST");
    let folder = tempfile::tempdir()?;
    let server = Server::start(program, folder.path().join("data")).await?;
    let (old, new) = (package(folder.path(), "0.1.0")?, package(folder.path(), "0.1.1")?);
    server.run(&["extension", "install", &old, "--grant", "all"])?;
    let (calm, failed, _) = load(&server, || Ok(())).await?;
    line("without a swap", &format!("p99 {:.1?}, {failed} failed", calm.p99));
    let mut swaps = [&new, &old].into_iter().cycle();
    let swap = || server.run(&["extension", "upgrade", "swapped", swaps.next().context("a version")?]);
    let (busy, failed, swapped) = load(&server, swap).await?;
    let more = busy.p99.saturating_sub(calm.p99);
    line(
        &format!("while versions took over {swapped} times"),
        &format!("p99 {:.1?}, {more:.1?} more (goal 1ms), {failed} failed (goal 0)", busy.p99),
    );
    Ok(())
}

/// Times of calls, how many failed, and how often `between` was done meanwhile.
async fn load(
    server: &Server,
    mut between: impl FnMut() -> Result<()>,
) -> Result<(crate::figures::Spread, usize, usize)> {
    let (url, over) = (format!("{}/api/v1/instances/swapped", server.url()?), Arc::new(AtomicBool::new(false)));
    let token = fs::read_to_string(server.data.join("admin-token"))?;
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let (url, token, over) = (url.clone(), token.trim().to_owned(), over.clone());
        callers.push(tokio::spawn(async move {
            let (client, mut times, mut failed) = (reqwest::Client::new(), Vec::new(), 0);
            while !over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let view: serde_json::Value = client.get(&url).bearer_auth(&token).send().await?.json().await?;
                times.push(asked.elapsed());
                failed += usize::from(view["health"] != "ok");
            }
            anyhow::Ok((times, failed))
        }));
    }
    let (begun, mut done) = (Instant::now(), 0);
    while begun.elapsed() < FOR {
        between()?;
        done += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    over.store(true, Ordering::Relaxed);
    let (mut times, mut failed) = (Vec::new(), 0);
    for caller in callers {
        let (own, lost) = caller.await??;
        times.extend(own);
        failed += lost;
    }
    Ok((spread(times), failed, done))
}
