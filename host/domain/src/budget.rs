//! What an admin lets one instance use of what the server allows.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;

/// Limits of one instance. They lower the server's own and never raise them; what is not given is the server's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Budget {
    /// Processor time of a call, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<NonZeroU64>,
    /// A call from begin to end, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<NonZeroU64>,
    /// Memory of a call, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<NonZeroU64>,
    /// Calls of one component of the instance at one time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent_calls: Option<NonZeroU64>,
    /// Outgoing requests of a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<NonZeroU64>,
    /// Bytes sent and received by a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_bytes: Option<NonZeroU64>,
}

impl Budget {
    pub const NAMES: [&str; 6] = ["cpu-ms", "wall-ms", "memory-bytes", "concurrent-calls", "requests", "traffic-bytes"];

    fn field(&mut self, name: &str) -> Option<&mut Option<NonZeroU64>> {
        Some(match name {
            "cpu-ms" => &mut self.cpu_ms,
            "wall-ms" => &mut self.wall_ms,
            "memory-bytes" => &mut self.memory_bytes,
            "concurrent-calls" => &mut self.concurrent_calls,
            "requests" => &mut self.requests,
            "traffic-bytes" => &mut self.traffic_bytes,
            _ => return None,
        })
    }

    /// Changes one limit from a person's text; `default` goes back to the server's.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let field = self.field(name).ok_or_else(|| {
            Error::invalid("budget", format!("`{name}` is no budget; there are {}", Self::NAMES.join(", ")))
        })?;
        *field = match value {
            "default" => None,
            _ => Some(value.parse().map_err(|_| {
                Error::invalid(
                    "budget",
                    format!("the budget `{name}` takes a whole number above 0 or `default`, not `{value}`"),
                )
            })?),
        };
        Ok(())
    }

    /// The limits that are set, by name.
    pub fn limits(mut self) -> Vec<(&'static str, u64)> {
        let set = Self::NAMES.into_iter().filter_map(|name| Some((name, (*self.field(name)?)?.get())));
        set.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_set_by_name_and_goes_back_to_the_servers() {
        let mut budget = Budget::default();
        for name in Budget::NAMES {
            budget.set(name, "7").expect(name);
        }
        assert_eq!(budget.limits(), Budget::NAMES.map(|name| (name, 7)));

        budget.set("cpu-ms", "default").expect("default");
        assert_eq!(budget.cpu_ms, None);
        for (name, value) in [("cpu-ms", "0"), ("cpu-ms", "-1"), ("cpu-ms", "much"), ("cpu", "1")] {
            assert!(budget.set(name, value).is_err(), "{name}={value}");
        }
    }
}
