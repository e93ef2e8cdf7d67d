//! Steps as they stand in files, and what is refused of them.

use crate::{
    Action, Approval, Best, Call, Condition, Error, InstanceChoice, InstanceSelector, Name, Nested, Notify, Reference,
    Resources, Result, Retry, Reuse, RunnableChoice, Runs, Step, Sweep, When, Window, Work,
    keep::{CopyText, FetchText, RegisterText},
    scalar::Scalar,
    sweep::Values,
    wait::WaitText,
};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// A step as it stands in the file: it does exactly one thing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Step", extend("oneOf" = [{"required": ["build", "codeset"]}, {"required": ["run"]}, {"required": ["serve"]}, {"required": ["approve"]}, {"required": ["wait"]}, {"required": ["call"]}, {"required": ["notify"]}, {"required": ["register"]}, {"required": ["copy"]}, {"required": ["fetch"]}, {"required": ["template"]}]))]
pub(crate) struct StepText {
    /// The extension's instance whose builder makes runnables of the `codeset`.
    build: Option<InstanceChoice>,
    /// What is built.
    codeset: Option<Reference>,
    /// A job: what it runs is an address, a build step's output, or the newest of a kind.
    run: Option<RunnableChoice>,
    /// A service, which goes on; its output is `url`.
    serve: Option<RunnableChoice>,
    /// A question to a person.
    approve: Option<Approval>,
    /// Until something happened elsewhere.
    wait: Option<WaitText>,
    /// An outside service is called; its answer's members are outputs.
    call: Option<Call>,
    /// An outside service is told how the run stands.
    notify: Option<Notify>,
    /// An artifact of the run is registered, if it is anonymous, labelled and tagged; the output is `artifact`.
    register: Option<RegisterText>,
    /// The contents of an artifact of the run are put into another project; the output is `artifact`.
    copy: Option<CopyText>,
    /// A file of an outside service becomes an artifact; the output is `artifact`.
    fetch: Option<FetchText>,
    /// The name of an installed template, or a file beside this one: its steps stand here.
    template: Option<String>,
    /// Artifacts that it takes, by the name that its runnable has for them.
    #[serde(default)]
    inputs: IndexMap<String, Reference>,
    /// Values, and texts with references in them.
    #[serde(default)]
    parameters: IndexMap<String, Scalar>,
    /// What it needs, instead of what the runnable says: `cpu`, `memory`, `gpu`, `storage`, `requires`.
    #[serde(default)]
    resources: IndexMap<String, Scalar>,
    /// The job is done for each of these values, or for each combination of several lists.
    #[serde(default)]
    each: IndexMap<String, Values>,
    /// What the swept step gives is what the best of them made.
    best: Option<Best>,
    /// Steps to wait for of which nothing is taken.
    #[serde(default)]
    after: Vec<Name>,
    /// Whether it runs after what came before it went well, failed, or however that went.
    #[serde(default)]
    runs: Runs,
    /// It is skipped where this does not hold.
    when: Option<WhenText>,
    /// It begins only at such times.
    window: Option<WindowText>,
    /// How often it is tried whose workload failed, or whose tool does not answer.
    retry: Option<RetryText>,
    /// Whether the result of the same job done before is taken.
    #[serde(default)]
    reuse: Reuse,
    /// The extension's instance whose engine runs it: its name, or what it must be.
    agent: Option<InstanceChoice>,
    /// Where it runs: on the engine that is there, or on this server if that is.
    zone: Option<Name>,
    /// What it makes is for later steps of the run: it is registered nowhere, and gone when the run has ended.
    #[serde(default)]
    anonymous: bool,
    /// How long it may take, such as 90s, 30m or 2h.
    #[schemars(extend("pattern" = "^[1-9][0-9]*[smh]$"))]
    timeout: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "When", extend("oneOf" = [{"required": ["artifact", "where"]}, {"required": ["value", "in"]}]))]
