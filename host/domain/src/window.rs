//! When steps may begin: at times when what they need is free (S74).

use crate::{Error, Result, Schedule};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// Opens by a schedule, and stays open for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub opens: Schedule,
    /// How long it is open each time.
    pub stays: Duration,
}

impl Window {
    /// # Errors
    /// `invalid` for one that is open for no time.
    pub(crate) fn new(opens: Schedule, stays: Duration) -> Result<Self> {
        if stays.is_zero() {
            return Err(Error::invalid("window", "a window is open for some time"));
        }
        Ok(Self { opens, stays })
    }

    /// When it opens next; `None` while it is open.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let is_open = self.opens.last(now).is_some_and(|opened| {
            let closes = opened.saturating_add(self.stays).unwrap_or(Timestamp::MAX);
            now < closes
        });
        if is_open { None } else { self.opens.next(now) }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.stays.as_secs().div_ceil(60);
        match minutes % 60 {
            0 => write!(f, "{} for {} h", self.opens, minutes / 60),
            _ => write!(f, "{} for {minutes} min", self.opens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_open_from_each_of_its_times_for_as_long_as_it_says() {
        let night = Window::new("0 22 * * * Europe/Berlin".parse().expect("schedule"), Duration::from_secs(8 * 3600));
        let night = night.expect("window");
        let at = |text: &str| text.parse::<Timestamp>().expect(text);
        for (now, opens) in [
            ("2026-01-10T20:59:59Z", Some("2026-01-10T21:00:00Z")),
            ("2026-01-10T21:00:00Z", None),
            ("2026-01-11T04:59:59Z", None),
            ("2026-01-11T05:00:00Z", Some("2026-01-11T21:00:00Z")),
            // In summer the zone is two hours ahead.
            ("2026-07-11T05:00:00Z", Some("2026-07-11T20:00:00Z")),
        ] {
            assert_eq!(night.next(at(now)), opens.map(at), "{now}");
        }
        assert_eq!(night.to_string(), "0 22 * * * Europe/Berlin for 8 h");
    }
}
