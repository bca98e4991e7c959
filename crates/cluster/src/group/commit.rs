//! OffsetCommit, TxnOffsetCommit, OffsetFetch and OffsetDelete.

use ottla_model::{Generation, GroupId, InstanceId, MemberId, PartitionId, TimestampMs, TopicName};

use super::event::{Now, Token};
use super::message::{
    FetchedOffset, OffsetAndMetadata, OffsetCommit, OffsetDelete, OffsetFetch, OffsetToCommit, Response, TopicPartitions, TxnOffsetCommit,
};
use super::record::{CommittedOffset, GroupRecord};
use super::step::Step;
use super::{Group, GroupCoordinator, GroupError, Kind};

/// Each offset of a request, or the request as a whole.
type Each = Result<Vec<Result<(), GroupError>>, GroupError>;

/// Who commits.
struct Committer<'a> {
    member: &'a MemberId,
    instance: Option<&'a InstanceId>,
    generation_or_epoch: i32,
    transactional: bool,
    knows_member_epochs: bool,
}

impl Group {
    /// Whether this client may commit these offsets.
    fn check_commit(&self, step: &Step<'_>, committer: &Committer<'_>, offsets: &[OffsetToCommit]) -> Result<(), GroupError> {
        let Committer { member, instance, generation_or_epoch, transactional, knows_member_epochs } = *committer;
        match &self.kind {
            Kind::Classic(classic) => classic.check_commit(member, instance, Generation(generation_or_epoch), transactional),
            Kind::Consumer(consumer) => {
                let may = consumer.check_commit(member, instance, generation_or_epoch, transactional, knows_member_epochs)?;
                offsets.iter().try_for_each(|offset| may.check(step.topics, &offset.topic, offset.partition))
            }
        }
    }
}

impl GroupCoordinator {
    pub(super) fn commit(&mut self, now: Now, token: Token, request: OffsetCommit) {
        let id = request.group.clone();
        if !self.groups.contains_key(&id) && request.generation_or_epoch >= 0 {
            let error = if request.knows_member_epochs {
                GroupError::GroupNotFound { group: id }
            } else {
                GroupError::IllegalGeneration { shown: request.generation_or_epoch, current: Generation::NONE.get() }
            };
            return self.reply_without_group(token, Response::OffsetCommit(Err(error)));
        }
        let expire_timestamp =
            request.retention_ms.map_or(TimestampMs::NONE, |retention_ms| TimestampMs(now.wall.get().saturating_add(retention_ms)));
        self.run(now, &id, |group, step| {
            let committer = Committer {
                member: &request.member,
                instance: request.instance.as_ref(),
                generation_or_epoch: request.generation_or_epoch,
                transactional: false,
                knows_member_epochs: request.knows_member_epochs,
            };
            let each = group.check_commit(step, &committer, &request.offsets).and_then(|()| {
                match &group.kind {
                    Kind::Classic(classic) => classic.heard_by_commit(step, &request.member),
                    Kind::Consumer(_) => {}
                }
                group.write_offsets(step, request.offsets, expire_timestamp)
            });
            step.reply(token, Response::OffsetCommit(each));
        });
    }

    pub(super) fn commit_in_transaction(&mut self, now: Now, token: Token, request: TxnOffsetCommit) {
        let id = request.group.clone();
        let refused = |error| Response::TxnOffsetCommit(Err(error));
        if id.is_empty() {
            return self.reply_without_group(token, refused(GroupError::InvalidGroupId));
        }
        if !self.groups.contains_key(&id) && request.generation_or_epoch >= 0 {
            let error = GroupError::IllegalGeneration { shown: request.generation_or_epoch, current: Generation::NONE.get() };
            return self.reply_without_group(token, refused(error));
        }
        self.run(now, &id, |group, step| {
            let committer = Committer {
                member: &request.member,
                instance: request.instance.as_ref(),
                generation_or_epoch: request.generation_or_epoch,
                transactional: true,
                knows_member_epochs: true,
            };
            let current = group.offsets.open_epoch(request.producer).filter(|current| *current > request.producer_epoch);
            let each = match current {
                Some(current) => Err(GroupError::FencedProducer {
                    producer: request.producer,
                    shown: request.producer_epoch.get(),
                    current: current.get(),
                }),
                None => group.check_commit(step, &committer, &request.offsets).and_then(|()| {
                    step.said.producer = Some((request.producer, request.producer_epoch));
                    group.write_offsets(step, request.offsets, TimestampMs::NONE)
                }),
            };
            step.reply(token, Response::TxnOffsetCommit(each));
        });
    }

    pub(super) fn fetch(&mut self, token: Token, request: &OffsetFetch) {
        let Some(group) = self.groups.get(&request.group) else {
            let nothing = Group::void().fetch(request);
            return self.reply_without_group(token, Response::OffsetFetch(Ok(nothing)));
        };
        let response = Response::OffsetFetch(group.check_fetch(request).map(|()| group.fetch(request)));
        self.reply_of(token, &request.group, response);
    }

