//! Newtypes for every integer that names something, so that an offset is never mistaken for an epoch.

use std::fmt;

macro_rules! int_ids {
    ($($(#[$doc:meta])* $name:ident($int:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl $name {
            /// The raw value, as it stands on the wire.
            #[inline]
            pub const fn get(self) -> $int { self.0 }
        }
        impl From<$int> for $name {
            #[inline]
            fn from(v: $int) -> Self { Self(v) }
        }
        impl From<$name> for $int {
            #[inline]
            fn from(v: $name) -> $int { v.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, concat!(stringify!($name), "({})"), self.0) }
        }
    )*};
}

int_ids! {
    /// `node.id`: names a broker or controller, unique in the cluster. `-1` on the wire means "none".
    NodeId(i32);
    /// Index of a partition within its topic, from 0.
    PartitionId(i32);
    /// Position of a record in its partition: dense, from 0, never reused for other acknowledged content.
    Offset(i64);
    /// Term of a partition's leadership (KIP-101); raised by the controller at each new leader. `-1`: unknown.
    LeaderEpoch(i32);
    /// Version of a partition's leader-and-ISR state (AlterPartition, KIP-497).
    PartitionEpoch(i32);
    /// Incarnation of a broker as the controller registered it (KIP-903); fences zombies.
    BrokerEpoch(i64);
    /// Id of an idempotent or transactional producer (KIP-98). `-1`: none.
    ProducerId(i64);
    /// Incarnation of a producer id (KIP-98). `-1`: none.
    ProducerEpoch(i16);
    /// Sequence number of a record within (producer id, partition); wraps to 0 after `i32::MAX`. `-1`: none.
    Sequence(i32);
    /// Generation of a classic group: raised whenever its members have joined anew. `-1`: a client outside of any group.
    Generation(i32);
    /// Epoch of a consumer group (KIP-848): raised whenever a new target assignment is needed. The epoch of a target assignment is
    /// that of the group it was computed for.
    GroupEpoch(i32);
    /// Epoch of one member of a consumer group (KIP-848): that of the target assignment it has reached. `0` joins, `-1` leaves, `-2` leaves
    /// for a while (static members).
    MemberEpoch(i32);
}

impl NodeId {
    /// No node: a partition without a leader, an ordinary client in place of a replica.
    pub const NONE: NodeId = NodeId(-1);
}

impl Offset {
    /// The first offset of a partition.
    pub const ZERO: Offset = Offset(0);

    /// The offset `n` records further on.
    #[inline]
    #[must_use]
    pub const fn plus(self, n: i64) -> Offset {
        Offset(self.0 + n)
    }
}

impl LeaderEpoch {
    /// A batch or request that names no epoch.
    pub const NONE: LeaderEpoch = LeaderEpoch(-1);
}

impl ProducerId {
    /// A batch of a producer without idempotence.
    pub const NONE: ProducerId = ProducerId(-1);
}

impl ProducerEpoch {
    /// A batch of a producer without idempotence.
    pub const NONE: ProducerEpoch = ProducerEpoch(-1);
}

impl Generation {
    /// A client that is in no group: a standalone consumer, or an admin client.
    pub const NONE: Generation = Generation(-1);

    /// The one after it; after the largest comes 0, as no member may ever show a negative one.
    #[must_use]
    pub const fn next(self) -> Generation {
        if self.0 == i32::MAX { Generation(0) } else { Generation(self.0 + 1) }
    }
}

impl GroupEpoch {
    /// The one after it; it stays at the largest.
    #[must_use]
    pub const fn next(self) -> GroupEpoch {
        GroupEpoch(self.0.saturating_add(1))
    }
}

impl MemberEpoch {
    /// A member that joins.
    pub const JOIN: MemberEpoch = MemberEpoch(0);
    /// A member that leaves.
    pub const LEAVE: MemberEpoch = MemberEpoch(-1);
    /// A static member that leaves and means to come back.
    pub const LEAVE_STATIC: MemberEpoch = MemberEpoch(-2);

    /// Of a member that has reached the target assignment of this epoch.
    #[must_use]
    pub const fn reached(epoch: GroupEpoch) -> MemberEpoch {
        MemberEpoch(epoch.0)
    }
}

impl Sequence {
    /// A batch of a producer without idempotence.
    pub const NONE: Sequence = Sequence(-1);

    /// The sequence `n` records further on; after `i32::MAX` comes 0 (as in Kafka's `DefaultRecordBatch`).
    #[must_use]
    pub const fn plus(self, n: i32) -> Sequence {
        Sequence((((self.0 as i64) + (n as i64)) % (i32::MAX as i64 + 1)) as i32)
    }
}

/// What a producer waits for (`acks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Acks {
    /// `0`: no answer at all.
    None,
    /// `1`: the leader has written it.
    Leader,
    /// `-1` / `all`: every in-sync replica holds it (on stable storage, unless `write.caching`).
    All,
}

impl Acks {
    /// The acks of a Produce request; `None` for a value Kafka answers with INVALID_REQUIRED_ACKS.
    pub const fn from_wire(v: i16) -> Option<Acks> {
        match v {
            0 => Some(Acks::None),
            1 => Some(Acks::Leader),
            -1 => Some(Acks::All),
            _ => None,
        }
    }

    /// The value on the wire.
    pub const fn to_wire(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

/// The 128-bit id of a topic (KIP-516): a topic deleted and made again under its name has another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct TopicId(pub crate::Uuid);

impl TopicId {
    /// All zero bits: "no id", in requests that name the topic instead.
    pub const ZERO: TopicId = TopicId(crate::Uuid::ZERO);
}
impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({})", self.0)
    }
}

/// The id of one log directory (KIP-858), kept in its `meta.properties` as `directory.id`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct DirectoryId(pub crate::Uuid);

impl DirectoryId {
    /// Kafka's `DirectoryId.UNASSIGNED`.
    pub const UNASSIGNED: DirectoryId = DirectoryId(crate::Uuid::ZERO);
}
impl fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl fmt::Debug for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirectoryId({})", self.0)
    }
}

/// The id of a cluster: the URL-safe base64 text of a UUID, or whatever text an existing cluster was formatted with.
#[derive(Clone, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub String);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_wraps_to_zero_after_the_largest() {
        assert_eq!(Sequence(i32::MAX).plus(1), Sequence(0));
        assert_eq!(Sequence(i32::MAX - 1).plus(3), Sequence(1));
        assert_eq!(Sequence(5).plus(2), Sequence(7));
    }
}
