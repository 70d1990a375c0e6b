//! Recordings as bytes: the same for the same run, and nothing but an error for anything else.

use contract::{Named, ObjectId, ObjectKind, Outcome, Status, View};
use lz4_flex::block::decompress_into_with_dict;
use machine::{Machine, Pa, Va};
use miniz_oxide::inflate::decompress_to_vec;
use proptest::prelude::*;
use recorder::recording::{MAGIC, Reaching, VERSION};
use recorder::{Archive, EventRecord, Header, Input, ReadError, Recording, TraceStep, Went};

/// An event that changes a few bytes of the machine before it.
fn event(line: u32, before: &Machine, at: u32, bytes: &[u8]) -> EventRecord {
    let mut machine = before.clone();
    machine.retired += u64::from(line) * 100;
    machine.cpu.eip = at;
    machine.memory.write(Pa(at), bytes);
    EventRecord {
        line,
        text: format!("main NtDelayExecution interval={line}ms"),
        outcome: Outcome::Returned { status: Status(line), values: vec![("previous".into(), "1".into())] },
        view: View { handles: vec![("app:worker".into(), true)], ..View::default() },
        named: vec![Named {
            name: "main".into(),
            kind: ObjectKind::Thread,
            id: ObjectId { at: Va(0x8100_0000), serial: line },
        }]
        .into(),
        threads: vec![ObjectId { at: Va(0x8100_0000), serial: 7 }],
        trace: vec![TraceStep {
            at: 7,
            depth: 1,
            thread: 0,
            routine: 0,
            stage: 2,
            args: [1, u32::MAX].into_iter().collect(),
            went: Went::Called(Va(0x8040_0000)),
        }],
        untraced: 3,
        inputs: vec![
            Input { at: 5, what: Reaching::Interrupt(0x30) },
            Input {
                at: 6,
                what: Reaching::Program {
                    writes: vec![(Va(4), vec![1, 2])],
                    registers: vec![(4, 8)],
                    eip: 9,
                },
            },
        ],
        steps: vec![1, u32::MAX, 0x1234_5678],
        machine,
    }
}

/// A recording of so many events.
fn recording(events: u32) -> Recording {
    let header = Header {
        kernel: "nt".into(),
        case: "topic/name".into(),
        digest: 0x0123_4567_89AB_CDEF,
        text: "# A case.\n".into(),
        detail: true,
        routines: vec!["NtDelayExecution".into()],
    };
    let mut machine = Machine::new(64);
    machine.gates.kernel = 0x8040_0000..0x8040_1000;
    let boot = event(0, &machine, 0x1000, &[1; 300]);
    let mut recording = Recording { header, boot, events: Vec::new() };
    for line in 1..=events {
        let before = &recording.events.last().unwrap_or(&recording.boot).machine;
        let next = event(line, before, 0x2000 + line * 0x40, &line.to_le_bytes());
        recording.events.push(next);
    }
    recording
}

/// Reads what was written, whole.
fn whole(bytes: &[u8]) -> Recording {
    let loaded = Recording::from_bytes(bytes).expect("it was written as it stands");
    assert_eq!(loaded.torn, None);
    loaded.recording
}

#[test]
fn what_is_written_is_read_again() {
    for events in [0, 1, 63, 64, 65, 130] {
        let recording = recording(events);
        let bytes = recording.to_bytes();
        assert_eq!(bytes, recording.to_bytes());
        let read = whole(&bytes);
        assert!(read == recording, "{events} events");
        assert_eq!(read.to_bytes(), bytes);
    }
}

