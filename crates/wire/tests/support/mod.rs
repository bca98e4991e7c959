//! The files in which Kafka's own classes say what they make of something: see `tests/java/README.md`.

use std::path::{Path, PathBuf};

/// A golden file: one that was just written, where `OTTLA_GOLDEN_DIR` names a folder with them, else the committed one.
pub fn golden(name: &str) -> String {
    let dir = std::env::var_os("OTTLA_GOLDEN_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"), |dir| repository().join(dir));
    let path = dir.join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The root of the repository, which paths in the environment count from.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub fn from_hex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "half a byte in {hex}");
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap_or_else(|e| panic!("{e} in {hex}")))
        .collect()
}

pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
