//! `--wait`: what runs, live on a terminal and as plain lines otherwise, until nothing follows any more.

use crate::{
    RUN_FAILED, RUN_WAITS,
    client::Client,
    command::run::log_chunk,
    output::{elapsed, live},
};
use fuseml_domain::{Address, Name, Run, RunState, StepRun, StepState, Unstarted, WaitsFor};
use fuseml_server::ActivityView;
use futures::StreamExt as _;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use std::{
    collections::{HashMap, VecDeque},
    process::ExitCode,
    time::Duration,
};

/// How long nobody looks without being told: whether a queued run stands is decided by others.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two streams: a server that was stopped may be there again.
const PAUSE: Duration = Duration::from_millis(250);
/// Lines of a failed step's log that are shown.
const TAIL: usize = 20;

/// What somebody follows: told again whenever it is another.
struct Followed<'a> {
    client: &'a Client,
    path: String,
    query: Vec<(&'a str, String)>,
}

impl Followed<'_> {
    /// Hands over each state until that has an answer.
    async fn until<T: DeserializeOwned + Send + 'static>(
        &self,
        mut judge: impl AsyncFnMut(&T) -> anyhow::Result<Option<ExitCode>>,
    ) -> anyhow::Result<ExitCode> {
        loop {
            let mut states = self.client.follow::<T>(&self.path, &self.query).await?;
            let mut last = None;
            loop {
                match tokio::time::timeout(AGAIN, states.next()).await {
                    Ok(Some(state)) => last = Some(state),
                    Ok(None) => break,
                    Err(_) => {}
                }
                if let Some(state) = &last
                    && let Some(code) = judge(state).await?
                {
                    return Ok(code);
                }
            }
            // If the server is gone, the next request says so.
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What followed from an artifact so far.
pub(super) async fn so_far(client: &Client, root: &Address) -> anyhow::Result<ActivityView> {
    Ok(client.get("/api/v1/activity", &[("root", root.to_string())]).await?)
}

/// Follows everything that an artifact starts, but what was there before.
pub(super) async fn artifact(
    client: &Client,
    project: &Name,
    root: &Address,
    before: Option<&ActivityView>,
) -> anyhow::Result<ExitCode> {
    let mut display = Display::new();
    let query = vec![("root", root.to_string())];
    let followed = Followed { client, path: "/api/v1/activity/events".to_owned(), query };
    let judge = async |activity: &ActivityView| {
        let is_new = |run: &&Run| before.is_none_or(|before| before.runs.iter().all(|known| known.id != run.id));
        let runs: Vec<_> = activity.runs.iter().filter(is_new).cloned().collect();
        for run in &runs {
            display.show(client, project, run).await;
        }
        if !(activity.settled || activity.quiet && all_stand(client, &runs).await?) {
            return Ok(None);
        }
        display.clear();
        let is_new = |it: &&Unstarted| before.is_none_or(|before| !before.unstarted.contains(it));
        let unstarted: Vec<_> = activity.unstarted.iter().filter(is_new).collect();
        for Unstarted { pipeline, reason } in &unstarted {
            eprintln!("{pipeline} was not started: {reason}.");
        }
        if runs.is_empty() && unstarted.is_empty() {
            eprintln!("Nothing in {project} is started by {}.", root.short());
        }
        Ok(Some(verdict(project, &runs)))
    };
    followed.until(judge).await
}

/// Follows one run, until nothing of it moves by itself.
pub(super) async fn run(client: &Client, project: &Name, run: &Run) -> anyhow::Result<ExitCode> {
    follow(client, project, run, false).await
}

/// The same, also while it waits for what happens elsewhere.
pub(super) async fn run_to_its_end(client: &Client, project: &Name, run: &Run) -> anyhow::Result<ExitCode> {
    follow(client, project, run, true).await
}

async fn follow(client: &Client, project: &Name, run: &Run, is_patient: bool) -> anyhow::Result<ExitCode> {
    let mut display = Display::new();
    let path = format!("/api/v1/projects/{project}/runs/{}/{}/events", run.pipeline, run.number);
    let followed = Followed { client, path, query: Vec::new() };
    let judge = async |run: &Run| {
        display.show(client, project, run).await;
        let awaits = matches!(run.waits_for(Timestamp::now()), Some(WaitsFor::Event(_)));
        if is_patient && awaits || !all_stand(client, std::slice::from_ref(run)).await? {
            return Ok(None);
        }
        display.clear();
        Ok(Some(verdict(project, std::slice::from_ref(run))))
    };
    followed.until(judge).await
}

/// Whether nothing of them moves by itself.
async fn all_stand(client: &Client, runs: &[Run]) -> anyhow::Result<bool> {
    let stands = |run: &Run| run.state.ended() || run.waits_for(Timestamp::now()).is_some();
    for run in runs {
        if run.state != RunState::Queued {
            if !stands(run) {
                return Ok(false);
            }
            continue;
        }
        // It moves when those before it do.
        let query = [("pipeline", run.pipeline.to_string()), ("limit", "100".to_owned())];
        let all: Vec<Run> = client.get(&format!("/api/v1/projects/{}/runs", run.project), &query).await?;
        let mut earlier = all.iter().filter(|other| other.number < run.number && other.state != RunState::Queued);
        if !earlier.all(stands) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn verdict(project: &Name, runs: &[Run]) -> ExitCode {
    for run in runs {
        let (called, mut label) = (called(project, run), run.label());
        if run.project != *project {
            label = format!("--project {} {label}", run.project);
        }
        if run.state == RunState::Queued {
            eprintln!("{called} waits for an earlier run of {}.", run.pipeline);
        }
        match run.waits_for(Timestamp::now()) {
            Some(WaitsFor::Approval(steps)) => {
                for step in &steps {
                    let note = run.step(step).and_then(|step| step.note.clone()).unwrap_or_default();
                    eprintln!("{called} asks: {note}");
                    eprintln!("  fuseml run approve {label} {step}   or   fuseml run reject {label} {step}");
                }
            }
            Some(WaitsFor::Event(_)) => eprintln!("`fuseml run watch {label}` shows how it goes on."),
            Some(WaitsFor::Resume) => eprintln!("{called} is paused; `fuseml run resume {label}` lets it go on."),
            None => {}
        }
    }
    let is = |state| runs.iter().any(|run| run.state == state);
    match () {
        () if is(RunState::Failed) || is(RunState::Cancelled) => ExitCode::from(RUN_FAILED),
        () if runs.iter().any(|run| !run.state.ended()) => ExitCode::from(RUN_WAITS),
        () => ExitCode::SUCCESS,
    }
}

/// A run as whoever works in the project calls it.
fn called(project: &Name, run: &Run) -> String {
    if run.project == *project { run.label() } else { format!("{}/{}", run.project, run.label()) }
}

/// What was said so far, and the moving lines of what still runs.
struct Display {
    bars: MultiProgress,
    moving: HashMap<String, ProgressBar>,
    said: HashMap<String, StepState>,
    runs: HashMap<String, RunState>,
    live: bool,
}

impl Display {
    fn new() -> Self {
        let live = live();
        let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            bars: MultiProgress::with_draw_target(target),
            moving: HashMap::new(),
            said: HashMap::new(),
            runs: HashMap::new(),
            live,
        }
    }

    fn say(&self, line: &str) {
        self.bars.suspend(|| eprintln!("{line}"));
    }

    async fn show(&mut self, client: &Client, project: &Name, run: &Run) {
        let label = called(project, run);
        if !self.runs.contains_key(&label) {
            self.runs.insert(label.clone(), RunState::Running);
            self.say(&format!("{label}: {}", run.cause.reason));
        }
        for step in &run.steps {
            self.show_step(client, project, run, step).await;
        }
        if run.state.ended() && self.runs.insert(label.clone(), run.state) == Some(RunState::Running) {
            self.say(&format!("{label} {} in {}", run.state, elapsed(Some(run.created), run.ended)));
            for (name, value) in &run.outputs {
                self.say(&format!("  {name}: {}", value.shown()));
            }
        }
    }

    async fn show_step(&mut self, client: &Client, project: &Name, run: &Run, step: &StepRun) {
        let mut key = format!("{} {}", called(project, run), step.name);
        for earlier in &step.earlier {
            let key = if earlier.number == 1 { key.clone() } else { format!("{key}, try {}", earlier.number) };
            let before = self.said.insert(key.clone(), earlier.state);
            if before != Some(earlier.state) {
                if before.is_none() && !self.live {
                    self.say(&format!("{key} started"));
                }
                if let Some(bar) = self.moving.remove(&key) {
                    bar.finish_and_clear();
                }
                let note = earlier.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
                self.say(&format!("{key} {} in {}{note}", earlier.state, elapsed(earlier.started, earlier.ended)));
            }
        }
        if step.attempt > 1 {
            key += &format!(", try {}", step.attempt);
        }
        if matches!(step.state, StepState::Waiting | StepState::Ready | StepState::AwaitingApproval) {
            return;
        }
        let before = self.said.insert(key.clone(), step.state);
        if before == Some(step.state) {
            return;
        }
        if step.state == StepState::AwaitingEvent {
            self.say(&format!("{key} {}", step.note.as_deref().unwrap_or("waits")));
            return;
        }
        // Plain lines tell of beginning and end, whichever states between them were seen.
        if before.is_none() && !self.live && step.state != StepState::Skipped {
            self.say(&format!("{key} started"));
        }
        if !step.state.ended() {
            if self.live {
                self.bar(&key).set_message(format!("{key} {}", step.state));
            }
            return;
        }
        if let Some(bar) = self.moving.remove(&key) {
            bar.finish_and_clear();
        }
        let time = match elapsed(step.started, step.ended) {
            time if time.is_empty() => time,
            time => format!(" in {time}"),
        };
        let note = step.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
        self.say(&format!("{key} {}{time}{note}", step.state));
        if step.state == StepState::Failed {
            self.show_failure(client, run, step).await;
        }
    }

    fn bar(&mut self, key: &str) -> &ProgressBar {
        self.moving.entry(key.to_owned()).or_insert_with(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = self.bars.add(ProgressBar::new_spinner().with_style(style));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        })
    }

    /// The end of the log, and how to see all of it.
    async fn show_failure(&self, client: &Client, run: &Run, step: &StepRun) {
        let mut tail = VecDeque::new();
        let mut cursor = 0;
        while let Ok(chunk) = log_chunk(client, &run.project, run, &step.name, cursor).await {
            if chunk.cursor == cursor {
                break;
            }
            cursor = chunk.cursor;
            tail.extend(chunk.text.lines().map(ToOwned::to_owned));
            tail.drain(..tail.len().saturating_sub(TAIL));
        }
        if tail.is_empty() {
            return;
        }
        for line in tail {
            self.say(&format!("  | {line}"));
        }
        self.say(&format!("  all of it: fuseml run logs {} --step {}", run.label(), step.name));
    }

    fn clear(&mut self) {
        for (_, bar) in self.moving.drain() {
            bar.finish_and_clear();
        }
    }
}
