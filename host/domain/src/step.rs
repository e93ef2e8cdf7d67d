//! The steps of templates: what each does, when, and how often it is tried.

use crate::{
    Address, Attributes, Best, Call, Choice, Combination, Condition, Error, InstanceChoice, Interpolated, Name, Nested,
    Notify, Reference, Resources, Result, Runnable, Sweep, Wait, Window, scalar::Scalar, sweep::Values, wait::WaitText,
};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, time::Duration};

/// The longest a job may run when its step says nothing.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Which runnable a step runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RunnableChoice {
    /// A build step's output, by the kind of runnable.
    Reference(Reference),
    Address(Address),
    /// The newest of this kind whose inputs fit, preferably from the build that the inputs came from.
    Kind(RunnableKind),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunnableKind {
    pub kind: String,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "action")]
pub enum Action {
    /// An instance's builder turns the codeset into runnables.
    Build { instance: InstanceChoice, codeset: Reference },
    /// A job.
    Run(Work),
    /// A service; its one output is `url`.
    Serve(Work),
    /// Nothing, until a person says so (S72).
    Approve(Approval),
    /// Nothing, until something happened elsewhere (S72); what that was is its output. Without a limit it waits for ever.
    Wait { wait: Wait, timeout: Option<Duration> },
    /// An endpoint is called; its outputs are `status` and what the answer's members say.
    Call { call: Call, timeout: Option<Duration> },
    /// An endpoint is told how the run stands.
    Notify(Notify),
    /// What the best of a sweep made; only in the template of a run.
    Choose(Choice),
    /// The steps of another template; not in a pipeline.
    Template(Nested),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    pub runnable: RunnableChoice,
    pub inputs: IndexMap<String, Reference>,
    /// Literals or references.
    pub parameters: IndexMap<String, String>,
    pub timeout: Option<Duration>,
    /// Instead of what the runnable says it needs, name by name.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub resources: Attributes,
}

impl Work {
    /// What it needs where this is what it runs.
    ///
    /// # Errors
    /// `invalid` for what is no resource.
    pub fn needs(&self, runnable: &Runnable) -> Result<Resources> {
        let mut all = runnable.resources.clone();
        all.extend(self.resources.clone());
        Resources::read(&all)
    }
}

/// What is asked of whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    pub message: Interpolated,
    /// Who may answer; anybody if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
}

/// Whether a step runs after what came before it went well, or did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Runs {
    #[default]
    OnSuccess,
    /// Once all that it waits for ended and some step before it failed.
    OnFailure,
    /// Once all that it waits for ended, however.
    Always,
}

impl Runs {
    fn is_on_success(&self) -> bool {
        *self == Self::OnSuccess
    }
}

/// Whether a job that was done before is done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reuse {
    /// The earlier result is taken where runnable, inputs, parameters and environment are the same.
    #[default]
    On,
    Off,
    /// It is done again, and its result is what later runs take.
    Refresh,
}

impl Reuse {
    fn is_on(&self) -> bool {
        *self == Self::On
    }
}

impl fmt::Display for Reuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// How often a step is tried whose workload failed, or whose tool does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// In all.
    pub attempts: u32,
    /// Before the second one.
    pub delay: Duration,
    /// Each pause is so many times the one before.
    pub factor: u32,
}

impl Retry {
    /// The pause after so many attempts, at most a day.
    pub fn pause(&self, attempts: u32) -> Duration {
        let factor = self.factor.saturating_pow(attempts.saturating_sub(1));
        self.delay.saturating_mul(factor).min(Duration::from_secs(24 * 60 * 60))
    }
}

/// What must hold for a step to run; it is skipped otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// An artifact is what the condition asks for.
    Artifact { artifact: Reference, condition: Condition },
    /// A value is one of these.
    Value { value: Reference, one_of: Vec<String> },
    /// The same of a value that is known before the run; not in a file.
    Said { said: String, value: Reference, one_of: Vec<String> },
}

