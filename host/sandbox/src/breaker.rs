//! The circuit breaker of one instance: a component that keeps trapping or running into limits rests for a
//! while instead of failing every call at full price. What a component answers, errors included, never counts.

use crate::limits::BreakerLimits;
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: VecDeque<Instant>,
    until: Option<Instant>,
}

impl Breaker {
    /// How long the instance still rests; `None` lets the call through.
    pub(crate) fn resting(&self, now: Instant) -> Option<Duration> {
        let mut state = self.lock();
        let until = state.until?;
        if now < until {
            return Some(until - now);
        }
        *state = State::default();
        None
    }

    /// Counts a failed call; true when the instance rests from now on.
    pub(crate) fn failed(&self, now: Instant, limits: &BreakerLimits) -> bool {
        let mut state = self.lock();
        while state.failures.front().is_some_and(|first| now.saturating_duration_since(*first) > limits.window) {
            state.failures.pop_front();
        }
        state.failures.push_back(now);
        let full = state.failures.len() >= limits.failures as usize;
        if full && state.until.is_none() {
            state.until = Some(now + limits.rest);
            return true;
        }
        false
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BreakerLimits =
        BreakerLimits { failures: 3, window: Duration::from_secs(60), rest: Duration::from_secs(30) };

    #[test]
    fn three_failures_in_the_window_bring_a_rest_that_ends() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);

        assert!(!breaker.failed(at(0), &LIMITS));
        assert!(!breaker.failed(at(1), &LIMITS));
        assert_eq!(breaker.resting(at(1)), None);
        assert!(breaker.failed(at(2), &LIMITS));
        assert_eq!(breaker.resting(at(12)), Some(Duration::from_secs(20)));
        assert_eq!(breaker.resting(at(32)), None);
        assert!(!breaker.failed(at(33), &LIMITS), "the count starts anew");
    }

    #[test]
    fn failures_far_apart_bring_none() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for minute in 0..10 {
            assert!(!breaker.failed(start + Duration::from_secs(minute * 31), &LIMITS), "{minute}");
        }
    }
}
