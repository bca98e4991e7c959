//! One coordinator with its log in memory, a clock that moves when told, and clients that ask and look at the answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_cluster::group::*;
use ottla_cluster::metadata::{MetadataImage, MetadataPosition, MetadataRecord, PartitionRecord};
use ottla_model::{
    Generation, GroupId, InstanceId, LeaderEpoch, MemberId, MonotonicMs, NodeId, Offset, PartitionId, ProducerEpoch, ProducerId,
    TimestampMs, TopicId, TopicName, Uuid,
};

pub const GROUP: &str = "g";

pub fn name(topic: &str) -> TopicName {
    TopicName::new(topic).unwrap()
}

pub fn topic_id(name: &str) -> TopicId {
    let mut bytes = [0; 16];
    for (byte, of_name) in bytes.iter_mut().zip(name.bytes()) {
        *byte = of_name;
    }
    TopicId(Uuid::from_bytes(bytes))
}

pub fn view(version: u64, topics: &[(&str, usize)]) -> TopicsView {
    let mut image = MetadataImage::default();
    for (topic, partitions) in topics {
        image.apply(&MetadataRecord::Topic { name: name(topic), topic_id: topic_id(topic) }).unwrap();
        for partition in 0..*partitions {
            let record = PartitionRecord::new(topic_id(topic), PartitionId(partition as i32), vec![NodeId(1)]);
            image.apply(&MetadataRecord::Partition(record)).unwrap();
        }
    }
    image.apply_entry(MetadataPosition { term: 1, index: version }, &[]).unwrap();
    TopicsView::new(image)
}

pub struct World {
    pub coordinator: GroupCoordinator,
    pub config: GroupConfig,
    pub topics: TopicsView,
    pub now: Now,
    pub log: Vec<Batch>,
    answers: BTreeMap<Token, (Proposal, Response)>,
    asked: u64,
}

impl World {
    pub fn new() -> World {
        World::with(GroupConfig::default())
    }

    pub fn with(config: GroupConfig) -> World {
        let topics = view(1, &[("a", 4), ("b", 4)]);
        let now = Now { wall: TimestampMs(1_000_000), monotonic: MonotonicMs(5_000) };
        let mut coordinator = GroupCoordinator::new(config.clone());
        assert_eq!(coordinator.loaded(now, topics.clone()), []);
        World { coordinator, config, topics, now, log: vec![], answers: BTreeMap::new(), asked: 0 }
    }

