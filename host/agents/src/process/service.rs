//! Services: started on a free port, ready once they answer, started again when they crash.

use super::{
    folder::{self, Endpoint, Folder},
    probe::Probe,
    runner::{Ending, Runner},
    spec::Spec,
    supervisor::{Outcome, seconds},
};
use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Nothing but its ending ends the waiting for a service that answers.
const WHILE_READY: Duration = Duration::from_secs(3600);

struct Service<'a> {
    runner: &'a mut Runner,
    folder: &'a Folder,
    spec: &'a Spec,
    /// It answered at least once: it can work, so it is started again without end.
    was_ready: bool,
}

enum Attempt {
    Stopped,
    Crashed(Ending),
    NeverReady,
    NotStarted(io::Error),
}

pub(crate) fn serve(runner: &mut Runner, folder: &Folder, spec: &Spec) -> io::Result<Outcome> {
    let mut service = Service { runner, folder, spec, was_ready: false };
    let ready_until = Instant::now() + spec.timeout;
    let mut pause = FIRST_PAUSE;
    loop {
        let until = if service.was_ready { Instant::now() + spec.timeout } else { ready_until };
        let started = Instant::now();
        let attempt = service.attempt(until)?;
        if folder.ready().exists() {
            fs::remove_file(folder.ready())?;
            if started.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
        }
        let hung = matches!(attempt, Attempt::NeverReady);
        let (reason, exit_code) = match attempt {
            Attempt::Stopped => return Ok(Outcome::stopped(folder)),
            Attempt::NotStarted(error) => return Ok(Outcome::not_started(&spec.workload.command, &error)),
            Attempt::Crashed(ending) => match service.runner.exceeded() {
                Some(exceeded) => (format!("was killed: {exceeded}"), None),
                None => (ending.to_string(), ending.code()),
            },
            Attempt::NeverReady => (format!("did not answer within {}", seconds(spec.timeout)), None),
        };
        if !service.was_ready && Instant::now() + pause >= ready_until {
            let message = match hung {
                true => format!("the service {reason}"),
                false => format!("the service {reason} and was not ready within {}", seconds(spec.timeout)),
            };
            return Ok(Outcome::failed(message, exit_code));
        }
        service.runner.note(&format!("the service {reason}; it is started again in {}", seconds(pause)));
        let next = Instant::now() + pause;
        while Instant::now() < next {
            service.runner.turn(next, None)?;
            if service.runner.stop_asked() {
                return Ok(Outcome::stopped(folder));
            }
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Service<'_> {
    /// Runs it once; nothing of it is left afterwards.
    fn attempt(&mut self, ready_until: Instant) -> io::Result<Attempt> {
        let port = free_port()?;
        folder::write_json(&self.folder.endpoint(), &Endpoint { port })?;
        let mut command = self.spec.command(self.folder)?;
        command.env("HOST", Ipv4Addr::LOCALHOST.to_string()).env("PORT", port.to_string());
        match self.runner.start(command) {
            Ok(()) => self.watch(port, ready_until),
            Err(error) => Ok(Attempt::NotStarted(error)),
        }
    }

    fn watch(&mut self, port: u16, ready_until: Instant) -> io::Result<Attempt> {
        let mut probe = Some(Probe::new(port, self.spec.workload.readiness_path.clone()));
        loop {
            let (next, source) = match &probe {
                Some(probe) => (probe.next().min(ready_until), probe.source()),
                None => (Instant::now() + WHILE_READY, None),
            };
            self.runner.turn(next, source)?;
            if let Some(ending) = self.runner.ending() {
                self.runner.kill_rest()?;
                return Ok(Attempt::Crashed(ending));
            }
            if self.runner.stop_asked() {
                self.runner.end()?;
                return Ok(Attempt::Stopped);
            }
            let Some(asking) = &mut probe else { continue };
            if asking.advance() {
                probe = None;
                self.was_ready = true;
                fs::write(self.folder.ready(), "")?;
            } else if Instant::now() >= ready_until {
                self.runner.end()?;
                return Ok(Attempt::NeverReady);
            }
        }
    }
}

/// Free at this moment. Should another process take it before the service does, the service fails to listen,
/// ends, and is started again on another.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
