//! A history's file, and the values that it tells of.
//!
//! A line for each step of a transaction, appended as it is taken, each beginning with what happened and to which transaction:
//!
//! | line | when |
//! |---|---|
//! | `begun ID MS PLAN` | before anything is sent: `MS` since 1970, and of each value the partition, with its input where it is moved |
//! | `written ID MS INDEX:OFFSET,...` | what was acknowledged so far; may come several times |
//! | `ending ID MS commit` or `abort` | before that is asked for |
//! | `ended ID MS committed`, `aborted` or `unknown`, and why | the answer |
//!
//! A line that was cut short by a kill, and was written on behind, ends with the character 18h and tells nothing.
//!
//! Owns the text; what it means for a cluster is [`check`](super::check)'s to say.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::PerfError;

/// Which transaction. Ordered as those of one client were begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TransactionId {
    /// Whose: clients are told apart by their transactional ids.
    pub(crate) client: u32,
    /// Rises with each producer that the client makes, through all its processes: the time.
    pub(crate) incarnation: u64,
    /// Counted from 0 in each incarnation.
    pub(crate) number: u32,
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:x}.{}", self.client, self.incarnation, self.number)
    }
}

impl FromStr for TransactionId {
    type Err = ();

    fn from_str(text: &str) -> Result<TransactionId, ()> {
        let mut parts = text.split('.');
        let (Some(client), Some(incarnation), Some(number), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(());
        };
        Ok(TransactionId {
            client: client.parse().map_err(drop)?,
            incarnation: u64::from_str_radix(incarnation, 16).map_err(drop)?,
            number: number.parse().map_err(drop)?,
        })
    }
}

/// A place in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Place, ()> {
        let (partition, offset) = text.split_once(':').ok_or(())?;
        Ok(Place { partition: partition.parse().map_err(drop)?, offset: offset.parse().map_err(drop)? })
    }
}

/// Which value of which transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ValueId {
    pub(crate) transaction: TransactionId,
    pub(crate) index: u32,
}

impl fmt::Display for ValueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.transaction, self.index)
    }
}

impl FromStr for ValueId {
    type Err = ();

    fn from_str(text: &str) -> Result<ValueId, ()> {
        let (transaction, index) = text.split_once('/').ok_or(())?;
        Ok(ValueId { transaction: transaction.parse()?, index: index.parse().map_err(drop)? })
    }
}

/// Where a moved value comes from, and which it was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) place: Place,
    pub(crate) value: ValueId,
}

/// A record's value: which it is, where it comes from if it was moved, and letters up to a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) id: ValueId,
    pub(crate) input: Option<Input>,
}

impl Value {
    /// Its bytes, at least so many.
    pub(crate) fn bytes(&self, bytes_min: usize) -> Vec<u8> {
        let mut text = match self.input {
            Some(input) => format!("{} {} {} ", self.id, input.place, input.value),
            None => format!("{} - - ", self.id),
        };
        while text.len() < bytes_min {
            text.push('x');
        }
        text.into_bytes()
    }

    /// `None`: not one of these.
    pub(crate) fn read(bytes: &[u8]) -> Option<Value> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut words = text.split(' ');
        let (id, place, value) = (words.next()?, words.next()?, words.next()?);
        let input = match (place, value) {
            ("-", "-") => None,
            _ => Some(Input { place: place.parse().ok()?, value: value.parse().ok()? }),
        };
        Some(Value { id: id.parse().ok()?, input })
    }
}

/// Where a value is to be written, and from where it is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) partition: i32,
    pub(crate) from: Option<Place>,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Committed,
    Aborted,
    Unknown,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Outcome::Committed => "committed",
            Outcome::Aborted => "aborted",
            Outcome::Unknown => "unknown",
        }
    }
}

/// What the next process puts behind a line that a kill has cut short.
const CUT: char = '\u{18}';

/// A history that is being written.
pub(crate) struct HistoryWriter {
    path: PathBuf,
    file: File,
}

impl HistoryWriter {
    /// Goes on at the end of the file, which is made where there is none.
    pub(crate) fn open(path: &Path) -> Result<HistoryWriter, PerfError> {
        let open = || -> std::io::Result<File> {
            let mut file = OpenOptions::new().read(true).create(true).append(true).open(path)?;
            let mut last = [b'\n'];
            if file.metadata()?.len() > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            // Nothing is taken away: a client that this one is to replace may be writing at this moment.
            if last != *b"\n" {
                file.write_all(format!("{CUT}\n").as_bytes())?;
            }
            Ok(file)
        };
        let file = open().map_err(|cause| PerfError::File { path: path.to_owned(), doing: "opening the history", cause })?;
        Ok(HistoryWriter { path: path.to_owned(), file })
    }

