//! Writes every target's seeds below a folder: `<folder>/<target>/seed-<number>`.

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map(std::path::PathBuf::from).unwrap_or_default();
    for target in fuseml_fuzz::TARGETS {
        std::fs::create_dir_all(folder.join(target.name))?;
        for (number, seed) in target.seeds.iter().enumerate() {
            std::fs::write(folder.join(target.name).join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
