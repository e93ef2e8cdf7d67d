//! Runs calls: a turn, a fresh store and instance, two clocks, a receipt.
//!
//! A call starts on the thread of whoever asks, because most calls are over in microseconds and a change of
//! threads costs more than the call. At its first pause (waiting for something, or the first tick of the
//! clock) it moves to the sandbox's own threads, so that no guest keeps the caller's busy.

use crate::{
    InstanceContext, Limits,
    call::Call,
    failure::Failure,
    meter::Meter,
    receipt::{Outcome, Receipt},
    sandbox::Sandbox,
    tape::{Departure, HostCall, Replayed, Tape, Taping},
};
use fuseml_domain::{Digest, Error, Result, port::CodesetFiles};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt::Debug,
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant, SystemTime},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use wasmtime::Store;

/// One exported function with its arguments: what to do with a fresh store.
pub(crate) trait Function: Serialize + DeserializeOwned + Send + 'static {
    type Pre: Clone + Send + Sync + 'static;
    type Answer: Debug + Send + 'static;
    const NAME: &'static str;

    /// The artifact that it is about.
    fn subject(&self) -> Option<String> {
        None
    }

    /// Instantiates and calls. The inner result is the component's own.
    fn call(
        self,
        pre: Self::Pre,
        store: &mut Store<Call>,
    ) -> impl Future<Output = wasmtime::Result<Result<Self::Answer, Failure>>> + Send;
}

/// A component made ready for one instance.
pub(crate) struct Bound<Pre> {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) instance: Arc<InstanceContext>,
    pub(crate) pre: Pre,
    pub(crate) digest: Arc<Digest>,
    /// Turns of this component, over all its instances.
    pub(crate) turns: Arc<Semaphore>,
    /// The sandbox's, lowered by the instance's budget.
    pub(crate) limits: Arc<Limits>,
    /// Turns of this component in this instance.
    pub(crate) own_turns: Arc<Semaphore>,
}

impl<Pre: Clone + Send + Sync + 'static> Bound<Pre> {
    /// Calls a function on a fresh instance.
    pub(crate) async fn call<F: Function<Pre = Pre>>(
        &self,
        function: F,
        files: Option<Arc<dyn CodesetFiles>>,
    ) -> Result<F::Answer> {
        let taping = if self.instance.record { Taping::recording() } else { Taping::Off };
        self.call_taped(function, files, taping).await
    }

    /// Calls the function of a tape, with the host's answers from it.
    pub(crate) async fn replay<F: Function<Pre = Pre>>(&self, tape: &Tape) -> Result<Replayed> {
        let function: F = serde_json::from_str(&tape.arguments).map_err(|error| {
            Error::invalid("tape", format!("the tape's arguments are not those of `{}`: {error}", F::NAME))
        })?;
        let departure = Departure::default();
        let answer = answer_text(&self.call_taped(function, None, Taping::replaying(tape, &departure)).await);
        let departure = departure.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(Replayed { same: departure.is_none() && answer == tape.answer, answer, departure })
    }

    async fn call_taped<F: Function<Pre = Pre>>(
        &self,
        function: F,
        files: Option<Arc<dyn CodesetFiles>>,
        taping: Taping,
    ) -> Result<F::Answer> {
        let started = Instant::now();
        if let Some(rest) = self.instance.live.breaker.resting(started) {
            return Err(Error::unavailable(
                "degraded",
                format!(
                    "{} failed {} times and rests for another {} s before `{}` is tried again",
                    self.instance,
                    self.sandbox.limits.breaker.failures,
                    rest.as_secs() + 1,
                    F::NAME
                ),
            ));
        }
        let meter = Arc::new(Meter::new(started));
        let turns = self.turns_now();
        let at_once = turns.is_some();
        let running = Running {
            sandbox: self.sandbox.clone(),
            instance: self.instance.clone(),
            digest: self.digest.clone(),
            component_turns: self.turns.clone(),
            own_turns: self.own_turns.clone(),
            limits: self.limits.clone(),
            meter: meter.clone(),
        };
        let mut whole =
            Metered { call: Box::pin(running.run(self.pre.clone(), function, files, turns, taping)), meter };
        if at_once && let Poll::Ready(answer) = whole.first_poll(self.sandbox.runtime()) {
            return answer;
        }
        let mut task = AbortOnDrop(self.sandbox.runtime().spawn(whole));
        match (&mut task.0).await {
            Ok(answer) => answer,
            Err(error) => Err(Error::internal("sandbox", format!("the call of `{}` was lost: {error}", F::NAME))),
        }
    }

    fn turns_now(&self) -> Option<Turns> {
        Some(Turns {
            _own: self.own_turns.clone().try_acquire_owned().ok()?,
            _component: self.turns.clone().try_acquire_owned().ok()?,
            _sandbox: self.sandbox.turns.clone().try_acquire_owned().ok()?,
        })
    }
}

