//! What is read can be written, is then read as the same, and written again as the same bytes; whatever
//! stands in the chunks. The checksums are put right and the contents stored first, so that the fuzzer
//! works on what lies behind them. `cargo +nightly fuzz run round_trip` in the folder `recorder`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use recorder::Recording;
use recorder::recording::{MAGIC, VERSION};

/// A file whose chunks' contents are the given ones: each is a tag's number, two bytes of length, and
/// that many bytes.
fn file(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    while let [tag, low, high, rest @ ..] = bytes {
        let length = (usize::from(*low) | usize::from(*high) << 8).min(rest.len());
        let (content, behind) = rest.split_at(length);
        bytes = behind;
        let mut stored = (length as u32).to_le_bytes().to_vec();
        stored.push(0);
        stored.extend((length as u16).to_le_bytes());
        stored.extend((!(length as u16)).to_le_bytes());
        stored.extend(content);
        let tags: [&[u8; 4]; 4] = [b"HEAD", b"EVNT", b"FULL", b"END."];
        let mut front = tags[usize::from(*tag) % 4].to_vec();
        front.extend((stored.len() as u32).to_le_bytes());
        out.extend(&front);
        out.extend(crc32fast::hash(&front).to_le_bytes());
        out.extend(crc32fast::hash(&stored).to_le_bytes());
        out.extend(stored);
    }
    out
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(loaded) = Recording::from_bytes(&file(bytes)) {
        let written = loaded.recording.to_bytes();
        let again = Recording::from_bytes(&written).expect("what was written is read");
        assert!(again.torn.is_none() && again.recording == loaded.recording);
        assert_eq!(again.recording.to_bytes(), written);
    }
});
