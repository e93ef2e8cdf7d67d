//! Signals to a process and everything below it.

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{collections::HashMap, fs};

/// Asks one process to end; gone already is as good.
pub(crate) fn terminate(process: i32) {
    let _ = kill(Pid::from_raw(process), Signal::SIGTERM);
}

/// Sends a signal to all descendants of this process; true when there were any. As their reaper it also has those
/// whose parents are gone.
pub(crate) fn signal_descendants(signal: Signal) -> bool {
    let descendants = descendants(Pid::this());
    for process in &descendants {
        let _ = kill(*process, signal);
    }
    !descendants.is_empty()
}

/// Takes the status of every child that has ended; answers that of `wanted` if it is among them.
pub(crate) fn reap(wanted: Pid) -> Option<WaitStatus> {
    let mut found = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return found,
            Ok(status) if status.pid() == Some(wanted) => found = Some(status),
            Ok(_) | Err(_) => {}
        }
    }
}

fn descendants(of: Pid) -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = parent(&entry.path().join("stat")) {
            children.entry(parent).or_default().push(process);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![of.as_raw()];
    while let Some(process) = open.pop() {
        for child in children.remove(&process).unwrap_or_default() {
            found.push(Pid::from_raw(child));
            open.push(child);
        }
    }
    found
}

/// The parent of a process that is not already dead: `<pid> (<name>) <state> <parent> …`, where the name may hold
/// anything.
fn parent(stat: &std::path::Path) -> Option<i32> {
    let text = fs::read_to_string(stat).ok()?;
    let mut fields = text[text.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z").then_some(parent)
}
