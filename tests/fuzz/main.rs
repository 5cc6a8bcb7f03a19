//! Every decoder against its corpus and against what is made from it: none may panic, take more
//! memory than its input earns, or break what it promises. The same targets run under libFuzzer by
//! `make fuzz`.

mod memory;
mod mutate;
mod repair;
mod run;
mod seeds;
mod targets;

use targets::{TARGETS, Target};

/// Another seed tries other inputs; these are the same on every machine.
const SEED: u64 = 20;

/// The most bytes that the whole corpus may have, so that a checkout stays small.
const CORPUS_BYTES_MAX: usize = 300 * 1024;

fn fuzz(name: &str, executions: u64) {
    let target = target(name);
    run::replay(&target);
    let tally = run::mutate(&target, SEED, executions);
    println!("{name}: {tally:?}");
    // Mutations that are all refused, or all taken, try nothing.
    assert!(
        tally.taken > executions / 100 && tally.taken < executions,
        "{name}: {} of {executions} were taken",
        tally.taken
    );
}

fn target(name: &str) -> Target {
    let found = TARGETS.into_iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("{name} is no target"))
}

macro_rules! targets {
    ($($name:ident: $executions:expr,)*) => {
        $(
            #[test]
            fn $name() {
                fuzz(stringify!($name), $executions);
            }
        )*

        const TRIED: &[&str] = &[$(stringify!($name)),*];
    };
}

// As many as the time of `make test` allows: about five seconds each.
targets! {
    batch: 100_000,
    control: 200_000,
    digest_log: 30_000,
    digest_store: 40_000,
    frames: 40_000,
    hello: 200_000,
    in_place: 100_000,
    message: 200_000,
    metadata: 200_000,
    names: 200_000,
    spec: 30_000,
    staging: 30_000,
    superblock: 30_000,
}

#[test]
fn every_target_is_tried_here_and_has_a_program_for_libfuzzer() {
    for target in TARGETS {
        assert!(TRIED.contains(&target.name), "{} is not tried", target.name);
        let program = run::path("fuzz/fuzz_targets").join(format!("{}.rs", target.name));
        assert!(program.exists(), "{} is missing", program.display());
    }
    assert_eq!(TRIED.len(), TARGETS.len());
}

#[test]
fn the_corpus_is_small() {
    let corpora = TARGETS.iter().map(run::corpus);
    let bytes: usize = corpora.flatten().map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes <= CORPUS_BYTES_MAX, "the corpus has {bytes} bytes");
}

/// The watch itself: a decoder that takes a claimed length at its word is noticed.
#[test]
fn memory_that_is_only_claimed_is_noticed() {
    let greedy = Target {
        name: "greedy",
        run: |bytes| Vec::<u8>::with_capacity(usize::from(bytes[0]) << 20).capacity() > 0,
    };
    let mut tally = run::Tally::default();
    assert!(run::watch(&greedy, &[1], "one", &mut tally));
    assert!(tally.peak >= 1 << 20);
    let noticed = std::panic::catch_unwind(|| {
        run::watch(&greedy, &[200], "two hundred", &mut run::Tally::default())
    });
    assert!(noticed.is_err());
}
