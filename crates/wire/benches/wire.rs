//! What the hot path of a broker costs in this crate: decoding a Produce, encoding a Fetch, looking at batches, the codecs.
//!
//! `cargo bench -p ottla-wire`; `-- codec` runs those with `codec` in their names.

#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ottla_wire::batch::{BatchBuilder, BatchView, DecompressLimits};
use ottla_wire::compress::{Compression, compress, decompress};
use ottla_wire::message::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
use ottla_wire::message::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_wire::{Message, Reader, Records, Writer};

/// Bytes of a batch in the benchmarks, about.
const BATCH_BYTES: usize = 16 << 10;
const VERSION_OF_PRODUCE: i16 = 12;
const VERSION_OF_FETCH: i16 = 16;

/// Records of 100 bytes that compress as text does.
fn batch(codec: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec, 1 << 20);
    for number in 0..BATCH_BYTES / 110 {
        let value = format!("{{\"order\":{number},\"customer\":{},\"amount\":{},\"currency\":\"EUR\"}}", number * 7919, number * 31);
        builder.append(1_700_000_000_000, Some(b"key"), Some(format!("{value:<100}").as_bytes()), &[]).unwrap();
    }
    builder.build().unwrap()
}

fn messages(criterion: &mut Criterion) {
    let batch = batch(Compression::None);
    for partitions in [1, 10] {
        let data = vec![PartitionProduceData { index: 0, records: Some(&batch[..]) }; partitions];
        let topic = TopicProduceData { name: "orders", partition_data: data, ..Default::default() };
        let request = ProduceRequest { acks: -1, topic_data: vec![topic], ..Default::default() };
        let mut writer = Writer::new();
        request.encode(&mut writer, VERSION_OF_PRODUCE).unwrap();
        let frame = writer.into_parts().buf;
        criterion.bench_function(&format!("decode Produce of {partitions} partitions"), |bencher| {
            bencher.iter(|| ProduceRequest::decode(&mut Reader::new(black_box(&frame)), VERSION_OF_PRODUCE).unwrap());
        });

        let data = PartitionData { high_watermark: 1, records: Records::Borrowed(&batch[..256]), ..Default::default() };
        let topic = FetchableTopicResponse { partitions: vec![data; partitions], ..Default::default() };
        let response = FetchResponse { responses: vec![topic], ..Default::default() };
        let mut buffer = Vec::with_capacity(64 << 10);
        criterion.bench_function(&format!("encode Fetch of {partitions} partitions"), |bencher| {
            bencher.iter(|| {
                buffer.clear();
                let mut writer = Writer::with_buffer(std::mem::take(&mut buffer));
                black_box(&response).encode(&mut writer, VERSION_OF_FETCH).unwrap();
                buffer = writer.into_parts().buf;
            });
        });
    }
}

fn batches(criterion: &mut Criterion) {
    let bytes = batch(Compression::None);
    let mut group = criterion.benchmark_group("batch of 16 KiB");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("view and check the header", |bencher| {
        bencher.iter(|| BatchView::new(black_box(&bytes)).unwrap().validate_shallow().unwrap());
    });
    group.bench_function("CRC", |bencher| bencher.iter(|| BatchView::new(black_box(&bytes)).unwrap().check_crc().unwrap()));
    group.bench_function("walk the records", |bencher| {
        bencher.iter(|| BatchView::new(black_box(&bytes)).unwrap().validate_records().unwrap());
    });
    group.bench_function("iterate over the records", |bencher| {
        bencher.iter(|| BatchView::new(black_box(&bytes)).unwrap().records(&DecompressLimits::default()).unwrap().iter().count());
    });
    group.finish();
}

fn codecs(criterion: &mut Criterion) {
    let bytes = batch(Compression::None);
    let plain = BatchView::new(&bytes).unwrap().records_bytes();
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Bytes(plain.len() as u64));
    for codec in Compression::ALL.into_iter().filter(|codec| *codec != Compression::None) {
        let mut packed = Vec::new();
        compress(codec, None, plain, &mut packed).unwrap();
        group.bench_function(format!("pack {codec}"), |bencher| {
            let mut out = Vec::with_capacity(plain.len());
            bencher.iter(|| {
                out.clear();
                compress(codec, None, black_box(plain), &mut out).unwrap();
            });
        });
        group.bench_function(format!("unpack {codec}"), |bencher| {
            bencher.iter(|| decompress(codec, black_box(&packed), 1 << 20).unwrap());
        });
    }
    group.finish();
}

/// Short, since there are many; `-- --measurement-time 5` measures longer.
fn briefly() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1))
}

criterion_group! {
    name = benches;
    config = briefly();
    targets = messages, batches, codecs
}
criterion_main!(benches);
