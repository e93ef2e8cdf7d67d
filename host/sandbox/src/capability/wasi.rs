//! WASI 0.2 for components whose language's runtime imports it: clocks and random bytes work, what is printed
//! becomes log lines, and nothing else is there: no variable, argument, file, socket or name lookup.

use crate::{call::Call, instance::LogLevel, printer::Printer};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// More random bytes at once would be the host's memory and time.
pub(crate) const MAX_RANDOM: u64 = 64 << 10;

pub(crate) fn add_to_linker(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

/// Made at a call's first use of WASI, so that calls without it pay nothing.
pub(crate) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
    printed: [Printed; 2],
}

/// The two streams as the log's field names them.
const STREAMS: [&str; 2] = ["stdout", "stderr"];

impl Wasi {
    fn new(handles: usize, line: usize) -> Self {
        let printed = [Printed::new(line), Printed::new(line)];
        let context = WasiCtx::builder()
            .stdout(printed[0].printer())
            .stderr(printed[1].printer())
            .max_random_size(MAX_RANDOM)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(handles);
        Self { context, table, printed }
    }
}

impl WasiView for Call {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.log_printed(false);
        let wasi =
            self.wasi.get_or_insert_with(|| Box::new(Wasi::new(self.limits.handles, self.limits.log_line_bytes)));
        WasiCtxView { ctx: &mut wasi.context, table: &mut wasi.table }
    }
}

impl Call {
    /// Logs the lines printed since the last time; `ended` also those without an end.
    pub(crate) fn log_printed(&mut self, ended: bool) {
        let Some(wasi) = &self.wasi else { return };
        let lines: Vec<_> =
            STREAMS.into_iter().zip(&wasi.printed).map(|(stream, printed)| (stream, printed.take(ended))).collect();
        for (stream, lines) in lines {
            for line in lines {
                self.log(LogLevel::Info, &line, vec![("stream".to_owned(), stream.to_owned())]);
            }
        }
    }
}

/// What was printed and is not in the log yet.
#[derive(Clone)]
struct Printed(Arc<Mutex<Lines>>);

struct Lines {
    whole: Vec<String>,
    begun: Vec<u8>,
    /// Bytes kept of a line.
    most: usize,
}

impl Printed {
    fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Lines { whole: Vec::new(), begun: Vec::new(), most })))
    }

    fn printer(&self) -> Printer {
        let printed = self.clone();
        Printer(Arc::new(move |bytes: &[u8]| printed.lock().add(bytes)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, ended: bool) -> Vec<String> {
        let mut lines = self.lock();
        if ended && !lines.begun.is_empty() {
            lines.end();
        }
        std::mem::take(&mut lines.whole)
    }
}

impl Lines {
    fn add(&mut self, bytes: &[u8]) {
        for (index, part) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if index > 0 {
                self.end();
            }
            let room = self.most.saturating_sub(self.begun.len());
            self.begun.extend_from_slice(&part[..part.len().min(room)]);
        }
    }

    fn end(&mut self) {
        let line = std::mem::take(&mut self.begun);
        self.whole.push(String::from_utf8_lossy(&line).into_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_bytes_become_lines_and_long_lines_are_cut() {
        let printed = Printed::new(8);
        printed.lock().add(b"one\ntwo and more");
        assert_eq!(printed.take(false), ["one"]);
        printed.lock().add(b" still two\n\xff\nthree");
        assert_eq!(printed.take(false), ["two and ", "\u{fffd}"]);
        assert_eq!(printed.take(true), ["three"]);
        assert!(printed.take(true).is_empty());
    }
}
