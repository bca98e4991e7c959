//! What decoding and encoding allocate, counted: little on the hot path, and never more than a small multiple of a
//! hostile frame.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ottla_wire::message;
use ottla_wire::message::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use ottla_wire::{Data, Message, Reader, Request, Version, Writer, data, for_each_api, for_each_data};

/// The system's allocator, counting per thread: tests run side by side.
struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    CALLS.set(CALLS.get() + 1);
    BYTES.set(BYTES.get() + bytes);
}

// SAFETY: every call is the system allocator's; counting touches no memory of its own that was allocated.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are those of `System.alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `System` with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size);
        // SAFETY: `ptr` came from `System` with this layout.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many times `f` allocates, and how many bytes.
fn allocations<R>(f: impl FnOnce() -> R) -> (usize, usize, R) {
    let (calls, bytes) = (CALLS.get(), BYTES.get());
    let result = f();
    (CALLS.get() - calls, BYTES.get() - bytes, result)
}

#[test]
fn a_small_produce_costs_one_allocation_for_topics_and_one_for_partitions() {
    for version in ProduceRequest::VERSIONS {
        let request = ProduceRequest {
            transactional_id: Some("tx"),
            acks: -1,
            topic_data: vec![TopicProduceData {
                name: "orders",
                partition_data: vec![PartitionProduceData { index: 0, records: Some(&[7; 100]) }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let mut w = Writer::new();
        request.encode(&mut w, version).unwrap();
        let frame = w.into_parts().buf;
        let (calls, _, decoded) = allocations(|| ProduceRequest::decode(&mut Reader::new(&frame), version).unwrap());
        assert_eq!(calls, 2, "version {version}");
        assert_eq!(decoded.topic_data[0].partition_data[0].records, Some(&[7; 100][..]));

        let response = ProduceResponse {
            responses: vec![TopicProduceResponse {
                name: decoded.topic_data[0].name.into(),
                partition_responses: vec![PartitionProduceResponse { base_offset: 5, ..Default::default() }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let buf = Vec::with_capacity(256);
        let (calls, ..) = allocations(|| {
            let mut w = Writer::with_buffer(buf);
            let mark = w.begin_frame();
            response.encode(&mut w, version).unwrap();
            w.end_frame(mark).unwrap();
            w
        });
        assert_eq!(calls, 0, "encoding into a buffer that is there, version {version}");
    }
}

#[test]
fn no_frame_makes_a_decoder_allocate_more_than_eight_times_its_size() {
    fn check<'a, M: Message<'a>>(frame: &'a [u8]) {
        for version in M::VERSIONS {
            let (_, bytes, _) = allocations(|| M::decode(&mut Reader::new(frame), version).is_ok());
            let limit = frame.len() * 8 + 64 * 1024;
            assert!(bytes <= limit, "{} {version}: {bytes} bytes for a frame of {}", std::any::type_name::<M>(), frame.len());
        }
    }
    fn check_data<'a, D: Data<'a>>(frame: &'a [u8]) {
        for version in D::VERSIONS {
            let version = Version::new(version, version >= D::FLEXIBLE_SINCE);
            let (_, bytes, _) = allocations(|| D::read(&mut Reader::new(frame), version).is_ok());
            let limit = frame.len() * 8 + 64 * 1024;
            assert!(bytes <= limit, "{} {version:?}: {bytes} bytes for a frame of {}", D::NAME, frame.len());
        }
    }
    fn check_all(frame: &[u8]) {
        macro_rules! check {
            ($($module:ident::$request:ident;)*) => {$(
                check::<message::$module::$request>(frame);
                check::<<message::$module::$request as Request>::Response<'_>>(frame);
            )*};
        }
        for_each_api!(check);
        macro_rules! check_data {
            ($($module:ident::$data:ident;)*) => {
                $(check_data::<data::$module::$data>(frame);)*
            };
        }
        for_each_data!(check_data);
    }
    for fill in [0u8, 1, 2, 3, 0x7f, 0x80, 0xff] {
        // A frame that announces as many elements as the first length can hold, at every place one could stand.
        for lie_at in 0..48 {
            let mut frame = vec![fill; 200_000];
            frame[lie_at..lie_at + 4].copy_from_slice(&[0x80, 0x80, 0x04, 0x01]);
            check_all(&frame);
        }
    }
}
