//! The ledger's file: a line for each acknowledgement, appended as it comes.
//!
//! `RUN PARTITION NUMBER OFFSET`: the run in hexadecimal, the rest in decimal; an offset of -1 was not told. Numbers of one
//! writer count up from 0 without a gap, because a writer goes on only when it was acknowledged.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use super::record::Writer;
use crate::PerfError;

/// Acknowledgements that an audit holds in memory, 9 bytes each.
pub const ACKNOWLEDGEMENTS_MAX: u64 = 200_000_000;

/// A ledger that is being written.
pub(crate) struct BookWriter {
    path: PathBuf,
    file: File,
}

impl BookWriter {
    /// Goes on at the end of the file, which is made where there is none.
    pub(crate) fn open(path: &Path) -> Result<BookWriter, PerfError> {
        let opened = OpenOptions::new().create(true).append(true).open(path);
        let file = opened.map_err(|cause| PerfError::File { path: path.to_owned(), doing: "opening the ledger", cause })?;
        Ok(BookWriter { path: path.to_owned(), file })
    }

    /// Writes down an acknowledgement: by one call of the system, so that no other writer's line is cut by it, and so that
    /// it is there whatever ends this process next.
    pub(crate) fn acknowledged(&self, writer: Writer, number: u64, offset: i64) -> Result<(), PerfError> {
        let line = format!("{:016x} {} {number} {offset}\n", writer.run, writer.partition);
        let written = (&self.file).write_all(line.as_bytes());
        written.map_err(|cause| PerfError::File { path: self.path.clone(), doing: "writing an acknowledgement down", cause })
    }
}

/// What a ledger promises: of each writer, the offset of each number.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) writers: BTreeMap<Writer, Vec<i64>>,
}

impl Book {
    /// Reads a whole ledger. A last line without its end is one that was being written when its writer was killed: no
    /// promise yet.
    pub(crate) fn read(path: &Path) -> Result<Book, PerfError> {
        let failed = |cause| PerfError::File { path: path.to_owned(), doing: "reading the ledger", cause };
        let mut input = BufReader::new(File::open(path).map_err(failed)?);
        let (mut book, mut line, mut line_number) = (Book::default(), String::new(), 0u64);
        loop {
            line.clear();
            input.read_line(&mut line).map_err(failed)?;
            let Some(whole) = line.strip_suffix('\n') else { return Ok(book) };
            line_number += 1;
            let added = if line_number > ACKNOWLEDGEMENTS_MAX {
                Err(format!("more than {ACKNOWLEDGEMENTS_MAX} acknowledgements cannot be audited at once; begin a new ledger before that"))
            } else {
                book.add(whole)
            };
            added.map_err(|why| PerfError::BadLedger { path: path.to_owned(), line: line_number, why })?;
        }
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let not_one = || format!("`{line}` is not `RUN PARTITION NUMBER OFFSET`");
        let words: Vec<&str> = line.split(' ').collect();
        let [run, partition, number, offset] = words[..] else { return Err(not_one()) };
        let run = u64::from_str_radix(run, 16).map_err(|_| not_one())?;
        let writer = Writer { run, partition: partition.parse().map_err(|_| not_one())? };
        let number: u64 = number.parse().map_err(|_| not_one())?;
        let offsets = self.writers.entry(writer).or_default();
        if number != offsets.len() as u64 {
            return Err(format!("number {number} where {} was due: lines are missing, or from elsewhere", offsets.len()));
        }
        offsets.push(offset.parse().map_err(|_| not_one())?);
        Ok(())
    }

    /// How many acknowledgements there are.
    pub(crate) fn acknowledgements(&self) -> u64 {
        self.writers.values().map(|offsets| offsets.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(text: &str) -> Result<Book, PerfError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Book::read(file.path())
    }

    #[test]
    fn what_was_written_down_is_read_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (a, b) = (Writer { run: 7, partition: 0 }, Writer { run: 7, partition: 1 });
        let writer = BookWriter::open(file.path()).unwrap();
        writer.acknowledged(a, 0, 10).unwrap();
        writer.acknowledged(b, 0, -1).unwrap();
        // A second run goes on behind the first.
        BookWriter::open(file.path()).unwrap().acknowledged(a, 1, 12).unwrap();
        let book = Book::read(file.path()).unwrap();
        assert_eq!(book.writers, BTreeMap::from([(a, vec![10, 12]), (b, vec![-1])]));
        assert_eq!(book.acknowledgements(), 3);
    }

    #[test]
    fn a_line_that_was_cut_is_no_promise() {
        let whole = "0000000000000007 0 0 5\n";
        for cut in 1..whole.len() {
            let book = book(&format!("{whole}{}", &whole.replace(" 0 5", " 1 6")[..cut])).unwrap();
            assert_eq!(book.acknowledgements(), 1, "after {cut} bytes");
        }
        assert_eq!(book("").unwrap().acknowledgements(), 0);
    }

    #[test]
    fn a_ledger_with_lines_missing_is_not_audited_as_if_it_were_whole() {
        let error = book("7 0 0 5\n7 0 2 7\n").unwrap_err();
        assert!(error.to_string().ends_with("line 2: number 2 where 1 was due: lines are missing, or from elsewhere"), "{error}");
        let error = book("7 0 0 5\nhello\n").unwrap_err();
        assert!(error.to_string().contains("line 2: `hello` is not"), "{error}");
    }
}
