//! The native Kafka client: asynchronous, on tokio, without C.
//!
//! | type | does |
//! |---|---|
//! | [`Client`] | knows the cluster and holds the connections; the others are made from one |
//! | [`Producer`] | sends records: batches, linger, acks, codecs, order-keeping repeats, idempotence, transactions |
//! | [`Consumer`] | reads partitions: as a member of a group, or assigned by the caller, from any offset or time |
//! | [`Admin`] | makes, describes, changes and deletes topics, their configs, and groups; looks after transactions |
//!
//! Settings have Kafka's property names, as methods ([`ProducerConfig::linger_ms`]) and as text
//! ([`ProducerConfig::set`]). All errors are one type, [`ClientError`], that says what, with which value, and whether
//! another try can help.
//!
//! Owns nothing of a broker: it depends on the protocol only, and works with any Kafka cluster.

mod admin;
mod backoff;
mod client;
mod config;
mod connection;
mod consumer;
mod coordinator;
mod error;
mod group;
mod metadata;
mod producer;
mod retry;
mod transactions;

pub use admin::{
    Admin, ClusterDescription, ConfigChange, ConfigResource, ConfigSource, ConfigValue, CreatedTopic, NewTopic, TopicDescription,
};
pub use client::Client;
pub use config::{ClientConfig, ConsumerConfig, GroupProtocol, IsolationLevel, OffsetReset, ProducerConfig};
pub use consumer::{ConsumedRecord, Consumer, OffsetAndTimestamp, RebalanceListener, RecordBatch, Records, RecordsIter, SeekTo};
pub use error::ClientError;
pub use group::assignors::Assignor;
pub use group::{CommittedOffset, GroupDescription, GroupKind, GroupListing, GroupMember, GroupMetadata, LastRebalance};
pub use metadata::{BrokerInfo, PartitionInfo};
pub use ottla_model::{Acks, NodeId, Offset, PartitionId, TimestampMs, TopicName, TopicPartition};
pub use ottla_wire::batch::Header;
pub use ottla_wire::compress::Compression;
pub use ottla_wire::error::ErrorCode;
pub use producer::partitioner::{murmur2, partition_for_key};
pub use producer::{Delivery, Producer, Record, RecordMetadata, Transaction};
pub use transactions::{
    AbortTransaction, HangingScope, HangingTransaction, ProducerState, TransactionDescription, TransactionFilter, TransactionListing,
};
