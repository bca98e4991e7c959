//! The targets: one list, one file for each part of the system that decodes.

mod batches;
mod codecs;
mod configs;
mod data;
mod frames;
mod messages;
mod metadata;
mod partitions;
mod small_files;

use crate::corpus::Named;

/// Something that takes bytes from outside.
#[derive(Debug)]
pub struct Target {
    /// Its name; the folder of its corpus has the same.
    pub name: &'static str,
    /// Takes an input, and panics when something does not hold that must.
    pub run: fn(&[u8]),
    /// Inputs made from real encodings.
    pub seeds: fn() -> Vec<Named>,
    /// What the input's language is made of; nothing for bytes.
    pub words: &'static [&'static [u8]],
    /// About how many inputs of the light targets take as long as one of this.
    pub weight: u64,
}

macro_rules! targets {
    ($($name:ident: $run:path, $seeds:path, $words:expr, $weight:literal;)*) => {
        /// Every target there is.
        pub const TARGETS: &[Target] =
            &[$(Target { name: stringify!($name), run: $run, seeds: $seeds, words: $words, weight: $weight }),*];
    };
}

targets! {
    request: messages::request, messages::request_seeds, &[], 1;
    response: messages::response, messages::response_seeds, &[], 1;
    data: data::data, data::seeds, &[], 1;
    frame: frames::frame, frames::seeds, &[], 1;
    batch: batches::batch, batches::seeds, &[], 1;
    gzip: codecs::gzip, codecs::gzip_seeds, &[], 1;
    snappy: codecs::snappy, codecs::snappy_seeds, &[], 1;
    lz4: codecs::lz4, codecs::lz4_seeds, &[], 1;
    zstd: codecs::zstd, codecs::zstd_seeds, &[], 1;
    offset_index: partitions::offset_index, partitions::offset_index_seeds, &[], 8;
    time_index: partitions::time_index, partitions::time_index_seeds, &[], 8;
    txn_index: partitions::txn_index, partitions::txn_index_seeds, &[], 8;
    producer_snapshot: partitions::producer_snapshot, partitions::producer_snapshot_seeds, &[], 8;
    leader_epochs: partitions::leader_epochs, partitions::leader_epochs_seeds, small_files::CHECKPOINT_WORDS, 8;
    partition_metadata: partitions::partition_metadata, partitions::partition_metadata_seeds, small_files::META_WORDS, 8;
    segment: partitions::segment, partitions::segment_seeds, &[], 8;
    folder: partitions::folder, partitions::folder_seeds, &[], 8;
    checkpoint: small_files::checkpoint, small_files::checkpoint_seeds, small_files::CHECKPOINT_WORDS, 1;
    meta_properties: small_files::meta_properties, small_files::meta_properties_seeds, small_files::META_WORDS, 1;
    clean_shutdown: small_files::clean_shutdown, small_files::clean_shutdown_seeds, small_files::CLEAN_SHUTDOWN_WORDS, 1;
    name: small_files::name, small_files::name_seeds, small_files::NAME_WORDS, 1;
    server_properties: configs::server_properties, configs::server_properties_seeds, configs::SERVER_WORDS, 40;
    alterations: configs::alterations, configs::alterations_seeds, configs::ALTERATION_WORDS, 40;
    metadata_records: metadata::metadata_records, metadata::metadata_records_seeds, metadata::METADATA_WORDS, 1;
}

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
