//! What people tell a run: pause, go on, try again, approve, swap, cancel (S69–S72).
//!
//! A command is one transition of the run, recorded in it with who gave it and why. One that makes no sense now changes
//! nothing and says why.

use crate::{
    Action, Address, Attributes, Error, Name, Result, Run, RunState, Step, StepRun, StepState, runnable::list_or_none,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "command")]
pub enum RunCommand {
    /// Begin nothing more; what runs goes on.
    Pause,
    /// Go on: a paused run with what is ready, one that failed or was cancelled with what did not succeed.
    Resume,
    /// Begin one ready step of a paused run.
    Step {
        step: Option<Name>,
    },
    /// Do a step again and all that follows from it; those that failed or were cancelled if none is named.
    Retry {
        step: Option<Name>,
    },
    /// Let a step that asked for it succeed; the one that asked if none is named.
    Approve {
        step: Option<Name>,
    },
    /// Let it fail.
    Reject {
        step: Option<Name>,
    },
    /// Let a step that does not run use another runnable or other parameters (S70).
    Swap {
        step: Name,
        swap: Swap,
    },
    Cancel,
}

/// What a step uses instead of what its template says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runnable: Option<Address>,
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub parameters: Attributes,
}

/// A command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intervention {
    pub at: Timestamp,
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// With the step that it was about, also where none was named.
    #[serde(flatten)]
    pub command: RunCommand,
}

impl Run {
    /// Carries a command out.
    ///
    /// # Errors
    /// `conflict` where it makes no sense as the run stands, `denied` for an approval by somebody who was not asked,
    /// `not-found` for a step that is not there.
    pub fn command(&mut self, command: RunCommand, by: &str, reason: Option<String>, now: Timestamp) -> Result<()> {
        let mut next = self.clone();
        let command = next.carry_out(command, by, reason.as_deref(), now)?;
        next.interventions.push(Intervention { at: now, by: by.to_owned(), reason, command });
        next.revision += 1;
        *self = next;
        Ok(())
    }

    fn carry_out(&mut self, command: RunCommand, by: &str, reason: Option<&str>, now: Timestamp) -> Result<RunCommand> {
        match command {
            RunCommand::Pause => match self.state {
                RunState::Running | RunState::Queued => self.state = RunState::Paused,
                state => return Err(self.refuse(format!("it is {state}; only a running one can be paused"))),
            },
            RunCommand::Resume => match self.state {
                RunState::Paused => self.go_on(),
                RunState::Failed | RunState::Cancelled => self.retry(&self.unsuccessful(), now),
                state => return Err(self.refuse(format!("it is {state}; there is nothing to resume"))),
            },
            RunCommand::Step { step } => {
                let step = self.release(step.as_ref())?;
                return Ok(RunCommand::Step { step: Some(step) });
            }
            RunCommand::Retry { step: None } => {
                let steps = self.unsuccessful();
                if steps.is_empty() {
                    return Err(
                        self.refuse("none of its steps failed or was cancelled; name the one to do again".to_owned())
                    );
                }
                self.retry(&steps, now);
            }
            RunCommand::Retry { step: Some(name) } => {
                let step = self.known(&name)?;
                if !step.state.ended() {
                    return Err(self.refuse(format!("the step {name} is {}; it has not ended", step.state)));
                }
                if step.state == StepState::Succeeded
                    && let Some(user) = self.at_work_with(&name)
                {
                    let is = format!("the step {} is {} with what {name} made", user.name, user.state);
                    return Err(self.refuse(format!("{is}; wait for it, or cancel the run")));
                }
                self.retry(std::slice::from_ref(&name), now);
                return Ok(RunCommand::Retry { step: Some(name) });
            }
            RunCommand::Approve { step } => {
                let step = self.decide(step.as_ref(), by, StepState::Succeeded, reason, now)?;
                return Ok(RunCommand::Approve { step: Some(step) });
            }
            RunCommand::Reject { step } => {
                let step = self.decide(step.as_ref(), by, StepState::Failed, reason, now)?;
                return Ok(RunCommand::Reject { step: Some(step) });
            }
            RunCommand::Swap { step, swap } => {
                self.swap(&step, &swap)?;
                return Ok(RunCommand::Swap { step, swap });
            }
            RunCommand::Cancel => {
                if self.state.ended() || self.cancel_requested {
                    let is = if self.state.ended() { self.state.to_string() } else { "being cancelled".to_owned() };
                    return Err(self.refuse(format!("it is {is} already")));
                }
                self.cancel_requested = true;
            }
        }
        Ok(command)
    }

