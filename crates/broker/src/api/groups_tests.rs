//! The APIs of groups through a whole broker: real partitions of the offsets topic on a disk in memory.

use std::borrow::Cow;

use ottla_wire::message::consumer_group_describe::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};
use ottla_wire::message::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use ottla_wire::message::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use ottla_wire::message::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
use ottla_wire::message::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use ottla_wire::message::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ottla_wire::message::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ottla_wire::message::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use ottla_wire::message::list_groups::{ListGroupsRequest, ListGroupsResponse};
use ottla_wire::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use ottla_wire::message::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic, OffsetDeleteResponse,
};
use ottla_wire::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use ottla_wire::message::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use ottla_wire::{ApiKey, ErrorCode};

use crate::coordinator::{OFFSETS_TOPIC, partition_of};
use crate::testing::{Outcome, TestBroker, encoded};

const NO_DELAY: &[(&str, &str)] = &[("group.initial.rebalance.delay.ms", "0"), ("offsets.topic.num.partitions", "3")];

async fn broker() -> TestBroker {
    let broker = TestBroker::with(NO_DELAY).await;
    broker.create_topic("logs", 3, &[]).await;
    assert_eq!(find(&broker, 4).await.coordinators[0].error_code, 0);
    broker
}

async fn call<'q, Q: ottla_wire::Request<'q>>(broker: &TestBroker, request: &Q, version: i16) -> Outcome {
    broker.call_bytes(Q::KEY, version, Some("client"), &encoded(request, version)).await
}

async fn find(broker: &TestBroker, version: i16) -> FindCoordinatorResponse<'static> {
    let request = FindCoordinatorRequest { key: "g", coordinator_keys: vec!["g", "other"], ..Default::default() };
    let request = if version < 4 {
        FindCoordinatorRequest { coordinator_keys: Vec::new(), ..request }
    } else {
        FindCoordinatorRequest { key: "", ..request }
    };
    let outcome = call(broker, &request, version).await;
    let found: FindCoordinatorResponse<'_> = outcome.decode(version);
    FindCoordinatorResponse {
        error_message: None,
        host: Cow::Owned(found.host.into_owned()),
        coordinators: found
            .coordinators
            .into_iter()
            .map(|c| ottla_wire::message::find_coordinator::Coordinator {
                key: Cow::Owned(c.key.into_owned()),
                host: Cow::Owned(c.host.into_owned()),
                error_message: None,
                ..c
            })
            .collect(),
        ..found
    }
}

fn join(member: &str) -> JoinGroupRequest<'_> {
    JoinGroupRequest {
        group_id: "g",
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 60_000,
        member_id: member,
        protocol_type: "consumer",
        protocols: vec![JoinGroupRequestProtocol { name: "range", metadata: b"subscription" }],
        ..Default::default()
    }
}

/// Joins alone; gives the member's id and its generation.
async fn joined(broker: &TestBroker) -> (String, i32) {
    let outcome = call(broker, &join(""), 7).await;
    let first: JoinGroupResponse<'_> = outcome.decode(7);
    assert_eq!(first.error_code, ErrorCode::MemberIdRequired.as_i16());
    let member = first.member_id.into_owned();
    assert!(member.starts_with("client-"), "{member}");
    let outcome = call(broker, &join(&member), 7).await;
    let second: JoinGroupResponse<'_> = outcome.decode(7);
    assert_eq!((second.error_code, &*second.leader, &*second.member_id), (0, &*member, &*member));
    assert_eq!(second.protocol_name.as_deref(), Some("range"));
    assert_eq!(second.members.iter().map(|m| (&*m.member_id, &*m.metadata)).collect::<Vec<_>>(), [(&*member, &b"subscription"[..])]);
    let generation = second.generation_id;
    (member, generation)
}

async fn synced(broker: &TestBroker, member: &str, generation_id: i32) {
    let assignments = vec![SyncGroupRequestAssignment { member_id: member, assignment: b"all of it" }];
    let sync = SyncGroupRequest { group_id: "g", generation_id, member_id: member, assignments, ..Default::default() };
    let outcome = call(broker, &sync, 5).await;
    let response: SyncGroupResponse<'_> = outcome.decode(5);
    assert_eq!((response.error_code, &*response.assignment), (0, &b"all of it"[..]));
    assert_eq!((response.protocol_type.as_deref(), response.protocol_name.as_deref()), (Some("consumer"), Some("range")));
}

