#![allow(clippy::indexing_slicing)]

use super::*;
use proptest::prelude::*;

const PACKED: [Compression; 4] = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

fn packed(codec: Compression, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress(codec, None, data, &mut out).unwrap();
    out
}

/// Bytes that no codec can make smaller (xorshift).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(len)
    .collect()
}

/// Text with noise in it: makes matches, literals and blocks that are stored.
fn mixed(len: usize) -> Vec<u8> {
    let noise = noise(len);
    let words = b"the log is the queue and the queue is the log, ";
    noise.iter().enumerate().map(|(i, n)| if i % 4096 < 3000 { words[i % words.len()] } else { *n }).collect()
}

#[test]
fn every_codec_gives_back_what_it_packed() {
    for codec in Compression::ALL {
        for len in [0, 1, 13, 1000, 32 << 10, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 300_000] {
            for data in [noise(len), mixed(len), vec![7; len]] {
                assert_eq!(decompress(codec, &packed(codec, &data), len).unwrap(), data, "{codec} {len}");
            }
        }
    }
}

#[test]
fn packing_appends_to_what_is_there() {
    for codec in Compression::ALL {
        let mut out = b"header".to_vec();
        compress(codec, None, b"data", &mut out).unwrap();
        let packed = out.strip_prefix(b"header").unwrap();
        assert_eq!(decompress(codec, packed, 4).unwrap(), b"data");
    }
}

#[test]
fn levels_are_those_of_kafkas_configs() {
    let data = mixed(50_000);
    for codec in PACKED {
        let Some(levels) = codec.levels() else {
            assert_eq!(codec, Compression::Snappy);
            continue;
        };
        for level in [*levels.start(), *levels.end(), codec.default_level().unwrap()] {
            let mut out = Vec::new();
            compress(codec, Some(level), &data, &mut out).unwrap();
            assert_eq!(decompress(codec, &out, data.len()).unwrap(), data, "{codec} {level}");
        }
        for level in [*levels.start() - 1, *levels.end() + 1] {
            let refused = compress(codec, Some(level), &data, &mut Vec::new());
            if Some(level) != codec.default_level() {
                assert_eq!(refused, Err(CompressError::UnknownLevel { codec, level }));
            }
        }
    }
    assert_eq!(
        compress(Compression::Gzip, Some(0), b"", &mut Vec::new()),
        Err(CompressError::UnknownLevel { codec: Compression::Gzip, level: 0 })
    );
}

#[test]
fn higher_levels_pack_tighter() {
    let data: Vec<u8> = (0..20_000).flat_map(|i: u32| format!("user-{} did {}; ", i * 7919 % 1000, i % 13).into_bytes()).collect();
    for codec in [Compression::Gzip, Compression::Zstd] {
        let len = |level| {
            let mut out = Vec::new();
            compress(codec, Some(level), &data, &mut out).unwrap();
            out.len()
        };
        assert!(len(9) < len(1), "{codec}");
    }
}

#[test]
fn the_cap_is_exact() {
    let data = mixed(200_000);
    for codec in Compression::ALL {
        let packed = packed(codec, &data);
        assert_eq!(decompress(codec, &packed, data.len()).unwrap(), data, "{codec}");
        for cap_bytes in [0, 1, 4096, 65_536, data.len() - 1] {
            assert_eq!(decompress(codec, &packed, cap_bytes), Err(DecompressError::TooLarge { codec, cap_bytes }), "{codec}");
        }
    }
}

#[test]
fn data_that_is_cut_short_is_an_error() {
    let data = mixed(3000);
    for codec in PACKED {
        let packed = packed(codec, &data);
        for len in 0..packed.len() {
            let unpacked = decompress(codec, &packed[..len], data.len());
            // Xerial's framing has no end: without its only block it is a whole stream of nothing.
            if codec == Compression::Snappy && len == 16 {
                assert_eq!(unpacked.unwrap(), b"");
            } else {
                assert!(matches!(unpacked, Err(DecompressError::Malformed { .. })), "{codec} cut at {len}: {unpacked:?}");
            }
        }
    }
}

#[test]
fn lz4_frames_that_end_between_two_blocks_are_cut_short() {
    let packed = packed(Compression::Lz4, &noise(130_000));
    // Header, a stored block of 64 KiB.
    let cut = &packed[..7 + 4 + 65_536];
    assert!(matches!(decompress(Compression::Lz4, cut, 1 << 20), Err(DecompressError::Malformed { .. })));
}

#[test]
fn no_bytes_at_all_are_malformed() {
    for codec in PACKED {
        assert!(matches!(decompress(codec, b"", 100), Err(DecompressError::Malformed { .. })));
    }
}

#[test]
fn snappy_is_read_without_framing_too() {
    let data = mixed(100_000);
    let raw = snap::raw::Encoder::new().compress_vec(&data).unwrap();
    assert_eq!(decompress(Compression::Snappy, &raw, data.len()).unwrap(), data);
}

#[test]
fn snappy_streams_may_follow_each_other() {
    let two = [packed(Compression::Snappy, b"one, "), packed(Compression::Snappy, b"two")].concat();
    assert_eq!(decompress(Compression::Snappy, &two, 100).unwrap(), b"one, two");
}

#[test]
fn snappy_blocks_that_claim_more_than_they_can_hold_are_found_before_memory_is_spent() {
    // A varint of 4 GiB - 1, then nothing of it.
    let raw = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    assert!(matches!(decompress(Compression::Snappy, &raw, usize::MAX), Err(DecompressError::Malformed { .. })));
    let mut framed = packed(Compression::Snappy, b"");
    framed.extend_from_slice(&u32::MAX.to_be_bytes());
    framed.extend_from_slice(&raw);
    assert!(matches!(decompress(Compression::Snappy, &framed, usize::MAX), Err(DecompressError::Malformed { .. })));
}