struct WhenText {
    /// An artifact that has to be what `where` says.
    artifact: Option<Reference>,
    #[serde(rename = "where")]
    condition: Option<Condition>,
    /// A value that has to be one of those `in`.
    value: Option<Reference>,
    #[serde(rename = "in")]
    one_of: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Window")]
struct WindowText {
    /// Five cron fields and a time zone, such as `0 22 * * MON-FRI Europe/Berlin`.
    opens: String,
    /// How long it is open each time, such as 90s, 30m or 8h.
    #[serde(rename = "for")]
    #[schemars(extend("pattern" = "^[1-9][0-9]*[smh]$"))]
    stays: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Retry")]
struct RetryText {
    /// In all.
    #[schemars(range(min = 2, max = 100))]
    attempts: u32,
    /// Before the second one, such as 90s, 30m or 2h.
    #[schemars(extend("pattern" = "^[1-9][0-9]*[smh]$"))]
    delay: Option<String>,
    /// Each pause is so many times the one before.
    #[schemars(range(min = 1, max = 10))]
    factor: Option<u32>,
}

const MOST_ATTEMPTS: u32 = 100;
const DEFAULT_DELAY: Duration = Duration::from_secs(10);

impl StepText {
    pub(crate) fn read(mut self, name: Name) -> Result<Step> {
        let here = |error: Error| error.context(format!("step {name}"));
        let refuse = |why: &str| Err(here(Error::invalid("step", why.to_owned())));
        let when = match self.when.take().map(WhenText::read) {
            Some(None) => {
                return refuse("`when` is an `artifact` and a condition `where`, or a `value` and a list `in`");
            }
            when => when.flatten(),
        };
        let sweep = match (self.each.is_empty(), self.best.take()) {
            (true, None) => None,
            (true, Some(_)) => return refuse("`best` is the best of `each`, which is not there"),
            (false, best) => Some(Sweep { each: std::mem::take(&mut self.each), best }),
        };
        let retry = self.retry.take().map(RetryText::read).transpose().map_err(here)?;
        let window = self.window.take().map(WindowText::read).transpose().map_err(here)?;
        let (after, runs, reuse, agent) = (std::mem::take(&mut self.after), self.runs, self.reuse, self.agent.take());
        let agent = match (agent, self.zone.take()) {
            (Some(_), Some(_)) => {
                return refuse("an `agent` says where it runs; a `zone` is said of it: `agent: {zone: …}`");
            }
            (None, Some(zone)) => Some(InstanceChoice::Selector(InstanceSelector::in_zone(zone))),
            (agent, None) => agent,
        };
        let anonymous = self.anonymous;
        let action = self.action().map_err(here)?;
        match (&action, &sweep) {
            (Action::Run(_), None) => {}
            (Action::Run(_), Some(_)) if anonymous => {
                return refuse("nobody chooses among what is `anonymous`: no `each` here");
            }
            _ if anonymous => return refuse("only what a step with `run` makes can be `anonymous`"),
            _ => {}
        }
        match &action {
            Action::Template(_) if window.is_some() => {
                return refuse("a `window` is that of the steps of a `template`");
            }
            Action::Template(_) if (runs, reuse) != (Runs::OnSuccess, Reuse::On) || retry.is_some() => {
                return refuse("`runs`, `reuse` and `retry` are said by the steps of a `template`");
            }
            Action::Approve(_) | Action::Wait { .. } if retry.is_some() => {
                return refuse("who waits tries nothing: no `retry` here");
            }
            _ => {}
        }
        match (&sweep, &action) {
            (None, _) => {}
            (Some(sweep), Action::Run(work)) => sweep.check(work).map_err(here)?,
            _ => return refuse("only a step with `run` is done for `each` of several values"),
        }
        if agent.is_some() && !matches!(action, Action::Run(_) | Action::Template(_)) {
            return refuse("only a step with `run` goes to an `agent` or a `zone`");
        }
        Ok(Step { after, runs, when, window, retry, reuse, agent, anonymous, sweep, ..Step::new(name, action) })
    }

