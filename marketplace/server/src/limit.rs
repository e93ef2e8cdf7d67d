//! How often one caller may ask for what costs much.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// A bucket a caller: so many at once, so many a second in the long run.
#[derive(Debug)]
pub(crate) struct Limiter {
    burst: f64,
    per_second: f64,
    buckets: Mutex<HashMap<String, (f64, Instant)>>,
}

/// Callers remembered; beyond that those whose bucket is full are forgotten.
const MOST: usize = 10_000;

impl Limiter {
    pub(crate) fn new(burst: u32, per_second: f64) -> Self {
        Self { burst: burst.into(), per_second, buckets: Mutex::default() }
    }

    /// Counts a request, or says after how many seconds to come again.
    pub(crate) fn pass(&self, who: &str) -> Result<(), u64> {
        self.pass_at(who, Instant::now())
    }

    fn pass_at(&self, who: &str, now: Instant) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = |(left, at): (f64, Instant)| {
            (left + now.saturating_duration_since(at).as_secs_f64() * self.per_second).min(self.burst)
        };
        if buckets.len() >= MOST {
            buckets.retain(|_, bucket| filled(*bucket) < self.burst);
        }
        let left = buckets.get(who).map_or(self.burst, |bucket| filled(*bucket));
        if left < 1.0 {
            return Err(((1.0 - left) / self.per_second).ceil() as u64);
        }
        buckets.insert(who.to_owned(), (left - 1.0, now));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_passes_and_then_so_many_a_second() {
        let (limiter, now) = (Limiter::new(3, 0.5), Instant::now());
        for _ in 0..3 {
            assert_eq!(limiter.pass_at("a", now), Ok(()));
        }
        assert_eq!(limiter.pass_at("a", now), Err(2));
        assert_eq!(limiter.pass_at("b", now), Ok(()));
        assert_eq!(limiter.pass_at("a", now + Duration::from_secs(2)), Ok(()));
    }
}
