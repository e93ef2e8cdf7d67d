//! What this machine has for jobs.

use fuseml_domain::{CPU, Machine, Name};
use std::{collections::BTreeSet, fs, path::Path};

/// This machine, of whose processors so many are for jobs; its operator says what else it has (`gpu=a100`),
/// and where it is.
pub fn this_machine(jobs: usize, capabilities: &[String], zone: Option<Name>) -> Machine {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let own = [format!("os={}", std::env::consts::OS), format!("arch={architecture}")];
    let capabilities: BTreeSet<_> = own.into_iter().chain(capabilities.iter().cloned()).collect();
    Machine {
        cpu_millis: u32::try_from(jobs).unwrap_or(u32::MAX).saturating_mul(CPU),
        memory_bytes: memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()).unwrap_or(u64::MAX),
        gpus: gpus(Path::new("/proc/driver/nvidia/gpus")),
        capabilities,
        zone,
    }
}

/// `MemTotal:       16384 kB`.
fn memory(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// A folder for each, where the driver is.
fn gpus(folder: &Path) -> u32 {
    u32::try_from(fs::read_dir(folder).into_iter().flatten().flatten().count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known() {
        let machine = this_machine(2, &["gpu=a100".to_owned()], None);
        assert_eq!(machine.cpu_millis, 2000);
        assert!(machine.memory_bytes > 1 << 20 && machine.memory_bytes < u64::MAX, "{machine:?}");
        assert!(["gpu=a100", "os=linux"].iter().all(|it| machine.capabilities.contains(*it)), "{machine:?}");
        assert_eq!(memory("MemFree: 1 kB\nMemTotal:    16 kB\n"), Some(16 * 1024));
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir(folder.path().join("0000:01:00.0")).expect("folder");
        assert_eq!((gpus(folder.path()), gpus(Path::new("/nowhere"))), (1, 0));
    }
}
