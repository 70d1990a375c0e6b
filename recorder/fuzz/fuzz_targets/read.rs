//! Any bytes are a recording, or refused: no panic, no hang, no allocation beyond a small multiple of
//! what was given. `cargo +nightly fuzz run read` in the folder `recorder`. The property is tested on
//! chosen bytes, with the same words, in `recorder/tests/recordings.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use recorder::Recording;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(loaded) = Recording::from_bytes(bytes) {
        assert!(loaded.torn.is_some() || loaded.recording.events.len() < bytes.len());
    }
});
