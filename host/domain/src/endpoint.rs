//! Outside services that steps call or tell something, each registered under a name by who runs the server: a template
//! names it and never sees its address or its secrets (S128).

use crate::{Interpolated, InterpolatedJson, Name, Reference};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::fmt;

/// How an endpoint takes what it is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeFormat {
    /// A CloudEvent in JSON.
    #[default]
    Cloudevents,
    /// `{"text": …}`, as Slack, Mattermost and Google Chat take it.
    Text,
    /// `{"content": …}`, as Discord takes it.
    Content,
}

impl fmt::Display for NoticeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// What everybody may know of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub project: Name,
    pub name: Name,
    /// Scheme, host and port; a path often is a secret.
    pub origin: String,
    #[serde(default)]
    pub format: NoticeFormat,
    /// Names of the headers that are sent along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// What is sent carries a signature of Standard Webhooks.
    #[serde(default)]
    pub signed: bool,
    pub by: String,
    pub created: Timestamp,
}

/// The methods that a step may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    #[default]
    Post,
    Put,
    Patch,
    Delete,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// A step that calls an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The name of an endpoint of the project.
    pub endpoint: Name,
    #[serde(default)]
    pub method: Method,
    /// Below the endpoint's address; the address itself if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Interpolated>,
    /// Sent as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<InterpolatedJson>,
}

/// A step that tells an endpoint how the run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// The name of an endpoint of the project.
    pub endpoint: Name,
    pub message: Interpolated,
}

impl Call {
    pub(crate) fn references(&self) -> Vec<Reference> {
        let path = self.path.iter().flat_map(Interpolated::references).cloned();
        path.chain(self.body.iter().flat_map(InterpolatedJson::references)).collect()
    }
}

/// What is to be sent, with nothing left to fill in.
#[derive(Debug, Clone, PartialEq)]
pub struct OutgoingCall {
    pub endpoint: Name,
    /// The same however often this is sent: `Idempotency-Key`, and the id of what is told.
    pub key: String,
    pub content: CallContent,
}

#[derive(Debug, Clone, PartialEq)]
pub enum CallContent {
    Request { method: Method, path: Option<String>, body: Option<Json> },
    Notice(Notice),
}

/// What an endpoint is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Notice {
    pub message: String,
    /// `<project>`, `<pipeline>/<number>` and the step that tells it.
    pub project: Name,
    pub run: String,
    pub step: Name,
    /// Steps that failed so far, and why.
    pub failures: Vec<(Name, String)>,
}

impl Notice {
    /// All of it as people read it.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n{} in {}", self.message, self.run, self.project);
        for (step, why) in &self.failures {
            text += &format!("\n{step} failed: {why}");
        }
        text
    }
}

/// What an endpoint answered that took what was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct CallAnswer {
    /// Such as 200.
    pub status: u16,
    /// `Null` where it is no JSON.
    pub body: Json,
}
