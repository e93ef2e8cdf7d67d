//! The servers beside this one: they share a PostgreSQL database and a data folder.
//!
//! A server is dead once its lease is over, and at once where its lock on the folder is gone, which the machine lets go
//! of however it dies.

use crate::{extension::Registry, folder::DataFolder, view::ServerView};
use async_trait::async_trait;
use fuseml_catalog::{CHANNEL, Catalog, DatabasePlace, Listener};
use fuseml_domain::{Error, LEASE, Name, Replica, Result, Run, Signal, port::Replicas};
use nix::fcntl::Flock;
use std::{
    collections::BTreeSet,
    fs::File,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Notify, mpsc, watch};
use uuid::Uuid;

/// Signals that wait to be looked at; beyond that it is as if they had not been heard.
const SIGNALS: usize = 1_000;
/// How long a server that ends waits for one that starts.
const LEAVING: Duration = Duration::from_secs(10);
/// Before a lost connection is made again.
const AGAIN: Duration = Duration::from_secs(1);

/// How a server ends.
pub(crate) struct Leaving {
    /// Nobody goes on with services.
    pub(crate) is_last: bool,
    _starting: Option<Flock<File>>,
}

pub(crate) struct Peers {
    catalog: Catalog,
    /// For leases alone, where there are others.
    leases: Option<Catalog>,
    own: Replica,
    folder: DataFolder,
    registry: Arc<Registry>,
    others: Mutex<BTreeSet<Uuid>>,
    /// Changes of extensions that this server knows.
    changes: AtomicI64,
    /// It ends in order.
    left: AtomicBool,
    heard: tokio::sync::Mutex<mpsc::Receiver<Signal>>,
    /// Whether this server has been there for longest: it does for all what one has to do.
    is_first: watch::Sender<bool>,
    /// A server is gone.
    pub(crate) deaths: Notify,
}

impl Peers {
    /// Joins those that are there.
    ///
    /// # Errors
    /// `conflict` when servers of the database use another folder or machine, or those of the folder another database.
    pub(crate) async fn join(
        catalog: Catalog,
        place: &DatabasePlace,
        own: Replica,
        folder: DataFolder,
        registry: Arc<Registry>,
    ) -> Result<Arc<Self>> {
        let known = catalog.replicas().await?;
        for (id, running) in folder.alive() {
            if id != own.id && !known.iter().any(|(replica, _)| replica.id == id) {
                let which = running.map(|it| format!(" {} (process {})", it.url, it.pid)).unwrap_or_default();
                let message = format!(
                    "the data folder {} belongs to another server{which}, which uses another database; choose another \
                     folder with --data",
                    folder.path().display(),
                );
                return Err(Error::conflict("data-folder-taken", message));
            }
        }
        if matches!(place, DatabasePlace::Postgres(_)) {
            wait_for_strangers(&catalog, &own, &folder).await?;
        }
        let (tell, heard) = mpsc::channel(SIGNALS);
        let leases = match place {
            DatabasePlace::Postgres(_) => Some(catalog.apart(place).await?),
            DatabasePlace::Sqlite(_) => None,
        };
        catalog.renew_lease(&own).await?;
        let peers = Arc::new(Self {
            changes: AtomicI64::new(catalog.extension_changes().await?),
            left: AtomicBool::new(false),
            catalog,
            leases,
            own,
            folder,
            registry,
            others: Mutex::default(),
            heard: tokio::sync::Mutex::new(heard),
            is_first: watch::Sender::new(false),
            deaths: Notify::new(),
        });
        if let Some(listener) = Listener::on(place, CHANNEL).await? {
            tokio::spawn(listen(Arc::downgrade(&peers), place.clone(), listener, tell));
        }
        // In this order: whom the catalog knows has a file until it is known no more.
        peers.living().await?;
        peers.folder.sweep();
        Ok(peers)
    }

    /// Resolves once this server is the one that has been there for longest, or is not.
    pub(crate) async fn until_first(&self, first: bool) {
        // The sender is this value's own, so that it does not go meanwhile.
        let _ = self.is_first.subscribe().wait_for(|is_first| *is_first == first).await;
    }

