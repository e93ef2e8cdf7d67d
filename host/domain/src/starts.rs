//! When a pipeline starts, beside what its selectors say: watched files, a schedule, and what becomes of a start while
//! it runs already (S27, S64, S74).

use crate::{
    Error, Event, EventPattern, Name, Result, Run, RunCommand, RunState, Template, step_text::read_duration,
    wait::is_field, watched,
};
use croner::Cron;
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Starts {
    /// By input: a new codeset starts the pipeline only if a file that one of these matches changed, another artifact only
    /// if one of these attributes did, or one of these metrics by so much (`accuracy rises by 0.01`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub watch: BTreeMap<Name, Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    #[serde(default, skip_serializing_if = "Concurrency::is_parallel")]
    pub concurrency: Concurrency,
    /// Events from outside that start it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<EventStart>,
    /// A start waits so long, and is given up for the next one of its like that comes meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debounce: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
}

/// How often a pipeline may start by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    pub runs: u32,
    pub within: Duration,
}

impl Quota {
    /// Of pipelines that say none: more is a storm, such as a loop by way of something outside.
    pub const STORM: Self = Self { runs: 1_000, within: Duration::from_secs(60 * 60) };

    /// Why another run does not begin, if the earliest of the last [`Quota::runs`] began then.
    pub fn refusal(&self, began: Timestamp, now: Timestamp) -> Option<String> {
        let again = began.saturating_add(self.within).unwrap_or(Timestamp::MAX);
        let more = if *self == Self::STORM { "; `--at-most` lets it start more often" } else { "" };
        (again > now).then(|| format!("it may start {self}, and did{more}"))
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = jiff::SignedDuration::try_from(self.within).unwrap_or(jiff::SignedDuration::MAX);
        let times = if self.runs == 1 { "time" } else { "times" };
        write!(f, "{} {times} within {within:#}", self.runs)
    }
}

/// `10/1h`.
impl FromStr for Quota {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = || Error::invalid("quota", format!("`{text}` is not how often it may start, such as 10/1h"));
        let (runs, within) = text.split_once('/').ok_or_else(refuse)?;
        let runs = runs.trim().parse().ok().filter(|runs| (1..=10_000).contains(runs)).ok_or_else(refuse)?;
        Ok(Self { runs, within: read_duration(within.trim()).map_err(|_| refuse())? })
    }
}

/// Which events start a pipeline, and which of its values they bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventStart {
    pub types: Vec<EventPattern>,
    /// By input that takes a value: the event's field that says it, such as `data.alpha`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<Name, String>,
}

impl EventStart {
    pub fn is_met_by(&self, event: &Event) -> bool {
        self.types.iter().any(|pattern| pattern.matches(event))
    }

    /// What an event says of the inputs.
    ///
    /// # Errors
    /// `invalid` for one that lacks a field.
    pub fn values_of(&self, event: &Event) -> Result<BTreeMap<Name, String>> {
        let said = |(input, path): (&Name, &String)| match event.field(path) {
            Some(value) => Ok((input.clone(), value)),
            None => Err(Error::invalid("event", format!("the event has no `{path}` for the input `{input}`"))),
        };
        self.values.iter().map(said).collect()
    }

    fn check(&self, template: &Template) -> Result<()> {
        for (input, path) in &self.values {
            if template.inputs.get(input).is_none_or(|input| input.value_type.is_none()) {
                let message = format!("an event brings values; `{input}` is no input of the template that takes one");
                return Err(Error::invalid("event", message));
            }
            if !is_field(path) {
                let message =
                    format!("an event has no field `{path}`; there are id, source, type, subject and data.<name>");
                return Err(Error::invalid("event", message));
            }
        }
        Ok(())
    }
}

