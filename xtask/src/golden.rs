//! Kafka's Java classes as the oracle: they write every message anew, and read what Ottla writes.
//!
//! `tests/java/README.md` has the same commands for doing it by hand. Never changes the committed files: what they
//! should be, a reviewer decides.

use std::fs;
use std::path::Path;

use crate::run;

/// What the tests read when there is no Java.
const COMMITTED: &str = "crates/wire/tests/golden";

/// Holds what gzip and snappy packed, which differs with the zlib of the system and the processor and is right in each
/// case: the tests read the fresh one, and it is not compared.
const OF_THE_PLATFORM: &str = "batches.txt";

const CLASSPATH: &str = "tests/java/target/ottla-fixtures.jar:tests/java/target/lib/*";
/// With the last Kafka that knew the versions which Kafka 4 dropped in front.
const CLASSPATH_BEFORE_4: &str = "tests/java/target/ottla-fixtures.jar:tests/java/target/before4/*:tests/java/target/lib/*";

/// Generates, compares with the committed files, and runs the tests in which both sides read each other.
pub fn check() -> Result<(), String> {
    run::shown(run::program("mvn", &["-q", "-B", "-f", "tests/java/pom.xml", "package"]))?;
    let fresh = run::target_dir().join("golden");
    fs::create_dir_all(&fresh).map_err(|error| format!("cannot make {}: {error}", fresh.display()))?;
    let out = fresh.display().to_string();
    run::shown(run::program("java", &["-cp", CLASSPATH, "dev.ottla.fixtures.All", &out]))?;
    run::shown(run::program("java", &["-cp", CLASSPATH_BEFORE_4, "dev.ottla.fixtures.DroppedVersionsWriter", &out]))?;
    same_files(&run::root().join(COMMITTED), &fresh)?;
    let mut tests = run::cargo_test(&["--package", "ottla-wire", "--tests", "--", "--include-ignored"]);
    tests.env("OTTLA_GOLDEN_DIR", &fresh).env("OTTLA_FIXTURES_CLASSPATH", CLASSPATH);
    run::shown(tests)
}

/// Every committed file is what Java writes today.
fn same_files(committed: &Path, fresh: &Path) -> Result<(), String> {
    let entries = fs::read_dir(committed).map_err(|error| format!("cannot list {}: {error}", committed.display()))?;
    let mut compared = 0;
    for entry in entries {
        let path = entry.map_err(|error| format!("cannot list {}: {error}", committed.display()))?.path();
        let Some(name) = path.file_name().filter(|name| *name != OF_THE_PLATFORM) else { continue };
        let (before, now) = (fs::read(&path), fs::read(fresh.join(name)));
        match (before, now) {
            (Ok(before), Ok(now)) if before == now => compared += 1,
            (Ok(_), Ok(_)) => {
                return Err(format!("{} is not what Kafka's classes write; compare {}", path.display(), fresh.join(name).display()));
            }
            (_, Err(error)) => return Err(format!("Java has not written {}: {error}", name.to_string_lossy())),
            (Err(error), _) => return Err(format!("cannot read {}: {error}", path.display())),
        }
    }
    println!("{compared} files of golden bytes are as Kafka's classes write them");
    if compared == 0 { Err(format!("{} is empty", committed.display())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::same_files;
    use std::fs;

    #[test]
    fn a_file_that_has_changed_or_is_missing_is_an_error() {
        let root = std::env::temp_dir().join(format!("ottla-xtask-golden-{}", std::process::id()));
        let (committed, fresh) = (root.join("committed"), root.join("fresh"));
        fs::create_dir_all(&committed).unwrap();
        fs::create_dir_all(&fresh).unwrap();
        assert!(same_files(&committed, &fresh).is_err(), "nothing to compare");
        fs::write(committed.join("a.txt"), "1").unwrap();
        assert!(same_files(&committed, &fresh).is_err(), "not written");
        fs::write(fresh.join("a.txt"), "2").unwrap();
        assert!(same_files(&committed, &fresh).is_err(), "written otherwise");
        fs::write(fresh.join("a.txt"), "1").unwrap();
        assert_eq!(same_files(&committed, &fresh), Ok(()));
        fs::remove_dir_all(root).unwrap();
    }
}
