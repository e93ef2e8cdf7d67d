//! What people and programs are shown: tables, JSON, YAML on stdout.

use clap::ValueEnum;
use comfy_table::{Cell, Table, presets};
use serde::Serialize;
use std::{
    fmt::Display,
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Yaml,
}

impl Format {
    /// Prints the value as it is, or as the text, mostly a table, that `table` makes of it for people.
    pub(crate) fn print<T: Serialize, D: Display>(self, value: &T, table: impl FnOnce(&T) -> D) -> anyhow::Result<()> {
        let text = match self {
            Self::Json => serde_json::to_string_pretty(value)? + "\n",
            Self::Yaml => serde_saphyr::to_string(value)?,
            Self::Table => table(value).to_string(),
        };
        print(&text)
    }
}

/// Writes to stdout; a reader that went away (`| head`) is no failure.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// A JSON Schema, whatever the output's format: it is for editors.
pub(crate) fn print_schema(schema: &serde_json::Value) -> anyhow::Result<()> {
    print(&(serde_json::to_string_pretty(schema)? + "\n"))
}

/// A table without lines.
pub(crate) struct Rows {
    headers: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Rows {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn new(headers: &'static [&'static str]) -> Self {
        Self { headers, rows: Vec::new() }
    }

    pub(crate) fn push<const N: usize>(&mut self, row: [String; N]) {
        self.rows.push(row.into());
    }
}

impl Display for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(self.headers.iter().map(Cell::new));
        for row in &self.rows {
            table.add_row(row.iter().map(Cell::new));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// `3.2s`, `1m04s`.
pub(crate) fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1}s", duration.as_secs_f64()),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `512 B`, `1.5 KiB`, `2.0 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `84µs`, `12.3ms`, `1.25s`.
pub(crate) fn micros(micros: u64) -> String {
    match micros {
        0..1000 => format!("{micros}µs"),
        1000..1_000_000 => format!("{:.1}ms", micros as f64 / 1e3),
        _ => format!("{:.2}s", micros as f64 / 1e6),
    }
}

/// Time between two moments, the second of which may still be to come.
pub(crate) fn elapsed(from: Option<jiff::Timestamp>, to: Option<jiff::Timestamp>) -> String {
    let Some(from) = from else { return String::new() };
    let to = to.unwrap_or_else(jiff::Timestamp::now);
    shown(Duration::try_from(to.duration_since(from)).unwrap_or_default())
}

/// To the second.
pub(crate) fn moment(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Whether stderr shows a person moving lines.
pub(crate) fn live() -> bool {
    std::io::stderr().is_terminal()
}
