//! The compiler process alone, for tests and tools that have no `fuseml` binary at hand.

fn main() {
    std::process::exit(fuseml_sandbox::compiler_main());
}
