//! Accounts, and tokens that say who asks and what that token may do.

use crate::{
    Marketplace,
    database::{failed, from_json, to_json},
};
use fuseml_domain::{Digest, Error, Name, Result};
use jiff::{SignedDuration, Timestamp};
use rand::RngCore as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;

/// The longest that a token lives.
const LONGEST_DAYS: i64 = 366;
const PREFIX: &str = "fmk_";

/// What a token may do, at most; its account may do no more than it may anyway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Scope {
    /// Everything that the account may.
    Account,
    /// Publish, yank and revoke in one namespace; one extension of it when that is named.
    Publish {
        namespace: Name,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        extension: Option<Name>,
    },
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub account: Name,
    pub operator: bool,
    pub scope: Scope,
}

impl Caller {
    /// Refuses a token that is not for all of the account's business.
    pub(crate) fn whole(&self) -> Result<()> {
        match self.scope {
            Scope::Account => Ok(()),
            Scope::Publish { .. } => Err(Error::denied("scope", "this token is for publishing only")),
        }
    }

    /// Refuses a token that does not reach this extension.
    pub(crate) fn reaches(&self, namespace: &Name, extension: Option<&Name>) -> Result<()> {
        match &self.scope {
            Scope::Account => Ok(()),
            Scope::Publish { namespace: own, extension: one }
                if own == namespace && one.as_ref().is_none_or(|one| Some(one) == extension) =>
            {
                Ok(())
            }
            Scope::Publish { namespace: own, extension } => {
                let place = extension.as_ref().map_or_else(|| own.to_string(), |name| format!("{own}/{name}"));
                Err(Error::denied("scope", format!("this token is for {place} alone")))
            }
        }
    }
}

/// What is shown of a token; the token itself is shown once, when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenView {
    pub id: String,
    pub label: String,
    pub scope: Scope,
    pub expires: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// What a token is to be.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    pub label: String,
    pub scope: Scope,
    /// How long it lives, in seconds.
    pub seconds: i64,
}

impl Marketplace {
    /// A new account with a token for all of its business.
    pub async fn add_account(&self, name: &Name, operator: bool) -> Result<TokenView> {
        let mut transaction = self.database.write().await?;
        sqlx::query("INSERT INTO accounts (name, operator, created) VALUES ($1, $2, $3)")
            .bind(&**name)
            .bind(i64::from(operator))
            .bind(Timestamp::now().to_string())
            .execute(&mut *transaction)
            .await
            .map_err(|error| match failed(error) {
                error if error.code == "exists" => Error::conflict("account", format!("there is an account {name}")),
                error => error,
            })?;
        transaction.commit().await.map_err(failed)?;
        let request = TokenRequest { label: "login".to_owned(), scope: Scope::Account, seconds: 90 * 24 * 3600 };
        self.add_token(name, request).await
    }

    pub(crate) async fn add_token(&self, account: &Name, request: TokenRequest) -> Result<TokenView> {
        let TokenRequest { label, scope, seconds } = request;
        if !(60..=LONGEST_DAYS * 24 * 3600).contains(&seconds) {
            let message = format!("a token lives between a minute and {LONGEST_DAYS} days, not {seconds} seconds");
            return Err(Error::invalid("token", message));
        }
        if label.trim().is_empty() || label.len() > 100 {
            return Err(Error::invalid("token", "a token has a label of at most 100 characters"));
        }
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        let token = format!("{PREFIX}{}", hex::encode(bytes));
        let hash = Digest::of(token.as_bytes());
        let id = hash.hex()[..12].to_owned();
        let now = Timestamp::now();
        let expires = now + SignedDuration::from_secs(seconds);
        sqlx::query(
            "INSERT INTO tokens (id, hash, account, label, scope, created, expires) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&id)
        .bind(hash.hex())
        .bind(&**account)
        .bind(&label)
        .bind(to_json(&scope)?)
        .bind(now.to_string())
        .bind(expires.to_string())
        .execute(&self.database.pool)
        .await
        .map_err(failed)?;
        Ok(TokenView { id, label, scope, expires, token: Some(token) })
    }

    pub(crate) async fn tokens(&self, account: &Name) -> Result<Vec<TokenView>> {
        let rows = sqlx::query("SELECT id, label, scope, expires FROM tokens WHERE account = $1 ORDER BY created")
            .bind(&**account)
            .fetch_all(&self.database.pool)
            .await
            .map_err(failed)?;
        rows.iter()
            .map(|row| {
                Ok(TokenView {
                    id: row.get("id"),
                    label: row.get("label"),
                    scope: from_json(row.get("scope"))?,
                    expires: time(row.get("expires"))?,
                    token: None,
                })
            })
            .collect()
    }

    pub(crate) async fn remove_token(&self, account: &Name, id: &str) -> Result<()> {
        let done = sqlx::query("DELETE FROM tokens WHERE account = $1 AND id = $2")
            .bind(&**account)
            .bind(id)
            .execute(&self.database.pool)
            .await
            .map_err(failed)?;
        match done.rows_affected() {
            0 => Err(Error::not_found("token", format!("{account} has no token {}", id.escape_debug()))),
            _ => Ok(()),
        }
    }

    /// Who has this token. Looked up by its hash, so that the time tells nothing about it.
    pub(crate) async fn caller(&self, token: &str) -> Result<Option<Caller>> {
        let row = sqlx::query(
            "SELECT account, scope, expires, operator FROM tokens JOIN accounts ON accounts.name = account \
             WHERE hash = $1",
        )
        .bind(Digest::of(token.as_bytes()).hex())
        .fetch_optional(&self.database.pool)
        .await
        .map_err(failed)?;
        let Some(row) = row else { return Ok(None) };
        if time(row.get("expires"))? <= Timestamp::now() {
            return Ok(None);
        }
        let account: String = row.get("account");
        Ok(Some(Caller {
            account: account.parse()?,
            operator: row.get::<i64, _>("operator") != 0,
            scope: from_json(row.get("scope"))?,
        }))
    }

    /// Says in the audit who did what.
    pub(crate) async fn audit(&self, account: &Name, action: &str, subject: &str) -> Result<()> {
        sqlx::query("INSERT INTO audit (at, account, action, subject) VALUES ($1, $2, $3, $4)")
            .bind(Timestamp::now().to_string())
            .bind(&**account)
            .bind(action)
            .bind(subject)
            .execute(&self.database.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }
}

pub(crate) fn time(text: &str) -> Result<Timestamp> {
    text.parse().map_err(|error| Error::internal("document", format!("a record has no time: {error}")))
}