#[test]
fn lz4_frames_of_other_writers_are_read() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    let data = mixed(700_000);
    for block_mode in [BlockMode::Independent, BlockMode::Linked] {
        for block_size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
            for checks in [false, true] {
                let info = FrameInfo::new()
                    .block_mode(block_mode)
                    .block_size(block_size)
                    .block_checksums(checks)
                    .content_checksum(checks)
                    .content_size(checks.then_some(data.len() as u64));
                let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(&data).unwrap();
                let frame = encoder.finish().unwrap();
                let unpacked = decompress(Compression::Lz4, &frame, data.len());
                assert!(unpacked.as_ref() == Ok(&data), "{block_mode:?} {block_size:?} {checks}: {:?}", unpacked.map(|u| u.len()));
                let two = [frame.clone(), frame.clone()].concat();
                assert_eq!(decompress(Compression::Lz4, &two, 2 * data.len()).unwrap().len(), 2 * data.len());
                if checks {
                    let mut damaged = frame;
                    let at = damaged.len() - 100;
                    damaged[at] ^= 1;
                    assert!(decompress(Compression::Lz4, &damaged, data.len()).is_err());
                }
            }
        }
    }
}

#[test]
fn lz4_as_written_is_read_by_others() {
    let data = mixed(200_000);
    let packed = packed(Compression::Lz4, &data);
    let mut unpacked = Vec::new();
    lz4_flex::frame::FrameDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, data);
}

#[test]
fn gzip_members_may_follow_each_other() {
    let two = [packed(Compression::Gzip, b"one, "), packed(Compression::Gzip, b"two")].concat();
    assert_eq!(decompress(Compression::Gzip, &two, 100).unwrap(), b"one, two");
}

#[test]
fn zstd_frames_may_follow_each_other() {
    let two = [packed(Compression::Zstd, b"one, "), packed(Compression::Zstd, b"two")].concat();
    assert_eq!(decompress(Compression::Zstd, &two, 100).unwrap(), b"one, two");
}

/// A frame that claims a window of `1 << window_log` bytes: `blocks` blocks, each 128 KiB of the same byte.
fn zstd_frame(window_log: u8, blocks: usize) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3];
    for block in 1..=blocks {
        let header = (128 << 10) << 3 | 1 << 1 | u32::from(block == blocks);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(7);
    }
    frame
}

#[test]
fn zstd_frames_are_read_whatever_window_they_claim() {
    for window_log in [17, 20, 23, 24, 27, 31] {
        let frame = zstd_frame(window_log, 8);
        let two = [packed(Compression::Zstd, b"first"), frame.clone()].concat();
        assert_eq!(decompress(Compression::Zstd, &frame, 1 << 20).unwrap(), vec![7; 1 << 20], "{window_log}");
        assert_eq!(decompress(Compression::Zstd, &two, 2 << 20).unwrap(), [b"first".to_vec(), vec![7; 1 << 20]].concat());
        for cap_bytes in [0, 100_000, (1 << 20) - 1] {
            let too_large = Err(DecompressError::TooLarge { codec: Compression::Zstd, cap_bytes });
            assert_eq!(decompress(Compression::Zstd, &frame, cap_bytes), too_large, "{window_log} {cap_bytes}");
        }
        let cut = decompress(Compression::Zstd, &frame[..frame.len() - 4], 1 << 20);
        assert!(matches!(cut, Err(DecompressError::Malformed { .. })), "{window_log}: {:?}", cut.map(|c| c.len()));
    }
    let beyond_the_library = decompress(Compression::Zstd, &zstd_frame(40, 8), 1 << 20);
    assert!(matches!(beyond_the_library, Err(DecompressError::Malformed { .. })));
}

#[test]
fn codecs_have_kafkas_numbers_and_names() {
    for (codec, id) in Compression::ALL.into_iter().zip(0..) {
        assert_eq!(codec.id(), id);
        assert_eq!(Compression::from_id(id), Some(codec));
        assert_eq!(codec.name().parse(), Ok(codec));
    }
    assert_eq!(Compression::from_id(5), None);
    assert!("brotli".parse::<Compression>().is_err());
}

proptest! {
    #[test]
    fn any_bytes_come_back(codec_id in 0u8..5, data in proptest::collection::vec(any::<u8>(), 0..5000)) {
        let codec = Compression::from_id(codec_id).unwrap();
        prop_assert_eq!(decompress(codec, &packed(codec, &data), data.len()).unwrap(), data);
    }

    #[test]
    fn arbitrary_input_never_panics_nor_breaks_the_cap(codec_id in 1u8..5, data in proptest::collection::vec(any::<u8>(), 0..500)) {
        let codec = Compression::from_id(codec_id).unwrap();
        if let Ok(unpacked) = decompress(codec, &data, 10_000) {
            prop_assert!(unpacked.len() <= 10_000);
        }
    }

    #[test]
    fn damage_never_panics_nor_breaks_the_cap(codec_id in 1u8..5, at in any::<proptest::sample::Index>(), byte: u8) {
        let codec = Compression::from_id(codec_id).unwrap();
        let data = mixed(9000);
        let mut damaged = packed(codec, &data);
        let at = at.index(damaged.len());
        damaged[at] = byte;
        if let Ok(unpacked) = decompress(codec, &damaged, 20_000) {
            prop_assert!(unpacked.len() <= 20_000);
        }
    }
}
