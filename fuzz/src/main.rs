//! The fuzzer: `FUSEML_FUZZ_TARGET` says which target it runs.

#![no_main]

use fuseml_fuzz::{TARGETS, Target};
use std::sync::LazyLock;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUSEML_FUZZ_TARGET").expect("FUSEML_FUZZ_TARGET names a target");
    *TARGETS.iter().find(|target| target.name == name).expect("a target of that name")
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
