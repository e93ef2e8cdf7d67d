//! The supervisor and the launcher alone, for the tests of this crate; users get them as a hidden subcommand of `fuseml`.

use std::{env, path::PathBuf, process};

fn main() {
    process::exit(match env::args_os().nth(1).map(PathBuf::from) {
        Some(directory) => fuseml_agents::supervise(&directory),
        None => fuseml_agents::launch(),
    });
}