async fn beat(broker: &TestBroker, member_id: &str, generation_id: i32) -> ErrorCode {
    let beat = HeartbeatRequest { group_id: "g", generation_id, member_id, ..Default::default() };
    ErrorCode::from_i16(call(broker, &beat, 4).await.decode::<HeartbeatResponse>(4).error_code).unwrap()
}

fn commit_of<'a>(topic: &'a str, offsets: &[i64]) -> OffsetCommitRequest<'a> {
    let partitions = offsets.iter().enumerate().map(|(index, offset)| OffsetCommitRequestPartition {
        partition_index: index as i32,
        committed_offset: *offset,
        committed_metadata: Some("mine"),
        ..Default::default()
    });
    let topics = vec![OffsetCommitRequestTopic { name: topic, partitions: partitions.collect(), ..Default::default() }];
    OffsetCommitRequest { group_id: "g", topics, ..Default::default() }
}

async fn commit(broker: &TestBroker, request: &OffsetCommitRequest<'_>, version: i16) -> Vec<i16> {
    let outcome = call(broker, request, version).await;
    let response: OffsetCommitResponse<'_> = outcome.decode(version);
    response.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect()
}

async fn fetched(broker: &TestBroker, version: i16) -> Vec<(String, i32, i64, i16)> {
    let request = if version < 8 {
        let topics = vec![OffsetFetchRequestTopic { name: "logs", partition_indexes: vec![0, 1, 2] }];
        OffsetFetchRequest { group_id: "g", topics: Some(topics), ..Default::default() }
    } else {
        let groups = vec![OffsetFetchRequestGroup { group_id: "g", topics: None, ..Default::default() }];
        OffsetFetchRequest { groups, ..Default::default() }
    };
    let outcome = call(broker, &request, version).await;
    let response: OffsetFetchResponse<'_> = outcome.decode(version);
    assert_eq!(response.error_code, 0);
    let mut all = Vec::new();
    for topic in &response.topics {
        all.extend(topic.partitions.iter().map(|p| (topic.name.to_string(), p.partition_index, p.committed_offset, p.error_code)));
    }
    for topic in response.groups.iter().flat_map(|group| &group.topics) {
        all.extend(topic.partitions.iter().map(|p| (topic.name.to_string(), p.partition_index, p.committed_offset, p.error_code)));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_question_for_a_coordinator_makes_the_offsets_topic() {
    for version in [0, 3, 4, 6] {
        let broker = TestBroker::with(NO_DELAY).await;
        let found = find(&broker, version).await;
        if version < 4 {
            assert_eq!((found.error_code, found.node_id, &*found.host, found.port), (0, 1, "broker.example", 9092));
        } else {
            let all: Vec<_> = found.coordinators.iter().map(|c| (&*c.key, c.error_code, c.node_id, &*c.host, c.port)).collect();
            assert_eq!(all, [("g", 0, 1, "broker.example", 9092), ("other", 0, 1, "broker.example", 9092)]);
        }
        let image = broker.context.image();
        assert_eq!(image.topic("__consumer_offsets").unwrap().partitions.len(), 3);
        assert_eq!(image.topic_config("__consumer_offsets").get("cleanup.policy").map(String::as_str), Some("compact"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn coordinators_of_other_kinds_are_not_to_be_found() {
    let broker = TestBroker::start().await;
    for (key_type, code) in [(2, ErrorCode::InvalidRequest), (9, ErrorCode::InvalidRequest)] {
        let request = FindCoordinatorRequest { key_type, coordinator_keys: vec!["x"], ..Default::default() };
        let outcome = call(&broker, &request, 6).await;
        let response: FindCoordinatorResponse<'_> = outcome.decode(6);
        assert_eq!((response.coordinators[0].error_code, response.coordinators[0].node_id), (code.as_i16(), -1), "{key_type}");
    }
    assert!(broker.context.image().topic("__consumer_offsets").is_none(), "nobody needs it yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_joins_syncs_commits_and_leaves() {
    let broker = broker().await;
    let (member, generation) = joined(&broker).await;
    synced(&broker, &member, generation).await;
    assert_eq!(beat(&broker, &member, generation).await, ErrorCode::None);
    assert_eq!(beat(&broker, &member, generation + 1).await, ErrorCode::IllegalGeneration);
    assert_eq!(beat(&broker, "stranger", generation).await, ErrorCode::UnknownMemberId);
    let request = OffsetCommitRequest { generation_id_or_member_epoch: generation, member_id: &member, ..commit_of("logs", &[7, 8]) };
    assert_eq!(commit(&broker, &request, 9).await, [0, 0]);
    assert_eq!(commit(&broker, &commit_of("logs", &[1]), 9).await, [ErrorCode::UnknownMemberId.as_i16()], "the group has members");
    let expected = [("logs".to_owned(), 0, 7, 0), ("logs".to_owned(), 1, 8, 0)];
    assert_eq!(fetched(&broker, 9).await, expected);
    assert_eq!(fetched(&broker, 7).await[..2], expected);
    assert_eq!(fetched(&broker, 1).await[2], ("logs".to_owned(), 2, -1, 0), "none there");

    let describe = DescribeGroupsRequest { groups: vec!["g", "none"], ..Default::default() };
    let outcome = call(&broker, &describe, 6).await;
    let response: DescribeGroupsResponse<'_> = outcome.decode(6);
    let states: Vec<_> = response.groups.iter().map(|g| (g.error_code, &*g.group_state, g.members.len())).collect();
    assert_eq!(states, [(0, "Stable", 1), (ErrorCode::GroupIdNotFound.as_i16(), "Dead", 0)]);
    let described = &response.groups[0].members[0];
    assert_eq!((&*described.member_id, &*described.client_id, &*described.client_host), (&*member, "client", "/127.0.0.1"));
    assert_eq!((&*described.member_metadata, &*described.member_assignment), (&b"subscription"[..], &b"all of it"[..]));
    assert_eq!(delete(&broker).await, ErrorCode::NonEmptyGroup);

    let leave = LeaveGroupRequest {
        group_id: "g",
        members: vec![
            MemberIdentity { member_id: &member, ..Default::default() },
            MemberIdentity { member_id: "stranger", ..Default::default() },
        ],
        ..Default::default()
    };
    let outcome = call(&broker, &leave, 5).await;
    let response: LeaveGroupResponse<'_> = outcome.decode(5);
    let left: Vec<_> = response.members.iter().map(|m| (&*m.member_id, m.error_code)).collect();
    assert_eq!((response.error_code, left), (0, vec![(&*member, 0), ("stranger", ErrorCode::UnknownMemberId.as_i16())]));
    assert_eq!(listed(&broker, &[]).await, [("g".to_owned(), "Empty".to_owned(), "classic".to_owned())]);
    assert_eq!(listed(&broker, &["stable"]).await, []);
    assert_eq!(delete(&broker).await, ErrorCode::None);
    assert_eq!(listed(&broker, &[]).await, []);
    assert_eq!(fetched(&broker, 8).await, []);
}

async fn delete(broker: &TestBroker) -> ErrorCode {
    let outcome = call(broker, &DeleteGroupsRequest { groups_names: vec!["g"] }, 2).await;
    ErrorCode::from_i16(outcome.decode::<DeleteGroupsResponse<'_>>(2).results[0].error_code).unwrap()
}

async fn listed(broker: &TestBroker, states: &[&str]) -> Vec<(String, String, String)> {
    let outcome = call(broker, &ListGroupsRequest { states_filter: states.to_vec(), ..Default::default() }, 5).await;
    let response: ListGroupsResponse<'_> = outcome.decode(5);
    assert_eq!(response.error_code, 0);
    let group = |group: &ottla_wire::message::list_groups::ListedGroup<'_>| {
        (group.group_id.to_string(), group.group_state.to_string(), group.group_type.to_string())
    };
    response.groups.iter().map(group).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_wait_for_each_other_and_share() {
    let broker = broker().await;
    let (leader, generation) = joined(&broker).await;
    synced(&broker, &leader, generation).await;
    // Version 3: no id is required first, so it waits for the other at once.
    let (answer, out) = broker.begin(ApiKey::JoinGroup, 3, Some("second"), &encoded(&join(""), 3));
    let second = tokio::spawn(crate::testing::end(answer, out));
    while beat(&broker, &leader, generation).await != ErrorCode::RebalanceInProgress {
        tokio::task::yield_now().await;
    }
    let outcome = call(&broker, &join(&leader), 7).await;
    let first: JoinGroupResponse<'_> = outcome.decode(7);
    assert_eq!((first.error_code, first.generation_id, first.members.len()), (0, generation + 1, 2));
    let second = second.await.unwrap();
    let second: JoinGroupResponse<'_> = second.decode(3);
    assert_eq!((second.error_code, second.generation_id, &*second.leader), (0, generation + 1, &*leader));
    assert!(second.members.is_empty(), "only the leader is told who there is");
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_of_what_is_not_there_are_refused_one_by_one() {
    let broker = broker().await;
    let mut request = commit_of("logs", &[5]);
    request.topics.extend(commit_of("nothing", &[1, 2]).topics);
    request.topics.extend(commit_of("not a name", &[1]).topics);
    let unknown = ErrorCode::UnknownTopicOrPartition.as_i16();
    assert_eq!(commit(&broker, &request, 9).await, [0, unknown, unknown, unknown]);
    let id = broker.context.image().topic("logs").unwrap().id.0;
    let by_id = |topic_id| OffsetCommitRequestTopic { name: "", topic_id, ..commit_of("logs", &[6]).topics.remove(0) };
    request.topics = vec![by_id(ottla_model::Uuid::from_bytes([8; 16])), by_id(id)];
    assert_eq!(commit(&broker, &request, 10).await, [ErrorCode::UnknownTopicId.as_i16(), 0]);
    let topics = [id, ottla_model::Uuid::from_bytes([8; 16])];
    let topics = topics.map(|topic_id| OffsetFetchRequestTopics { topic_id, partition_indexes: vec![0], ..Default::default() });
    let groups = vec![OffsetFetchRequestGroup { group_id: "g", topics: Some(topics.to_vec()), ..Default::default() }];
    let outcome = call(&broker, &OffsetFetchRequest { groups, ..Default::default() }, 10).await;
    let response: OffsetFetchResponse<'_> = outcome.decode(10);
    let all: Vec<_> = response.groups[0].topics.iter().map(|t| (t.partitions[0].committed_offset, t.partitions[0].error_code)).collect();
    assert_eq!(all, [(6, 0), (-1, ErrorCode::UnknownTopicId.as_i16())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_deleted_where_nobody_reads() {
    let broker = broker().await;
    assert_eq!(commit(&broker, &commit_of("logs", &[5, 6]), 2).await, [0, 0]);
    let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }];
    let topics = ["logs", "nothing"].map(|name| OffsetDeleteRequestTopic { name, partitions: partitions.clone() });
    let outcome = call(&broker, &OffsetDeleteRequest { group_id: "g", topics: topics.to_vec() }, 0).await;
    let response: OffsetDeleteResponse<'_> = outcome.decode(0);
    let codes: Vec<_> = response.topics.iter().map(|t| (&*t.name, t.partitions[0].error_code)).collect();
    assert_eq!((response.error_code, codes), (0, vec![("logs", 0), ("nothing", ErrorCode::UnknownTopicOrPartition.as_i16())]));
    assert_eq!(fetched(&broker, 9).await, [("logs".to_owned(), 1, 6, 0)]);
}

/// A group other than "g" that the same coordinator has.
fn neighbour(broker: &TestBroker) -> String {
    let image = broker.context.image();
    let partition = |group: &str| partition_of(&image, OFFSETS_TOPIC, group);
    let mut names = (0..).map(|nth| format!("g{nth}"));
    names.find(|name| partition(name) == partition("g")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_before_it_is_durable() {
    let broker = broker().await;
    let offsets = broker.partition("__consumer_offsets", partition_of(&broker.context.image(), OFFSETS_TOPIC, "g").unwrap().0);
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let (holds, is_held) = std::sync::mpsc::channel();
    let dir = std::sync::Arc::clone(offsets.log_dir());
    let holder = std::thread::spawn(move || {
        let _held = dir.hold_syncs();
        holds.send(()).unwrap();
        let _ = held.recv();
    });
    is_held.recv().unwrap();
    let (answer, out) = broker.begin(ApiKey::OffsetCommit, 9, Some("client"), &encoded(&commit_of("logs", &[7]), 9));
    let mut committed = tokio::spawn(crate::testing::end(answer, out));
    // Behind the commit, and about what no record is written of.
    let name = neighbour(&broker);
    let describe = DescribeGroupsRequest { groups: vec![&name], ..Default::default() };
    call(&broker, &describe, 6).await;
    assert!(offsets.watermarks().log_end > offsets.high_watermark(), "the commit is written");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!committed.is_finished(), "and not durable");
    drop(let_go);
    let outcome = (&mut committed).await.unwrap();
    assert_eq!(outcome.decode::<OffsetCommitResponse<'_>>(9).topics[0].partitions[0].error_code, 0);
    assert!(offsets.watermarks().log_end == offsets.high_watermark());
    holder.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_a_power_loss_and_a_stop() {
    for cleanly in [false, true] {
        let broker = broker().await;
        let (member, generation) = joined(&broker).await;
        synced(&broker, &member, generation).await;
        let request = OffsetCommitRequest { generation_id_or_member_epoch: generation, member_id: &member, ..commit_of("logs", &[7]) };
        assert_eq!(commit(&broker, &request, 9).await, [0]);
        let broker = if cleanly {
            broker.restart(true).await
        } else {
            let disk = broker.disk.crash(3);
            broker.restart_on(disk).await
        };
        assert_eq!(fetched(&broker, 9).await, [("logs".to_owned(), 0, 7, 0)]);
        assert_eq!(beat(&broker, &member, generation).await, ErrorCode::None, "the member is still one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_whose_partition_cannot_be_served_have_no_coordinator_here() {
    let broker = broker().await;
    let lost = (0..3).find(|index| broker.partition(OFFSETS_TOPIC, *index).log_dir().path().ends_with("d1")).unwrap();
    let image = broker.context.image();
    let is_lost = |group: &String| partition_of(&image, OFFSETS_TOPIC, group).is_some_and(|found| found.0 == lost);
    let group_id = (0..).map(|nth| format!("group-{nth}")).find(is_lost).unwrap();
    let broker = broker.restart_with_dirs("/d0").await;
    // More than once, so that it is not what was asked first alone.
    for _ in 0..3 {
        let beat = HeartbeatRequest { group_id: &group_id, generation_id: 1, member_id: "m", ..Default::default() };
        let outcome = call(&broker, &beat, 4).await;
        assert_eq!(outcome.decode::<HeartbeatResponse>(4).error_code, ErrorCode::NotCoordinator.as_i16(), "and nobody waits for it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_group_gets_its_partitions_from_the_coordinator_and_keeps_them() {
    let broker = broker().await;
    let request = ConsumerGroupHeartbeatRequest {
        group_id: "new",
        member_id: "3gaNyf9ERjOMbSIcDQxZJA",
        subscribed_topic_names: Some(vec!["logs"]),
        rebalance_timeout_ms: 60_000,
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    let outcome = call(&broker, &request, 1).await;
    let response: ConsumerGroupHeartbeatResponse<'_> = outcome.decode(1);
    assert_eq!((response.error_code, response.member_id.as_deref()), (0, Some("3gaNyf9ERjOMbSIcDQxZJA")));
    let assigned = response.assignment.as_ref().unwrap().topic_partitions.iter().flat_map(|t| t.partitions.clone()).collect::<Vec<_>>();
    assert_eq!(assigned, [0, 1, 2]);
    let member_epoch = response.member_epoch;
    let disk = broker.disk.crash(5);
    let broker = broker.restart_on(disk).await;
    let again = ConsumerGroupHeartbeatRequest { group_id: "new", member_id: "3gaNyf9ERjOMbSIcDQxZJA", member_epoch, ..Default::default() };
    let outcome = call(&broker, &again, 1).await;
    let response: ConsumerGroupHeartbeatResponse<'_> = outcome.decode(1);
    assert_eq!((response.error_code, response.member_epoch), (0, member_epoch));
}

/// Kafka's clients skip the tag; `ottla group describe` shows it.
#[tokio::test(flavor = "multi_thread")]
async fn both_descriptions_tell_why_the_group_last_rebalanced() {
    let broker = broker().await;
    let (member, generation) = joined(&broker).await;
    synced(&broker, &member, generation).await;
    let request = DescribeGroupsRequest { groups: vec!["g"], ..Default::default() };
    let outcome = call(&broker, &request, 5).await;
    let response: DescribeGroupsResponse<'_> = outcome.decode(5);
    let last = response.groups[0].last_rebalance.as_ref().expect("it was told");
    assert_eq!((&*last.reason, last.member_id.as_deref()), ("joined", Some(&*member)));
    assert!(last.duration_ms >= 0 && last.began_ms > 0, "{last:?}");
    let outcome = call(&broker, &request, 4).await;
    assert_eq!(outcome.decode::<DescribeGroupsResponse<'_>>(4).groups[0].last_rebalance, None);

    let beat = ConsumerGroupHeartbeatRequest {
        group_id: "new",
        member_id: "3gaNyf9ERjOMbSIcDQxZJA",
        subscribed_topic_names: Some(vec!["logs"]),
        rebalance_timeout_ms: 60_000,
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    assert_eq!(call(&broker, &beat, 1).await.decode::<ConsumerGroupHeartbeatResponse<'_>>(1).error_code, 0);
    let request = ConsumerGroupDescribeRequest { group_ids: vec!["new"], ..Default::default() };
    let outcome = call(&broker, &request, 1).await;
    let response: ConsumerGroupDescribeResponse<'_> = outcome.decode(1);
    let last = response.groups[0].last_rebalance.as_ref().expect("it was told");
    assert_eq!((&*last.reason, last.member_id.as_deref()), ("joined", Some("3gaNyf9ERjOMbSIcDQxZJA")));
}