    fn refuse(&self, why: String) -> Error {
        Error::conflict("command", format!("{}: {why}", self.label()))
    }

    fn known(&self, name: &Name) -> Result<&StepRun> {
        self.step(name).ok_or_else(|| {
            let steps: Vec<_> = self.steps.iter().map(|step| &*step.name).collect();
            let message = format!("{} has no step {name}; it has {}", self.label(), list_or_none(&steps));
            Error::not_found("unknown-step", message)
        })
    }

    fn go_on(&mut self) {
        self.state = RunState::Running;
        for step in self.steps.filter_mut(|step| step.released) {
            step.released = false;
        }
    }

    fn unsuccessful(&self) -> Vec<Name> {
        let unsuccessful = |step: &&StepRun| matches!(step.state, StepState::Failed | StepState::Cancelled);
        self.steps.iter().filter(unsuccessful).map(|step| step.name.clone()).collect()
    }

    /// The step that is under way with the result of this one: it would end with what is not the run's any more.
    fn at_work_with(&self, name: &Name) -> Option<&StepRun> {
        let is_at_work =
            |it: &&StepRun| matches!(it.state, StepState::Staging | StepState::Running | StepState::Collecting);
        let follows = |it: &&StepRun| self.template.before(&it.name).contains(name);
        self.steps.iter().filter(is_at_work).find(follows)
    }

    /// These steps again, and with them all that need them, however those ended.
    fn retry(&mut self, steps: &[Name], now: Timestamp) {
        let steps = &self.with_makers_of_what_is_gone(steps);
        let again = |run: &Self, step: &StepRun| {
            let follows = || run.template.before(&step.name).iter().any(|before| steps.contains(before));
            match step.state {
                // They would go on with what is made anew.
                StepState::Ready | StepState::AwaitingApproval | StepState::AwaitingEvent => follows(),
                state => state.ended() && (steps.contains(&step.name) || follows()),
            }
        };
        let all: BTreeSet<_> = self.steps.iter().filter(|step| again(self, step)).map(|it| it.name.clone()).collect();
        for step in self.steps.filter_mut(|step| all.contains(&step.name)) {
            step.begin_again();
        }
        if self.state.ended() {
            self.state = RunState::Running;
            self.round += 1;
        }
        self.ended = None;
        self.outputs.clear();
        self.cancel_requested = false;
        self.follow(now);
    }

