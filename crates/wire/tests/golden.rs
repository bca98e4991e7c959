//! Every message in every version, and all data of no API, held against Kafka's own classes: what they wrote must decode to what they say it
//! means (their JSON), and encode to the same bytes.

#![allow(clippy::unwrap_used)]

mod support;

use ottla_wire::message::*;
use ottla_wire::{
    ApiKey, Data, EncodeError, ErrorCode, Message, Reader, Request, RequestHeader, ResponseHeader, Writer, data, for_each_api,
    for_each_data,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use support::{from_hex, golden, to_hex};

/// A message of the crate, as the test needs it.
struct Subject {
    name: String,
    versions: RangeInclusive<i16>,
    check: fn(&[u8], i16, &serde_json::Value) -> Result<(), String>,
    convert: Convert,
}

/// Bytes of one version in another, without a version in front; an error where they cannot be said in it.
type Convert = fn(&[u8], i16, i16) -> Result<Vec<u8>, EncodeError>;

/// Decodes, compares, encodes, compares.
macro_rules! check {
    ($message:ty) => {
        check!($message, Message, <$message as Message>::decode)
    };
    ($message:ty, $trait:ident, $decode:expr) => {
        |bytes, version, json| {
            let mut reader = Reader::new(bytes);
            let message = $decode(&mut reader, version).map_err(|e| format!("does not decode: {e}"))?;
            if reader.remaining() != 0 {
                return Err(format!("{} bytes were not read", reader.remaining()));
            }
            let ours = $trait::to_json(&message, version);
            if ours != *json {
                return Err(format!("reads as\n  {ours}\nbut Kafka says\n  {json}"));
            }
            let mut writer = Writer::new();
            $trait::encode(&message, &mut writer, version).map_err(|e| format!("does not encode: {e}"))?;
            let encoded = writer.into_parts();
            if encoded.buf != bytes {
                return Err(format!("encodes to\n  {}\nbut Kafka writes\n  {}", to_hex(&encoded.buf), to_hex(bytes)));
            }
            Ok(())
        }
    };
}

/// Decodes in one version, encodes in another.
macro_rules! convert {
    ($message:ty) => {
        convert!($message, Message, <$message as Message>::decode)
    };
    ($message:ty, $trait:ident, $decode:expr) => {
        |bytes, from, to| {
            let message = $decode(&mut Reader::new(bytes), from).unwrap_or_else(|e| panic!("does not decode: {e}"));
            let mut writer = Writer::new();
            $trait::encode(&message, &mut writer, to).map(|()| writer.into_parts().buf)
        }
    };
}

/// As of a message whose version is known, but for an error that names it.
fn decode_data<'a, D: Data<'a>>(reader: &mut Reader<'a>, version: i16) -> Result<D, String> {
    match D::decode(reader) {
        Ok((found, data)) if found == version => Ok(data),
        Ok((found, _)) => Err(format!("it has the version {found}")),
        Err(error) => Err(error.to_string()),
    }
}

fn subjects() -> Vec<Subject> {
    let mut all = subjects_of_apis();
    all.extend(subjects_of_no_api());
    all
}

fn subjects_of_no_api() -> Vec<Subject> {
    macro_rules! subjects {
        ($($module:ident::$data:ident;)*) => {
            vec![$(Subject {
                name: data::$module::$data::NAME.to_owned(),
                versions: data::$module::$data::VERSIONS,
                check: check!(data::$module::$data, Data, decode_data::<data::$module::$data>),
                convert: |bytes, from, to| {
                    let convert: Convert = convert!(data::$module::$data, Data, decode_data::<data::$module::$data>);
                    convert(bytes, from, to).map(|bytes| bytes[2..].to_vec())
                },
            },)*]
        };
    }
    for_each_data!(subjects)
}

fn subjects_of_apis() -> Vec<Subject> {
    macro_rules! subjects {
        ($($module:ident::$request:ident;)*) => {
            vec![$(
                Subject {
                    name: format!("{}Request", <$module::$request as Request>::NAME),
                    versions: <$module::$request as Message>::VERSIONS,
                    check: check!($module::$request),
                    convert: convert!($module::$request),
                },
                Subject {
                    name: format!("{}Response", <$module::$request as Request>::NAME),
                    versions: <<$module::$request as Request>::Response<'_> as Message>::VERSIONS,
                    check: check!(<$module::$request as Request>::Response<'_>),
                    convert: convert!(<$module::$request as Request>::Response<'_>),
                },
            )*]
        };
    }
    for_each_api!(subjects)
}

/// One instance of a message, by Kafka's classes.
struct Line<'a> {
    message: &'a str,
    version: i16,
    case: &'a str,
    bytes: Vec<u8>,
    json: serde_json::Value,
}

fn lines(file: &str) -> Vec<Line<'_>> {
    file.lines()
        .map(|line| {
            let mut columns = line.split('\t');
            let mut column = || columns.next().unwrap_or_else(|| panic!("a column is missing in {line}"));
            Line {
                message: column(),
                version: column().parse().unwrap(),
                case: column(),
                bytes: from_hex(column()),
                json: serde_json::from_str(column()).unwrap(),
            }
        })
        .collect()
}

fn message_files() -> [String; 3] {
    [golden("messages.txt"), golden("messages-dropped.txt"), golden("data.txt")]
}

#[test]
fn messages_read_and_write_as_by_kafkas_classes() {
    let subjects = subjects();
    let mut failures = Vec::new();
    let mut checked = 0;
    for file in &message_files() {
        for line in lines(file) {
            let checked_line = match subjects.iter().find(|subject| subject.name == line.message) {
                Some(subject) => (subject.check)(&line.bytes, line.version, &line.json),
                None => Err("this crate has no such message".to_owned()),
            };
            checked += 1;
            if let Err(why) = checked_line {
                failures.push(format!("{} version {}, case {}: {why}", line.message, line.version, line.case));
            }
        }
    }
    assert!(checked > 3000, "the files hold only {checked} messages");
    assert!(failures.is_empty(), "{} of {checked}:\n{}", failures.len(), failures.join("\n"));
}

/// What a field is where a version lacks it, whether it may be left out, and whether it may be null: bytes of one version
/// do not tell, but what becomes of them in another does.
#[test]
fn messages_become_in_other_versions_what_they_become_by_kafkas_classes() {
    let subjects = subjects();
    let files = message_files();
    let instances: BTreeMap<(String, i16, String), Vec<u8>> = files
        .iter()
        .flat_map(|file| lines(file))
        .map(|line| ((line.message.to_owned(), line.version, line.case.to_owned()), line.bytes))
        .collect();
    let (mut failures, mut converted, mut refused) = (Vec::new(), 0, 0);
    let conversions = [golden("conversions.txt"), golden("conversions-dropped.txt")];
    for line in conversions.iter().flat_map(|file| file.lines()) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [message, from, case, to, checksum] = columns[..] else { panic!("columns of {line}") };
        let (from, to): (i16, i16) = (from.parse().unwrap(), to.parse().unwrap());
        let subject = subjects.iter().find(|subject| subject.name == message).unwrap_or_else(|| panic!("no {message}"));
        let bytes = &instances[&(message.to_owned(), from, case.to_owned())];
        match ((subject.convert)(bytes, from, to), checksum) {
            (Err(_), "-") => refused += 1,
            (Ok(bytes), checksum) if format!("{:08x}", crc32c::crc32c(&bytes)) == checksum => converted += 1,
            // Its `is_default` may be left out here, as its comment says.
            (Ok(_), "-") if message == "DescribeConfigsResponse" && from == 0 => refused += 1,
            (Ok(bytes), "-") => failures.push(format!("{line}: becomes {}, but Kafka refuses", to_hex(&bytes))),
            (Ok(bytes), _) => failures.push(format!("{line}: becomes {}, but not by Kafka", to_hex(&bytes))),
            (Err(error), _) => failures.push(format!("{line}: {error}, but not by Kafka")),
        }
    }
    assert!(converted > 3000 && refused > 800, "only {converted} are converted, {refused} refused");
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), failures.len() + converted + refused, failures.join("\n"));
}

