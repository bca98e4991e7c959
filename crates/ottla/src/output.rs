//! What goes to standard output: tables for people, one JSON object a line for programs.

use std::io::{self, BufWriter, StdoutLock, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::error::CliError;

/// Buffered standard output.
pub struct Output {
    out: BufWriter<StdoutLock<'static>>,
}

impl Output {
    pub fn new() -> Output {
        Output { out: BufWriter::with_capacity(64 * 1024, io::stdout().lock()) }
    }

    /// One JSON object on a line of its own.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        serde_json::to_writer(&mut self.out, value).map_err(|cause| CliError::from(io::Error::from(cause)))?;
        Ok(self.out.write_all(b"\n")?)
    }

    pub fn line(&mut self, line: &str) -> Result<(), CliError> {
        self.bytes(line.as_bytes())?;
        self.bytes(b"\n")
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        Ok(self.out.write_all(bytes)?)
    }

    pub fn table(&mut self, table: &Table) -> Result<(), CliError> {
        for line in table.lines() {
            self.line(line.trim_end())?;
        }
        Ok(())
    }

    pub fn flush(&mut self) -> Result<(), CliError> {
        Ok(self.out.flush()?)
    }
}

/// A table without lines, as `ps` has them: nothing is wrapped or cut, on a terminal or in a pipe.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Bytes in JSON: text where they are UTF-8, else base64 under another name, so that neither is taken for the other.
#[derive(Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    Null,
    Text(&'a str),
    Base64(String),
}

impl<'a> Payload<'a> {
    pub fn new(bytes: Option<&'a [u8]>) -> Payload<'a> {
        match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
            None => Payload::Null,
            Some((_, Ok(text))) => Payload::Text(text),
            Some((bytes, Err(_))) => Payload::Base64(base64(bytes)),
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Payload::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn base64(&self) -> Option<&str> {
        match self {
            Payload::Base64(text) => Some(text),
            _ => None,
        }
    }
}

/// Base64 with padding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let six = (word >> (18 - 6 * digit) & 63) as usize;
            out.push(if digit <= group.len() { char::from(ALPHABET[six]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_the_test_vectors_of_rfc_4648() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_told_apart_from_text() {
        assert_eq!(Payload::new(None), Payload::Null);
        assert_eq!(Payload::new(Some(b"hi")).text(), Some("hi"));
        assert_eq!(Payload::new(Some(&[0xff, 0])).base64(), Some("/wA="));
    }

    #[test]
    fn tables_have_no_lines_and_no_trailing_spaces() {
        let mut table = table(&["TOPIC", "PARTITIONS"]);
        table.add_row(["a", "1"]).add_row(["longer", "12"]);
        let text: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        assert_eq!(text, ["TOPIC   PARTITIONS", "a       1", "longer  12"]);
    }
}