    /// Keeps others from joining, for what only a lone server may do.
    ///
    /// # Errors
    /// `conflict` when there are others.
    pub(crate) fn alone(&self, what: &str) -> Result<Flock<File>> {
        let refused = |other: &str| {
            let message = format!("{what} while one server runs alone, but {other}; try again without it");
            Error::conflict("not-alone", message)
        };
        let locked = self.folder.try_start_alone()?.ok_or_else(|| refused("another one is about to start"))?;
        match self.folder.alive().into_iter().find(|(id, _)| *id != self.own.id) {
            Some((_, Some(other))) => Err(refused(&format!("{} runs beside it", other.url))),
            Some((_, None)) => Err(refused("another one starts")),
            None => Ok(locked),
        }
    }

    /// This server ends in order: others have its runs from here on. Where it was the last one, nobody comes as long as
    /// the answer lives, which says so.
    pub(crate) async fn leave(&self) -> Result<Leaving> {
        self.left.store(true, Ordering::SeqCst);
        // Without it the others see that its lock is gone.
        if let Err(error) = self.leases.as_ref().unwrap_or(&self.catalog).end_lease(self.own.id).await {
            tracing::warn!(%error, "this server's lease could not be ended");
        }
        self.folder.withdraw(self.own.id);
        // Who starts now goes on with what runs; who hangs there does not keep this one from ending.
        let starting = tokio::time::timeout(LEAVING, self.folder.start_alone()).await;
        let starting = starting.ok().transpose()?;
        Ok(Leaving { is_last: self.folder.alive().is_empty(), _starting: starting })
    }

    /// How many others live.
    pub(crate) fn count(&self) -> usize {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Servers that live, the longest there first.
    pub(crate) async fn all(&self) -> Result<Vec<ServerView>> {
        let runs = self.catalog.runs_by_server().await?;
        let count = |id: Uuid| runs.iter().find(|(server, _)| *server == id.to_string()).map_or(0, |(_, runs)| *runs);
        let living = self.catalog.replicas().await?.into_iter().filter(|(_, over)| !over);
        let view = |(place, (replica, _)): (usize, (Replica, bool))| ServerView {
            pid: replica.pid,
            started: replica.started(),
            open_runs: count(replica.id),
            keeps_house: place == 0,
            url: replica.url,
        };
        Ok(living.enumerate().map(view).collect())
    }

    /// Ids of the others that live. Those that are gone are taken out of the catalog, then out of the folder.
    async fn living(&self) -> Result<BTreeSet<Uuid>> {
        let mut living = BTreeSet::new();
        let leases = self.leases.as_ref().unwrap_or(&self.catalog);
        for (other, over) in leases.replicas().await? {
            if other.id == self.own.id {
                continue;
            }
            // Of another boot, or of another space of process ids, the lock says nothing; but who has a file is alone.
            let may_be_elsewhere = self.leases.is_some() && other.machine != self.own.machine;
            match self.folder.is_alive(other.id)? {
                // One that overslept its lease is still there, and may come back.
                Some(true) if over => {}
                Some(true) => drop(living.insert(other.id)),
                _ if !over && may_be_elsewhere => drop(living.insert(other.id)),
                gone => {
                    tracing::warn!(url = %other.url, process = other.pid, "a server is gone");
                    leases.end_lease(other.id).await?;
                    if gone.is_some() {
                        self.folder.withdraw(other.id);
                    }
                }
            }
        }
        Ok(living)
    }
}

#[async_trait]
impl Replicas for Peers {
    async fn renew(&self) -> Result<usize> {
        // A file is one server's, for ever.
        let Some(leases) = &self.leases else {
            self.is_first.send_if_modified(|was| !std::mem::replace(was, true));
            return Ok(0);
        };
        if self.left.load(Ordering::SeqCst) {
            return Ok(0);
        }
        leases.renew_lease(&self.own).await?;
        let changes = leases.extension_changes().await?;
        if self.changes.swap(changes, Ordering::SeqCst) != changes {
            self.registry.forget();
        }
        let living = self.living().await?;
        let is_first = living.first().is_none_or(|first| self.own.id < *first);
        let before = {
            let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *others, living.clone())
        };
        if before.difference(&living).next().is_some() {
            self.deaths.notify_one();
        }
        self.is_first.send_if_modified(|was| std::mem::replace(was, is_first) != is_first);
        Ok(living.len())
    }