/// A version that was added without bytes to hold it against would go untested; one of Kafka's that is missing here
/// would not be noticed.
#[test]
fn every_version_of_every_message_is_in_the_files_and_the_other_way_round() {
    let files = message_files();
    let written: BTreeSet<(String, i16)> =
        files.iter().flat_map(|file| lines(file)).map(|line| (line.message.to_owned(), line.version)).collect();
    let implemented: BTreeSet<(String, i16)> =
        subjects().iter().flat_map(|subject| subject.versions.clone().map(|version| (subject.name.clone(), version))).collect();
    assert_eq!(written.difference(&implemented).collect::<Vec<_>>(), Vec::<&(String, i16)>::new(), "missing in the crate");
    assert_eq!(implemented.difference(&written).collect::<Vec<_>>(), Vec::<&(String, i16)>::new(), "missing in the files");
}

/// The list of messages is by hand: this holds it against the files of the crate.
#[test]
fn every_message_of_the_crate_is_held_against_kafka() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/message");
    let modules: BTreeSet<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().replace('_', ""))
        .filter(|stem| !matches!(stem.as_str(), "mod" | "tests"))
        .collect();
    let tested: BTreeSet<String> =
        subjects().iter().filter_map(|subject| subject.name.strip_suffix("Request").map(str::to_lowercase)).collect();
    assert_eq!(tested, modules);
}

