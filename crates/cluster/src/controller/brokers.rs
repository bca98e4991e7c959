//! Brokers come, go, and are fenced; and with them the leaders of their partitions.

use ottla_model::{BrokerEpoch, DirectoryId, NodeId, PartitionId, TopicId};

use super::ControllerError;
use super::command::{BrokerRegistered, BrokerState, ChangeBroker, RegisterBroker};
use super::draft::Draft;
use crate::metadata::{BrokerImage, MetadataImage, MetadataRecord, PartitionChange, PartitionImage, RegisterBrokerRecord};

/// Refuses what an earlier incarnation of a broker asks (KIP-903).
pub(super) fn check_epoch(image: &MetadataImage, broker_id: NodeId, shown: BrokerEpoch) -> Result<&BrokerImage, ControllerError> {
    let broker = image.broker(broker_id).ok_or(ControllerError::UnknownBroker { broker_id })?;
    if broker.epoch == shown {
        return Ok(broker);
    }
    Err(ControllerError::StaleBrokerEpoch { broker_id, shown, registered: broker.epoch })
}

pub(super) fn register(draft: &mut Draft<'_>, command: &RegisterBroker) -> Result<BrokerRegistered, ControllerError> {
    let broker_id = command.broker_id;
    let own = draft.image.cluster_id();
    if command.cluster_id != *own {
        return Err(ControllerError::OtherCluster { broker_id, shown: command.cluster_id.clone(), own: own.clone() });
    }
    for (feature, level) in draft.image.features() {
        let supported = command.features.get(feature).is_some_and(|levels| (levels.min..=levels.max).contains(&level));
        if !supported {
            return Err(ControllerError::UnsupportedFeature { broker_id, feature: feature.to_owned(), level });
        }
    }
    // Higher than any before: the log's next index, unless one entry has several registrations.
    let highest = draft.image.brokers().map(|broker| broker.epoch.get()).max().unwrap_or(-1);
    let next_index = i64::try_from(draft.next_index).unwrap_or(i64::MAX);
    let broker_epoch = BrokerEpoch(next_index.max(highest.saturating_add(1)));
    draft.emit(MetadataRecord::RegisterBroker(RegisterBrokerRecord {
        broker_id,
        incarnation_id: command.incarnation_id,
        broker_epoch,
        end_points: command.end_points.clone(),
        features: command.features.clone(),
        rack: command.rack.clone(),
        fenced: !command.ready,
        in_controlled_shutdown: false,
        log_dirs: command.log_dirs.clone(),
    }))?;
    // What the process before this one led has no leader any more. A broker that takes over at once does so under a new leader
    // epoch: what the old process wrote and lost must be told from what this one writes.
    if command.ready {
        leave_failed_dirs(draft, broker_id)?;
        elect(draft, |partition| partition.leader == broker_id || partition.leader == NodeId::NONE)?;
    } else {
        leave(draft, broker_id)?;
    }
    Ok(BrokerRegistered { broker_epoch })
}

pub(super) fn change(draft: &mut Draft<'_>, command: &ChangeBroker) -> Result<BrokerState, ControllerError> {
    let ChangeBroker { broker_id, broker_epoch, fenced, in_controlled_shutdown, ref offline_dirs } = *command;
    let before = check_epoch(&draft.image, broker_id, broker_epoch)?;
    let was_active = before.is_active();
    let changes = |asked: Option<bool>, is: bool| asked.filter(|asked| *asked != is);
    let fenced = changes(fenced, before.fenced);
    let in_controlled_shutdown = changes(in_controlled_shutdown, before.in_controlled_shutdown);
    let has_failed = |dir: &DirectoryId| offline_dirs.contains(dir);
    // The last one stays: who names none is taken for one that has nothing to tell of its dirs, and a broker without any stops.
    let log_dirs = before.log_dirs.iter().any(has_failed).then(|| before.log_dirs.iter().copied().filter(|dir| !has_failed(dir)).collect());
    let log_dirs = log_dirs.filter(|left: &Vec<DirectoryId>| !left.is_empty());
    let dirs_failed = log_dirs.is_some();
    if fenced.is_some() || in_controlled_shutdown.is_some() || dirs_failed {
        draft.emit(MetadataRecord::BrokerRegistrationChange { broker_id, broker_epoch, fenced, in_controlled_shutdown, log_dirs })?;
    }
    let after = check_epoch(&draft.image, broker_id, broker_epoch)?;
    let (fenced, in_controlled_shutdown, active) = (after.fenced, after.in_controlled_shutdown, after.is_active());
    match (was_active, active) {
        (true, false) if fenced => leave(draft, broker_id)?,
        // Its partitions go where somebody can take them; what nobody can it leads to the end.
        (true, false) => hand_over(draft, broker_id)?,
        (false, false) if fenced => leave(draft, broker_id)?,
        (false, true) => elect(draft, |partition| partition.leader == NodeId::NONE)?,
        (true, true) | (false, false) => {}
    }
    if dirs_failed {
        leave_failed_dirs(draft, broker_id)?;
    }
    let leads = draft.image.topics().any(|topic| topic.partitions.iter().any(|partition| partition.leader == broker_id));
    Ok(BrokerState { fenced, in_controlled_shutdown, leads })
}

