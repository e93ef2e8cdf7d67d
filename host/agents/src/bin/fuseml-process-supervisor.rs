//! The supervisor alone, for the tests of this crate; users get it as a hidden subcommand of `fuseml`.

use std::{env, path::PathBuf, process};

fn main() {
    let Some(directory) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: fuseml-process-supervisor <workload directory>");
        process::exit(2);
    };
    process::exit(fuseml_agents::supervise(&directory));
}