impl When {
    /// What has to be looked up to know whether it holds.
    pub fn reference(&self) -> Option<&Reference> {
        match self {
            Self::Artifact { artifact, .. } => Some(artifact),
            Self::Value { value, .. } => Some(value),
            Self::Said { .. } => None,
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Artifact { artifact, condition } => write!(f, "{artifact} where {condition}"),
            Self::Value { value, one_of } | Self::Said { value, one_of, .. } => {
                write!(f, "{value} in ({})", one_of.join(", "))
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub name: Name,
    /// Steps that come before it although it takes nothing of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Name>,
    #[serde(default, skip_serializing_if = "Runs::is_on_success")]
    pub runs: Runs,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// It begins only at such times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    #[serde(default, skip_serializing_if = "Reuse::is_on")]
    pub reuse: Reuse,
    /// The extension's instance whose engine runs it; this server if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Name>,
    /// It is done for each of these; not in the template of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<Sweep>,
    /// Which of a sweep it is; only in the template of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub combination: Option<Combination>,
    /// Why it was put in: it makes what another step can take; only in the template of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion: Option<String>,
    #[serde(flatten)]
    pub action: Action,
}

impl Step {
    /// One that does this after what it takes, and no more.
    pub(crate) fn new(name: Name, action: Action) -> Self {
        Self {
            name,
            after: Vec::new(),
            runs: Runs::OnSuccess,
            when: None,
            window: None,
            retry: None,
            reuse: Reuse::On,
            agent: None,
            sweep: None,
            combination: None,
            conversion: None,
            action,
        }
    }

    /// Every reference the step holds.
    pub fn references(&self) -> Result<Vec<Reference>> {
        let mut all: Vec<_> = self.when.iter().filter_map(When::reference).cloned().collect();
        match &self.action {
            Action::Build { codeset, .. } => all.push(codeset.clone()),
            Action::Run(work) | Action::Serve(work) => {
                all.extend(work.inputs.values().cloned());
                if let RunnableChoice::Reference(reference) = &work.runnable {
                    all.push(reference.clone());
                }
                for value in work.parameters.values().filter(|value| Reference::is(value)) {
                    all.push(value.parse()?);
                }
            }
            Action::Template(nested) => {
                all.extend(nested.inputs.values().cloned());
                for value in nested.parameters.values().filter(|value| Reference::is(value)) {
                    all.push(value.parse()?);
                }
            }
            Action::Approve(approval) => all.extend(approval.message.references().cloned()),
            Action::Wait { wait, .. } => all.extend(wait.references().into_iter().cloned()),
            Action::Call { call, .. } => all.extend(call.references()),
            Action::Notify(notify) => all.extend(notify.message.references().cloned()),
            Action::Choose(_) => {}
        }
        for values in self.sweep.iter().flat_map(|sweep| sweep.each.values()) {
            if let Values::Reference(reference) = values {
                all.push(reference.clone());
            }
        }
        Ok(all)
    }

    /// The steps that must have ended before it.
    pub fn needs(&self) -> BTreeSet<Name> {
        let references = self.references().unwrap_or_default();
        let outputs = references.into_iter().filter_map(|reference| match reference {
            Reference::Output { step, .. } => Some(step),
            _ => None,
        });
        let among = match &self.action {
            Action::Choose(choice) => &choice.among[..],
            _ => &[],
        };
        outputs.chain(self.after.iter().chain(among).cloned()).collect()
    }

    /// Whether what it makes serves its own run alone, and is no news for others unless it is chosen.
    pub fn is_internal(&self) -> bool {
        self.combination.is_some() || self.conversion.is_some()
    }

    /// What it runs, if it runs something.
    pub fn work(&self) -> Option<&Work> {
        match &self.action {
            Action::Run(work) | Action::Serve(work) => Some(work),
            _ => None,
        }
    }

    /// Whether somebody outside its run decides when it goes on: a person, or what happens elsewhere.
    pub fn is_patient(&self) -> bool {
        matches!(self.action, Action::Approve(_) | Action::Wait { .. })
    }
}

/// A step as it stands in the file: it does exactly one thing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Step", extend("oneOf" = [{"required": ["build", "codeset"]}, {"required": ["run"]}, {"required": ["serve"]}, {"required": ["approve"]}, {"required": ["wait"]}, {"required": ["call"]}, {"required": ["notify"]}, {"required": ["template"]}]))]
pub(crate) struct StepText {
    build: Option<InstanceChoice>,
    codeset: Option<Reference>,
    run: Option<RunnableChoice>,
    serve: Option<RunnableChoice>,
    approve: Option<Approval>,
    wait: Option<WaitText>,
    call: Option<Call>,
    notify: Option<Notify>,
    /// The name of an installed template, or a file beside this one: its steps stand here.
    template: Option<String>,
    #[serde(default)]
    inputs: IndexMap<String, Reference>,
    #[serde(default)]
    parameters: IndexMap<String, String>,
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
    #[serde(default)]
    runs: Runs,
    when: Option<WhenText>,
    /// It begins only at such times.
    window: Option<WindowText>,
    retry: Option<RetryText>,
    #[serde(default)]
    reuse: Reuse,
    /// The extension's instance whose engine runs it.
    agent: Option<Name>,
    /// Such as 90s, 30m or 2h.
    #[schemars(extend("pattern" = "^[1-9][0-9]*[smh]$"))]
    timeout: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "When", extend("oneOf" = [{"required": ["artifact", "where"]}, {"required": ["value", "in"]}]))]
struct WhenText {
    artifact: Option<Reference>,
    #[serde(rename = "where")]
    condition: Option<Condition>,
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
        let action = self.action().map_err(here)?;
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
            return refuse("only a step with `run` goes to an `agent`");
        }
        Ok(Step { after, runs, when, window, retry, reuse, agent, sweep, ..Step::new(name, action) })
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
            self.template.is_some(),
        ];
        if said.iter().filter(|is| **is).count() != 1 {
            return refuse(
                "a step is exactly one of `build`, `run`, `serve`, `approve`, `wait`, `call`, `notify` and `template`",
            );
        }
        let timeout = self.timeout.as_deref().map(read_duration).transpose()?;
        let takes_nothing = self.inputs.is_empty() && self.parameters.is_empty();
        if self.codeset.is_some() && self.build.is_none() {
            return refuse("only a build step takes a `codeset`");
        }
        if timeout.is_some() && (self.build.is_some() || self.approve.is_some() || self.notify.is_some()) {
            return refuse("`timeout` is for what `run`, `serve`, `wait` and `call` do");
        }
        if let Some(template) = self.template {
            if timeout.is_some() || !self.resources.is_empty() {
                return refuse("`timeout` and `resources` are said by the steps of a `template`");
            }
            return Ok(Action::Template(Nested { template, inputs: self.inputs, parameters: self.parameters }));
        }
        if let Some(runnable) = self.run.clone().or(self.serve.clone()) {
            let resources = self.resources.into_iter().map(|(name, text)| (name, text.0)).collect();
            Resources::read(&resources)?;
            let work = Work { runnable, inputs: self.inputs, parameters: self.parameters, timeout, resources };
            return Ok(if self.serve.is_some() { Action::Serve(work) } else { Action::Run(work) });
        }
        if !takes_nothing || !self.resources.is_empty() {
            return refuse(
                "only `run`, `serve` and `template` take inputs and parameters, and the first two resources",
            );
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
