//! How figures are taken and shown.

use std::time::{Duration, Instant};

/// Median and 99th percentile.
pub(crate) struct Spread {
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
}

pub(crate) fn spread(mut times: Vec<Duration>) -> Spread {
    times.sort();
    let at = |part: usize| times.get((times.len() * part / 100).min(times.len().saturating_sub(1))).copied();
    Spread { median: at(50).unwrap_or_default(), p99: at(99).unwrap_or_default() }
}

pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let begun = Instant::now();
    let result = work.await;
    (begun.elapsed(), result)
}

pub(crate) fn ratio(of: Duration, to: Duration) -> String {
    format!("{:.2}x", of.as_secs_f64() / to.as_secs_f64())
}

pub(crate) fn heading(text: &str) {
    println!("\n{text}");
}

pub(crate) fn line(what: &str, figures: &str) {
    println!("  {what:<58} {figures}");
}