    async fn take_over(&self) -> Result<Vec<Run>> {
        let servers = self.count() + 1;
        self.catalog.take_over_runs(|all| all.div_ceil(servers)).await
    }

    async fn claim(&self, run: Uuid) -> Result<bool> {
        self.catalog.claim_run(run).await
    }

    async fn held(&self) -> Result<Vec<(Uuid, u64)>> {
        self.catalog.held_runs().await
    }

    async fn stuck(&self) -> Result<Vec<(Name, Name)>> {
        self.catalog.stuck_pipelines().await
    }

    async fn tell(&self, signal: Signal) {
        if let Err(error) = self.catalog.tell(&signal).await {
            tracing::warn!(%error, ?signal, "other servers could not be told; they find out by themselves");
        }
    }

    async fn heard(&self) -> Signal {
        match self.heard.lock().await.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

/// Waits until those are gone that cannot be looked at from here: of another folder, or among other processes, such as
/// the same server in the container before.
///
/// # Errors
/// `conflict` when they stay.
async fn wait_for_strangers(catalog: &Catalog, own: &Replica, folder: &DataFolder) -> Result<()> {
    let patience = Instant::now() + LEASE + LEASE / 3;
    loop {
        let mut stranger = None;
        for (other, over) in catalog.replicas().await?.into_iter().filter(|(other, _)| other.id != own.id) {
            let is_elsewhere = other.machine != own.machine;
            match folder.is_alive(other.id)? {
                // Whether it lives, this machine says.
                Some(_) if !is_elsewhere => {}
                _ if over => {}
                _ => stranger = Some((other, is_elsewhere)),
            }
        }
        let Some((other, is_elsewhere)) = stranger else { return Ok(()) };
        if Instant::now() > patience {
            let url = &other.url;
            return Err(match is_elsewhere {
                true => Error::conflict(
                    "other-machine",
                    format!(
                        "{url} runs on another machine (or in another container) and its processes cannot be seen \
                         from here; servers that share a database run on one machine"
                    ),
                ),
                false => Error::conflict(
                    "other-folder",
                    format!(
                        "{url} uses the same database with another data folder; servers that share a database share \
                         the folder, too (--data)"
                    ),
                ),
            });
        }
        tracing::info!(url = %other.url, "waiting until a server is gone that cannot be looked at from here");
        tokio::time::sleep(AGAIN).await;
    }
}

/// Passes on what others tell, as long as the server lives.
async fn listen(peers: Weak<Peers>, place: DatabasePlace, mut listener: Listener, tell: mpsc::Sender<Signal>) {
    loop {
        let heard = match listener.next().await {
            Ok(heard) => heard,
            Err(error) => {
                tracing::warn!(%error, "what other servers tell cannot be heard; trying again");
                loop {
                    tokio::time::sleep(AGAIN).await;
                    if let Ok(Some(again)) = Listener::on(&place, CHANNEL).await {
                        listener = again;
                        break;
                    }
                }
                None
            }
        };
        let Some(peers) = peers.upgrade() else { return };
        let signal = match heard {
            Some(text) => peers.catalog.signal_of(&text),
            None => Some(Signal::Missed),
        };
        if matches!(signal, Some(Signal::Extensions | Signal::Missed)) {
            peers.registry.forget();
        }
        if let Some(signal) = signal
            && let Err(mpsc::error::TrySendError::Closed(_)) = tell.try_send(signal)
        {
            return;
        }
    }
}

/// The machine whose processes this server sees: its present boot, and there the space of process ids.
pub(crate) fn process_space() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim(), space.display())
}
