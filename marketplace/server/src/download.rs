//! Counting downloads: who fetches a package, once a day each.

use crate::{Marketplace, database::failed, limit::neighbourhood, route::Asker};
use aws_lc_rs::hmac;
use axum::{
    Extension,
    extract::{Request, State},
    http::{Method, header},
    middleware::Next,
    response::Response,
};
use fuseml_domain::{Digest, Name, Result};
use jiff::Timestamp;
use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Who was counted today. The database has the same; this spares it from who asks again and again.
#[derive(Debug, Default)]
pub(crate) struct Counted(Mutex<(String, HashSet<Digest>)>);

/// Remembered of one day; beyond that the database alone remembers.
const MOST: usize = 100_000;

impl Counted {
    /// Whether this is new today.
    fn is_new(&self, day: &str, download: Digest) -> bool {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.0 != day || counted.1.len() >= MOST {
            *counted = (day.to_owned(), HashSet::new());
        }
        counted.1.insert(download)
    }
}

/// Beside the registry: counts those who fetch a package's index.
pub(crate) async fn count(
    State(marketplace): State<Arc<Marketplace>>,
    Extension(Asker(asker)): Extension<Asker>,
    request: Request,
    next: Next,
) -> Response {
    let fetched = match (request.method(), request.uri().path().split('/').collect::<Vec<_>>().as_slice()) {
        (&Method::GET, ["", "v2", namespace, name, "manifests", _]) => {
            namespace.parse::<Name>().ok().zip(name.parse::<Name>().ok())
        }
        _ => None,
    };
    let response = next.run(request).await;
    let is_package = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| response.status().is_success() && value == "application/vnd.oci.image.index.v1+json");
    if let Some((namespace, name)) = fetched.filter(|_| is_package) {
        let day = Timestamp::now().strftime("%Y-%m-%d").to_string();
        let who = who(&day, asker, marketplace.keys.read().await.online.pkcs8());
        if marketplace.counted.is_new(&day, Digest::of(format!("{namespace}/{name} {who}").as_bytes())) {
            // Nobody waits for a count.
            tokio::spawn(async move {
                if let Err(error) = marketplace.count(&namespace, &name, &day, &who).await {
                    tracing::warn!(%error, "a download was not counted");
                }
            });
        }
    }
    response
}

/// Addresses are kept as hashes of the day, with a key: there are few enough addresses to try them all.
fn who(day: &str, asker: IpAddr, key: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let hash = hmac::sign(&key, format!("downloads {day} {}", neighbourhood(asker)).as_bytes());
    hex::encode(&hash.as_ref()[..8])
}

impl Marketplace {
    async fn count(&self, namespace: &Name, name: &Name, day: &str, who: &str) -> Result<()> {
        let mut transaction = self.database.write().await?;
        let done = sqlx::query(
            "INSERT INTO downloads (day, namespace, name, who) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(day)
        .bind(&**namespace)
        .bind(&**name)
        .bind(who)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        if done.rows_affected() > 0 {
            sqlx::query("UPDATE extensions SET downloads = downloads + 1 WHERE namespace = $1 AND name = $2")
                .bind(&**namespace)
                .bind(&**name)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    /// Nobody is counted twice on a day that is over.
    pub(crate) async fn forget_who_downloaded(&self) -> Result<()> {
        sqlx::query("DELETE FROM downloads WHERE day < $1")
            .bind(Timestamp::now().strftime("%Y-%m-%d").to_string())
            .execute(&self.database.pool)
            .await
            .map_err(failed)
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_over_the_addresses_of_one_network_counts_once_and_days_do_not_tell_of_each_other() {
        let of = |day, address: &str, key: &[u8]| who(day, address.parse().expect("address"), key);
        assert_eq!(of("2026-01-01", "2001:db8::1", b"key"), of("2026-01-01", "2001:db8::2", b"key"));
        assert_ne!(of("2026-01-01", "192.0.2.1", b"key"), of("2026-01-02", "192.0.2.1", b"key"));
        assert_ne!(of("2026-01-01", "192.0.2.1", b"key"), of("2026-01-01", "192.0.2.1", b"other"));
    }

    #[test]
    fn who_asks_again_the_same_day_is_not_new() {
        let (counted, one, other) = (Counted::default(), Digest::of(b"one"), Digest::of(b"other"));
        assert!(counted.is_new("2026-01-01", one.clone()));
        assert!(!counted.is_new("2026-01-01", one.clone()));
        assert!(counted.is_new("2026-01-01", other));
        assert!(counted.is_new("2026-01-02", one));
    }
}
