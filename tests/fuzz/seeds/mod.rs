//! Valid inputs for each target, made by the encoders: what the corpus begins with.

mod journal;
mod lists;
mod wire;

use super::run::path;
use super::targets::TARGETS;

/// Set it to write the seeds that are missing, after a format was changed or a target added.
const WRITE: &str = "FERRY_FUZZ_SEEDS";

/// The seeds of a target.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "batch" => wire::batches(),
        "control" => wire::controls(),
        "digest_log" => journal::digest_logs(),
        "digest_store" => journal::digest_stores(),
        "frames" => wire::streams(),
        "hello" => wire::hellos(),
        "in_place" => journal::marks(),
        "message" => wire::messages(),
        "metadata" => lists::metadata(),
        "names" => lists::names(),
        "spec" => lists::specs(),
        "staging" => journal::stagings(),
        "superblock" => journal::superblocks(),
        other => panic!("{other} has no seeds"),
    }
}

/// The newest format of what a target takes. One that is read only has its examples kept under the
/// number it had.
fn format(target: &str) -> u8 {
    match target {
        "frames" => 5,
        "control" | "message" => 4,
        "hello" | "superblock" => 3,
        "digest_store" => 2,
        _ => 1,
    }
}

/// What is written now is taken, and an example of it is kept for later versions.
#[test]
fn what_the_encoders_write_is_taken_and_kept() {
    for target in TARGETS {
        for (number, bytes) in seeds(target.name).iter().enumerate() {
            assert!(
                (target.run)(bytes),
                "{} refuses its seed {number}",
                target.name
            );
            let format = format(target.name);
            let file = path("fuzz/corpus")
                .join(target.name)
                .join(format!("valid-v{format}-{number:02}"));
            if std::env::var_os(WRITE).is_some() && !file.exists() {
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(&file, bytes).unwrap();
            }
            assert!(file.exists(), "{}: run with {WRITE}=1", file.display());
        }
    }
}