    pub fn happen(&mut self, event: Event) {
        let effects = self.coordinator.step(self.now, event);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Append(batch) => {
                    let next = self.log.last().map_or(1, |last| last.proposal.0 + 1);
                    assert!(batch.proposal.0 >= next, "proposals are numbered in order");
                    self.log.push(batch);
                }
                Effect::Reply { token, after, response } => {
                    let last = self.log.last().map_or(Proposal::NONE, |last| last.proposal);
                    assert!(after <= last, "an answer waits for what was asked to be appended before it");
                    assert!(self.answers.insert(token, (after, response)).is_none(), "{token:?} is answered once");
                }
            }
        }
    }

    /// Asks, and leaves the answer to be looked at later.
    pub fn send(&mut self, request: Request) -> Token {
        self.asked += 1;
        let token = Token(self.asked);
        self.happen(Event::Request { token, request });
        token
    }

    pub fn answer(&mut self, token: Token) -> Option<Response> {
        self.answers.remove(&token).map(|(_, response)| response)
    }

    /// What has to be committed before this answer may leave.
    pub fn waits_for(&self, token: Token) -> Proposal {
        self.answers[&token].0
    }

    /// Asks what is answered at once.
    pub fn ask(&mut self, request: Request) -> Response {
        let token = self.send(request);
        self.answer(token).expect("answered at once")
    }

    /// Moves the clocks on, and lets come what is due meanwhile.
    pub fn pass_ms(&mut self, ms: u64) {
        let until = MonotonicMs(self.now.monotonic.0 + ms);
        while let Some(deadline) = self.coordinator.next_deadline().filter(|deadline| *deadline <= until) {
            self.move_to(deadline.max(self.now.monotonic));
            self.happen(Event::Time);
        }
        self.move_to(until);
    }

    fn move_to(&mut self, at: MonotonicMs) {
        self.now.wall = TimestampMs(self.now.wall.0 + (at.0 - self.now.monotonic.0) as i64);
        self.now.monotonic = at;
    }

    pub fn set_topics(&mut self, version: u64, topics: &[(&str, usize)]) {
        self.topics = view(version, topics);
        self.happen(Event::TopicsChanged(self.topics.clone()));
    }

    /// The coordinator is lost, and another one takes over from the log.
    pub fn fail_over(&mut self) {
        let mut next = GroupCoordinator::new(self.config.clone());
        for batch in &self.log {
            replay(&mut next, batch);
        }
        let lost = std::mem::replace(&mut self.coordinator, next);
        let log = self.log.len();
        let effects = lost.resign(self.now);
        self.carry_out(effects);
        assert_eq!(self.log.len(), log, "who resigns writes nothing");
        self.log.iter_mut().for_each(|batch| batch.proposal = Proposal::NONE);
        let effects = self.coordinator.loaded(self.now, self.topics.clone());
        self.carry_out(effects);
    }

    /// The state as of the log is the state.
    pub fn check_replay(&self) {
        let mut next = GroupCoordinator::new(self.config.clone());
        for batch in &self.log {
            replay(&mut next, batch);
        }
        assert_eq!(next.settled_records(), self.coordinator.settled_records());
    }

    pub fn records(&self) -> Vec<GroupRecord> {
        self.log.iter().flat_map(|batch| records_of(&batch.content)).collect()
    }
}

pub fn records_of(content: &BatchContent) -> Vec<GroupRecord> {
    match content {
        BatchContent::Records(records) | BatchContent::Transactional { records, .. } => records.clone(),
        BatchContent::Marker(_) => vec![],
    }
}

pub fn replay(coordinator: &mut GroupCoordinator, batch: &Batch) {
    match &batch.content {
        BatchContent::Records(records) => records.iter().for_each(|record| coordinator.replay(record.clone(), None)),
        BatchContent::Transactional { producer, producer_epoch, records } => {
            records.iter().for_each(|record| coordinator.replay(record.clone(), Some((*producer, *producer_epoch))));
        }
        BatchContent::Marker(end) => coordinator.replay_transaction_end(end.producer, end.result),
    }
}

pub fn client(id: &str) -> Client {
    Client { id: id.into(), host: "/127.0.0.1".into() }
}

/// The bytes of a consumer's subscription, version 1.
pub fn subscription(topics: &[&str], owned: &[(&str, &[i32])]) -> Blob {
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as i16).to_be_bytes());
        bytes.extend(text.as_bytes());
    };
    let mut bytes = 1_i16.to_be_bytes().to_vec();
    bytes.extend((topics.len() as i32).to_be_bytes());
    topics.iter().for_each(|topic| text(&mut bytes, topic));
    bytes.extend((-1_i32).to_be_bytes());
    bytes.extend((owned.len() as i32).to_be_bytes());
    for (topic, partitions) in owned {
        text(&mut bytes, topic);
        bytes.extend((partitions.len() as i32).to_be_bytes());
        partitions.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
    }
    bytes.into()
}

pub fn blob(text: &str) -> Blob {
    text.as_bytes().into()
}

/// A JoinGroup of version 9 by a consumer of topic `a`; the tests change what they are about.
pub fn join(member: &str) -> JoinGroup {
    JoinGroup {
        group: GROUP.into(),
        member: member.into(),
        instance: None,
        client: client("c"),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), subscription(&["a"], &[]))],
        reason: None,
        member_id_required: true,
        can_skip_assignment: true,
        fresh_id: Uuid::ZERO,
    }
}

