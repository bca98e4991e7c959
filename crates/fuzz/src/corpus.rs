//! The inputs that are known: files in `corpus/TARGET`, and what the targets make of real encodings.

use std::io;
use std::path::{Path, PathBuf};

use crate::Target;

/// A known input and what to call it.
pub type Named = (String, Vec<u8>);

/// The folder with the files of a target.
pub fn folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// The files of a target, by name.
pub fn files(target: &Target) -> io::Result<Vec<Named>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder(target))? {
        let path = entry?.path();
        files.push((path.display().to_string(), std::fs::read(&path)?));
    }
    files.sort();
    Ok(files)
}

/// Everything that is known of a target: its files, then its seeds.
pub fn all(target: &Target) -> io::Result<Vec<Named>> {
    let mut all = files(target)?;
    all.extend((target.seeds)());
    Ok(all)
}

/// A file that Kafka's own classes wrote for the tests of `ottla-wire`.
pub(crate) fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/tests/golden").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The bytes of a text in hexadecimal digits; what is none is left out.
pub(crate) fn from_hex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