/// Permission to run now: one call fewer of the instance, of the component and of the whole sandbox.
struct Turns {
    _own: OwnedSemaphorePermit,
    _component: OwnedSemaphorePermit,
    _sandbox: OwnedSemaphorePermit,
}

struct Running {
    sandbox: Arc<Sandbox>,
    instance: Arc<InstanceContext>,
    digest: Arc<Digest>,
    component_turns: Arc<Semaphore>,
    own_turns: Arc<Semaphore>,
    limits: Arc<Limits>,
    meter: Arc<Meter>,
}

impl Running {
    async fn run<F: Function>(
        self,
        pre: F::Pre,
        function: F,
        files: Option<Arc<dyn CodesetFiles>>,
        turns: Option<Turns>,
        taping: Taping,
    ) -> Result<F::Answer> {
        let _turns = match turns {
            Some(turns) => turns,
            None => self.wait_for_turns(F::NAME).await?,
        };
        let started = Instant::now();
        let mut receipt = Unfinished::new(&self, F::NAME, function.subject(), started);
        let limits: &Arc<Limits> = &self.limits;
        let call = Call::new(self.instance.clone(), limits.clone(), files, self.meter.clone(), started, taping);
        let arguments = match call.taping {
            Taping::Recording { .. } => serde_json::to_string(&function).ok(),
            _ => None,
        };
        let mut store = call.into_store(&self.sandbox.engine);
        let deadline = tokio::time::Instant::from_std(started + limits.wall);
        let answer = match tokio::time::timeout_at(deadline, function.call(pre, &mut store)).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(failure))) => Err(failure),
            Ok(Err(error)) => Err(Failure::Stopped(error)),
            Err(_) => Err(Failure::Wall),
        };
        let host = receipt.take(store.into_data());
        let answer = answer.map_err(|failure| {
            let stopped = matches!(failure, Failure::Stopped(_) | Failure::Wall);
            let error = failure.into_error(&self.instance, F::NAME, limits);
            // A full sandbox is no fault of the component.
            if stopped && error.code != "busy" {
                self.count_failure(&error);
            }
            (stopped, error)
        });
        receipt.finish(match &answer {
            Ok(_) => Outcome::Answered,
            Err((true, error)) => Outcome::Stopped(error.code.clone()),
            Err((false, error)) => Outcome::Error(error.code.clone()),
        });
        let answer = answer.map_err(|(_, error)| error);
        if let (Some(arguments), Some(host)) = (arguments, host) {
            receipt.keep(Tape { function: F::NAME.to_owned(), arguments, host, answer: answer_text(&answer) });
        }
        answer
    }

    async fn wait_for_turns(&self, function: &str) -> Result<Turns> {
        let both = async {
            let own = self.own_turns.clone().acquire_owned().await;
            let component = self.component_turns.clone().acquire_owned().await;
            let sandbox = self.sandbox.turns.clone().acquire_owned().await;
            Some(Turns { _own: own.ok()?, _component: component.ok()?, _sandbox: sandbox.ok()? })
        };
        tokio::time::timeout(self.sandbox.limits.queue, both).await.ok().flatten().ok_or_else(|| {
            Error::unavailable(
                "busy",
                format!(
                    "`{function}` of {} found no turn within {:?}: at most {} calls of a component in this instance and {} in all run at once",
                    self.instance,
                    self.sandbox.limits.queue,
                    self.limits.concurrent_calls_of_component,
                    self.sandbox.limits.concurrent_calls
                ),
            )
        })
    }

    fn count_failure(&self, error: &Error) {
        let limits = &self.sandbox.limits.breaker;
        if self.instance.live.breaker.failed(Instant::now(), limits) {
            tracing::warn!("{} rests for {:?} after {} failures: {error}", self.instance, limits.rest, limits.failures);
        }
    }
}

