//! Every capability of every world that this host runs: granted, denied, revoked between two calls, revoked while a
//! call runs. A new capability or world does not compile here until it has its row.

use crate::common::{World as Sandboxed, codeset, entry, guest, limits, server::Server, world};
use fuseml_domain::{AllowedHost, Capability, Contract, Rights, World};
use std::{collections::BTreeSet, sync::Arc};

/// A call of the capability, whatever it answers.
fn use_of(capability: Capability) -> &'static str {
    match capability {
        Capability::Configuration => "(call $setting (i32.const 40960) (i32.const 8) (i32.const 32000))",
        Capability::State => "(call $state-get (i32.const 40960) (i32.const 8) (i32.const 32000))",
        Capability::ArtifactEvents => "(call $events (i64.const 0) (i32.const 1) (i32.const 32000))",
        Capability::Reveal => "(call $reveal (i32.const 40971) (i32.const 5) (i32.const 32000))",
        Capability::Files => "(call $file (i32.const 40960) (i32.const 8) (i32.const 32000))",
        Capability::Http => {
            "(call $fetch (i32.const 40968) (i32.const 3) (i32.const 41000) (global.get $length) (i32.const 0)
               (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
               (i32.const 0) (i32.const 32000))"
        }
    }
}

/// A guest of a world that uses the capability after a while; `None` where the world does not offer it.
fn guest_of(of: Contract, capability: Capability, url: &str) -> Option<Vec<u8>> {
    let items = format!(
        r#"(data (i32.const 40960) "endpointGETtoken") (data (i32.const 41000) "{url}")
           (global $length i32 (i32.const {}))"#,
        url.len()
    );
    let work = format!(
        "(local $n i32) (local.set $n (i32.const 20000000))
         (loop $spin (br_if $spin (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
         {} (i32.const 32768)",
        use_of(capability)
    );
    let newer = matches!(capability, Capability::ArtifactEvents | Capability::Reveal);
    match (of.world, of.minor, capability) {
        (World::ArtifactStore | World::RuntimeAgent, _, Capability::Files) => None,
        (World::ArtifactStore, 2, _) => Some(guest::store_0_2(&[("health", &work)], &items)),
        (_, 1, _) if newer => None,
        (World::ArtifactStore, 1, _) => Some(guest::store(&[("health", &work)], &items)),
        (World::Builder, 1, _) => Some(guest::builder(&[("detect", &work)], &items)),
        (World::RuntimeAgent, 1, _) => Some(guest::agent(&[("health", &work)], &items)),
        (_, minor, _) => panic!("version 0.{minor}.0 of {of} has no rows"),
    }
}

fn rights(capabilities: &[Capability], host: &AllowedHost) -> Rights {
    Rights {
        capabilities: capabilities.iter().copied().collect(),
        hosts: vec![host.clone()],
        revealed: ["token".to_owned()].into(),
        ..Rights::default()
    }
}

/// What a call with these rights was refused.
async fn refused(sandboxed: &Sandboxed, of: Contract, guest: &[u8], rights: Rights, marker: &str) -> BTreeSet<String> {
    let loaded = sandboxed.sandbox.load(guest, &entry(&of.to_string(), &Capability::ALL)).await.expect("loads");
    let instance = sandboxed.instance(marker, rights);
    match of.world {
        World::Builder => drop(loaded.builder(instance).expect("a builder").detect(&codeset()).await),
        World::ArtifactStore => drop(loaded.artifact_store(instance).expect("a store").health().await),
        World::RuntimeAgent => drop(loaded.runtime_agent(instance).expect("an agent").health().await),
    }
    let receipts = sandboxed.receipts();
    let own = receipts.iter().filter(|receipt| *receipt.instance.instance == *marker);
    own.flat_map(|receipt| &receipt.refusals).map(|refusal| refusal.what.clone()).collect()
}

#[tokio::test]
async fn each_capability_is_there_exactly_while_it_is_granted() {
    let server = Server::start().await;
    let host: AllowedHost = server.url().parse().unwrap();
    let sandboxed = Arc::new(world(limits()));
    let mut rows = 0;
    for (of, capability) in Contract::ALL.into_iter().flat_map(|of| Capability::ALL.map(|capability| (of, capability)))
    {
        let Some(guest) = guest_of(of, capability, &format!("{}/", server.url())) else { continue };
        let what = format!("{of} {capability}");
        let denied = BTreeSet::from([capability.to_string()]);
        let others: Vec<_> = Capability::ALL.into_iter().filter(|other| *other != capability).collect();

        let granted = refused(&sandboxed, of, &guest, rights(&[capability], &host), &format!("granted{rows}")).await;
        assert_eq!(granted, BTreeSet::new(), "{what}: granted");
        let not_granted = refused(&sandboxed, of, &guest, rights(&others, &host), &format!("denied{rows}")).await;
        assert_eq!(not_granted, denied, "{what}: everything else granted");

        // A call that runs while the right goes ends as it began; the next one is without it.
        let running = tokio::spawn({
            let (sandboxed, guest, rights) = (sandboxed.clone(), guest.clone(), rights(&[capability], &host));
            let marker = format!("running{rows}");
            async move { refused(&sandboxed, of, &guest, rights, &marker).await }
        });
        let revoked = refused(&sandboxed, of, &guest, rights(&[], &host), &format!("revoked{rows}")).await;
        assert_eq!(revoked, denied, "{what}: revoked");
        assert_eq!(running.await.expect("runs"), BTreeSet::new(), "{what}: revoked in mid-call");
        rows += 1;
    }
    assert_eq!(rows, 3 + 5 + 4 + 3, "what each contract of `Contract::ALL` offers");
}
