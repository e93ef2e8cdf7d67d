//! Moving directories to the server and back: what is there already is not sent, what was begun goes on.

mod blob;
mod component;
mod known;
mod pull;
mod push;

pub(crate) use component::push_component;
use known::KnownDigests;
pub(crate) use pull::pull;
pub(crate) use push::{Sent, push};

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// Requests with contents under way at once.
const AT_ONCE: usize = 4;

/// Bytes that go by; nothing where nobody looks.
fn progress(what: &'static str, bytes: u64) -> ProgressBar {
    if !crate::output::live() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{msg} {bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}");
    let bar = ProgressBar::new(bytes).with_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    style.map_or(bar.clone(), |style| bar.with_style(style))
}