/// A receipt that is recorded however the call ends, also when it is dropped.
struct Unfinished {
    receipt: Option<Receipt>,
    started: Instant,
    meter: Arc<Meter>,
}

impl Unfinished {
    fn new(running: &Running, function: &'static str, subject: Option<String>, started: Instant) -> Self {
        let receipt = Receipt {
            component: running.digest.clone(),
            instance: running.instance.clone(),
            function,
            started: SystemTime::now(),
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            peak_memory: 0,
            subject,
            requests: 0,
            sent: 0,
            received: 0,
            secrets: Vec::new(),
            hosts: Vec::new(),
            refusals: Vec::new(),
            outcome: Outcome::Cancelled,
            tape: None,
        };
        Self { receipt: Some(receipt), started, meter: running.meter.clone() }
    }

    /// Answers what the tape has recorded, if it was.
    fn take(&mut self, mut call: Call) -> Option<Vec<HostCall>> {
        call.log_printed(true);
        if let Some(receipt) = &mut self.receipt {
            receipt.peak_memory = call.growth.peak_memory;
            receipt.requests = call.requests;
            receipt.sent = call.sent as u64;
            receipt.received = call.received as u64;
            receipt.secrets = call.secrets;
            receipt.hosts = call.hosts;
            receipt.refusals = call.refusals;
        }
        call.taping.finish()
    }

    fn keep(&mut self, tape: Tape) {
        if let Some(receipt) = &mut self.receipt {
            receipt.tape = Some(Box::new(tape));
        }
    }

    /// Inside the call's last poll.
    fn finish(&mut self, outcome: Outcome) {
        if let Some(receipt) = &mut self.receipt {
            receipt.outcome = outcome;
            receipt.cpu = self.meter.used();
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(mut receipt) = self.receipt.take() else { return };
        receipt.wall = self.started.elapsed();
        if receipt.outcome == Outcome::Cancelled {
            receipt.cpu = self.meter.finished();
        }
        let sink = receipt.instance.receipts.clone();
        sink.record(receipt);
    }
}

/// A call whose polls are measured.
struct Metered<F> {
    call: Pin<Box<F>>,
    meter: Arc<Meter>,
}

impl<F: Future> Metered<F> {
    /// On the caller's thread, with the sandbox's runtime to wait on. Nobody is woken: whatever is not ready
    /// now is polled again by the sandbox's threads.
    fn first_poll(&mut self, runtime: &tokio::runtime::Handle) -> Poll<F::Output> {
        let _inside = runtime.enter();
        self.meter.begin(false);
        let poll = self.call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.meter.end();
        poll
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.meter.begin(true);
        let poll = self.call.as_mut().poll(context);
        self.meter.end();
        poll
    }
}

/// Whoever stops waiting for a call stops the call.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer as tapes keep it.
fn answer_text<T: Debug>(answer: &Result<T>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => format!("error {}: {}", error.code, error.message),
    }
}
