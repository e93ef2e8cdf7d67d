//! The steps of templates: what each does, when, and how often it is tried.

use crate::{
    Address, Attributes, Call, Choice, Combination, Condition, Descriptor, InstanceChoice, Interpolated, Keep, Name,
    Nested, Notify, Reference, Resources, Result, Runnable, Sweep, Wait, Window, sweep::Values,
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

/// What a runnable must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunnableKind {
    pub kind: String,
    /// The extension's instance whose builder made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Name>,
    /// Attributes that one of its outputs promises, such as `framework: sklearn`.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub provides: Attributes,
    /// Labels that it has.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub labels: Attributes,
}

impl RunnableKind {
    /// Whether a registered runnable is such.
    pub fn is_met_by(&self, found: &Descriptor) -> bool {
        let Some(runnable) = &found.runnable else { return false };
        let has =
            |all: &Attributes, wanted: &Attributes| wanted.iter().all(|(name, value)| all.get(name) == Some(value));
        runnable.kind == self.kind
            && self.instance.as_ref().is_none_or(|instance| runnable.instance.as_ref() == Some(instance))
            && (self.provides.is_empty() || runnable.outputs.values().any(|it| has(&it.provides, &self.provides)))
            && has(&found.labels, &self.labels)
    }
}

/// `trainer of mlflow that gives framework=sklearn and has team=blue`.
impl fmt::Display for RunnableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |all: &Attributes| all.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        f.write_str(&self.kind)?;
        if let Some(instance) = &self.instance {
            write!(f, " of {instance}")?;
        }
        let gives = (!self.provides.is_empty()).then(|| format!("gives {}", listed(&self.provides).join(", ")));
        let has = (!self.labels.is_empty()).then(|| format!("has {}", listed(&self.labels).join(", ")));
        let both: Vec<_> = gives.into_iter().chain(has).collect();
        if both.is_empty() { Ok(()) } else { write!(f, " that {}", both.join(" and ")) }
    }
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
    /// An artifact is registered, copied or fetched; it is the output `artifact`.
    Keep { keep: Keep, timeout: Option<Duration> },
    /// What the best of a sweep made; only in the template of a run.
    Choose(Choice),
    /// The steps of another template; not in a pipeline.
    Template(Nested),
}

impl Action {
    /// Whether agents are given something to do for it.
    pub fn has_workloads(&self) -> bool {
        matches!(self, Self::Build { .. } | Self::Run(_) | Self::Serve(_))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    pub runnable: RunnableChoice,
    pub inputs: IndexMap<String, Reference>,
    /// Texts with references in them ([`Interpolated`]).
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

/// Where a job goes that does not name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placed {
    /// On the server.
    Here,
    Engine(Name),
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
    pub agent: Option<InstanceChoice>,
    /// Where that is, if it is no name; only in the template of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed: Option<Placed>,
    /// What it makes is for steps of its run alone, registered nowhere, and gone after (S76).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anonymous: bool,
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
            placed: None,
            anonymous: false,
            sweep: None,
            combination: None,
            conversion: None,
            action,
        }
    }

    /// Its parameters as they are written.
    pub(crate) fn parameter_texts(&self) -> impl Iterator<Item = &String> {
        let parameters = match &self.action {
            Action::Run(work) | Action::Serve(work) => Some(&work.parameters),
            Action::Template(nested) => Some(&nested.parameters),
            _ => None,
        };
        parameters.into_iter().flat_map(IndexMap::values)
    }

    /// Every reference the step holds. A parameter that does not read, as earlier versions took it, has none.
    pub fn references(&self) -> Vec<Reference> {
        let mut all: Vec<_> = self.when.iter().filter_map(When::reference).cloned().collect();
        match &self.action {
            Action::Build { codeset, .. } => all.push(codeset.clone()),
            Action::Run(work) | Action::Serve(work) => {
                all.extend(work.inputs.values().cloned());
                if let RunnableChoice::Reference(reference) = &work.runnable {
                    all.push(reference.clone());
                }
            }
            Action::Template(nested) => all.extend(nested.inputs.values().cloned()),
            Action::Approve(approval) => all.extend(approval.message.references().cloned()),
            Action::Wait { wait, .. } => all.extend(wait.references().into_iter().cloned()),
            Action::Call { call, .. } => all.extend(call.references()),
            Action::Notify(notify) => all.extend(notify.message.references().cloned()),
            Action::Keep { keep, .. } => {
                all.extend(keep.artifact().cloned());
                all.extend(keep.texts().flat_map(Interpolated::references).cloned());
            }
            Action::Choose(_) => {}
        }
        for text in self.parameter_texts().filter_map(|text| text.parse::<Interpolated>().ok()) {
            all.extend(text.references().cloned());
        }
        for values in self.sweep.iter().flat_map(|sweep| sweep.each.values()) {
            if let Values::Reference(reference) = values {
                all.push(reference.clone());
            }
        }
        all
    }

    /// The steps that must have ended before it.
    pub fn needs(&self) -> BTreeSet<Name> {
        let references = self.references();
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

    /// The instance whose engine runs it, in the template of a run; `None` for this server.
    pub fn engine(&self) -> Option<&Name> {
        match (&self.placed, &self.agent) {
            (Some(Placed::Engine(name)), _) | (None, Some(InstanceChoice::Name(name))) => Some(name),
            _ => None,
        }
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
