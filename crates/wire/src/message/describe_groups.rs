//! DescribeGroups (key 15): state and members of classic groups.
//!
//! * 0 to 2 are alike but for the throttle time, which 1 adds. 3 says what the client may do (KIP-430).
//! * 4 adds static members (KIP-345). 5 is flexible.
//! * Up to 5 a group that does not exist is answered as one in state `Dead`; 6 has an error for it (KIP-1043).
//! * Ours, and skipped by whoever does not know it: a tagged field with the group's last rebalance.

use std::borrow::Cow;

use super::metadata::AUTHORIZED_OPERATIONS_OMITTED;
use crate::Wire;

/// Asks for groups.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 15, versions = 0..=6, flexible = 5.., response = DescribeGroupsResponse<'r>)]
pub struct DescribeGroupsRequest<'a> {
    /// Which.
    pub groups: Vec<&'a str>,
    /// Whether to say what the client may do to each group.
    #[wire(since = 3)]
    pub include_authorized_operations: bool,
}

/// The groups.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 15, versions = 0..=6, flexible = 5..)]
pub struct DescribeGroupsResponse<'a> {
    /// See [`crate::message`].
    #[wire(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    /// One for each group asked for.
    pub groups: Vec<DescribedGroup<'a>>,
}

/// A group.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DescribedGroup<'a> {
    /// Error of this group.
    pub error_code: i16,
    /// Why it failed, for people.
    #[wire(since = 6, default = null)]
    pub error_message: Option<Cow<'a, str>>,
    /// The group.
    pub group_id: Cow<'a, str>,
    /// Its state: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`, `Dead`; empty on an error.
    pub group_state: Cow<'a, str>,
    /// What it is for.
    pub protocol_type: Cow<'a, str>,
    /// The protocol that its members work by; empty unless `Stable`.
    pub protocol_data: Cow<'a, str>,
    /// Its members.
    pub members: Vec<DescribedGroupMember<'a>>,
    /// Bit field of what the client may do to the group.
    #[wire(since = 3, default = AUTHORIZED_OPERATIONS_OMITTED)]
    pub authorized_operations: i32,
    /// Ours: why the group last rebalanced; null: not known. The tag is far above those that Kafka will come to.
    #[wire(tag = 10_000, tagged = 5.., default = null, ignorable)]
    pub last_rebalance: Option<LastRebalance<'a>>,
}

/// Ours: the last rebalance of a group, classic or not. Kafka has nothing like it.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct LastRebalance<'a> {
    /// When it began, in milliseconds since 1970.
    pub began_ms: i64,
    /// How many milliseconds it took until every member had its assignment; -1: it is going on.
    pub duration_ms: i64,
    /// What made it, for people.
    pub reason: Cow<'a, str>,
    /// The member that made it; null: none did.
    pub member_id: Option<Cow<'a, str>>,
}

/// A member.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DescribedGroupMember<'a> {
    /// The member.
    pub member_id: Cow<'a, str>,
    /// What it is known by, if it is static.
    #[wire(since = 4, default = null, ignorable)]
    pub group_instance_id: Option<Cow<'a, str>>,
    /// The `client.id` that it joined with.
    pub client_id: Cow<'a, str>,
    /// From where it joined.
    pub client_host: Cow<'a, str>,
    /// Its metadata for the chosen protocol; empty unless the group is `Stable`.
    pub member_metadata: Cow<'a, [u8]>,
    /// What the leader assigned to it; empty unless the group is `Stable`.
    pub member_assignment: Cow<'a, [u8]>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, Reader, Writer};

    fn encoded(group: DescribedGroup<'_>, version: i16) -> Vec<u8> {
        let mut writer = Writer::new();
        DescribeGroupsResponse { groups: vec![group], ..Default::default() }.encode(&mut writer, version).unwrap();
        writer.into_parts().buf
    }

    /// Kafka's clients read what follows the tag as ever; ours finds what is in it.
    #[test]
    fn the_last_rebalance_is_one_tagged_field_in_flexible_versions_and_nothing_in_others() {
        let last = LastRebalance { began_ms: 7, duration_ms: -1, reason: "joined".into(), member_id: Some("m".into()) };
        let with = || DescribedGroup { group_id: "g".into(), last_rebalance: Some(last.clone()), ..Default::default() };
        let without = || DescribedGroup { group_id: "g".into(), ..Default::default() };
        assert_eq!(encoded(with(), 4), encoded(without(), 4));
        for version in [5, 6] {
            let (told, untold) = (encoded(with(), version), encoded(without(), version));
            let section = untold.len() - 2;
            assert_eq!(told[..section], untold[..section], "only tagged fields differ");
            // One field, its tag 10,000 as a varint, its length, then whether there is a struct.
            assert_eq!(told[section..section + 3], [1, 0x90, 0x4e]);
            let read = DescribeGroupsResponse::decode(&mut Reader::new(&told), version).unwrap();
            assert_eq!(read.groups[0].last_rebalance.as_ref(), Some(&last));
        }
    }
}