impl Starts {
    /// Refuses what the template has no use for.
    pub(crate) fn check(&self, template: &Template) -> Result<()> {
        for (input, watched) in &self.watch {
            let kind = template.inputs.get(input).and_then(|input| input.kind).ok_or_else(|| {
                let message = format!("artifacts are watched; `{input}` is no artifact input of the template");
                Error::invalid("watch", message)
            })?;
            watched::check(kind, watched).map_err(|error| error.context(format!("input {input}")))?;
        }
        self.events.iter().try_for_each(|events| events.check(template))
    }

    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Whether one of the changed files is watched for this input; all are where nothing is watched.
    ///
    /// # Errors
    /// `invalid` for what is no glob.
    pub fn watches(&self, input: &Name, changed: &[String]) -> Result<bool> {
        let Some(globs) = self.watch.get(input) else { return Ok(true) };
        for glob in globs {
            let glob = watched::glob(glob)?.compile_matcher();
            if changed.iter().any(|path| glob.is_match(path)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What becomes of a start while an earlier run of the pipeline is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Concurrency {
    /// Both run.
    #[default]
    Parallel,
    /// It waits until the earlier ones ended.
    Queue,
    /// The earlier ones are cancelled.
    Replace,
    /// It does not start.
    Skip,
}

impl Concurrency {
    fn is_parallel(&self) -> bool {
        *self == Self::Parallel
    }
}

impl fmt::Display for Concurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Whether a run may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    Begins,
    /// It does not become a run; why.
    Refused(String),
}

/// Decides about a new run while those in `open`, of the same pipeline, have not ended: it may have to wait, or those
/// may have to go. Which of `open` were changed says their revision.
///
/// # Errors
/// Never for runs that are open.
pub fn admit(run: &mut Run, concurrency: Concurrency, open: &mut [Run], now: Timestamp) -> Result<Admission> {
    // Those that wait for what comes, as this one does, are no more in its way.
    let is_overtaken =
        |earlier: &Run| run.debounced.is_some() && earlier.debounced == run.debounced && !earlier.has_begun();
    for earlier in open.iter_mut().filter(|earlier| is_overtaken(earlier) && !earlier.cancel_requested) {
        let reason = Some(format!("overtaken: {}", run.cause.reason));
        earlier.command(RunCommand::Cancel, "fuseml", reason, now)?;
    }
    let mut open: Vec<_> = open.iter_mut().filter(|earlier| !is_overtaken(earlier)).collect();
    let Some(first) = open.first() else { return Ok(Admission::Begins) };
    match concurrency {
        Concurrency::Parallel => {}
        Concurrency::Queue => run.state = RunState::Queued,
        Concurrency::Replace => {
            for earlier in open.iter_mut().filter(|run| !run.cancel_requested) {
                let reason = Some(format!("replaced: {}", run.cause.reason));
                earlier.command(RunCommand::Cancel, "fuseml", reason, now)?;
            }
        }
        Concurrency::Skip => return Ok(Admission::Refused(format!("{} is {} still", first.label(), first.state))),
    }
    Ok(Admission::Begins)
}

/// Why an artifact did not start a pipeline that selects it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unstarted {
    pub pipeline: Name,
    pub reason: String,
}

/// `0 3 * * MON-FRI Europe/Berlin`: a cron pattern of five fields and a time zone, UTC if none is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Schedule {
    cron: String,
    zone: String,
}

impl Schedule {
    /// The last time at or before a moment; `None` where there was none.
    pub fn last(&self, at: Timestamp) -> Option<Timestamp> {
        let at = at.to_zoned(self.zone()?);
        let cron = Cron::from_str(&self.cron).ok()?;
        if cron.is_time_matching(&at).ok()? {
            let whole = at.with().second(0).subsec_nanosecond(0).build().ok()?;
            return Some(whole.timestamp());
        }
        cron.find_previous_occurrence(&at, false).ok().map(|at| at.timestamp())
    }

    /// The next time after a moment; `None` where there is none.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.to_zoned(self.zone()?);
        let next = Cron::from_str(&self.cron).ok()?.find_next_occurrence(&after, false).ok()?;
        Some(next.timestamp())
    }

    /// A moment as people in its zone say it.
    pub fn shown(&self, at: Timestamp) -> String {
        let zoned = self.zone().map(|zone| at.to_zoned(zone).strftime("%Y-%m-%d %H:%M").to_string());
        format!("{} {}", zoned.unwrap_or_else(|| at.to_string()), self.zone)
    }

    fn zone(&self) -> Option<TimeZone> {
        TimeZone::get(&self.zone).ok()
    }
}

