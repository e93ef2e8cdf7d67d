//! What a job needs of the machine that runs it (S30–S31), and what a machine has.

use crate::{Attributes, Error, Name, Result};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

const NAMES: [&str; 5] = ["cpu", "memory", "gpu", "storage", "requires"];
/// A whole processor, in thousandths.
pub const CPU: u32 = 1000;

/// `None` leaves it to whoever runs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Thousandths of a processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u32>,
    /// Capabilities that must be there (S31): `gpu=a100`, `arch=amd64`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
}

impl Resources {
    /// Reads `cpu: 500m`, `memory: 4Gi`, `storage: 10G`, `gpu: 1`, `requires: gpu=a100, arch=amd64`.
    ///
    /// # Errors
    /// `invalid`, naming what is none.
    pub fn read(texts: &Attributes) -> Result<Self> {
        let mut resources = Self::default();
        for (name, text) in texts {
            let text = text.trim();
            let refuse = |such: &str| {
                let message = format!("`{}` is no `{name}`; write {such}", text.escape_debug());
                Error::invalid("resources", message)
            };
            match name.as_str() {
                "cpu" => {
                    resources.cpu_millis = Some(cpu(text).ok_or_else(|| refuse("2, 0.5 or 500m"))?);
                }
                "memory" => resources.memory_bytes = Some(bytes(text).ok_or_else(|| refuse("512Mi, 4Gi or 4G"))?),
                "storage" => resources.storage_bytes = Some(bytes(text).ok_or_else(|| refuse("10Gi or 10G"))?),
                "gpu" => resources.gpus = Some(text.parse().map_err(|_| refuse("a number such as 1"))?),
                "requires" => {
                    let all: Vec<_> = text.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
                    let is_sound = |it: &&str| it.len() <= 100 && it.chars().all(|c| c.is_ascii_graphic());
                    if all.len() > 100 || !all.iter().all(is_sound) {
                        return Err(refuse("such as gpu=a100, arch=amd64"));
                    }
                    resources.requires = all.into_iter().map(ToOwned::to_owned).collect();
                }
                other => {
                    let message = format!("there is no resource `{other}`; there are {}", NAMES.join(", "));
                    return Err(Error::invalid("resources", message));
                }
            }
        }
        Ok(resources)
    }
}

fn cpu(text: &str) -> Option<u32> {
    let millis = match text.strip_suffix('m') {
        Some(millis) => millis.parse().ok()?,
        None => {
            let cpus: f64 = text.parse().ok().filter(|cpus: &f64| cpus.is_finite() && (0.0..=1e6).contains(cpus))?;
            // At most a thousand million, and no fraction is left.
            format!("{:.0}", cpus * f64::from(CPU)).parse().ok()?
        }
    };
    (millis > 0).then_some(millis)
}

fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 8] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
    ];
    let (number, unit) =
        UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text, 1));
    number.trim().parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes > 0)
}

/// For people: `4 GiB`, `512 MiB`.
fn size(bytes: u64) -> String {
    [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| bytes >= 1 << shift && bytes.is_multiple_of(1 << shift))
        .map_or_else(|| format!("{bytes} bytes"), |(shift, unit)| format!("{} {unit}", bytes >> shift))
}

/// For people: thousandths as processors.
fn cpus(millis: u32) -> String {
    format!("{}", f64::from(millis) / f64::from(CPU))
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.cpu_millis.map(|millis| format!("cpu {}", cpus(millis))),
            self.memory_bytes.map(|bytes| format!("memory {}", size(bytes))),
            self.storage_bytes.map(|bytes| format!("storage {}", size(bytes))),
            self.gpus.map(|count| format!("gpu {count}")),
            (!self.requires.is_empty()).then(|| format!("requires {}", self.requires.join(", "))),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// What the jobs of one machine share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub cpu_millis: u32,
    pub memory_bytes: u64,
    pub gpus: u32,
    /// `os=linux`, `arch=amd64`, and what its operator says of it.
    pub capabilities: BTreeSet<String>,
    /// Where it is: any word the operators agree on (S73).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
}

