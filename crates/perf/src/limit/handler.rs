//! One connection of the yardstick server: a request is read, done and answered before the next is read.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use ottla_wire::batch::Batches;
use ottla_wire::message::api_versions::ApiVersionsResponse;
use ottla_wire::message::fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData};
use ottla_wire::message::list_offsets::{
    EARLIEST_TIMESTAMP, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use ottla_wire::message::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_wire::message::produce::{PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse};
use ottla_wire::{ApiKey, Encoded, FileRange, Message, Reader, RecordFragment, Records, RequestHeader, ResponseHeader, Writer};

use super::{Files, PARTITIONS};

/// The largest request that is read.
const REQUEST_BYTES_MAX: usize = 128 << 20;
/// The node id that it goes by.
const NODE_ID: i32 = 1;

pub(super) struct Handler {
    stream: TcpStream,
    address: SocketAddr,
    files: Arc<Files>,
}

impl Handler {
    pub(super) fn new(stream: TcpStream, address: SocketAddr, files: Arc<Files>) -> io::Result<Handler> {
        stream.set_nodelay(true)?;
        Ok(Handler { stream, address, files })
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        let mut frame = Vec::new();
        loop {
            let mut length = [0; 4];
            self.stream.read_exact(&mut length)?;
            let length = u32::from_be_bytes(length) as usize;
            if length > REQUEST_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            frame.resize(length, 0);
            self.stream.read_exact(&mut frame)?;
            if let Some(answer) = self.answer(&frame)? {
                self.send(&answer)?;
            }
        }
    }

    /// What a request is answered with; `None` where it is not to be answered.
    fn answer(&self, frame: &[u8]) -> io::Result<Option<Encoded>> {
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader).map_err(io::Error::other)?;
        let version = header.api_version;
        match header.api() {
            Some(ApiKey::Produce) => {
                let request = ProduceRequest::decode(&mut reader, version).map_err(io::Error::other)?;
                let response = self.produce(&request)?;
                if request.acks == 0 { Ok(None) } else { encode(&header, ApiKey::Produce, &response) }
            }
            Some(ApiKey::Fetch) => {
                let request = FetchRequest::decode(&mut reader, version).map_err(io::Error::other)?;
                encode(&header, ApiKey::Fetch, &self.fetch(&request)?)
            }
            Some(ApiKey::Metadata) => {
                self.files.begin()?;
                let request = MetadataRequest::decode(&mut reader, version).map_err(io::Error::other)?;
                encode(&header, ApiKey::Metadata, &self.metadata(&request))
            }
            Some(ApiKey::ListOffsets) => {
                let request = ListOffsetsRequest::decode(&mut reader, version).map_err(io::Error::other)?;
                encode(&header, ApiKey::ListOffsets, &offsets(&request))
            }
            Some(ApiKey::ApiVersions) => encode(&header, ApiKey::ApiVersions, &ApiVersionsResponse::default()),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The work itself: each batch checked by its CRC, and written.
    fn produce<'r>(&self, request: &ProduceRequest<'r>) -> io::Result<ProduceResponse<'r>> {
        let mut responses = Vec::with_capacity(request.topic_data.len());
        for topic in &request.topic_data {
            let mut partition_responses = Vec::with_capacity(topic.partition_data.len());
            for data in &topic.partition_data {
                let bytes = data.records.unwrap_or_default();
                for batch in Batches::strict(bytes) {
                    batch.and_then(|batch| batch.check_crc()).map_err(io::Error::other)?;
                }
                self.files.written.write_all_at(bytes, self.files.place(bytes.len() as u64))?;
                partition_responses.push(PartitionProduceResponse { index: data.index, ..Default::default() });
            }
            responses.push(TopicProduceResponse { name: Cow::Borrowed(topic.name), partition_responses, ..Default::default() });
        }
        Ok(ProduceResponse { responses, ..Default::default() })
    }

    /// Whole batches for the first partition asked for, from its offset on; offsets go round with the file.
    fn fetch<'r>(&self, request: &FetchRequest<'r>) -> io::Result<FetchResponse<'r>> {
        let files = &self.files;
        let asked = request.topics.first().and_then(|topic| Some((topic.topic, topic.partitions.first()?)));
        let (topic, asked) = asked.ok_or(io::ErrorKind::InvalidInput)?;
        let batch = u64::try_from(asked.fetch_offset).unwrap_or(0) / files.batch_records % files.batches;
        let wanted = u64::try_from(asked.partition_max_bytes.min(request.max_bytes)).unwrap_or(0) / files.batch_bytes;
        let batches = wanted.clamp(1, files.batches - batch);
        let len = u32::try_from(batches * files.batch_bytes).map_err(io::Error::other)?;
        let range = FileRange { file: files.served.clone(), position: batch * files.batch_bytes, len };
        let data = PartitionData {
            partition_index: asked.partition,
            high_watermark: i64::MAX,
            last_stable_offset: i64::MAX,
            records: Records::Fragments(vec![RecordFragment::File(range)]),
            ..Default::default()
        };
        let responses = vec![FetchableTopicResponse { topic: Cow::Borrowed(topic), partitions: vec![data], ..Default::default() }];
        Ok(FetchResponse { responses, ..Default::default() })
    }

    fn metadata<'r>(&self, request: &MetadataRequest<'r>) -> MetadataResponse<'r> {
        let partition = |partition_index| MetadataResponsePartition { partition_index, leader_id: NODE_ID, ..Default::default() };
        let topic = |name: Option<&'r str>| MetadataResponseTopic {
            name: name.map(Cow::Borrowed),
            partitions: (0..PARTITIONS).map(partition).collect(),
            ..Default::default()
        };
        let broker = MetadataResponseBroker {
            node_id: NODE_ID,
            host: Cow::Owned(self.address.ip().to_string()),
            port: self.address.port().into(),
            ..Default::default()
        };
        let topics = request.topics.iter().flatten().map(|asked| topic(asked.name)).collect();
        MetadataResponse { brokers: vec![broker], controller_id: NODE_ID, topics, ..Default::default() }
    }

    /// Sends the bytes, and each file range where it belongs between them.
    fn send(&mut self, answer: &Encoded) -> io::Result<()> {
        let mut sent = 0;
        for (at, range) in &answer.files {
            self.stream.write_all(answer.buf.get(sent..*at).unwrap_or_default())?;
            self.send_file(range)?;
            sent = *at;
        }
        self.stream.write_all(answer.buf.get(sent..).unwrap_or_default())
    }

    fn send_file(&self, range: &FileRange) -> io::Result<()> {
        let end = (range.position + u64::from(range.len)) as libc::off_t;
        let mut position = range.position as libc::off_t;
        while position < end {
            let count = (end - position) as usize;
            // SAFETY: both descriptors are open for as long as they are borrowed here; the position is ours.
            let sent = unsafe { libc::sendfile(self.stream.as_raw_fd(), range.file.as_raw_fd(), &mut position, count) };
            match sent {
                1.. => {}
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => return Err(io::Error::last_os_error()),
            }
        }
        Ok(())
    }
}

