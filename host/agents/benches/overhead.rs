#![allow(clippy::unwrap_used)]
//! What running something as a workload costs beside running it: `cargo bench -p fuseml-agents`.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{World, job};
use fuseml_domain::{Phase, Workload};
use std::{
    process::Command,
    time::{Duration, Instant},
};

const ROUNDS: usize = 200;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let plain: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            assert!(Command::new("/bin/true").status().unwrap().success());
            start.elapsed()
        })
        .collect();
    report("spawn and wait for /bin/true", plain);

    let world = World::new();
    let workloads: Vec<_> = (0..ROUNDS)
        .map(|round| {
            let workload = Workload { command: vec!["/bin/true".to_owned()], ..job(&format!("job-{round}"), "") };
            let start = Instant::now();
            assert_eq!(runtime.block_on(world.run(&workload)).phase, Phase::Succeeded);
            start.elapsed()
        })
        .collect();
    report("submit a job of /bin/true and wait for its end", workloads);
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    println!("{what}: median {:?}, 95th percentile {:?}", times[times.len() / 2], times[times.len() * 95 / 100]);
}
