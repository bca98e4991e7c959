use super::*;
use ottla_model::Uuid;

fn blob(bytes: &[u8]) -> Arc<[u8]> {
    Arc::from(bytes)
}

fn offset(expire_timestamp: TimestampMs, topic_id: TopicId) -> CommittedOffset {
    CommittedOffset {
        offset: Offset(42),
        leader_epoch: LeaderEpoch::NONE,
        metadata: "m".into(),
        commit_timestamp: TimestampMs(1000),
        expire_timestamp,
        topic_id,
    }
}

fn held() -> Held {
    let topic = TopicId(Uuid::from_bytes([3; 16]));
    [(topic, PartitionId(0), MemberEpoch(4)), (topic, PartitionId(7), MemberEpoch(5))].into_iter().collect()
}

/// One record of each kind, with a value.
fn records() -> Vec<GroupRecord> {
    let (group, member) = (GroupId::new("g"), MemberId::new("m-1"));
    let topic = TopicId(Uuid::from_bytes([9; 16]));
    let commit = |value| GroupRecord::OffsetCommit {
        group: GroupId::new("g"),
        topic: TopicName::new("t").unwrap(),
        partition: PartitionId(3),
        value: Some(value),
    };
    let classic = ClassicMemberMetadata {
        member: member.clone(),
        instance: Some(InstanceId::new("i")),
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout_ms: 5,
        session_timeout_ms: 6,
        subscription: blob(b"sub"),
        assignment: blob(b"ass"),
    };
    let consumer = ConsumerMemberMetadata {
        instance: None,
        rack: Some("r".into()),
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        topic_names: ["a".into(), "b".into()].into_iter().collect(),
        topic_regex: Some("x.*".into()),
        rebalance_timeout_ms: 9,
        assignor: Some("uniform".into()),
        classic: None,
    };
    let both = ConsumerMemberMetadata {
        classic: Some(ClassicProtocols { session_timeout_ms: 7, protocols: vec![("range".into(), blob(b"p"))] }),
        ..consumer.clone()
    };
    vec![
        commit(offset(TimestampMs::NONE, TopicId::ZERO)),
        commit(offset(TimestampMs(77), TopicId::ZERO)),
        commit(offset(TimestampMs::NONE, topic)),
        GroupRecord::GroupMetadata {
            group: group.clone(),
            value: Some(GroupMetadata {
                protocol_type: "consumer".into(),
                generation: Generation(3),
                protocol: Some("range".into()),
                leader: Some(member.clone()),
                state_timestamp: TimestampMs(12),
                members: vec![classic],
            }),
        },
        GroupRecord::ConsumerGroupMetadata { group: group.clone(), value: Some((GroupEpoch(5), 123)) },
        GroupRecord::ConsumerGroupPartitionMetadata { group: group.clone(), present: true },
        GroupRecord::ConsumerGroupMemberMetadata { group: group.clone(), member: member.clone(), value: Some(consumer) },
        GroupRecord::ConsumerGroupMemberMetadata { group: group.clone(), member: member.clone(), value: Some(both) },
        GroupRecord::ConsumerGroupTargetAssignmentMetadata { group: group.clone(), value: Some((GroupEpoch(5), TimestampMs(99))) },
        GroupRecord::ConsumerGroupTargetAssignmentMember {
            group: group.clone(),
            member: member.clone(),
            value: Some([(topic, PartitionId(1)), (topic, PartitionId(2))].into_iter().collect()),
        },
        GroupRecord::ConsumerGroupCurrentMemberAssignment {
            group: group.clone(),
            member,
            value: Some(CurrentAssignment {
                epoch: MemberEpoch(5),
                previous_epoch: MemberEpoch(4),
                state: MemberState::UnrevokedPartitions,
                assigned: held(),
                revoking: held(),
            }),
        },
        GroupRecord::ConsumerGroupRegularExpression {
            group,
            regex: "x.*".into(),
            value: Some(ResolvedRegex { topics: ["xa".into()].into_iter().collect(), version: 4, timestamp: TimestampMs(8) }),
        },
    ]
}

fn tombstone(mut record: GroupRecord) -> GroupRecord {
    match &mut record {
        GroupRecord::OffsetCommit { value, .. } => *value = None,
        GroupRecord::GroupMetadata { value, .. } => *value = None,
        GroupRecord::ConsumerGroupMetadata { value, .. } => *value = None,
        GroupRecord::ConsumerGroupPartitionMetadata { present, .. } => *present = false,
        GroupRecord::ConsumerGroupMemberMetadata { value, .. } => *value = None,
        GroupRecord::ConsumerGroupTargetAssignmentMetadata { value, .. } => *value = None,
        GroupRecord::ConsumerGroupTargetAssignmentMember { value, .. } => *value = None,
        GroupRecord::ConsumerGroupCurrentMemberAssignment { value, .. } => *value = None,
        GroupRecord::ConsumerGroupRegularExpression { value, .. } => *value = None,
    }
    record
}

#[test]
fn every_record_and_its_tombstone_are_read_as_they_were_written() {
    for record in records() {
        for record in [record.clone(), tombstone(record)] {
            let (key, value) = encode(&record).unwrap();
            assert_eq!(decode(Some(&key), value.as_deref()).unwrap(), Some(record));
        }
    }
}

#[test]
fn a_record_takes_no_more_bytes_than_the_coordinator_counts_on() {
    for record in records() {
        let (key, value) = encode(&record).unwrap();
        let bytes = ottla_wire::batch::record_len_max(Some(&key), value.as_deref(), &[]);
        assert!(bytes <= record.bytes_max(), "{record:?} takes {bytes}");
    }
}

#[test]
fn offsets_are_written_in_the_oldest_version_that_says_it_all() {
    let versions: Vec<i16> =
        records().iter().take(3).map(|record| Reader::new(&encode(record).unwrap().1.unwrap()).get_i16().unwrap()).collect();
    assert_eq!(versions, [3, 1, 4]);
}

#[test]
fn kinds_of_other_coordinators_are_passed_over_and_nonsense_is_told() {
    // A share group's metadata.
    assert_eq!(decode(Some(&[0, 11, 0, 1, b'g']), None).unwrap(), None);
    assert!(matches!(decode(None, Some(b"v")), Err(RecordError::NoKey)));
    assert!(matches!(decode(Some(&[0]), None), Err(RecordError::Decode(_))));
    assert!(matches!(decode(Some(&[0, 1, 0, 1, b'g', 0, 0, 0, 0, 0, 0]), None), Err(RecordError::TopicName(_))));
}
