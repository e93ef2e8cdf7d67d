//! How a call fails, in words: which limit, whose component, which function. What the guest says itself is
//! marked as its words.

use crate::{
    InstanceContext, Limits,
    growth::Breach,
    limits::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLES},
};
use fuseml_domain::{Error, ErrorKind};
use std::fmt::{Display, Write};
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

/// Longer words of a guest are cut.
const MESSAGE: usize = 2048;
const CODE: usize = 64;
const FRAMES: usize = 4;

/// What went wrong inside a call.
pub(crate) enum Failure {
    /// The component answered an error.
    Answer(GuestError),
    /// It answered what its contract does not allow.
    Nonsense(String),
    /// It was stopped: a trap or a limit.
    Stopped(wasmtime::Error),
    Wall,
}

/// An error in the words of a component.
pub(crate) struct GuestError {
    pub(crate) kind: ErrorKind,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn into_error(self, instance: &InstanceContext, function: &str, limits: &Limits) -> Error {
        match self {
            Self::Answer(error) => Error {
                kind: error.kind,
                code: clean_code(&error.code),
                message: format!("{instance} says: {}", clean(&error.message, MESSAGE)),
            },
            Self::Nonsense(why) => Error::internal(
                "bad-answer",
                format!("{instance} gave an answer to `{function}` that cannot be used: {}", clean(&why, MESSAGE)),
            ),
            Self::Wall => Error::unavailable(
                "wall-limit",
                format!("{instance} took longer than {:?} in `{function}` and was stopped", limits.wall),
            ),
            Self::Stopped(error) => stopped(&error, &instance, &format!(" in `{function}`"), limits),
        }
    }
}

/// Why a guest ended before its end; `place` says where in it, for people, if that is to be said.
pub(crate) fn stopped(error: &wasmtime::Error, guest: &dyn Display, place: &str, limits: &Limits) -> Error {
    let internal = |code: &str, what: String| Error::internal(code, format!("{guest} {what}{place} and was stopped"));
    if let Some(breach) = error.downcast_ref::<Breach>() {
        return match breach {
            Breach::Cpu => Error::unavailable(
                "cpu-limit",
                format!("{guest} used more than {:?} of CPU{place} and was stopped", limits.cpu),
            ),
            Breach::Memory => {
                internal("memory-limit", format!("asked for more than {} MiB of memory", limits.memory >> 20))
            }
            Breach::Table => {
                internal("table-limit", format!("asked for more than {} table elements", limits.table_elements))
            }
        };
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Error::unavailable("busy", format!("every sandbox slot is taken; {guest} must wait{place}"));
    }
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return internal("exit", format!("exited with status {}", exit.0));
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => return internal("stack-limit", "ran out of stack".to_owned()),
        Some(trap) => return internal("trap", format!("trapped ({trap}{})", frames(error))),
        None => {}
    }
    // wasmtime has no types for these two.
    let text = format!("{error:#}");
    if text.contains("fuel allocated for hostcalls") {
        return internal("data-limit", format!("handed over more than {} MiB at once", limits.data >> 20));
    }
    if text.contains("handle") && text.contains("limit") {
        return internal("handle-limit", format!("held more than {} handles", limits.handles));
    }
    if text.contains("resource limit exceeded") {
        return internal(
            "instance-limit",
            format!("needs more than {MAX_CORE_INSTANCES} instances, {MAX_TABLES} tables or {MAX_MEMORIES} memories"),
        );
    }
    internal("trap", format!("failed ({}{})", clean(&text, MESSAGE), frames(error)))
}

/// The innermost functions of the guest.
fn frames(error: &wasmtime::Error) -> String {
    let mut text = String::new();
    let frames = error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames).unwrap_or_default();
    for frame in frames.iter().filter_map(|frame| frame.func_name()).take(FRAMES) {
        let _ = write!(text, ", in {}", clean(frame, 128));
    }
    text
}

/// A guest's text made fit to show: no control characters, not too long.
pub(crate) fn clean(text: &str, most: usize) -> String {
    let mut cleaned = String::with_capacity(text.len().min(most));
    for character in text.chars() {
        let character = if character.is_control() { ' ' } else { character };
        if cleaned.len() + character.len_utf8() > most {
            cleaned.push('…');
            break;
        }
        cleaned.push(character);
    }
    cleaned
}

fn clean_code(code: &str) -> String {
    let code: String =
        code.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-').take(CODE).collect();
    if code.is_empty() { "extension".to_owned() } else { code }
}
