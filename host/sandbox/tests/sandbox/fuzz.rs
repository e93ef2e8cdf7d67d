//! Bytes that nobody meant: generated components and damaged ones are judged in words, and never take the host down.

use crate::common::{BUILDER, STORE, entry, guest, limits, world};
use arbitrary::{Arbitrary, Unstructured};
use fuseml_domain::{Capability, ErrorKind};
use proptest::{
    prelude::{Just, Strategy, any, prop},
    test_runner::{Config, TestRunner},
};

#[test]
fn generated_components_are_judged_in_words() {
    let world = world(limits());
    let component = entry(STORE, &Capability::ALL);
    let mut whole = 0;
    let mut runner = TestRunner::new(Config { cases: 256, failure_persistence: None, ..Config::default() });
    let seeds = prop::collection::vec(any::<u8>(), 2048..8192);
    for _ in 0..256 {
        let seed = seeds.new_tree(&mut runner).unwrap();
        let seed = proptest::strategy::ValueTree::current(&seed);
        let Ok(generated) = wasm_smith::Component::arbitrary(&mut Unstructured::new(&seed)) else { continue };
        whole += 1;

        let refused = world.sandbox.inspect(&generated.to_bytes(), &component).expect_err("no artifact store");

        assert!(matches!(refused.kind, ErrorKind::Invalid | ErrorKind::Unsupported), "{refused:?}");
        assert!(refused.message.starts_with("part.wasm "), "{refused}");
    }
    assert!(whole > 16, "only {whole} components were generated");
}

#[test]
fn a_damaged_component_is_refused_or_still_a_component() {
    let world = world(limits());
    let builder = guest::builder(&[], "");
    let damage =
        (Just(builder.clone()), prop::collection::vec((0..builder.len(), any::<u8>()), 1..8), 0..builder.len());
    let mut runner = TestRunner::new(Config { cases: 1024, failure_persistence: None, ..Config::default() });
    runner
        .run(&damage, |(mut bytes, changes, length)| {
            for (place, value) in changes {
                bytes[place] = value;
            }
            let cut = &bytes[..length];
            for bytes in [&bytes[..], cut] {
                if let Err(refused) = world.sandbox.inspect(bytes, &entry(BUILDER, &Capability::ALL)) {
                    assert!(!refused.message.is_empty() && refused.kind != ErrorKind::Internal, "{refused:?}");
                }
            }
            Ok(())
        })
        .unwrap();
}

/// What passes inspection in spite of its damage is compiled apart and called like any other.
#[tokio::test]
async fn damaged_components_that_pass_cost_only_their_own_calls() {
    let world = world(limits());
    let spins = guest::builder(&[("detect", "(unreachable)")], "");
    let mut ran = 0;
    for place in (spins.len() / 2..spins.len()).step_by(97) {
        let mut bytes = spins.clone();
        bytes[place] ^= 0x11;
        let Ok(loaded) = world.sandbox.load(&bytes, &entry(BUILDER, &Capability::ALL)).await else { continue };
        let builder = loaded.builder(world.instance(&format!("damaged{place}"), crate::common::rights(&[]))).unwrap();
        let _ = builder.detect(&crate::common::codeset()).await;
        ran += 1;
    }

    let sound = world.builder(&guest::builder(&[], "")).await;
    sound.detect(&crate::common::codeset()).await.expect("a sound component is served as before");
    assert!(ran > 0, "no damaged component got as far as a call");
}