impl FromStr for Schedule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: &dyn fmt::Display| {
            let message = format!(
                "`{text}` is no schedule: {why}; write five fields (minute, hour, day, month, weekday) and a time zone, \
                 such as `0 3 * * MON-FRI Europe/Berlin`"
            );
            Error::invalid("schedule", message)
        };
        let words: Vec<_> = text.split_whitespace().collect();
        let (fields, zone) = match words.as_slice() {
            [fields @ .., zone] if fields.len() == 5 => (fields, *zone),
            fields if fields.len() == 5 => (fields, "UTC"),
            other => return Err(refuse(&format!("it has {} words", other.len()))),
        };
        let cron = fields.join(" ");
        Cron::from_str(&cron).map_err(|error| refuse(&error))?;
        TimeZone::get(zone).map_err(|_| refuse(&format!("nobody knows the time zone `{zone}`")))?;
        let schedule = Self { cron, zone: zone.to_owned() };
        match schedule.next(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(refuse(&"that time never comes")),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.cron, self.zone)
    }
}

impl TryFrom<String> for Schedule {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect(text)
    }

    #[test]
    fn a_schedule_is_of_its_zone_through_the_change_of_clocks() {
        let schedule: Schedule = "30 2 * * * Europe/Berlin".parse().expect("schedule");
        assert_eq!(schedule.to_string().parse::<Schedule>().expect("again"), schedule);
        assert_eq!(schedule.next(at("2026-01-10T12:00:00Z")), Some(at("2026-01-11T01:30:00Z")));
        assert_eq!(schedule.next(at("2026-07-10T12:00:00Z")), Some(at("2026-07-11T00:30:00Z")));
        // 2026-03-29 has no half past two: what the crate does then is run once that day, not twice and not never.
        let spring = schedule.next(at("2026-03-28T12:00:00Z")).expect("spring");
        assert!(spring < at("2026-03-29T12:00:00Z"), "{spring}");
        assert_eq!(schedule.next(spring), Some(at("2026-03-30T00:30:00Z")));
        assert_eq!(schedule.last(at("2026-01-11T01:30:20Z")), Some(at("2026-01-11T01:30:00Z")));
        assert_eq!(schedule.last(at("2026-01-11T01:29:59Z")), Some(at("2026-01-10T01:30:00Z")));
        assert_eq!(schedule.shown(at("2026-01-11T01:30:00Z")), "2026-01-11 02:30 Europe/Berlin");
        assert_eq!("0 3 * * MON-FRI".parse::<Schedule>().expect("schedule").to_string(), "0 3 * * MON-FRI UTC");
    }

    #[test]
    fn a_quota_is_so_many_runs_within_some_time() {
        let quota: Quota = "2/1h".parse().expect("quota");
        let now = at("2026-01-10T12:00:00Z");
        assert_eq!(
            quota.refusal(at("2026-01-10T11:00:01Z"), now).as_deref(),
            Some("it may start 2 times within 1h, and did")
        );
        assert_eq!(quota.refusal(at("2026-01-10T11:00:00Z"), now), None);
        let storm = Quota::STORM.refusal(now, now).expect("refusal");
        assert_eq!(storm, "it may start 1000 times within 1h, and did; `--at-most` lets it start more often");
        for wrong in ["", "2", "0/1h", "2/", "2/0h", "x/1h", "2/soon"] {
            assert!(wrong.parse::<Quota>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_a_reason() {
        for (text, why) in [
            ("", "it has 0 words"),
            ("* * * *", "it has 4 words"),
            ("61 * * * *", "is no schedule"),
            ("0 3 * * * Europe/Berlyn", "nobody knows the time zone `Europe/Berlyn`"),
            ("0 0 31 2 * UTC", "that time never comes"),
        ] {
            let refused = text.parse::<Schedule>().expect_err(text);
            assert!(refused.message.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn watched_files_are_those_of_the_input() {
        let name = |text: &str| text.parse::<Name>().expect(text);
        let watch = [(name("code"), vec!["*.py".to_owned(), "conf/**".to_owned()])].into();
        let starts = Starts { watch, ..Starts::default() };
        let watches = |input: &str, changed: &[&str]| {
            let changed: Vec<_> = changed.iter().map(|path| (*path).to_owned()).collect();
            starts.watches(&name(input), &changed).expect("globs")
        };
        assert!(watches("code", &["README.md", "src/train.py"]) && watches("code", &["conf/a/b.yaml"]));
        assert!(!watches("code", &["README.md"]) && !watches("code", &[]));
        assert!(watches("other", &["README.md"]));
    }
}
