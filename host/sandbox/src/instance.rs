//! Who a call is made for: one component of one configured instance, what it may do, and where its log
//! lines and receipts go.

use crate::{Receipt, breaker::Breaker, capability::http::Client};
use fuseml_domain::{
    Attributes, Budget, Name, Rights,
    port::{ArtifactEvents, InstanceState, Secrets},
};
use std::{fmt, sync::Arc, sync::OnceLock};
use tokio::sync::Semaphore;

/// One component of one instance as configured and granted. Made anew when settings or grants change; until
/// then shared, because connections and the circuit breaker live with it.
pub struct InstanceContext {
    pub extension: String,
    pub version: String,
    pub instance: Name,
    pub component: Name,
    pub settings: Attributes,
    pub rights: Rights,
    pub budget: Budget,
    /// Whether its calls leave tapes.
    pub record: bool,
    pub state: Arc<dyn InstanceState>,
    pub secrets: Arc<dyn Secrets>,
    /// What it may see of registered artifacts: those of one project, or of all.
    pub project: Option<Name>,
    pub events: Arc<dyn ArtifactEvents>,
    pub log: Arc<dyn LogSink>,
    pub receipts: Arc<dyn ReceiptSink>,
    pub live: Live,
}

/// What an instance keeps between its calls. Nothing of it can be reached by the component.
#[derive(Default)]
pub struct Live {
    pub(crate) http: OnceLock<Client>,
    pub(crate) breaker: Breaker,
    /// Calls that its budget lets run at once.
    pub(crate) turns: OnceLock<Arc<Semaphore>>,
}

/// `mlflow 0.1.0 (component store of the instance prod)`.
impl fmt::Display for InstanceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} (component `{}` of the instance `{}`)",
            self.extension, self.version, self.component, self.instance
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// One line, already cut and cleaned of control characters. Its words are the extension's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub level: LogLevel,
    pub message: String,
    pub fields: Vec<(String, String)>,
}

/// Where log lines go. Called inside a call: must not block.
pub trait LogSink: Send + Sync {
    fn line(&self, instance: &InstanceContext, line: LogLine);
}

/// Where receipts go. Called at the end of every call: must not block.
pub trait ReceiptSink: Send + Sync {
    fn record(&self, receipt: Receipt);
}
