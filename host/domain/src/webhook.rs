//! Where events come in: an address of a project that somebody outside calls, and how it proves who it is (S130).

use crate::Name;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a request shows that it comes from who knows the webhook's secret.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// A signature of Standard Webhooks over id, time and body.
    #[default]
    StandardWebhooks,
    /// `X-Hub-Signature-256` over the body, as GitHub, Gitea and Forgejo send it.
    HubSignature,
    /// The secret itself, as bearer token or as `X-Gitlab-Token`.
    Token,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    pub project: Name,
    pub name: Name,
    pub proof: Proof,
    /// The codeset whose outside repository is looked at whenever something comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codeset: Option<Name>,
    pub by: String,
    pub created: Timestamp,
}
