//! Replaying a corpus, and mutating it, under watch for panics and memory.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use super::memory::peak_of;
use super::mutate::Mutator;
use super::repair::repair;
use super::targets::Target;

/// What decoding may take at most, in bytes: this much, whatever the input …
const MEMORY_BASE: usize = 2 << 20;

/// … and this many for each byte of it. The smallest extent, two bytes in a message, takes 16 in
/// memory; growing a list doubles it, and the target itself makes a few copies to compare.
const MEMORY_PER_BYTE: usize = 64;

/// Inputs whose names begin so must be taken: no later version may refuse what this one wrote.
const VALID: &str = "valid-";

/// Inputs whose names begin so must be refused: they are of a version that is not spoken any more.
const REFUSED: &str = "refused-";

/// The outcome of many runs.
#[derive(Debug, Default)]
pub struct Tally {
    /// Inputs that were tried.
    pub tried: u64,
    /// Inputs that the decoder took.
    pub taken: u64,
    /// The most bytes that one of them took.
    pub peak: usize,
}

/// A file of the repository.
pub fn path(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// The checked-in inputs of a target, by name.
pub fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = path("fuzz/corpus").join(target.name);
    let mut found: Vec<(String, Vec<u8>)> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "{} has no corpus", target.name);
    found
}

/// Runs every checked-in input as it is.
pub fn replay(target: &Target) {
    for (name, bytes) in corpus(target) {
        let taken = watch(target, &bytes, &name, &mut Tally::default());
        assert!(
            taken || !name.starts_with(VALID),
            "{}: {name} is refused, but was written by a version of ours",
            target.name
        );
        assert!(
            !taken || !name.starts_with(REFUSED),
            "{}: {name} is taken, but is of a version that is not spoken",
            target.name
        );
    }
}

/// Runs `executions` inputs that are made from the corpus by `seed`.
pub fn mutate(target: &Target, seed: u64, executions: u64) -> Tally {
    let corpus = corpus(target);
    let mut mutator = Mutator::new(seed);
    let mut tally = Tally::default();
    for execution in 0..executions {
        let (_, base) = mutator.pick(&corpus);
        let (_, other) = mutator.pick(&corpus);
        let mut bytes = mutator.change(base, other);
        if mutator.mostly() {
            repair(target.name, &mut bytes);
        }
        let name = format!("seed {seed}, execution {execution}");
        watch(target, &bytes, &name, &mut tally);
    }
    tally
}

/// Runs one input; what it does wrong fails the test and leaves the input in a file.
pub fn watch(target: &Target, bytes: &[u8], name: &str, tally: &mut Tally) -> bool {
    let (result, peak) = peak_of(|| catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))));
    let allowed = MEMORY_BASE + MEMORY_PER_BYTE * bytes.len();
    let wrong = match &result {
        Err(_) => Some("it panics".to_string()),
        Ok(_) if peak > allowed => {
            Some(format!("it takes {peak} bytes, and {allowed} are allowed"))
        }
        Ok(_) => None,
    };
    if let Some(wrong) = wrong {
        let folder = path("target/fuzz/wrong");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{}-{:08x}", target.name, crc32c::crc32c(bytes)));
        std::fs::write(&file, bytes).unwrap();
        panic!(
            "{} with {name}, {} bytes: {wrong}. The input is in {}: fix the decoder, and keep the \
             input in fuzz/corpus/{}/ under a name that says what was wrong",
            target.name,
            bytes.len(),
            file.display(),
            target.name
        );
    }
    let taken = result.unwrap_or_default();
    tally.tried += 1;
    tally.taken += u64::from(taken);
    tally.peak = tally.peak.max(peak);
    taken
}
