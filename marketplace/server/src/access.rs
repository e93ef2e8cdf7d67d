//! Who may do what in the marketplace's registry: everybody pulls, publishers push into their namespace.

use crate::{Caller, Marketplace, Role, limit::Limiter};
use async_trait::async_trait;
use axum::http::{HeaderMap, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use fuseml_domain::{ErrorKind, Name};
use fuseml_registry::{Access, Action, Refusal, Repository, Tag};
use std::sync::Arc;

/// What a request presents: a bearer token, or the password of basic authentication, as OCI clients send it.
pub(crate) fn presented(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let token = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => rest.trim().to_owned(),
        "basic" => {
            let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
            text.split_once(':')?.1.to_owned()
        }
        _ => return None,
    };
    (!token.is_empty() && token != ANONYMOUS).then_some(token)
}

/// What clients without a login get, because they insist on a token.
pub(crate) const ANONYMOUS: &str = "anonymous";

pub(crate) struct Rules {
    pub(crate) marketplace: Arc<Marketplace>,
    pub(crate) limiter: Arc<Limiter>,
}

impl Rules {
    fn challenge(&self) -> Refusal {
        Refusal::Unknown(format!("Bearer realm=\"{}/v2-token\",service=\"fuseml\"", self.marketplace.url))
    }

    async fn caller(&self, headers: &HeaderMap) -> Result<Option<Caller>, Refusal> {
        let Some(token) = presented(headers) else { return Ok(None) };
        match self.marketplace.caller(&token).await {
            Ok(Some(caller)) => Ok(Some(caller)),
            Ok(None) => Err(self.challenge()),
            Err(error) => Err(Refusal::Denied(error.message)),
        }
    }
}

#[async_trait]
impl Access for Rules {
    async fn allow(&self, headers: &HeaderMap, repository: &Repository, action: Action) -> Result<(), Refusal> {
        let caller = self.caller(headers).await?;
        if action == Action::Pull {
            return Ok(());
        }
        let caller = caller.ok_or_else(|| self.challenge())?;
        self.limiter.pass(&caller.account).map_err(|retry_after_seconds| Refusal::TooOften { retry_after_seconds })?;
        let segments: Vec<Option<Name>> = repository.as_str().split('/').map(|part| part.parse().ok()).collect();
        let [Some(namespace), Some(name)] = segments.as_slice() else {
            return Err(Refusal::Denied(format!("{repository} is not <namespace>/<extension>")));
        };
        if action == Action::Delete && !caller.operator {
            return Err(Refusal::Denied("what was pushed is deleted by operators; yank a version instead".to_owned()));
        }
        match self.marketplace.authorise(&caller, namespace, Some(name), Role::Publisher).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind == ErrorKind::Denied => Err(Refusal::Denied(error.message)),
            Err(error) => {
                tracing::error!(%error, "authorising a push");
                Err(Refusal::Denied("the marketplace could not find out whether you may".to_owned()))
            }
        }
    }

    async fn greet(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let anonymous = headers.get(header::AUTHORIZATION).is_some() && presented(headers).is_none();
        match self.caller(headers).await? {
            None if !anonymous => Err(self.challenge()),
            _ => Ok(()),
        }
    }

    /// Versions are tagged once, when they are published.
    fn is_fixed(&self, _repository: &Repository, tag: &Tag) -> bool {
        semver::Version::parse(&tag.as_str().replace('_', "+")).is_ok()
    }
}
