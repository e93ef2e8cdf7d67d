//! What comes from outside and what goes there.

use fuseml_catalog::EventOutcome;
use fuseml_domain::{Name, NoticeFormat, Proof, ReceivedEvent, Webhook};
use serde::{Deserialize, Serialize};

/// To let events in.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookRequest {
    pub name: Name,
    #[serde(default)]
    pub proof: Proof,
    /// The codeset whose outside repository is looked at whenever something comes.
    #[serde(default)]
    pub codeset: Option<Name>,
    /// Made by the server if none is given.
    #[serde(default)]
    pub secret: Option<String>,
    pub by: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookView {
    #[serde(flatten)]
    pub webhook: Webhook,
    /// Where senders send to.
    pub url: String,
}

/// A webhook that was just added: its secret is shown this once.
#[derive(Clone, Serialize, Deserialize)]
pub struct NewWebhookView {
    #[serde(flatten)]
    pub view: WebhookView,
    pub secret: String,
}

/// How many events came, and how many of them for the first time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReceivedView {
    pub received: usize,
    pub new: u64,
}

/// An event that a person sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventRequest {
    #[serde(rename = "type")]
    pub event_type: String,
    #[serde(default)]
    pub subject: Option<String>,
    #[serde(default)]
    pub data: serde_json::Value,
    /// The same twice is one event.
    #[serde(default)]
    pub id: Option<String>,
    pub by: String,
}

/// An event, and what came of it once that is worked out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventView {
    #[serde(flatten)]
    pub event: ReceivedEvent,
    pub outcome: Option<EventOutcome>,
}

/// An outside service that steps may call.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointRequest {
    pub name: Name,
    pub url: String,
    /// Sent along; nobody is shown the values again.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// `whsec_…`: signs what is sent.
    #[serde(default)]
    pub signing: Option<String>,
    #[serde(default)]
    pub format: NoticeFormat,
    pub by: String,
}
