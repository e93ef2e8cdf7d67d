//! Tapes: a call with every answer that the host gave it, so that it can be run again with nothing else alive.
//!
//! A tape holds the names of secrets, never their values: those are put in after the tape has seen the request.
//! What tools answered is on it, so an admin switches recording on for one instance, for as long as it is needed.

use crate::{call::Call, failure::clean};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// Bytes of one tape; a call that hears more is not recorded.
const MOST: usize = 4 << 20;

/// A recorded call. Arguments and answers are JSON texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tape {
    pub function: String,
    pub arguments: String,
    /// In the order in which the component called the host.
    pub host: Vec<HostCall>,
    /// The answer as the host understood it.
    pub answer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCall {
    pub function: String,
    pub arguments: String,
    pub answer: String,
}

/// What became of a tape that was run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    pub same: bool,
    pub answer: String,
    /// Where the component first called the host otherwise than on the tape.
    pub departure: Option<String>,
}

/// What a call does with its host calls.
pub(crate) enum Taping {
    Off,
    Recording { host: Vec<HostCall>, size: usize },
    Replaying { host: VecDeque<HostCall>, departure: Departure },
}

/// The first departure, for whoever asked for the replay.
pub(crate) type Departure = Arc<Mutex<Option<String>>>;

impl Taping {
    pub(crate) fn recording() -> Self {
        Self::Recording { host: Vec::new(), size: 0 }
    }

    pub(crate) fn replaying(tape: &Tape, departure: &Departure) -> Self {
        Self::Replaying { host: tape.host.iter().cloned().collect(), departure: departure.clone() }
    }

    pub(crate) fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }

    /// Keeps what the host answered; a tape that grows too long is dropped.
    fn keep(&mut self, call: HostCall) {
        let Self::Recording { host, size } = self else { return };
        *size += call.arguments.len() + call.answer.len();
        if *size > MOST {
            *self = Self::Off;
        } else {
            host.push(call);
        }
    }

    /// What the tape has for this host call; `None` after a departure.
    fn next(&mut self, function: &str, arguments: &str) -> Option<String> {
        let Self::Replaying { host, departure } = self else { return None };
        let mut departure = departure.lock().unwrap_or_else(PoisonError::into_inner);
        if departure.is_some() {
            return None;
        }
        match host.pop_front() {
            Some(call) if call.function == function && call.arguments == arguments => return Some(call.answer),
            Some(call) => {
                *departure = Some(format!(
                    "it calls {function}{}, where the tape has {}{}",
                    clean(arguments, 500),
                    call.function,
                    clean(&call.arguments, 500)
                ));
            }
            None => {
                *departure = Some(format!("it calls {function}{}, where the tape has ended", clean(arguments, 500)));
            }
        }
        None
    }

    /// At the end of a call: what of the tape was never asked for is a departure too.
    pub(crate) fn finish(self) -> Option<Vec<HostCall>> {
        match self {
            Self::Off => None,
            Self::Recording { host, .. } => Some(host),
            Self::Replaying { host, departure } => {
                if let Some(call) = host.front() {
                    let mut departure = departure.lock().unwrap_or_else(PoisonError::into_inner);
                    departure.get_or_insert_with(|| {
                        format!("it ends, where the tape goes on with {}{}", call.function, clean(&call.arguments, 500))
                    });
                }
                None
            }
        }
    }
}

impl Call {
    /// What the tape answers; `None` when this call is not a replay.
    pub(crate) fn replayed<T: DeserializeOwned>(
        &mut self,
        function: &str,
        arguments: &str,
        departed: impl FnOnce() -> T,
    ) -> Option<T> {
        if !matches!(self.taping, Taping::Replaying { .. }) {
            return None;
        }
        let answer = self.taping.next(function, arguments);
        Some(answer.and_then(|answer| serde_json::from_str(&answer).ok()).unwrap_or_else(departed))
    }

    pub(crate) fn tape<T: Serialize>(&mut self, function: &str, arguments: String, answer: &T) {
        match serde_json::to_string(answer) {
            Ok(answer) => self.taping.keep(HostCall { function: function.to_owned(), arguments, answer }),
            Err(_) => self.taping = Taping::Off,
        }
    }
}

/// Answers a host call: from the tape in a replay, else really, and then onto the tape if there is one.
macro_rules! taped {
    ($call:ident, $name:literal, $arguments:tt, $departed:expr, $real:expr) => {{
        if $call.taping.is_off() {
            $real
        } else {
            let arguments = serde_json::json!($arguments).to_string();
            match $call.replayed($name, &arguments, || $departed) {
                Some(answer) => answer,
                None => {
                    let answer = $real;
                    $call.tape($name, arguments, &answer);
                    answer
                }
            }
        }
    }};
}
pub(crate) use taped;
