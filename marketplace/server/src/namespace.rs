//! Namespaces: who owns them, and whose keys sign in them.

use crate::{
    Caller, Marketplace,
    account::time,
    database::{all_from_json, failed, from_json, to_json},
    likeness::{alike, reserved, skeleton},
};
use fuseml_database::WriteTransaction;
use fuseml_domain::{Error, Name, Result};
use fuseml_marketplace::{Entry, Event, KeyId, KeyState, NamespaceKey, PublicKey};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;

/// What an account may do in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Publishes, yanks and revokes.
    Publisher,
    /// Decides about members and keys too.
    Owner,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Owner => "owner",
        }
    }
}

/// What is said about a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct About {
    /// Where its sources are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub website: Option<String>,
    /// Whether it is made sure that it belongs to who it says.
    pub verified: bool,
    /// What proved it: its website's or repository's host, or an operator's word. Said by the marketplace alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_by: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    pub account: Name,
    pub role: Role,
    /// False while it is only invited.
    pub accepted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamespaceView {
    pub name: Name,
    pub created: Timestamp,
    pub about: About,
    pub members: Vec<Member>,
    pub keys: Vec<NamespaceKey>,
}

impl Marketplace {
    /// Makes a namespace that the caller owns.
    pub(crate) async fn add_namespace(&self, caller: &Caller, name: &Name) -> Result<()> {
        caller.whole()?;
        if let Some(taken) = reserved(name).filter(|_| !caller.operator) {
            let message = match taken == &**name {
                true => format!("{name} is reserved for who makes it; ask an operator of this marketplace"),
                false => format!("{name} looks like {taken}, which is reserved; choose another name"),
            };
            return Err(Error::denied("reserved-name", message));
        }
        let mut transaction = self.database.write().await?;
        let others: Vec<String> =
            sqlx::query_scalar("SELECT name FROM namespaces").fetch_all(&mut *transaction).await.map_err(failed)?;
        if let Some(other) = others.iter().find(|other| alike(name, other)) {
            let message = match *other == **name {
                true => format!("there is a namespace {name} already"),
                false => format!("{name} looks like the namespace {other}; choose another name"),
            };
            return Err(Error::conflict("look-alike", message));
        }
        sqlx::query("INSERT INTO namespaces (name, skeleton, created, document) VALUES ($1, $2, $3, $4)")
            .bind(&**name)
            .bind(skeleton(name))
            .bind(Timestamp::now().to_string())
            .bind(to_json(&About::default())?)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        put_member(&mut transaction, name, &caller.account, Role::Owner, true).await?;
        self.sign(&mut transaction, name).await?;
        transaction.commit().await.map_err(failed)?;
        self.audit(&caller.account, "namespace-add", name).await
    }