impl Machine {
    /// Refuses what can never run here.
    ///
    /// # Errors
    /// `unsupported`, with all that is missing and what to do.
    pub fn check(&self, needed: &Resources) -> Result<()> {
        let mut missing = Vec::new();
        if let Some(millis) = needed.cpu_millis.filter(|millis| *millis > self.cpu_millis) {
            missing.push(format!("{} processors of {}", cpus(millis), cpus(self.cpu_millis)));
        }
        if let Some(bytes) = needed.memory_bytes.filter(|bytes| *bytes > self.memory_bytes) {
            missing.push(format!("{} of memory, of {}", size(bytes), size(self.memory_bytes >> 20 << 20)));
        }
        if let Some(count) = needed.gpus.filter(|count| *count > self.gpus) {
            missing.push(format!("{count} GPUs of {}", self.gpus));
        }
        missing.extend(needed.requires.iter().filter(|it| !self.capabilities.contains(*it)).cloned());
        if missing.is_empty() {
            return Ok(());
        }
        let message = format!(
            "this server's machine cannot give what it needs: {}; an `agent` runs it elsewhere, and \
             `fuseml server start --capability` says what else this machine has",
            missing.join(", ")
        );
        Err(Error::unsupported("resources", message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Resources> {
        Resources::read(&pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn resources_are_read_as_people_write_them() {
        for (text, millis) in [("2", 2000), ("0.5", 500), ("500m", 500), ("1.25", 1250)] {
            assert_eq!(read(&[("cpu", text)]).expect(text).cpu_millis, Some(millis), "{text}");
        }
        for (text, bytes) in [("512Mi", 512 << 20), ("4Gi", 4 << 30), ("4G", 4_000_000_000), ("1000", 1000)] {
            assert_eq!(read(&[("memory", text)]).expect(text).memory_bytes, Some(bytes), "{text}");
        }
        let all = [("cpu", "2"), ("memory", "1Gi"), ("gpu", "1"), ("requires", "gpu=a100, arch=amd64")];
        let shown = read(&all).expect("resources").to_string();
        assert_eq!(shown, "cpu 2, memory 1 GiB, gpu 1, requires gpu=a100, arch=amd64");
    }

    #[test]
    fn what_is_none_is_refused() {
        for (name, text, why) in [
            ("cpu", "0", "is no `cpu`"),
            ("cpu", "-1", "is no `cpu`"),
            ("cpu", "NaN", "is no `cpu`"),
            ("cpu", "many", "write 2, 0.5 or 500m"),
            ("memory", "4 GB", "is no `memory`"),
            ("memory", "99999999999Ti", "is no `memory`"),
            ("gpu", "1.5", "is no `gpu`"),
            ("requires", "a b", "is no `requires`"),
            ("cpus", "1", "there is no resource `cpus`; there are cpu, memory"),
        ] {
            let refused = read(&[(name, text)]).expect_err(text);
            assert!(refused.message.contains(why), "{refused}");
        }
    }

    #[test]
    fn a_machine_says_all_that_it_lacks() {
        let machine = Machine {
            cpu_millis: 2000,
            memory_bytes: 1 << 30,
            gpus: 0,
            capabilities: ["arch=amd64".to_owned()].into(),
            zone: None,
        };
        machine
            .check(&read(&[("cpu", "2"), ("memory", "1Gi"), ("requires", "arch=amd64")]).expect("it"))
            .expect("fits");
        let much = read(&[("cpu", "8"), ("memory", "64Gi"), ("gpu", "1"), ("requires", "gpu=a100")]).expect("it");
        let refused = machine.check(&much).expect_err("too much");
        assert!(
            refused.message.contains("8 processors of 2, 64 GiB of memory, of 1 GiB, 1 GPUs of 0, gpu=a100"),
            "{refused}"
        );
    }
}