    /// With the steps whose anonymous results these need, which went when the run ended.
    fn with_makers_of_what_is_gone(&self, steps: &[Name]) -> Vec<Name> {
        let mut all = steps.to_vec();
        if !self.state.ended() {
            return all;
        }
        loop {
            let again = |step: &&Step| {
                all.contains(&step.name) || self.template.before(&step.name).iter().any(|it| all.contains(it))
            };
            let needed: BTreeSet<_> = self.template.steps.iter().filter(again).flat_map(Step::needs).collect();
            let is_gone = |name: &Name| self.template.step(name).is_some_and(|step| step.anonymous);
            let more: Vec<_> = needed.into_iter().filter(|name| !all.contains(name) && is_gone(name)).collect();
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
    }

    /// The ready step that goes on although the run is paused.
    fn release(&mut self, step: Option<&Name>) -> Result<Name> {
        if self.state != RunState::Paused {
            return Err(self.refuse(format!("it is {}; only a paused one goes step by step", self.state)));
        }
        let held = |step: &&StepRun| step.state == StepState::Ready && !step.released;
        let name = match step {
            Some(name) => {
                let step = self.known(name)?;
                if !held(&step) {
                    return Err(self.refuse(format!("the step {name} is {} and not held", step.state)));
                }
                name.clone()
            }
            None => match self.steps.iter().find(held) {
                Some(step) => step.name.clone(),
                None => {
                    let others = self.steps.iter().filter(|step| !step.state.ended());
                    let others: Vec<_> = others.map(|step| format!("{} is {}", step.name, step.state)).collect();
                    let others: Vec<_> = others.iter().map(String::as_str).collect();
                    return Err(self.refuse(format!("no step is held: {}", list_or_none(&others))));
                }
            },
        };
        for step in self.steps.filter_mut(|step| step.name == name) {
            step.released = true;
        }
        Ok(name)
    }

    /// Ends the step that asked a person.
    fn decide(
        &mut self,
        step: Option<&Name>,
        by: &str,
        state: StepState,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Name> {
        let asking = |step: &&StepRun| step.state == StepState::AwaitingApproval;
        let all: Vec<_> = self.steps.iter().filter(asking).map(|step| &*step.name).collect();
        let name = match (step, all.as_slice()) {
            (Some(name), _) if asking(&self.known(name)?) => name.clone(),
            (Some(name), _) => return Err(self.refuse(format!("the step {name} asks for no approval"))),
            (None, [one]) => one.parse()?,
            (None, []) => return Err(self.refuse("no step asks for approval".to_owned())),
            (None, several) => {
                return Err(self.refuse(format!("{} ask for approval; name one", list_or_none(several))));
            }
        };
        if let Some(Action::Approve(approval)) = self.template.step(&name).map(|step| &step.action)
            && !approval.by.is_empty()
            && !approval.by.iter().any(|asked| asked == by)
        {
            let asked: Vec<_> = approval.by.iter().map(String::as_str).collect();
            let message = format!(
                "{}: `{by}` is not asked about the step {name}; {} may answer",
                self.label(),
                list_or_none(&asked)
            );
            return Err(Error::denied("approval", message));
        }
        let verb = if state == StepState::Succeeded { "approved" } else { "rejected" };
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        for step in self.steps.filter_mut(|step| step.name == name) {
            step.state = state;
            step.note = Some(format!("{verb} by {by}{reason}"));
            step.ended = Some(now);
            step.version += 1;
        }
        self.follow(now);
        Ok(name)
    }

    fn swap(&mut self, name: &Name, swap: &Swap) -> Result<()> {
        let step = self.known(name)?;
        if self.state == RunState::Running {
            return Err(self.refuse("it is running; pause it first".to_owned()));
        }
        let is_idle = match step.state {
            StepState::Waiting | StepState::Failed | StepState::Cancelled | StepState::Skipped => true,
            StepState::Ready => self.holds(step),
            _ => false,
        };
        if !is_idle {
            return Err(self
                .refuse(format!("the step {name} is {}; swap one that has not begun or did not succeed", step.state)));
        }
        if self.template.step(name).and_then(crate::Step::work).is_none() {
            return Err(self.refuse(format!("the step {name} runs no runnable")));
        }
        if *swap == Swap::default() {
            return Err(Error::invalid("swap", format!("name the runnable or the parameters that {name} should use")));
        }
        for step in self.steps.filter_mut(|step| step.name == *name) {
            let chosen = step.swap.get_or_insert_default();
            if swap.runnable.is_some() {
                chosen.runnable.clone_from(&swap.runnable);
            }
            chosen.parameters.extend(swap.parameters.clone());
            step.version += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "run_command_tests.rs"]
mod tests;