#[test]
fn an_archive_finds_every_event_in_any_order_wherever_the_file_is_torn() {
    let folder = std::env::temp_dir().join(format!("tandem-archives-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("one.tandem");
    let recording = recording(140);
    let bytes = recording.to_bytes();
    for length in [bytes.len(), bytes.len() - 1, bytes.len() * 3 / 4, bytes.len() / 2, bytes.len() / 3] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let whole = Recording::from_bytes(&bytes[..length]).unwrap();
        let mut archive = Archive::open(&path).unwrap();
        assert_eq!(archive.torn(), whole.torn.as_ref());
        let events = archive.events();
        assert_eq!(events, whole.recording.events.len());
        let order = (0..=events)
            .chain((0..=events).rev())
            .chain([64, 1, 128, 65, 63, 127, 64].map(|n| n % (events + 1)));
        for event in order {
            assert!(archive.event(event).unwrap().as_ref() == whole.recording.event(event), "event {event}");
            let machine = archive.machine_after(event).unwrap();
            assert!(machine.as_ref() == whole.recording.event(event).map(|event| &event.machine));
        }
        assert!(archive.event(events + 1).unwrap().is_none());
        for event in archive.checkpoints() {
            let machine = archive.checkpoint(event).unwrap().unwrap();
            assert!(whole.recording.event(event).is_none_or(|event| event.machine == machine));
        }
        assert_eq!(archive.sizes().1.len(), events);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_byte_of_zero_that_was_never_written_makes_no_difference() {
    let mut recording = recording(1);
    let bytes = recording.to_bytes();
    recording.events[0].machine.memory.write(Pa(0x9000), &[0]);
    assert_eq!(recording.to_bytes(), bytes);
}

/// The format is part of the interface: a change of these bytes is a new [`VERSION`].
#[test]
fn the_bytes_of_a_small_recording_are_pinned() {
    let bytes = recording(1).to_bytes();
    assert_eq!(bytes[..8], MAGIC);
    assert_eq!(bytes[8..12], VERSION.to_le_bytes());
    assert_eq!((VERSION, bytes.len(), crc32fast::hash(&bytes)), (8, 536, 0xC101_51A8));
}

#[test]
fn what_is_stored_instead_of_packed_is_the_same_recording() {
    let bytes = recording(2).to_bytes();
    let mut chunks = chunks(&bytes);
    for (chunk, content) in unpacked(&chunks).iter().enumerate() {
        chunks[chunk].1 = stored(chunk, content);
    }
    assert!(file(&chunks) != bytes);
    assert!(whole(&file(&chunks)) == recording(2));
}

#[test]
fn another_version_is_told_from_damage() {
    let mut bytes = recording(1).to_bytes();
    bytes[8] += 1;
    let error = Recording::from_bytes(&bytes).unwrap_err();
    assert!(matches!(error, ReadError::Version { found } if found == VERSION + 1), "{error}");
    let error = Recording::from_bytes(b"MZ\x90\0 and so on").unwrap_err();
    assert!(matches!(error, ReadError::NotARecording), "{error}");
    assert!(matches!(Recording::from_bytes(b"").unwrap_err(), ReadError::NotARecording));
}

#[test]
fn a_torn_recording_yields_its_whole_events_wherever_it_is_torn() {
    let recording = recording(18);
    let bytes = recording.to_bytes();
    let mut most = 0;
    for length in 0..bytes.len() {
        match Recording::from_bytes(&bytes[..length]) {
            Ok(loaded) => {
                let torn = loaded.torn.expect("it is not whole");
                assert_eq!((torn.of, torn.events), (18, loaded.recording.events.len()));
                assert!(torn.at as usize <= length && torn.events >= most);
                assert!(loaded.recording.events[..] == recording.events[..torn.events]);
                most = torn.events;
            }
            Err(ReadError::TornHeader { .. } | ReadError::NotARecording) => assert_eq!(most, 0),
            Err(error) => panic!("torn at {length}: {error}"),
        }
    }
    assert_eq!(most, 18);
}

#[test]
fn a_full_copy_is_what_the_events_lead_to() {
    let right = recording(40);
    let mut other = right.clone();
    other.events[31].machine.memory.write(Pa(0x3000), &[0xFF]);
    let (right, other) = (chunks(&right.to_bytes()), chunks(&other.to_bytes()));
    // A header, booting, 32 events, and the full copy, with which another stream begins.
    let mixed = |first: &[_], then: &[_]| Recording::from_bytes(&file(&[&first[..34], &then[34..]].concat()));
    assert!(mixed(&right, &right).is_ok() && mixed(&other, &other).is_ok());
    let error = mixed(&right, &other).unwrap_err().to_string();
    assert!(error.contains("a full copy is not the machine that the events lead to"), "{error}");
}

#[test]
fn nothing_stands_behind_the_end() {
    let mut bytes = recording(2).to_bytes();
    bytes.push(0);
    let error = Recording::from_bytes(&bytes).unwrap_err().to_string();
    assert!(error.contains("bytes stand behind the end"), "{error}");
}

#[test]
fn an_event_that_would_take_for_ever_to_do_again_is_no_event() {
    let spoiled = |spoil: fn(&mut EventRecord)| {
        let mut recording = recording(3);
        spoil(&mut recording.events[2]);
        let bytes = recording.to_bytes();
        let read = Recording::from_bytes(&bytes).map(drop).unwrap_err().to_string();
        let path = std::env::temp_dir().join(format!("tandem-spoiled-{}.rec", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let mut archive = Archive::open(&path).expect("its beginning is as it was");
        let sought = archive.event(3).map(drop).unwrap_err().to_string();
        std::fs::remove_file(path).unwrap();
        (read, sought)
    };
    for (read, sought) in [
        spoiled(|event| event.machine.retired = u64::MAX),
        spoiled(|event| event.machine.retired = 1),
        spoiled(|event| event.inputs[1].at = u64::MAX),
        spoiled(|event| event.trace[0].at = u64::MAX),
    ] {
        assert!(read.contains("damaged") && read.contains("instruction"), "{read}");
        assert_eq!(sought, read);
    }
}

#[test]
fn every_bit_that_flips_is_noticed() {
    let recording = recording(17);
    let bytes = recording.to_bytes();
    // One bit of every byte, a different one in each; all bits of the first chunk's front.
    let places = (0..bytes.len())
        .map(|at| (at, at % 8))
        .chain((0..28).flat_map(|at| (0..8).map(move |bit| (at, bit))));
    for (at, bit) in places {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        let found = Recording::from_bytes(&flipped);
        assert!(found.is_err(), "byte {at}, bit {bit}");
    }
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let folder = std::env::temp_dir().join(format!("tandem-recordings-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("one.tandem");
    let recording = recording(3);
    recording.write(&path).unwrap();
    recording.write(&path).unwrap();
    assert!(Recording::read(&path).unwrap().recording == recording);
    let names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["one.tandem"]);
    let error = recording.write(&folder.join("absent/one.tandem")).unwrap_err().to_string();
    assert!(error.contains("absent"), "{error}");
    assert!(Recording::read(&folder.join("two.tandem")).is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), start in any::<bool>()) {
        if start {
            let mut front = MAGIC.to_vec();
            front.extend(VERSION.to_le_bytes());
            front.extend(&bytes);
            bytes = front;
        }
        let _ = Recording::from_bytes(&bytes);
    }

    /// Whatever a chunk's content says, with checksums that are right, is read or refused, and what is
    /// read can be written again.
    #[test]
    fn any_content_behind_good_checksums_is_read_or_refused(
        chunk in 0usize..4,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut chunks = chunks(&recording(2).to_bytes());
        let mut contents = unpacked(&chunks);
        let content = &mut contents[chunk];
        for (index, value) in edits {
            let at = index.index(content.len());
            content[at] = value;
        }
        if cuts {
            content.truncate(cut.index(content.len()));
        }
        for (index, (chunk, content)) in chunks.iter_mut().zip(&contents).enumerate() {
            chunk.1 = stored(index, content);
        }
        if let Ok(loaded) = Recording::from_bytes(&file(&chunks)) {
            let bytes = loaded.recording.to_bytes();
            prop_assert!(whole(&bytes) == loaded.recording);
            prop_assert_eq!(whole(&bytes).to_bytes(), bytes);
        }
    }
}

/// What the chunks of a recording without full copies hold: the header, booting, the events (which
/// share one window) and the end.
fn unpacked(chunks: &[([u8; 4], Vec<u8>)]) -> Vec<Vec<u8>> {
    let mut window = Vec::new();
    let unpack = |(index, (_, content)): (usize, &([u8; 4], Vec<u8>))| {
        let length = u32::from_le_bytes(content[..4].try_into().unwrap()) as usize;
        let mut blocks = &content[4..];
        if index == BOOT {
            return decompress_to_vec(blocks).unwrap();
        }
        let start = window.len();
        while !blocks.is_empty() {
            let front = u32::from_le_bytes(blocks[..4].try_into().unwrap());
            let size = (front & !STORED) as usize;
            let mut block = blocks[4..4 + size].to_vec();
            if front & STORED == 0 {
                let mut whole = vec![0; 1 << 16];
                let done = decompress_into_with_dict(&block, &mut whole, &window).unwrap();
                whole.truncate(done);
                block = whole;
            }
            window.extend(block);
            blocks = &blocks[4 + size..];
        }
        assert_eq!(window.len(), start + length);
        window[start..].to_vec()
    };
    chunks.iter().enumerate().map(unpack).collect()
}

/// The index of booting's chunk, which is packed by itself.
const BOOT: usize = 1;
/// In a block's length: it is not packed.
const STORED: u32 = 1 << 31;

/// Content of the chunk of this index that holds this, packed by storing it.
fn stored(chunk: usize, bytes: &[u8]) -> Vec<u8> {
    let mut content = (bytes.len() as u32).to_le_bytes().to_vec();
    for (index, block) in bytes.chunks(0xFFFF).enumerate() {
        if chunk == BOOT {
            let length = block.len() as u16;
            content.push(u8::from((index + 1) * 0xFFFF >= bytes.len()));
            content.extend(length.to_le_bytes());
            content.extend((!length).to_le_bytes());
        } else {
            content.extend((block.len() as u32 | STORED).to_le_bytes());
        }
        content.extend(block);
    }
    content
}

/// A file's chunks: tag and content.
fn chunks(bytes: &[u8]) -> Vec<([u8; 4], Vec<u8>)> {
    let mut found = Vec::new();
    let mut at = 12;
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        let content = bytes[at + 16..at + 16 + length].to_vec();
        found.push((bytes[at..at + 4].try_into().unwrap(), content));
        at += 16 + length;
    }
    found
}

/// The file of these chunks, with the checksums that belong to them.
fn file(chunks: &[([u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    for (tag, content) in chunks {
        let mut front = tag.to_vec();
        front.extend((content.len() as u32).to_le_bytes());
        out.extend(&front);
        out.extend(crc32fast::hash(&front).to_le_bytes());
        out.extend(crc32fast::hash(content).to_le_bytes());
        out.extend(content);
    }
    out
}