    /// What is known of a namespace.
    pub(crate) async fn namespace(&self, name: &Name) -> Result<NamespaceView> {
        let mut connection = self.database.pool.acquire().await.map_err(failed)?;
        let row = sqlx::query("SELECT created, document FROM namespaces WHERE name = $1")
            .bind(&**name)
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed)?;
        let row = row.ok_or_else(|| Error::not_found("namespace", format!("there is no namespace {name}")))?;
        let members = sqlx::query("SELECT account, role, accepted FROM members WHERE namespace = $1 ORDER BY account")
            .bind(&**name)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
        let members = members.iter().map(|row| {
            Ok(Member {
                account: row.get::<String, _>("account").parse()?,
                role: from_json(&format!("\"{}\"", row.get::<String, _>("role")))?,
                accepted: row.get::<i64, _>("accepted") != 0,
            })
        });
        Ok(NamespaceView {
            name: name.clone(),
            created: time(row.get("created"))?,
            about: from_json(row.get("document"))?,
            members: members.collect::<Result<_>>()?,
            keys: keys(&mut connection, name).await?,
        })
    }

    /// Refuses who has not that role, or a token that does not reach there.
    pub(crate) async fn authorise(
        &self,
        caller: &Caller,
        namespace: &Name,
        extension: Option<&Name>,
        role: Role,
    ) -> Result<()> {
        caller.reaches(namespace, extension)?;
        if role == Role::Owner {
            caller.whole()?;
        }
        let held: Option<String> =
            sqlx::query_scalar("SELECT role FROM members WHERE namespace = $1 AND account = $2 AND accepted = 1")
                .bind(&**namespace)
                .bind(&*caller.account)
                .fetch_optional(&self.database.pool)
                .await
                .map_err(failed)?;
        let held: Option<Role> = held.map(|text| from_json(&format!("\"{text}\""))).transpose()?;
        match held {
            Some(held) if held >= role => Ok(()),
            _ if caller.operator && matches!(caller.scope, crate::Scope::Account) => Ok(()),
            _ => {
                let (account, role) = (&caller.account, role.name());
                Err(Error::denied("role", format!("{account} is no {role} of the namespace {namespace}")))
            }
        }
    }

    pub(crate) async fn describe(&self, caller: &Caller, namespace: &Name, about: About) -> Result<()> {
        self.authorise(caller, namespace, None, Role::Owner).await?;
        let before = self.namespace(namespace).await?.about;
        if about.verified && !before.verified && !caller.operator {
            let message = "an operator, or your website or repository, says whether a namespace is verified: \
                           `fuseml marketplace namespace verify`";
            return Err(Error::denied("verified", message));
        }
        // Whoever moves elsewhere is looked at again.
        let moved = (&about.repository, &about.website) != (&before.repository, &before.website);
        let verified = about.verified && (!moved || caller.operator);
        let verified_by = match verified {
            true if before.verified && !moved => before.verified_by,
            true => Some("an operator".to_owned()),
            false => None,
        };
        for address in [&about.repository, &about.website].into_iter().flatten() {
            let url = url::Url::parse(address).ok().filter(|url| url.scheme() == "https");
            url.ok_or_else(|| Error::invalid("address", format!("`{}` is no https address", address.escape_debug())))?;
        }
        sqlx::query("UPDATE namespaces SET document = $1, verified = $2 WHERE name = $3")
            .bind(to_json(&About { verified, verified_by, ..about })?)
            .bind(i64::from(verified))
            .bind(&**namespace)
            .execute(&self.database.pool)
            .await
            .map_err(failed)?;
        self.audit(&caller.account, "namespace-describe", namespace).await
    }

    /// Invites an account, or changes its role.
    pub(crate) async fn invite(&self, caller: &Caller, namespace: &Name, account: &Name, role: Role) -> Result<()> {
        self.authorise(caller, namespace, None, Role::Owner).await?;
        let mut transaction = self.database.write().await?;
        let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM accounts WHERE name = $1")
            .bind(&**account)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed)?;
        known.ok_or_else(|| Error::not_found("account", format!("there is no account {account}")))?;
        let accepted = self.namespace(namespace).await?.members.iter().any(|it| it.account == *account && it.accepted);
        put_member(&mut transaction, namespace, account, role, accepted).await?;
        keep_an_owner(&mut transaction, namespace).await?;
        transaction.commit().await.map_err(failed)?;
        self.audit(&caller.account, "member-invite", &format!("{namespace}: {account} as {}", role.name())).await
    }

    /// The caller becomes the member that it was invited to be.
    pub(crate) async fn accept(&self, caller: &Caller, namespace: &Name) -> Result<()> {
        caller.whole()?;
        let done = sqlx::query("UPDATE members SET accepted = 1 WHERE namespace = $1 AND account = $2")
            .bind(&**namespace)
            .bind(&*caller.account)
            .execute(&self.database.pool)
            .await
            .map_err(failed)?;
        if done.rows_affected() == 0 {
            let message = format!("nobody invited {} to {namespace}", caller.account);
            return Err(Error::not_found("invitation", message));
        }
        self.audit(&caller.account, "member-accept", namespace).await
    }

    pub(crate) async fn remove_member(&self, caller: &Caller, namespace: &Name, account: &Name) -> Result<()> {
        if caller.account != *account {
            self.authorise(caller, namespace, None, Role::Owner).await?;
        }
        caller.whole()?;
        let mut transaction = self.database.write().await?;
        sqlx::query("DELETE FROM members WHERE namespace = $1 AND account = $2")
            .bind(&**namespace)
            .bind(&**account)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        keep_an_owner(&mut transaction, namespace).await?;
        transaction.commit().await.map_err(failed)?;
        self.audit(&caller.account, "member-remove", &format!("{namespace}: {account}")).await
    }

    /// Adds a key, or ends one: what it means for signatures is in [`NamespaceKey::counts`].
    pub(crate) async fn put_key(
        &self,
        caller: &Caller,
        namespace: &Name,
        key: &PublicKey,
        state: KeyState,
    ) -> Result<()> {
        self.authorise(caller, namespace, None, Role::Owner).await?;
        let id = key.id();
        let mut transaction = self.database.write().await?;
        let known = keys(&mut transaction, namespace).await?.into_iter().find(|known| known.key.id() == id);
        let now = Timestamp::now();
        let (next, event) = match (known, state) {
            (None, KeyState::Active) => {
                (NamespaceKey { key: key.clone(), state, added: now, ended: None }, Event::KeyAdded)
            }
            (None, _) => return Err(Error::not_found("key", format!("{namespace} has no key {}", id.short()))),
            (Some(known), _) if known.state == state => return Ok(()),
            (Some(_), KeyState::Active) => {
                return Err(Error::denied("key", format!("the key {} has ended; add another one", id.short())));
            }
            (Some(known), KeyState::Retired) if known.state == KeyState::Revoked => {
                return Err(Error::denied("key", format!("the key {} was revoked", id.short())));
            }
            (Some(known), _) => {
                let event = if state == KeyState::Retired { Event::KeyRetired } else { Event::KeyRevoked };
                (NamespaceKey { state, ended: Some(now), ..known }, event)
            }
        };
        sqlx::query(
            "INSERT INTO keys (namespace, id, document) VALUES ($1, $2, $3) \
             ON CONFLICT (namespace, id) DO UPDATE SET document = excluded.document",
        )
        .bind(&**namespace)
        .bind(id.as_str())
        .bind(to_json(&next)?)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        self.sign(&mut transaction, namespace).await?;
        let entry = key_entry(event, namespace, id.clone());
        self.commit_with(transaction, entry).await?;
        self.audit(&caller.account, "key", &format!("{namespace}: {} {state:?}", id.short())).await
    }
}

