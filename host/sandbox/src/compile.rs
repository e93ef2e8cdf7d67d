//! Compilation, kept away from the server: a hostile component can make a compiler slow or large, which is
//! outside wasmtime's security promise. So it happens in a child process with limits of its own, which reads
//! the component from standard input and writes compiled code to standard output.

use crate::engine;
use fuseml_domain::{Error, Result};
use nix::sys::resource::{Resource, setrlimit};
use std::{
    ffi::OsString,
    fs::File,
    io::{Read, Write},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How to start the compiler: the server's own binary with its hidden subcommand.
#[derive(Debug, Clone)]
pub struct CompilerCommand {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
}

/// A Python component needs about 0.5 GiB; Cranelift's threads reserve stacks besides.
const ADDRESS_SPACE: u64 = 4 << 30;
const CPU_SECONDS: u64 = 120;
const OUTPUT_BYTES: u64 = 512 << 20;
/// Of the compiler's complaint, the rest is dropped.
const COMPLAINT: u64 = 8 << 10;

/// The compiler process: component on standard input, compiled code on standard output, an exit code.
pub fn compiler_main() -> i32 {
    match compile_input() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

fn compile_input() -> Result<()> {
    let limits = [
        (Resource::RLIMIT_AS, ADDRESS_SPACE),
        (Resource::RLIMIT_CPU, CPU_SECONDS),
        (Resource::RLIMIT_FSIZE, OUTPUT_BYTES),
        (Resource::RLIMIT_CORE, 0),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, limit, limit)
            .map_err(|error| Error::internal("rlimit", format!("the compiler cannot limit itself: {error}")))?;
    }
    let mut component = Vec::new();
    std::io::stdin().read_to_end(&mut component).map_err(|error| Error::io("the component cannot be read", &error))?;
    let code = engine::for_compiling()?
        .precompile_component(&component)
        .map_err(|error| Error::invalid("component", format!("{error:#}")))?;
    let mut output = std::io::stdout().lock();
    output
        .write_all(&code)
        .and_then(|()| output.flush())
        .map_err(|error| Error::io("the compiled code cannot be written", &error))
}

/// Runs the compiler over the component, with `output` as its standard output.
pub(crate) async fn run(command: &CompilerCommand, component: &[u8], output: File, limit: Duration) -> Result<()> {
    let mut child = tokio::process::Command::new(&command.program)
        .args(&command.arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(output)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            Error::io(format!("the component compiler {} cannot start", command.program.display()), &error)
        })?;
    let (mut stdin, mut stderr) = (child.stdin.take(), child.stderr.take());
    let feed = async {
        // A compiler that ends early closes the pipe; its exit code says why.
        if let Some(mut stdin) = stdin.take() {
            let _ = stdin.write_all(component).await;
        }
    };
    let listen = async {
        let mut complaint = Vec::new();
        if let Some(stderr) = stderr.as_mut() {
            let _ = stderr.take(COMPLAINT).read_to_end(&mut complaint).await;
        }
        String::from_utf8_lossy(&complaint).trim().to_owned()
    };
    let whole = async { tokio::join!(feed, listen, child.wait()) };
    let ((), complaint, status) = tokio::time::timeout(limit, whole).await.map_err(|_| {
        Error::invalid(
            "compile-limit",
            format!("compiling the component took longer than {} s and was stopped", limit.as_secs()),
        )
    })?;
    judge(status.map_err(|error| Error::io("the component compiler", &error))?, &complaint)
}

fn judge(status: ExitStatus, complaint: &str) -> Result<()> {
    use std::os::unix::process::ExitStatusExt;
    if status.success() {
        return Ok(());
    }
    if let Some(signal) = status.signal() {
        return Err(Error::invalid(
            "compile-limit",
            format!(
                "compiling the component needed more than {CPU_SECONDS} s of CPU or {} GiB of memory (signal {signal}) {complaint}",
                ADDRESS_SPACE >> 30
            ),
        ));
    }
    Err(Error::invalid("compile", format!("the component cannot be compiled: {complaint}")))
}
