//! `fuseml extension check`: the conformance suite, on this machine alone.

use super::{author, package::Opened};
use crate::{
    Options,
    command::pairs,
    config,
    output::{Rows, micros},
};
use anyhow::Context as _;
use clap::Args;
use fuseml_conformance::{Given, Report, Samples, Verdict};
use fuseml_domain::{Error, SecretText};
use fuseml_sandbox::{CompilerCommand, Limits, Sandbox, SandboxConfig};
use std::{collections::BTreeMap, path::PathBuf};

#[derive(Args)]
pub(crate) struct CheckArguments {
    /// A project, which is built first, a built extension, or a package
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Settings and samples of the real tool; <PATH>/check.toml if it is there
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
    /// A setting, as name=value
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// A secret from a variable of the environment, as name=VARIABLE
    #[arg(long = "secret-env", value_name = "NAME=VARIABLE")]
    secrets: Vec<String>,
    /// Judge a stranger's package: it reaches nothing, its own samples are not read, and nothing is built
    #[arg(long, conflicts_with_all = ["samples", "settings", "secrets"])]
    untrusted: bool,
}

pub(super) async fn check(arguments: &CheckArguments, options: &Options) -> anyhow::Result<()> {
    let opened = Opened::at(&arguments.path)?;
    // Building runs what the package says.
    let folder = match arguments.untrusted {
        true => opened.folder().to_owned(),
        false => author::built(opened.folder())?,
    };
    let sandbox = Sandbox::new(SandboxConfig {
        cache: config::cache_folder()?.join("code"),
        compiler: CompilerCommand {
            program: std::env::current_exe().context("this program's own path")?,
            arguments: vec![fuseml_server::COMPILER.into()],
        },
        limits: Limits::default(),
    })?;
    let given = given(arguments)?;
    eprintln!("Checking {} in the sandbox …", folder.display());
    let report = fuseml_conformance::check(&folder, &sandbox, given).await?;
    options.output.print(&report, table)?;
    say(&report)
}

fn given(arguments: &CheckArguments) -> anyhow::Result<Given> {
    if arguments.untrusted {
        return Ok(Given { offline: true, ..Given::default() });
    }
    let default = arguments.path.join("check.toml");
    let mut samples = match &arguments.samples {
        Some(path) => Samples::read(path)?,
        None if default.exists() => Samples::read(&default)?,
        None => Samples::default(),
    };
    samples.settings.extend(pairs(&arguments.settings, "a setting")?);
    let mut secrets = BTreeMap::new();
    for (name, variable) in pairs(&arguments.secrets, "a secret")? {
        let value = std::env::var(&variable).map_err(|_| {
            Error::invalid("argument", format!("the variable `{variable}` for the secret `{name}` is not set"))
        })?;
        secrets.insert(name, SecretText::new(value));
    }
    Ok(Given { samples, secrets, offline: false })
}

fn table(report: &Report) -> Rows {
    let mut rows = Rows::new(&["Component", "Rule", "Verdict", "Found"]);
    for finding in &report.findings {
        let (verdict, found) = match &finding.verdict {
            Verdict::Kept => ("kept", String::new()),
            Verdict::Broken { found, .. } => ("BROKEN", short(found)),
            Verdict::NotJudged { why } => ("not judged", short(why)),
        };
        let component = finding.component.as_ref().map_or("-", |name| name);
        rows.push([component.to_owned(), finding.rule.clone(), verdict.to_owned(), found]);
    }
    rows
}

/// The whole of it is said below the table.
fn short(text: &str) -> String {
    const SHOWN: usize = 100;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn say(report: &Report) -> anyhow::Result<()> {
    for finding in report.broken() {
        let Verdict::Broken { found, fix } = &finding.verdict else { continue };
        eprintln!("\n{}: {found}\n  To fix it: {fix}.", finding.rule);
    }
    for (component, usage) in &report.usage {
        eprintln!(
            "{component}: {} calls; at most {} ({}), {} of CPU ({}), {} KiB of memory ({}).",
            usage.calls,
            micros(usage.longest_wall.1),
            usage.longest_wall.0,
            micros(usage.longest_cpu.1),
            usage.longest_cpu.0,
            usage.most_memory.1 >> 10,
            usage.most_memory.0,
        );
    }
    let kept = report.findings.iter().filter(|finding| finding.verdict == Verdict::Kept).count();
    let broken = report.broken().count();
    let open = report.findings.len() - kept - broken;
    eprintln!("{} {}: {kept} rules kept, {broken} broken, {open} not judged.", report.extension, report.version);
    if broken > 0 {
        return Err(Error::invalid("not-conforming", format!("{broken} rules of the contract are broken")).into());
    }
    Ok(())
}