    pub(crate) fn begun(&self, id: TransactionId, plan: &[Planned]) -> Result<(), PerfError> {
        let planned = |planned: &Planned| match planned.from {
            Some(place) => format!("{}<{place}", planned.partition),
            None => planned.partition.to_string(),
        };
        self.line("begun", id, &joined(plan.iter().map(planned)))
    }

    pub(crate) fn written(&self, id: TransactionId, offsets: &[(u32, i64)]) -> Result<(), PerfError> {
        if offsets.is_empty() {
            return Ok(());
        }
        self.line("written", id, &joined(offsets.iter().map(|(index, offset)| format!("{index}:{offset}"))))
    }

    pub(crate) fn ending(&self, id: TransactionId, commit: bool) -> Result<(), PerfError> {
        self.line("ending", id, if commit { "commit" } else { "abort" })
    }

    pub(crate) fn ended(&self, id: TransactionId, outcome: Outcome, why: &str) -> Result<(), PerfError> {
        self.line("ended", id, format!("{} {}", outcome.name(), why.replace('\n', " ")).trim_end())
    }

    /// By one call of the system, so that it is there whatever ends this process next.
    fn line(&self, what: &str, id: TransactionId, rest: &str) -> Result<(), PerfError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let written = (&self.file).write_all(format!("{what} {id} {now} {rest}\n").as_bytes());
        written.map_err(|cause| PerfError::File { path: self.path.clone(), doing: "writing the history", cause })
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

/// What a client has told of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) begun_ms: u64,
    pub(crate) plan: Vec<Planned>,
    /// Offsets of acknowledged values by their index.
    pub(crate) written: BTreeMap<u32, i64>,
    /// Whether a commit was asked for; `None`: nothing was yet.
    pub(crate) commit: Option<bool>,
    pub(crate) outcome: Option<Outcome>,
}

/// The histories of all clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Histories {
    pub(crate) transactions: BTreeMap<TransactionId, Told>,
}

impl Histories {
    /// Adds a file. A line without its end is one that was being written when its writer was killed: what it would have told
    /// was not done yet, or nobody knows its outcome. Where another process has written on behind it, it ends with [`CUT`].
    pub(crate) fn read(&mut self, path: &Path) -> Result<(), PerfError> {
        let failed = |cause| PerfError::File { path: path.to_owned(), doing: "reading the history", cause };
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for (at, line) in whole.lines().enumerate().filter(|(_, line)| !line.ends_with(CUT)) {
            let bad = |why| PerfError::BadLedger { path: path.to_owned(), line: at as u64 + 1, why };
            self.add(line).map_err(bad)?;
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, line: &str) -> Result<(), String> {
        let bad = || format!("`{line}` is no line of a history");
        let mut words = line.splitn(4, ' ');
        let (Some(what), Some(id), Some(ms), Some(rest)) = (words.next(), words.next(), words.next(), words.next()) else {
            return Err(bad());
        };
        let id: TransactionId = id.parse().map_err(|()| bad())?;
        let ms: u64 = ms.parse().map_err(|_| bad())?;
        if what == "begun" {
            let plan = rest.split(',').map(planned).collect::<Option<Vec<_>>>().ok_or_else(bad)?;
            let told = Told { begun_ms: ms, plan, ..Told::default() };
            return match self.transactions.insert(id, told) {
                None => Ok(()),
                Some(_) => Err(format!("{id} has begun twice")),
            };
        }
        let told = self.transactions.get_mut(&id).ok_or_else(|| format!("{id} has not begun"))?;
        match what {
            "written" => {
                for part in rest.split(',') {
                    let (index, offset) = part.split_once(':').ok_or_else(bad)?;
                    told.written.insert(index.parse().map_err(|_| bad())?, offset.parse().map_err(|_| bad())?);
                }
            }
            "ending" => told.commit = Some(rest == "commit"),
            "ended" => {
                let name = rest.split(' ').next().unwrap_or_default();
                let known = [Outcome::Committed, Outcome::Aborted, Outcome::Unknown].into_iter().find(|outcome| outcome.name() == name);
                told.outcome = Some(known.ok_or_else(bad)?);
            }
            _ => return Err(bad()),
        }
        Ok(())
    }
}

fn planned(text: &str) -> Option<Planned> {
    let (partition, from) = match text.split_once('<') {
        Some((partition, from)) => (partition, Some(from.parse().ok()?)),
        None => (text, None),
    };
    Some(Planned { partition: partition.parse().ok()?, from })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> TransactionId {
        TransactionId { client: 3, incarnation: 0xabc, number }
    }

    #[test]
    fn what_was_written_down_is_read_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let writer = HistoryWriter::open(file.path()).unwrap();
        let plan = [Planned { partition: 1, from: Some(Place { partition: 0, offset: 7 }) }, Planned { partition: 2, from: None }];
        writer.begun(id(0), &plan).unwrap();
        writer.written(id(0), &[(0, 10)]).unwrap();
        writer.ending(id(0), true).unwrap();
        writer.written(id(0), &[(1, 12)]).unwrap();
        writer.written(id(0), &[]).unwrap();
        writer.ended(id(0), Outcome::Unknown, "no\nanswer").unwrap();
        writer.begun(id(1), &plan[1..]).unwrap();
        writer.ending(id(1), false).unwrap();
        writer.ended(id(1), Outcome::Aborted, "").unwrap();
        let mut histories = Histories::default();
        histories.read(file.path()).unwrap();
        let first = &histories.transactions[&id(0)];
        assert!(first.begun_ms > 0);
        assert_eq!((&first.plan[..], first.commit, first.outcome), (&plan[..], Some(true), Some(Outcome::Unknown)));
        assert_eq!(first.written, BTreeMap::from([(0, 10), (1, 12)]));
        let second = &histories.transactions[&id(1)];
        assert_eq!((&second.plan[..], second.commit, second.outcome), (&plan[1..], Some(false), Some(Outcome::Aborted)));
    }

