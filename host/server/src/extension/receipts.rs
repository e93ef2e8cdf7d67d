//! What components log and what their calls leave, on its way into the catalog: collected off the calls' path and
//! written in batches. What comes faster than it can be written is counted and dropped, never waited for.

use fuseml_catalog::{CallRecord, Catalog, LogRecord, RefusalRecord};
use fuseml_domain::Name;
use fuseml_sandbox::{InstanceContext, LogLevel, LogLine, LogSink, Outcome, Receipt, ReceiptSink};
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

const WAITING: usize = 8192;
const BATCH: usize = 512;
/// How long a batch may collect.
const PAUSE: Duration = Duration::from_millis(100);
/// Writes after which an instance's oldest are let go.
const PRUNE_EVERY: u64 = 1000;

enum Item {
    Call(Box<(CallRecord, Option<String>)>),
    Line(Box<LogRecord>),
    Flush(oneshot::Sender<()>),
}

/// Receives receipts and lines; one task writes them.
pub(crate) struct Recorder {
    items: mpsc::Sender<Item>,
    dropped: AtomicU64,
}

impl Recorder {
    pub(crate) fn start(catalog: Catalog) -> Self {
        let (items, receiver) = mpsc::channel(WAITING);
        tokio::spawn(write_all(catalog, receiver));
        Self { items, dropped: AtomicU64::new(0) }
    }

    fn keep(&self, item: Item) {
        if self.items.try_send(item).is_err() {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if dropped.is_power_of_two() {
                tracing::warn!(dropped, "receipts and log lines of extensions come faster than they can be kept");
            }
        }
    }

    /// Everything recorded before is in the catalog when this returns.
    pub(crate) async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.items.send(Item::Flush(done)).await.is_ok() {
            let _ = wait.await;
        }
    }
}

async fn write_all(catalog: Catalog, mut items: mpsc::Receiver<Item>) {
    let mut written = BTreeMap::<Name, u64>::new();
    while let Some(first) = items.recv().await {
        let (mut calls, mut lines, mut flushed) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = Some(first);
        let until = tokio::time::Instant::now() + PAUSE;
        while let Some(item) = next.take() {
            match item {
                Item::Call(call) => calls.push(*call),
                Item::Line(line) => lines.push(*line),
                Item::Flush(done) => flushed.push(done),
            }
            if calls.len() + lines.len() < BATCH && flushed.is_empty() {
                next = tokio::time::timeout_at(until, items.recv()).await.ok().flatten();
            }
        }
        if let Err(error) = catalog.record(&calls, &lines).await {
            tracing::error!(%error, calls = calls.len(), lines = lines.len(), "receipts of extensions are lost");
        }
        for instance in calls.iter().map(|(call, _)| &call.instance).chain(lines.iter().map(|line| &line.instance)) {
            let count = written.entry(instance.clone()).or_default();
            *count += 1;
            if *count >= PRUNE_EVERY {
                *count = 0;
                if let Err(error) = catalog.prune_calls(instance).await {
                    tracing::warn!(%error, %instance, "old receipts stay");
                }
            }
        }
        for done in flushed {
            let _ = done.send(());
        }
    }
}

impl LogSink for Recorder {
    fn line(&self, instance: &InstanceContext, line: LogLine) {
        let level = match line.level {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        };
        tracing::debug!(target: "extension", instance = %instance.instance, level, fields = ?line.fields, "{}", line.message);
        self.keep(Item::Line(Box::new(LogRecord {
            instance: instance.instance.clone(),
            component: instance.component.clone(),
            at: Timestamp::now(),
            level: level.to_owned(),
            message: line.message,
            fields: line.fields,
        })));
    }
}

impl ReceiptSink for Recorder {
    fn record(&self, receipt: Receipt) {
        self.keep(Item::Call(Box::new(record_of(receipt))));
    }
}

fn record_of(receipt: Receipt) -> (CallRecord, Option<String>) {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let instance = &receipt.instance;
    let tape = receipt.tape.and_then(|tape| serde_json::to_string(&tape).ok());
    let record = CallRecord {
        id: uuid::Uuid::now_v7().to_string(),
        instance: instance.instance.clone(),
        extension: instance.extension.clone(),
        version: instance.version.clone(),
        component: instance.component.clone(),
        digest: receipt.component.to_string(),
        function: receipt.function.to_owned(),
        subject: receipt.subject,
        started: Timestamp::try_from(receipt.started).unwrap_or_else(|_| Timestamp::now()),
        wall_us: micros(receipt.wall),
        cpu_us: micros(receipt.cpu),
        memory_bytes: receipt.peak_memory as u64,
        requests: receipt.requests.into(),
        bytes_sent: receipt.sent,
        bytes_received: receipt.received,
        hosts: receipt.hosts,
        secrets: receipt.secrets,
        refusals: receipt
            .refusals
            .into_iter()
            .map(|refusal| RefusalRecord { capability: refusal.capability, what: refusal.what })
            .collect(),
        outcome: match receipt.outcome {
            Outcome::Answered => "answered".to_owned(),
            Outcome::Cancelled => "cancelled".to_owned(),
            Outcome::Error(code) => format!("error {code}"),
            Outcome::Stopped(code) => format!("stopped {code}"),
        },
        recorded: tape.is_some(),
    };
    (record, tape)
}
