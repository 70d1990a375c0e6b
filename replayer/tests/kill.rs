//! Killing the program while it records leaves no file, a whole one, or one that can be read up to where
//! it is torn. (It is tested here because cargo tells the path of a binary only to the tests of its own
//! package.)

use recorder::{ReadError, Recording};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TIMES: u32 = 200;

/// A case long enough for a moment to be chosen in it.
fn case() -> String {
    let mut text =
        "# A thread sleeps and is woken, over and over.\nprocess app\nthread main in=app\n".to_owned();
    for _ in 0..90 {
        text.push_str("main NtDelayExecution alertable=no interval=10ms\nclock advance=20ms\n");
    }
    text
}

#[test]
fn killing_a_recording_at_any_moment_leaves_nothing_half_done() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("x.case"), case()).expect("a case");
    let record = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_tandem"));
        program.args(["record", "x.case", "--kernel", "nt", "-o", "x.rec"]).current_dir(folder.path());
        program.stdout(Stdio::null()).spawn().expect("it runs")
    };
    let begin = Instant::now();
    assert!(record().wait().expect("it ends").success());
    let lasting = begin.elapsed();
    let whole = std::fs::read(folder.path().join("x.rec")).expect("it was written");

    let mut moment = 1u64;
    let mut found = [0; 3];
    for _ in 0..TIMES {
        for file in files(folder.path()) {
            std::fs::remove_file(folder.path().join(file)).expect("it goes");
        }
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let wait = lasting.mul_f64((moment >> 40) as f64 / f64::from(1 << 24));
        let mut program = record();
        std::thread::sleep(wait.max(Duration::from_micros(1)));
        program.kill().expect("it can be killed, or has ended");
        program.wait().expect("it ends");
        let left = files(folder.path());
        assert!(left.len() <= 1, "{left:?}");
        let Some(name) = left.first() else {
            found[0] += 1;
            continue;
        };
        let bytes = std::fs::read(folder.path().join(name)).expect("it can be read");
        if name == "x.rec" {
            // Under its own name it is whole.
            assert!(bytes == whole, "after {wait:?}");
            found[1] += 1;
            continue;
        }
        assert!(whole.starts_with(&bytes), "{name}, after {wait:?}");
        match Recording::from_bytes(&bytes) {
            Ok(loaded) => {
                // All of it may be there, and only its name be missing.
                let torn = (bytes != whole).then_some(loaded.recording.events.len());
                assert_eq!(loaded.torn.map(|torn| torn.events), torn);
            }
            // It was killed before anything of its first event was there.
            Err(ReadError::TornHeader { .. } | ReadError::NotARecording) => {}
            Err(error) => panic!("{name}, after {wait:?}: {error}"),
        }
        found[2] += 1;
    }
    assert_eq!(found.iter().sum::<u32>(), TIMES);
}

/// What lies in the folder beside the case.
fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).expect("a folder").flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name != "x.case").collect()
}