/// So is the list of what belongs to no API.
#[test]
fn all_data_of_the_crate_is_held_against_kafka() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/data");
    let mut structs = BTreeSet::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let source = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for (_, declared) in source.match_indices("#[wire(data").map(|(at, _)| source[at..].split_once("pub struct ").unwrap()) {
            structs.insert(declared.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned());
        }
    }
    let tested: BTreeSet<String> = subjects_of_no_api().into_iter().map(|subject| subject.name).collect();
    assert_eq!(tested, structs);
}

/// What Kafka wrote, cut at every place: an error, never a panic.
#[test]
fn messages_that_are_cut_short_do_not_decode() {
    let subjects = subjects();
    for file in &message_files() {
        for line in lines(file) {
            let subject = subjects.iter().find(|subject| subject.name == line.message).unwrap();
            for len in 0..line.bytes.len() {
                let cut = line.bytes.get(..len).unwrap();
                assert!((subject.check)(cut, line.version, &line.json).is_err(), "{} {} {len}", line.message, line.version);
            }
        }
    }
}

#[test]
fn headers_are_those_of_kafka_for_every_api_and_version() {
    let file = golden("headers.txt");
    let mut apis = BTreeSet::new();
    for line in file.lines() {
        let columns: Vec<&str> = line.split(' ').collect();
        let [key, name, version, correlation_id, client_id, request, response] = columns[..] else { panic!("columns of {line}") };
        let (key, version, correlation_id): (i16, i16, i32) =
            (key.parse().unwrap(), version.parse().unwrap(), correlation_id.parse().unwrap());
        let client_id = match client_id {
            "-" => None,
            "''" => Some(String::new()),
            hex => Some(String::from_utf8(from_hex(hex)).unwrap()),
        };
        let api = ApiKey::from_i16(key).unwrap_or_else(|| panic!("no API {key}"));
        assert_eq!(api.name(), name);
        apis.insert(key);

        let request = from_hex(request);
        let expected = RequestHeader { api_key: key, api_version: version, correlation_id, client_id: client_id.as_deref() };
        let mut reader = Reader::new(&request);
        assert_eq!(RequestHeader::decode(&mut reader).unwrap(), expected, "{name} {version}");
        assert_eq!(reader.remaining(), 0, "{name} {version}");
        let mut writer = Writer::new();
        expected.encode(&mut writer).unwrap();
        assert_eq!(writer.into_parts().buf, request, "{name} {version}");

        let response = from_hex(response);
        let expected = ResponseHeader { correlation_id };
        let mut reader = Reader::new(&response);
        assert_eq!(ResponseHeader::decode(&mut reader, api, version).unwrap(), expected, "{name} {version}");
        assert_eq!(reader.remaining(), 0, "{name} {version}");
        let mut writer = Writer::new();
        expected.encode(&mut writer, api, version).unwrap();
        assert_eq!(writer.into_parts().buf, response, "{name} {version}");
    }
    assert!(apis.len() > 80, "only {} APIs", apis.len());
}

#[test]
fn error_codes_are_those_of_kafka() {
    let file = golden("errors.txt");
    let kafka: Vec<(i16, &str, bool)> = file
        .lines()
        .map(|line| {
            let columns: Vec<&str> = line.split(' ').collect();
            let [code, name, retriable] = columns[..] else { panic!("columns of {line}") };
            (code.parse().unwrap(), name, retriable == "true")
        })
        .collect();
    let ours: Vec<(i16, &str, bool)> = ErrorCode::ALL.iter().map(|code| (code.as_i16(), code.name(), code.retriable())).collect();
    assert_eq!(ours, kafka);
}