    #[test]
    fn a_line_that_was_cut_tells_nothing_and_one_that_makes_no_sense_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let whole = "begun 3.abc.0 5 1,2\nending 3.abc.0 6 commit\n";
        for cut in 1.."ended 3.abc.0 7 committed".len() {
            std::fs::write(file.path(), format!("{whole}{}", &"ended 3.abc.0 7 committed"[..cut])).unwrap();
            let mut histories = Histories::default();
            histories.read(file.path()).unwrap();
            assert_eq!(histories.transactions[&id(0)].outcome, None, "after {cut} bytes");
        }
        for bad in
            ["hello", "begun 3.abc 5 1", "begun 3.abc.0 5 x", "ended 3.abc.0 5 maybe", "written 3.abc.0 5 1", "ending 3.abc.9 5 commit"]
        {
            let mut histories = Histories::default();
            histories.add("begun 3.abc.0 5 1").unwrap();
            assert!(histories.add(bad).is_err(), "{bad}");
        }
        let mut histories = Histories::default();
        histories.add("begun 3.abc.0 5 1").unwrap();
        assert_eq!(histories.add("begun 3.abc.0 5 1").unwrap_err(), "3.abc.0 has begun twice");
    }

    #[test]
    fn a_history_whose_last_line_was_cut_can_be_gone_on_with() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for cut in ["begun 3.abc.0 5 1,", "begun 3.abc.0 5 1\nending 3.abc.0 6 com"] {
            std::fs::write(file.path(), cut).unwrap();
            let writer = HistoryWriter::open(file.path()).unwrap();
            writer.begun(id(1), &[Planned { partition: 2, from: None }]).unwrap();
            HistoryWriter::open(file.path()).unwrap().ending(id(1), true).unwrap();
            let mut histories = Histories::default();
            histories.read(file.path()).unwrap();
            let told = &histories.transactions[&id(1)];
            assert_eq!((&told.plan[..], told.commit), (&[Planned { partition: 2, from: None }][..], Some(true)), "{cut}");
            assert_eq!(histories.transactions.get(&id(0)).map(|told| told.commit), cut.contains('\n').then_some(None), "{cut}");
        }
    }

    #[test]
    fn a_value_says_which_it_is_and_others_values_are_none() {
        let own = ValueId { transaction: id(4), index: 9 };
        let input = Input { place: Place { partition: 2, offset: 11 }, value: ValueId { transaction: id(0), index: 0 } };
        for value in [Value { id: own, input: None }, Value { id: own, input: Some(input) }] {
            assert_eq!(Value::read(&value.bytes(0)), Some(value));
            assert_eq!(value.bytes(200).len(), 200);
            assert_eq!(Value::read(&value.bytes(200)), Some(value));
        }
        assert_eq!(Value::read(b"hello"), None);
        assert_eq!(Value::read(b"3.abc.4/9 2:11 -"), None);
        assert_eq!(Value::read(&[0xff]), None);
    }
}