fn key_entry(event: Event, namespace: &Name, key: KeyId) -> Entry {
    Entry { at: Timestamp::now(), event, namespace: namespace.clone(), name: None, version: None, digest: None, key }
}

/// A namespace's keys, also those that ended.
pub(crate) async fn keys(connection: &mut sqlx::AnyConnection, namespace: &Name) -> Result<Vec<NamespaceKey>> {
    let texts: Vec<String> = sqlx::query_scalar("SELECT document FROM keys WHERE namespace = $1 ORDER BY id")
        .bind(&**namespace)
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    let mut keys: Vec<NamespaceKey> = all_from_json(texts)?;
    keys.sort_by_key(|key| key.added);
    Ok(keys)
}

async fn put_member(
    transaction: &mut WriteTransaction,
    namespace: &Name,
    account: &Name,
    role: Role,
    accepted: bool,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO members (namespace, account, role, accepted) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (namespace, account) DO UPDATE SET role = excluded.role",
    )
    .bind(&**namespace)
    .bind(&**account)
    .bind(role.name())
    .bind(i64::from(accepted))
    .execute(&mut **transaction)
    .await
    .map_err(failed)?;
    Ok(())
}

async fn keep_an_owner(transaction: &mut WriteTransaction, namespace: &Name) -> Result<()> {
    let owners: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM members WHERE namespace = $1 AND role = 'owner' AND accepted = 1")
            .bind(&**namespace)
            .fetch_one(&mut **transaction)
            .await
            .map_err(failed)?;
    match owners {
        0 => Err(Error::conflict("last-owner", format!("{namespace} would be left without an owner"))),
        _ => Ok(()),
    }
}
