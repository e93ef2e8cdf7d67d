//! A panic ends the call either way; this makes it say where and why before it does.

use crate::log;
use std::sync::Once;

/// Called by every export before the author's code runs.
pub(crate) fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| log::error(&format!("the component panicked: {panic}"))));
    });
}