    /// What it does, of which exactly one is said.
    fn action(self) -> Result<Action> {
        let refuse = |why: &str| Err(Error::invalid("step", why.to_owned()));
        let said = [
            self.build.is_some(),
            self.run.is_some(),
            self.serve.is_some(),
            self.approve.is_some(),
            self.wait.is_some(),
            self.call.is_some(),
            self.notify.is_some(),
            self.register.is_some(),
            self.copy.is_some(),
            self.fetch.is_some(),
            self.template.is_some(),
        ];
        if said.iter().filter(|is| **is).count() != 1 {
            return refuse(
                "a step is exactly one of `build`, `run`, `serve`, `approve`, `wait`, `call`, `notify`, `register`, \
                 `copy`, `fetch` and `template`",
            );
        }
        let timeout = self.timeout.as_deref().map(read_duration).transpose()?;
        let takes_nothing = self.inputs.is_empty() && self.parameters.is_empty();
        if self.codeset.is_some() && self.build.is_none() {
            return refuse("only a build step takes a `codeset`");
        }
        if timeout.is_some() && (self.build.is_some() || self.approve.is_some() || self.notify.is_some()) {
            return refuse("`timeout` is for what `run`, `serve`, `wait`, `call`, `register`, `copy` and `fetch` do");
        }
        let parameters = self.parameters.into_iter().map(|(name, value)| (name, value.0)).collect();
        if let Some(template) = self.template {
            if timeout.is_some() || !self.resources.is_empty() {
                return refuse("`timeout` and `resources` are said by the steps of a `template`");
            }
            return Ok(Action::Template(Nested { template, inputs: self.inputs, parameters }));
        }
        if let Some(runnable) = self.run.clone().or(self.serve.clone()) {
            let resources = self.resources.into_iter().map(|(name, text)| (name, text.0)).collect();
            Resources::read(&resources)?;
            let work = Work { runnable, inputs: self.inputs, parameters, timeout, resources };
            return Ok(if self.serve.is_some() { Action::Serve(work) } else { Action::Run(work) });
        }
        if !takes_nothing || !self.resources.is_empty() {
            return refuse(
                "only `run`, `serve` and `template` take inputs and parameters, and the first two resources",
            );
        }
        let kept = match (self.register, self.copy, self.fetch) {
            (Some(register), ..) => Some(register.into()),
            (_, Some(copy), _) => Some(copy.into()),
            (.., Some(fetch)) => Some(fetch.read()?),
            (None, None, None) => None,
        };
        if let Some(keep) = kept {
            return Ok(Action::Keep { keep, timeout });
        }
        match (self.build, self.approve, self.wait, self.call, self.notify) {
            (Some(instance), ..) => match self.codeset {
                Some(codeset) => Ok(Action::Build { instance, codeset }),
                None => refuse("a build step needs a `codeset`"),
            },
            (_, Some(approval), ..) => Ok(Action::Approve(approval)),
            (_, _, Some(wait), ..) => Ok(Action::Wait { wait: wait.read()?, timeout }),
            (_, _, _, Some(call), _) => Ok(Action::Call { call, timeout }),
            (.., Some(notify)) => Ok(Action::Notify(notify)),
            (None, None, None, None, None) => refuse("it does nothing"),
        }
    }
}

impl WhenText {
    fn read(self) -> Option<When> {
        match (self.artifact, self.condition, self.value, self.one_of) {
            (Some(artifact), Some(condition), None, None) => Some(When::Artifact { artifact, condition }),
            (None, None, Some(value), Some(one_of)) => Some(When::Value { value, one_of }),
            _ => None,
        }
    }
}

impl WindowText {
    fn read(self) -> Result<Window> {
        Window::new(self.opens.parse()?, read_duration(&self.stays)?)
    }
}

impl RetryText {
    fn read(self) -> Result<Retry> {
        let (attempts, factor) = (self.attempts, self.factor.unwrap_or(2));
        if !(2..=MOST_ATTEMPTS).contains(&attempts) || !(1..=10).contains(&factor) {
            let message = format!("`retry` takes 2 to {MOST_ATTEMPTS} attempts and a factor of 1 to 10");
            return Err(Error::invalid("retry", message));
        }
        let delay = self.delay.as_deref().map_or(Ok(DEFAULT_DELAY), read_duration)?;
        Ok(Retry { attempts, delay, factor })
    }
}

/// `90s`, `30m`, `2h`.
pub(crate) fn read_duration(text: &str) -> Result<Duration> {
    let refuse = || Error::invalid("duration", format!("`{text}` is not a length of time such as 90s, 30m or 2h"));
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        _ => return Err(refuse()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| refuse())?;
    count.checked_mul(unit).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(refuse)
}
