//! Every case of the corpus on every kernel that it is compared on: recorded twice alike, kept and
//! written as it goes, read back, and replayed to the byte.

use recorder::{Case, Recording, Replay, kernels, record, record_in_detail, record_into};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The cases of the corpus, in the order of their paths.
fn cases() -> Vec<Case> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let mut found = Vec::new();
    for topic in std::fs::read_dir(corpus).unwrap().flatten() {
        for file in std::fs::read_dir(topic.path()).into_iter().flatten().flatten() {
            if file.path().extension().is_some_and(|extension| extension == "case") {
                found.push(file.path());
            }
        }
    }
    found.sort();
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy();
        Case::parse(&path.display().to_string(), &name, &text).unwrap_or_else(|error| panic!("{error}"))
    };
    found.iter().map(read).collect()
}

/// Does something for every case and each of its kernels, on as many threads as there are processors.
fn each(what: impl Fn(&Case, &'static dyn contract::Kernel) + Sync) {
    let cases = cases();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Relaxed)) {
            for kernel in
                [&case.kernels.0, &case.kernels.1].into_iter().filter_map(|name| kernels::by_name(name))
            {
                what(case, kernel);
                done.fetch_add(1, Relaxed);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    assert!(done.into_inner() > cases.len());
}

#[test]
fn a_case_is_recorded_alike_every_time_and_replays_to_the_byte() {
    each(|case, kernel| {
        let once = record(case, kernel).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let bytes = once.to_bytes();
        let (written, _) = record_into(case, kernel, false, Vec::new()).unwrap();
        assert!(written == bytes, "{} on {}", case.name, kernel.name());
        let loaded = Recording::from_bytes(&bytes).unwrap();
        assert!(loaded.torn.is_none() && loaded.recording == once, "{} on {}", case.name, kernel.name());
        let mut replay = Replay::start(&loaded.recording, kernel);
        while let Some(replayed) = replay.next_event().unwrap() {
            let line = replayed.event.map_or("boot", |index| &once.events[index].text);
            assert!(replayed.same, "{} on {}, {line}: {:?}", case.name, kernel.name(), replayed.strayed);
        }
    });
}

#[test]
fn detail_changes_nothing_and_finds_no_difference() {
    each(|case, kernel| {
        let plain = record(case, kernel).unwrap();
        let detailed = record_in_detail(case, kernel).unwrap();
        let (written, _) = record_into(case, kernel, true, Vec::new()).unwrap();
        assert!(written == detailed.to_bytes(), "{} on {}", case.name, kernel.name());
        let mut replay = Replay::start(&detailed, kernel);
        let mut index = 0;
        while let Some(replayed) = replay.next_event().unwrap() {
            assert!(replayed.same, "{} on {}: {:?}", case.name, kernel.name(), replayed.strayed);
            assert_eq!(
                replay.first_step(replayed.event).unwrap(),
                None,
                "{} on {}",
                case.name,
                kernel.name()
            );
            if let Some(event) = replayed.event {
                let (plain, detailed) = (&plain.events[event], &detailed.events[event]);
                assert!(
                    plain.machine == detailed.machine,
                    "{} on {}, {}",
                    case.name,
                    kernel.name(),
                    plain.text
                );
                assert_eq!((&plain.outcome, &plain.view), (&detailed.outcome, &detailed.view));
            }
            index += 1;
        }
        assert_eq!(index, plain.events.len() + 1);
    });
}
