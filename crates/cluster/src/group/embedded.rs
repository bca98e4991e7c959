//! The consumers' own protocol, which the classic protocol carries as bytes (`ConsumerProtocolSubscription`,
//! `ConsumerProtocolAssignment`). The coordinator reads it to know what a classic group reads, and speaks it for the members of
//! a consumer group that are classic. What cannot be read is `None`: those bytes belong to the clients, and are no error here.

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_model::PartitionId;

use super::record::Blob;

/// The newest version that is read; a newer one begins as this does.
const VERSION_MAX: i16 = 3;

/// What a consumer subscribes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subscription {
    pub topics: BTreeSet<Arc<str>>,
    /// What it holds.
    pub owned: Vec<(Arc<str>, Vec<PartitionId>)>,
    pub rack: Option<Arc<str>>,
}

/// What a consumer was assigned.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assigned {
    pub partitions: Vec<(Arc<str>, Vec<PartitionId>)>,
    /// Something that only the assignor understands.
    pub has_user_data: bool,
}

/// The topics of a subscription; they come first in every version, and no more is read.
pub(super) fn subscribed_topics(bytes: &[u8]) -> Option<BTreeSet<Arc<str>>> {
    let mut reader = Reader(bytes);
    reader.version()?;
    reader.topics()
}

/// A whole subscription.
pub(super) fn subscription(bytes: &[u8]) -> Option<Subscription> {
    let mut reader = Reader(bytes);
    let version = reader.version()?;
    let topics = reader.topics()?;
    reader.user_data()?;
    let owned = if version >= 1 { reader.partitions()? } else { Vec::new() };
    if version >= 2 {
        reader.int32()?;
    }
    let rack = if version >= 3 { reader.nullable_text()? } else { None };
    Some(Subscription { topics, owned, rack })
}

/// An assignment. No bytes at all are an assignment of nothing.
pub(super) fn assignment(bytes: &[u8]) -> Option<Assigned> {
    if bytes.is_empty() {
        return Some(Assigned { partitions: Vec::new(), has_user_data: false });
    }
    let mut reader = Reader(bytes);
    reader.version()?;
    let partitions = reader.partitions()?;
    let has_user_data = reader.user_data()?;
    Some(Assigned { partitions, has_user_data })
}

/// The version of a subscription or an assignment, up to the newest that is known.
pub(super) fn version(bytes: &[u8]) -> Option<i16> {
    Reader(bytes).version()
}

/// An assignment in a version. It has the same fields in all of them.
pub(super) fn write_assignment<'a>(version: i16, topics: impl ExactSizeIterator<Item = (&'a str, &'a [PartitionId])>) -> Blob {
    let mut bytes = version.to_be_bytes().to_vec();
    put_length(&mut bytes, topics.len());
    for (topic, partitions) in topics {
        bytes.extend(i16::try_from(topic.len()).unwrap_or(i16::MAX).to_be_bytes());
        bytes.extend(topic.as_bytes());
        put_length(&mut bytes, partitions.len());
        bytes.extend(partitions.iter().flat_map(|partition| partition.get().to_be_bytes()));
    }
    bytes.extend((-1_i32).to_be_bytes());
    bytes.into()
}

fn put_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend(i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes());
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn int16(&mut self) -> Option<i16> {
        self.take(2)?.try_into().ok().map(i16::from_be_bytes)
    }

    fn int32(&mut self) -> Option<i32> {
        self.take(4)?.try_into().ok().map(i32::from_be_bytes)
    }

    fn version(&mut self) -> Option<i16> {
        let version = self.int16()?;
        (version >= 0).then_some(version.min(VERSION_MAX))
    }

    fn nullable_text(&mut self) -> Option<Option<Arc<str>>> {
        match self.int16()? {
            -1 => Some(None),
            length => {
                let bytes = self.take(usize::try_from(length).ok()?)?;
                Some(Some(std::str::from_utf8(bytes).ok()?.into()))
            }
        }
    }

    fn text(&mut self) -> Option<Arc<str>> {
        self.nullable_text()?
    }

    /// A count of elements, each of which takes `least` bytes or more: what the rest cannot hold is not there.
    fn count(&mut self, least: usize) -> Option<usize> {
        let count = usize::try_from(self.int32()?).ok()?;
        (count.checked_mul(least)? <= self.0.len()).then_some(count)
    }

    fn topics(&mut self) -> Option<BTreeSet<Arc<str>>> {
        let count = self.count(2)?;
        (0..count).map(|_| self.text()).collect()
    }

    /// Whether there is any.
    fn user_data(&mut self) -> Option<bool> {
        match self.int32()? {
            -1 => Some(false),
            length => self.take(usize::try_from(length).ok()?).map(|data| !data.is_empty()),
        }
    }

    fn partitions(&mut self) -> Option<Vec<(Arc<str>, Vec<PartitionId>)>> {
        let count = self.count(6)?;
        let mut topics = Vec::with_capacity(count);
        for _ in 0..count {
            let topic = self.text()?;
            let partitions = self.count(4)?;
            topics.push((topic, (0..partitions).map(|_| self.int32().map(PartitionId)).collect::<Option<_>>()?));
        }
        Some(topics)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::subscription_bytes;
    use super::*;

    #[test]
    fn a_subscription_is_read_in_every_version() {
        for version in 0..=VERSION_MAX {
            let bytes = subscription_bytes(version, &["b", "a"], &[("a", &[1, 4])], Some("r1"));
            assert_eq!(subscribed_topics(&bytes).unwrap().into_iter().collect::<Vec<_>>(), ["a".into(), "b".into()]);
            let read = subscription(&bytes).unwrap();
            assert_eq!(read.topics.len(), 2);
            assert_eq!(read.owned.len(), usize::from(version >= 1));
            assert_eq!(read.rack.is_some(), version >= 3);
        }
        // A later version only adds at the end.
        let mut later = subscription_bytes(VERSION_MAX, &["a"], &[], None);
        later[1] = 9;
        later.extend([1, 2, 3]);
        assert!(subscription(&later).unwrap().topics.contains("a"));
    }

    #[test]
    fn what_is_written_is_read() {
        let written = write_assignment(1, [("a", [PartitionId(0), PartitionId(7)].as_slice())].into_iter());
        let read = assignment(&written).unwrap();
        assert_eq!(read.partitions, [("a".into(), vec![PartitionId(0), PartitionId(7)])]);
        assert!(!read.has_user_data);
        assert_eq!(version(&written), Some(1));
    }

    #[test]
    fn lengths_that_the_bytes_do_not_hold_are_no_subscription() {
        let bytes = subscription_bytes(3, &["a"], &[], None);
        for end in 0..bytes.len() {
            assert_eq!(subscription(&bytes[..end]), None, "{end}");
        }
        let huge = [0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 1, b'a'];
        assert_eq!(subscribed_topics(&huge), None);
        assert_eq!(assignment(&huge), None);
        assert_eq!(subscribed_topics(&[0xff, 0xff, 0, 0, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            subscription(&bytes);
            assignment(&bytes);
        }
    }
}