    pub(super) fn delete_offsets(&mut self, now: Now, token: Token, request: OffsetDelete) {
        let refused = |error| Response::OffsetDelete(Err(error));
        let id = request.group;
        if id.is_empty() {
            return self.reply_without_group(token, refused(GroupError::InvalidGroupId));
        }
        let Some(group) = self.groups.get(&id) else {
            return self.reply_without_group(token, refused(GroupError::GroupNotFound { group: id }));
        };
        match &group.kind {
            // What members of another protocol read cannot be told.
            Kind::Classic(classic) if !classic.is_empty() && !classic.is_of_consumers() => {
                return self.reply_of(token, &id, refused(GroupError::NonEmptyGroup));
            }
            Kind::Classic(_) | Kind::Consumer(_) => {}
        }
        let mut each = Vec::new();
        let mut known: Vec<(TopicName, PartitionId)> = Vec::new();
        for TopicPartitions { topic, partitions, .. } in request.topics {
            let subscribed = group.is_subscribed_to(topic.as_str());
            for partition in partitions {
                each.push(if subscribed { Err(GroupError::SubscribedToTopic { topic: topic.clone() }) } else { Ok(()) });
                if !subscribed && group.offsets.knows(&topic, partition) {
                    known.push((topic.clone(), partition));
                }
            }
        }
        self.remove_offsets(now, &id, &known);
        self.reply_of(token, &id, Response::OffsetDelete(Ok(each)));
    }
}

impl Group {
    /// Writes those that can be. They are one batch: either all of them reach the log or none.
    fn write_offsets(&mut self, step: &mut Step<'_>, offsets: Vec<OffsetToCommit>, expire_timestamp: TimestampMs) -> Each {
        let mut each = Vec::with_capacity(offsets.len());
        let mut records = Vec::with_capacity(offsets.len());
        for offset in offsets {
            let checked = check_offset(step, &offset);
            if checked.is_ok() {
                records.push(record_of(step.group, offset, step.now.wall, expire_timestamp));
            }
            each.push(checked);
        }
        step.check_size(&records)?;
        let producer = step.said.producer;
        for record in &records {
            if let GroupRecord::OffsetCommit { topic, partition, value: Some(value), .. } = record {
                step.ledger.commit(step.group, &mut self.offsets, (topic.clone(), *partition), value.clone(), producer);
            }
        }
        step.said.records.append(&mut records);
        Ok(each)
    }

    fn check_fetch(&self, request: &OffsetFetch) -> Result<(), GroupError> {
        match &self.kind {
            Kind::Classic(_) => Ok(()),
            Kind::Consumer(consumer) => consumer.check_fetch(request.member.as_ref(), request.epoch),
        }
    }

    fn fetch(&self, request: &OffsetFetch) -> Vec<FetchedOffset> {
        let shown = |value: &CommittedOffset| OffsetAndMetadata {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.clone(),
        };
        let stable = |topic: &TopicName, partition| match self.offsets.unstable(topic, partition).filter(|_| request.require_stable) {
            Some(producer) => Err(GroupError::UnstableOffset { producer }),
            None => Ok(()),
        };
        match &request.topics {
            None => self
                .offsets
                .committed()
                .map(|(topic, partition, value)| FetchedOffset {
                    topic: topic.clone(),
                    topic_id: value.topic_id,
                    partition,
                    result: stable(topic, partition).map(|()| Some(shown(value))),
                })
                .collect(),
            Some(topics) => {
                let each = topics.iter().flat_map(|TopicPartitions { topic, topic_id, partitions }| {
                    partitions.iter().map(|partition| FetchedOffset {
                        topic: topic.clone(),
                        topic_id: *topic_id,
                        partition: *partition,
                        result: stable(topic, *partition).map(|()| self.offsets.get(topic, *topic_id, *partition).map(shown)),
                    })
                });
                each.collect()
            }
        }
    }
}

fn check_offset(step: &Step<'_>, offset: &OffsetToCommit) -> Result<(), GroupError> {
    if !step.topics.has(offset.topic.as_str()) {
        return Err(GroupError::UnknownTopic { topic: offset.topic.clone() });
    }
    // Java counts the units of UTF-16, of which there are no more than bytes.
    let max = step.config.offset_metadata_max;
    if offset.metadata.len() > max {
        let length = offset.metadata.encode_utf16().count();
        if length > max {
            return Err(GroupError::OffsetMetadataTooLarge { length, max });
        }
    }
    Ok(())
}

fn record_of(group: &GroupId, offset: OffsetToCommit, now: TimestampMs, expire_timestamp: TimestampMs) -> GroupRecord {
    let value = CommittedOffset {
        offset: offset.offset,
        leader_epoch: offset.leader_epoch,
        metadata: offset.metadata,
        commit_timestamp: now,
        expire_timestamp,
        topic_id: offset.topic_id,
    };
    GroupRecord::OffsetCommit { group: group.clone(), topic: offset.topic, partition: offset.partition, value: Some(value) }
}