pub fn sync(member: &MemberId, generation: Generation, assignments: &[(&MemberId, &str)]) -> Request {
    Request::SyncGroup(SyncGroup {
        group: GROUP.into(),
        member: member.clone(),
        instance: None,
        generation,
        protocol_type: None,
        protocol: None,
        assignments: assignments.iter().map(|(member, text)| ((*member).clone(), blob(text))).collect(),
    })
}

pub fn heartbeat(member: &MemberId, generation: Generation) -> Request {
    Request::Heartbeat(Heartbeat { group: GROUP.into(), member: member.clone(), instance: None, generation })
}

pub fn leave(members: &[&str]) -> Request {
    let leaving = |member: &&str| LeavingMember { member: (*member).into(), instance: None, reason: None };
    Request::LeaveGroup(LeaveGroup { group: GROUP.into(), members: members.iter().map(leaving).collect() })
}

pub fn offset(topic: &str, partition: i32, offset: i64) -> OffsetToCommit {
    OffsetToCommit {
        topic: name(topic),
        topic_id: TopicId::ZERO,
        partition: PartitionId(partition),
        offset: Offset(offset),
        leader_epoch: LeaderEpoch(2),
        metadata: "m".into(),
    }
}

/// A commit from outside of the group.
pub fn commit(offsets: Vec<OffsetToCommit>) -> OffsetCommit {
    OffsetCommit {
        group: GROUP.into(),
        member: "".into(),
        instance: None,
        generation_or_epoch: -1,
        retention_ms: None,
        knows_member_epochs: true,
        offsets,
    }
}

pub fn transactional(producer: i64, epoch: i16, offsets: Vec<OffsetToCommit>) -> TxnOffsetCommit {
    TxnOffsetCommit {
        group: GROUP.into(),
        producer: ProducerId(producer),
        producer_epoch: ProducerEpoch(epoch),
        member: "".into(),
        instance: None,
        generation_or_epoch: -1,
        offsets,
    }
}

pub fn fetch_all(require_stable: bool) -> OffsetFetch {
    OffsetFetch { group: GROUP.into(), member: None, epoch: ottla_model::MemberEpoch(-1), topics: None, require_stable }
}

impl World {
    pub fn send_join(&mut self, request: JoinGroup) -> Token {
        self.asked += 1;
        let mut random = [7; 16];
        random[..8].copy_from_slice(&self.asked.to_be_bytes());
        let token = Token(self.asked);
        let request = Request::JoinGroup(JoinGroup { fresh_id: Uuid::from_bytes(random), ..request });
        self.happen(Event::Request { token, request });
        token
    }

