//! The same events give the same bytes: twice, in another folder, and beside other work.

use recorder::{Case, kernels};
use tests::{files, read, root, tandem};

fn a_case() -> Case {
    let path = root().join("corpus/termination/null_handle_ends_the_others.case");
    Case::parse("x.case", "termination/x", &read(&path)).expect("a case of the corpus parses")
}

#[test]
fn recording_twice_and_beside_other_work_gives_the_same_bytes() {
    let case = a_case();
    for name in kernels::names() {
        let kernel = kernels::by_name(name).expect("a kernel that is listed exists");
        let bytes = || recorder::record(&case, kernel).expect("the case can be recorded").to_bytes();
        let first = bytes();
        assert!(first == bytes(), "{name}: recorded twice, the bytes differ");
        let beside: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(bytes)).collect();
            threads.into_iter().map(|thread| thread.join().expect("a recording")).collect()
        });
        assert!(beside.iter().all(|other| *other == first), "{name}: beside other work, the bytes differ");
    }
}

#[test]
fn a_recording_does_not_tell_where_it_was_made() {
    let case = root().join("corpus/termination/null_handle_ends_the_others.case");
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let inside = folders[1].path().join("corpus/termination");
    for folder in ["golden", "corpus/termination"] {
        std::fs::create_dir_all(folders[1].path().join(folder)).unwrap();
    }
    let mut files = Vec::new();
    for folder in [folders[0].path(), &inside] {
        std::fs::copy(&case, folder.join("x.case")).unwrap();
        let ran = tandem(folder, &["record", "x.case", "--kernel", "reactos", "-o", "x.rec"]);
        assert_eq!(ran.status, 0, "{ran:?}");
        files.push(std::fs::read(folder.join("x.rec")).unwrap());
        let left: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "only the recording was added: {left:?}");
    }
    assert!(files[0] == files[1], "recorded in another folder, the bytes differ");
}

#[test]
fn detail_changes_neither_outcomes_nor_views_nor_machines() {
    let case = a_case();
    let kernel = kernels::by_name("nt").expect("nt exists");
    let plain = recorder::record(&case, kernel).expect("the case can be recorded");
    let detailed = recorder::record_in_detail(&case, kernel).expect("the case can be recorded");
    for (plain, detailed) in plain.events.iter().zip(&detailed.events) {
        assert_eq!((&plain.outcome, &plain.view), (&detailed.outcome, &detailed.view));
        assert!(plain.machine == detailed.machine, "line {}", plain.line);
    }
    assert_eq!(replayer::verify(&detailed, kernel).expect("nt boots"), None);
}

#[test]
fn every_case_is_short_and_says_what_it_covers() {
    for path in files(&root().join("corpus"), "case") {
        let text = read(&path);
        let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).count();
        assert!(lines <= 15, "{} has {lines} lines: one behaviour a file", path.display());
        let case = Case::parse("x", "x", &text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!case.covers.is_empty(), "{} says which rules it covers", path.display());
    }
}
