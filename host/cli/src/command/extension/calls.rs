//! What components did: receipts and log lines.

use crate::{
    Options,
    client::Client,
    output::{Rows, micros, moment, print},
};
use clap::Args;
use fuseml_catalog::{CallRecord, LogRecord};
use fuseml_domain::Error;
use fuseml_server::ReplayView;
use reqwest::Method;
use std::time::Duration;

#[derive(Args)]
pub(crate) struct CallsArguments {
    /// Of this instance; of all without it
    instance: Option<String>,
    /// Only calls about this artifact
    #[arg(long, value_name = "ADDRESS")]
    artifact: Option<String>,
    /// Only calls to which something was refused
    #[arg(long)]
    refused: bool,
    /// At most so many, the newest
    #[arg(long, default_value_t = 20)]
    limit: u32,
}

#[derive(Args)]
pub(crate) struct LogsArguments {
    instance: String,
    /// At most so many lines, the newest
    #[arg(long, default_value_t = 200)]
    limit: u32,
    /// Go on with new lines until interrupted
    #[arg(short, long)]
    follow: bool,
}

pub(super) async fn calls(client: &Client, arguments: &CallsArguments, options: &Options) -> anyhow::Result<()> {
    let mut query = vec![("limit", arguments.limit.to_string())];
    query.extend(arguments.instance.iter().map(|instance| ("instance", instance.clone())));
    query.extend(arguments.artifact.iter().map(|artifact| ("subject", artifact.clone())));
    if arguments.refused {
        query.push(("refused", "true".to_owned()));
    }
    let calls: Vec<CallRecord> = client.get("/api/v1/calls", &query).await?;
    if arguments.instance.is_none() {
        eprintln!("Calls of all instances, the newest first.");
    }
    options.output.print(&calls, |calls| {
        let mut rows = Rows::new(&[
            "Call", "Started", "Instance", "Function", "Outcome", "Wall", "CPU", "Memory", "Reached", "Refused",
        ]);
        for call in calls {
            let refused: Vec<_> = call.refusals.iter().map(|refusal| refusal.what.as_str()).collect();
            rows.push([
                call.id.clone(),
                moment(call.started),
                format!("{}/{}", call.instance, call.component),
                call.function.clone(),
                call.outcome.clone(),
                micros(call.wall_us),
                micros(call.cpu_us),
                format!("{} KiB", call.memory_bytes >> 10),
                call.hosts.join(", "),
                refused.join(", "),
            ]);
        }
        rows
    })
}

pub(super) async fn replay(client: &Client, call: &str, options: &Options) -> anyhow::Result<()> {
    let view: ReplayView = client.read(client.request(Method::POST, &format!("/api/v1/calls/{call}/replay"))).await?;
    options.output.print(&view, |view| {
        let mut rows = Rows::new(&["Property", "Value"]);
        let mut row = |name: &str, value: &str| rows.push([name.to_owned(), value.to_owned()]);
        row("call", &view.call);
        row("function", &view.function);
        row("run by version", &view.version);
        row("same", if view.replayed.same { "yes" } else { "no" });
        if let Some(departure) = &view.replayed.departure {
            row("departure", departure);
        }
        row("answer", &view.replayed.answer);
        if view.recorded != view.replayed.answer {
            row("recorded answer", &view.recorded);
        }
        rows
    })?;
    if !view.replayed.same {
        return Err(Error::conflict("replay", "the call does not answer as it did").into());
    }
    Ok(())
}

pub(super) async fn logs(client: &Client, arguments: &LogsArguments, options: &Options) -> anyhow::Result<()> {
    let path = format!("/api/v1/instances/{}/logs", arguments.instance);
    let mut after = 0;
    loop {
        let query = [("after", after.to_string()), ("limit", arguments.limit.to_string())];
        let lines: Vec<(i64, LogRecord)> = client.get(&path, &query).await?;
        after = lines.last().map_or(after, |(sequence, _)| *sequence);
        let lines: Vec<LogRecord> = lines.into_iter().map(|(_, line)| line).collect();
        match options.output {
            crate::output::Format::Table => print(&lines.iter().map(shown).collect::<String>())?,
            _ => options.output.print(&lines, |_| Rows::new(&[]))?,
        }
        if !arguments.follow {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn shown(line: &LogRecord) -> String {
    let fields: String = line.fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    format!("{} {:<5} {} {}{fields}\n", moment(line.at), line.level, line.component, line.message)
}
