//! What is done again and what is not: a chain that nothing changed, one of which a blob is gone, and one that goes on
//! where it failed. And what a server costs that has nothing to do.

use crate::{
    chain::{World, descriptor},
    figures::{heading, line},
    peers,
};
use anyhow::{Context as _, Result, ensure};
use fuseml_domain::{
    Address, Descriptor, Kind, Name, NothingBeside, Pipeline, Run, RunCommand, RunState, Runnable, StepState, Template,
    port::Catalog as _,
};
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const STEPS: usize = 50;
/// The step that fails until it may not.
const FAILING: usize = 40;

pub(crate) async fn measure(program: &Path, tools: &Path, dvc: &Path) -> Result<()> {
    let world = World::new(program).await?;
    let flag = world.folder().join("fails");
    let maker = maker(&world.project, &flag)?;
    world.catalog.register(std::slice::from_ref(&maker)).await?;
    let pipeline = chain(&world, &maker.address).await?;

    heading(&format!("A chain of {STEPS} processes that each make a file"));
    let first = run(&world, &pipeline).await?;
    line("the first time", &format!("{:.2?}", first.time));
    let again = run(&world, &pipeline).await?;
    ensure!(again.done == 0, "{} steps were done again", again.done);
    line("unchanged", &format!("{:.2?}, nothing is done again", again.time));
    fs::remove_file(blob(&world.folder().join("contents"), "made 25\n")?)?;
    let mended = run(&world, &pipeline).await?;
    ensure!(mended.done == 1, "{} steps were done again", mended.done);
    line("one blob is gone", &format!("{:.2?}, that step alone is done again", mended.time));
    heading(&format!("A chain of {STEPS} that failed at {FAILING} and goes on"));
    fs::write(&flag, "")?;
    let started = world.engine.plan_manual(&pipeline, BTreeMap::new(), "measured".into()).await?;
    let started = Run { reuse: Some(fuseml_domain::Reuse::Off), ..started };
    let failed = end(&world, world.engine.start_run(started).await?).await?;
    ensure!(failed.state == RunState::Failed, "the chain ended {}", failed.state);
    fs::remove_file(&flag)?;
    let begun = Instant::now();
    let resumed = world.engine.command(failed.id, RunCommand::Resume, "bench", None).await?;
    let resumed = end(&world, resumed).await?;
    ensure!(resumed.state == RunState::Succeeded, "the chain ended {}", resumed.state);
    line("resumed", &format!("{:.2?} for the {} steps that were left", begun.elapsed(), STEPS - FAILING));
    heading(&format!("Peers: the same of a chain of {STEPS}, which fails at {FAILING}"));
    peers::again(tools, dvc, STEPS, FAILING)?;
    idle(program).await
}

/// A process that writes down its number, unless it is to fail.
fn maker(project: &Name, flag: &Path) -> Result<Descriptor> {
    let fails = format!("[ -e {} ] && [ \"$N\" = {FAILING} ]", flag.display());
    let text = format!(
        "{{schema_version: 1, name: maker, kind: maker, command: [sh, -c, '{fails} && exit 1; mkdir out; echo \"made $N\" > \
         out/made'], inputs: {{before: {{kind: dataset, optional: true}}}}, outputs: {{out: {{kind: dataset, path: out}}}}, \
         parameters: {{n: {{type: integer}}}}}}"
    );
    let runnable = Runnable::parse(&text, "maker", &NothingBeside)?;
    let id: Name = runnable.digest().hex().parse()?;
    let name = runnable.name.clone();
    Ok(Descriptor { runnable: Some(Box::new(runnable)), ..descriptor(Kind::Runnable, project, name, id) })
}

async fn chain(world: &World, maker: &Address) -> Result<Pipeline> {
    let mut text = "schema_version: 1\nname: again\ndescription: makes files\nsteps:\n".to_owned();
    for step in 0..STEPS {
        let before = match step {
            0 => String::new(),
            _ => format!(", inputs: {{before: '${{steps.s{}.out}}'}}", step - 1),
        };
        writeln!(text, "  s{step}: {{run: '{maker}', parameters: {{n: '{step}'}}{before}}}")?;
    }
    let template = Template::parse(&text, "again.yaml")?;
    let (project, name) = (world.project.clone(), "again".parse()?);
    let pipeline = Pipeline::new(project, name, template, &BTreeMap::new(), BTreeMap::new(), Timestamp::now())?;
    world.catalog.add_pipeline(&pipeline).await?;
    Ok(pipeline)
}

struct Measured {
    time: Duration,
    /// Steps that ran rather than being reused.
    done: usize,
}

async fn run(world: &World, pipeline: &Pipeline) -> Result<Measured> {
    let run = world.engine.plan_manual(pipeline, BTreeMap::new(), "measured".into()).await?;
    let begun = Instant::now();
    let run = end(world, world.engine.start_run(run).await?).await?;
    let time = begun.elapsed();
    ensure!(run.state == RunState::Succeeded, "the chain ended {}: {:?}", run.state, run.steps);
    Ok(Measured { time, done: run.steps.iter().filter(|step| step.workload.is_some()).count() })
}

/// As it is once it has ended.
async fn end(world: &World, run: Run) -> Result<Run> {
    loop {
        let now = world.catalog.run(run.id).await?;
        let is_over = now.state.ended() && now.steps.iter().all(|step| step.state != StepState::Running);
        if is_over {
            return Ok(now);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The file below a folder with these bytes.
fn blob(folder: &Path, text: &str) -> Result<PathBuf> {
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if fs::read(&path)? == text.as_bytes() {
                return Ok(path);
            }
        }
    }
    anyhow::bail!("no blob is `{}`", text.trim())
}

/// A server with an empty folder, for a while.
async fn idle(program: &Path) -> Result<()> {
    const WATCHED: Duration = Duration::from_secs(20);
    let folder = tempfile::tempdir()?;
    let mut server = Command::new(program);
    server.args(["server", "start", "--listen", "127.0.0.1:0", "--data"]).arg(folder.path());
    let mut server = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = usage(server.id())?;
    tokio::time::sleep(WATCHED).await;
    let after = usage(server.id())?;
    server.kill()?;
    server.wait()?;
    heading("A server with nothing to do");
    let used = (after.1 - before.1) / WATCHED.as_secs_f64() * 100.0;
    line("memory; processor", &format!("{:.0} MiB; {used:.2} % of one", after.0));
    Ok(())
}

/// Resident memory in MiB, and seconds of a processor so far.
fn usage(pid: u32) -> Result<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    let resident: f64 = resident.context("the kernel says no VmRSS")?.trim().parse()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Behind the name, which may hold anything: the 12th and 13th are ticks of 10 ms.
    let fields = stat.rsplit_once(')').context("the kernel says no ticks")?.1;
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).filter_map(|it| it.parse().ok()).collect();
    Ok((resident / 1024.0, ticks.iter().sum::<f64>() / 100.0))
}