    pub fn joined(&mut self, token: Token) -> JoinGroupResponse {
        match self.answer(token) {
            Some(Response::JoinGroup(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    /// A new dynamic member, up to where it waits for the others.
    pub fn begin_to_join(&mut self, request: JoinGroup) -> (MemberId, Token) {
        let token = self.send_join(JoinGroup { member: "".into(), ..request.clone() });
        let response = self.joined(token);
        let Err(GroupError::MemberIdRequired { assigned }) = response.result else { panic!("{response:?}") };
        assert_eq!(assigned, response.member);
        (assigned.clone(), self.send_join(JoinGroup { member: assigned, ..request }))
    }

    /// So many members, stable, the first of them the leader. Each is assigned its number.
    pub fn stable(&mut self, count: usize) -> (Vec<MemberId>, Generation) {
        let members: Vec<(MemberId, Token)> = (0..count).map(|_| self.begin_to_join(join(""))).collect();
        self.pass_ms(self.config.classic_initial_rebalance_delay_ms as u64 * (1 + count as u64));
        self.settle(members)
    }

    /// Takes answers of JoinGroup for those of one generation, and has its leader assign.
    pub fn settle(&mut self, members: Vec<(MemberId, Token)>) -> (Vec<MemberId>, Generation) {
        let mut leader = None;
        let mut generation = Generation::NONE;
        let mut ids = vec![];
        for (id, token) in members {
            let joined = self.joined(token).result.unwrap();
            generation = joined.generation;
            if joined.leader == id {
                assert!(!joined.members.is_empty());
                leader = Some(id.clone());
            }
            ids.push(id);
        }
        let leader = leader.expect("one of them leads");
        let followers: Vec<(usize, Token)> = ids
            .iter()
            .enumerate()
            .filter(|(_, id)| **id != leader)
            .map(|(index, id)| (index, self.send(sync(id, generation, &[]))))
            .collect();
        let texts: Vec<String> = (0..ids.len()).map(|index| index.to_string()).collect();
        let assignments: Vec<(&MemberId, &str)> = ids.iter().zip(texts.iter().map(String::as_str)).collect();
        let Response::SyncGroup(Ok(synced)) = self.ask(sync(&leader, generation, &assignments)) else { panic!() };
        let own = ids.iter().position(|id| *id == leader).unwrap();
        assert_eq!(synced.assignment, blob(&texts[own]));
        for (index, token) in followers {
            let Some(Response::SyncGroup(Ok(synced))) = self.answer(token) else { panic!() };
            assert_eq!(synced.assignment, blob(&texts[index]));
        }
        (ids, generation)
    }

    pub fn describe(&mut self) -> Result<ClassicDescription, GroupError> {
        match self.ask(Request::DescribeGroup(GROUP.into())) {
            Response::DescribeGroup(described) => described,
            other => panic!("{other:?}"),
        }
    }

    pub fn state(&mut self) -> GroupState {
        self.describe().unwrap().state
    }

    pub fn heartbeat(&mut self, member: &MemberId, generation: Generation) -> Result<(), GroupError> {
        match self.ask(heartbeat(member, generation)) {
            Response::Heartbeat(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn commit(&mut self, request: OffsetCommit) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        match self.ask(Request::OffsetCommit(request)) {
            Response::OffsetCommit(each) => each,
            other => panic!("{other:?}"),
        }
    }

    pub fn commit_in_transaction(&mut self, request: TxnOffsetCommit) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        match self.ask(Request::TxnOffsetCommit(request)) {
            Response::TxnOffsetCommit(each) => each,
            other => panic!("{other:?}"),
        }
    }

    pub fn end(&mut self, producer: i64, epoch: i16, result: TransactionResult) {
        self.asked += 1;
        let token = Token(self.asked);
        let end = EndTransaction { producer: ProducerId(producer), producer_epoch: ProducerEpoch(epoch), coordinator_epoch: 0, result };
        self.happen(Event::EndTransaction { token, end });
        assert_eq!(self.answer(token), Some(Response::TransactionEnded));
    }

    pub fn fetch(&mut self, request: OffsetFetch) -> Result<Vec<FetchedOffset>, GroupError> {
        match self.ask(Request::OffsetFetch(request)) {
            Response::OffsetFetch(fetched) => fetched,
            other => panic!("{other:?}"),
        }
    }

    /// All committed offsets, as (topic, partition, offset).
    pub fn offsets(&mut self) -> Vec<(String, i32, i64)> {
        let fetched = self.fetch(fetch_all(false)).unwrap();
        let shown = |fetched: &FetchedOffset| {
            let offset = fetched.result.as_ref().unwrap().as_ref().unwrap();
            (fetched.topic.to_string(), fetched.partition.get(), offset.offset.get())
        };
        fetched.iter().map(shown).collect()
    }

    pub fn list(&mut self, states: &[&str], types: &[&str]) -> Vec<ListedGroup> {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        match self.ask(Request::ListGroups(ListGroups { states: texts(states), types: texts(types) })) {
            Response::ListGroups(listed) => listed,
            other => panic!("{other:?}"),
        }
    }
}

pub fn instance(text: &str) -> Option<InstanceId> {
    Some(text.into())
}

pub fn group(text: &str) -> GroupId {
    text.into()
}

pub fn text(text: &str) -> Arc<str> {
    text.into()
}
