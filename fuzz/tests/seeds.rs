//! A little fuzzing in every test run: each target over its seeds, cut, doubled and with bytes changed.

use fuseml_fuzz::TARGETS;
use proptest::{prelude::*, test_runner::TestRunner};

#[test]
fn every_target_survives_its_seeds_and_what_is_nearly_one() {
    for target in TARGETS {
        for seed in target.seeds {
            (target.run)(seed.as_bytes());
            let length = seed.len();
            let changes = prop::collection::vec((0..length, any::<u8>()), 0..6);
            let strategy = (changes, 0..=length, 0..=length, 0..3_usize);
            let config = ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
            let survived = TestRunner::new(config).run(&strategy, |(changes, from, to, doubled)| {
                let mut bytes = seed.as_bytes().to_vec();
                for (at, byte) in changes {
                    bytes[at] = byte;
                }
                let part = bytes.get(from.min(to)..from.max(to)).unwrap_or_default().to_vec();
                for _ in 0..doubled {
                    bytes.extend_from_slice(&part);
                }
                (target.run)(&bytes);
                (target.run)(&part);
                Ok(())
            });
            survived.unwrap_or_else(|error| panic!("{}: {error}", target.name));
        }
    }
}

proptest! {
    #[test]
    fn every_target_survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for target in TARGETS {
            (target.run)(&bytes);
        }
    }
}