pub(super) fn unregister(draft: &mut Draft<'_>, broker_id: NodeId) -> Result<(), ControllerError> {
    let broker_epoch = draft.image.broker(broker_id).ok_or(ControllerError::UnknownBroker { broker_id })?.epoch;
    draft.emit(MetadataRecord::UnregisterBroker { broker_id, broker_epoch })?;
    leave(draft, broker_id)
}

/// A broker that cannot serve leaves every ISR that has another member, and leads nothing.
fn leave(draft: &mut Draft<'_>, broker_id: NodeId) -> Result<(), ControllerError> {
    leave_those(draft, broker_id, |_, _| true)
}

/// The same for what it has in directories that have failed (KIP-858).
fn leave_failed_dirs(draft: &mut Draft<'_>, broker_id: NodeId) -> Result<(), ControllerError> {
    let is_offline = |image: &MetadataImage, partition: &PartitionImage| {
        image.broker(broker_id).is_some_and(|broker| !broker.has_replica_online(partition))
    };
    leave_those(draft, broker_id, is_offline)
}

fn leave_those(
    draft: &mut Draft<'_>,
    broker_id: NodeId,
    which: impl Fn(&MetadataImage, &PartitionImage) -> bool,
) -> Result<(), ControllerError> {
    change_partitions(draft, |image, partition, change| {
        if !which(image, partition) {
            return;
        }
        let others: Vec<NodeId> = partition.isr.iter().copied().filter(|replica| *replica != broker_id).collect();
        let in_isr = others.len() < partition.isr.len();
        // The last member stays: it alone is known to have everything.
        let isr = if others.is_empty() { &partition.isr } else { &others };
        if in_isr && !others.is_empty() {
            change.isr = Some(others.clone());
        }
        if partition.leader == broker_id {
            change.leader = Some(leader_among(image, partition, isr));
        }
    })
}

/// A broker that is about to stop gives each partition it leads to another in-sync replica, where there is one.
fn hand_over(draft: &mut Draft<'_>, broker_id: NodeId) -> Result<(), ControllerError> {
    change_partitions(draft, |image, partition, change| {
        if partition.leader == broker_id {
            let others: Vec<NodeId> = partition.isr.iter().copied().filter(|replica| *replica != broker_id).collect();
            let successor = leader_among(image, partition, &others);
            if successor != NodeId::NONE {
                change.leader = Some(successor);
                change.isr = Some(others);
            }
        }
    })
}

/// Gives each of these partitions the best leader there is.
fn elect(draft: &mut Draft<'_>, which: impl Fn(&PartitionImage) -> bool) -> Result<(), ControllerError> {
    change_partitions(draft, |image, partition, change| {
        if which(partition) {
            let leader = leader_among(image, partition, &partition.isr);
            if leader != NodeId::NONE || partition.leader != NodeId::NONE {
                change.leader = Some(leader);
            }
        }
    })
}

/// The first of a partition's replicas that is in `isr` and may lead.
pub(super) fn leader_among(image: &MetadataImage, partition: &PartitionImage, isr: &[NodeId]) -> NodeId {
    let is_up = |replica: NodeId| image.broker(replica).is_some_and(|broker| broker.is_active() && broker.has_replica_online(partition));
    let may_lead = |replica: &&NodeId| isr.contains(replica) && is_up(**replica);
    partition.replicas.iter().find(may_lead).copied().unwrap_or(NodeId::NONE)
}

/// Lets `edit` say what changes in each partition, and writes what does.
fn change_partitions(
    draft: &mut Draft<'_>,
    edit: impl Fn(&MetadataImage, &PartitionImage, &mut PartitionChange),
) -> Result<(), ControllerError> {
    let mut changes: Vec<PartitionChange> = Vec::new();
    let nothing = |topic: TopicId, partition: PartitionId| PartitionChange::of(topic, partition);
    for topic in draft.image.topics() {
        for (id, partition) in topic.iter() {
            let mut change = nothing(topic.id, id);
            edit(&draft.image, partition, &mut change);
            if change != nothing(topic.id, id) {
                changes.push(change);
            }
        }
    }
    for change in changes {
        draft.emit(MetadataRecord::PartitionChange(change))?;
    }
    Ok(())
}