fn offsets<'r>(request: &ListOffsetsRequest<'r>) -> ListOffsetsResponse<'r> {
    let topics = request.topics.iter().map(|topic| {
        let answer = |asked: &ottla_wire::message::list_offsets::ListOffsetsPartition| ListOffsetsPartitionResponse {
            partition_index: asked.partition_index,
            offset: if asked.timestamp == EARLIEST_TIMESTAMP { 0 } else { i64::MAX },
            ..Default::default()
        };
        ListOffsetsTopicResponse { name: Cow::Borrowed(topic.name), partitions: topic.partitions.iter().map(answer).collect() }
    });
    ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
}

fn encode<'m>(header: &RequestHeader<'_>, api: ApiKey, response: &impl Message<'m>) -> io::Result<Option<Encoded>> {
    let mut writer = Writer::new();
    let mark = writer.begin_frame();
    let correlation_id = header.correlation_id;
    ResponseHeader { correlation_id }.encode(&mut writer, api, header.api_version).map_err(io::Error::other)?;
    response.encode(&mut writer, header.api_version).map_err(io::Error::other)?;
    writer.end_frame(mark).map_err(io::Error::other)?;
    Ok(Some(writer.into_parts()))
}

#[cfg(test)]
mod tests {
    use super::super::{Limit, LimitOptions, WriteTo};
    use crate::consume::ConsumeOptions;
    use crate::produce::ProduceOptions;
    use crate::{Acks, Amount, BatchShape, Bootstrap, Compression, Control, Processes, consume, produce};

    const SHAPE: BatchShape = BatchShape { record_bytes: 100, records: 10, compression: Compression::None };

    fn start(write_to: WriteTo) -> (Bootstrap, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let options = LimitOptions { listen, dir: dir.path().to_owned(), write_to, served_bytes: 100_000, batch: SHAPE };
        let limit = Limit::bind(&options).unwrap();
        let address = limit.address().to_string();
        std::thread::spawn(move || limit.serve());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "its files have no names");
        (address.parse().unwrap(), dir)
    }

    fn produce_to(bootstrap: &Bootstrap, acks: Acks) -> u64 {
        let options = ProduceOptions {
            bootstrap: bootstrap.clone(),
            topic: "t".to_owned(),
            partitions: Some(4),
            batch: SHAPE,
            partitions_per_request: 2,
            connections: 2,
            in_flight: 5,
            acks,
            amount: Amount::Records(4000),
            processes: Processes::default(),
        };
        produce::run(&options, &Control::new()).unwrap().records
    }

    #[test]
    fn it_takes_what_is_produced_however_it_writes() {
        for write_to in [WriteTo::FreshPages, WriteTo::SamePages { bytes: 10_000 }] {
            let (bootstrap, _dir) = start(write_to);
            for acks in [Acks::All, Acks::None] {
                assert!(produce_to(&bootstrap, acks) >= 4000);
            }
        }
    }

    #[test]
    fn it_serves_batches_whose_offsets_follow_each_other_until_they_go_round() {
        let (bootstrap, _dir) = start(WriteTo::FreshPages);
        let options = |amount, check| ConsumeOptions {
            bootstrap: bootstrap.clone(),
            topic: "t".to_owned(),
            partitions: Some(1),
            connections: 1,
            fetch_bytes: 20_000,
            amount: Some(Amount::Bytes(amount)),
            check,
            processes: Processes::default(),
        };
        let checked = consume::run(&options(80_000, true), &Control::new()).unwrap();
        assert!((80_000..=100_000).contains(&checked.bytes), "{checked:?}");
        let round = consume::run(&options(1_000_000, false), &Control::new()).unwrap();
        assert!(round.bytes >= 1_000_000, "{round:?}");
    }
}
