//! The controller: which records a command writes, given the image before it.
//!
//! [`Controller`] takes a sequence of commands and computes each against the image as those before it left it, so that one entry
//! of the metadata log carries many. It draws nothing at random and reads no clock: [`Context`] brings what it needs.

mod brokers;
mod command;
mod configs;
mod draft;
mod error;
mod features;
mod partitions;
mod placement;
mod producer_ids;
mod random;
mod reassignments;
mod topics;

use ottla_model::config::ServerConfig;

use crate::metadata::{MetadataImage, MetadataRecord};
pub use command::{
    AlterConfigs, AssignReplicasToDirs, BrokerRegistered, BrokerState, ChangeBroker, Command, ConfigResourceAlteration, CreatePartitions,
    CreateTopics, CreatedTopic, DeleteTopics, Format, NewPartitions, NewTopic, ProducerIdBlock, RegisterBroker, Reply, TopicPlacement,
    TopicRef,
};
use draft::Draft;
pub use error::ControllerError;
pub use placement::{PlacementBroker, Placer};
pub use producer_ids::PRODUCER_ID_BLOCK_LEN;
pub use random::Randomness;
pub use reassignments::{PartitionReassignment, list_partition_reassignments};
pub use topics::PARTITIONS_PER_REQUEST_MAX;

/// What a controller is given from outside.
#[derive(Clone, Debug)]
pub struct Context {
    /// 16 random bytes, never the same twice: topic ids and the start of placement come from them.
    pub seed: [u8; 16],
    /// The place in the metadata log that the records will take, or a lower bound of it. Broker epochs come from it.
    pub next_index: u64,
}

/// Computes commands one after the other.
pub struct Controller<'a> {
    image: MetadataImage,
    records: Vec<MetadataRecord>,
    server: &'a ServerConfig,
    random: Randomness,
    next_index: u64,
}

impl<'a> Controller<'a> {
    /// A controller on top of an image. `server`: the configuration of this node; what is set for all brokers in the image
    /// counts over it.
    pub fn new(image: MetadataImage, server: &'a ServerConfig, context: &Context) -> Controller<'a> {
        Controller { image, records: Vec::new(), server, random: Randomness::new(context.seed), next_index: context.next_index }
    }

    /// Computes one command. Its records join those of the commands before it; a command that fails leaves none.
    pub fn execute(&mut self, command: &Command) -> Result<Reply, ControllerError> {
        let mut draft = Draft::new(self.image.clone(), self.server, self.random.clone(), self.next_index)?;
        let reply = match command {
            Command::Format(command) => features::format(&mut draft, command).map(|()| Reply::Formatted),
            Command::RegisterBroker(command) => brokers::register(&mut draft, command).map(Reply::BrokerRegistered),
            Command::ChangeBroker(command) => brokers::change(&mut draft, command).map(Reply::BrokerChanged),
            Command::UnregisterBroker { broker_id } => brokers::unregister(&mut draft, *broker_id).map(|()| Reply::BrokerUnregistered),
            Command::AssignReplicasToDirs(command) => partitions::assign_directories(&mut draft, command).map(Reply::ReplicasAssigned),
            Command::CreateTopics(command) => topics::create(&mut draft, command).map(Reply::TopicsCreated),
            Command::DeleteTopics(command) => topics::delete(&mut draft, command).map(Reply::TopicsDeleted),
            Command::CreatePartitions(command) => partitions::create(&mut draft, command).map(Reply::PartitionsCreated),
            Command::AlterConfigs(command) => configs::alter(&mut draft, command).map(Reply::ConfigsAltered),
            Command::AllocateProducerIds { broker_id, broker_epoch } => {
                producer_ids::allocate(&mut draft, *broker_id, *broker_epoch).map(Reply::ProducerIds)
            }
        }?;
        // What was drawn stays drawn, even for a command that is only tried: no id is given out twice.
        self.random = draft.random;
        if !command.validate_only() {
            self.image = draft.image;
            self.records.append(&mut draft.records);
        }
        Ok(reply)
    }

    /// The image as all commands so far leave it.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// How many records the commands so far have written.
    pub fn records_len(&self) -> usize {
        self.records.len()
    }

    /// The records of all commands, in order.
    pub fn into_records(self) -> Vec<MetadataRecord> {
        self.records
    }
}
