//! The program as its users meet it: what it says to bad input, and what it ends with.

use machine::{Machine, PAGE, Pa};
use recorder::Recording;
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;
use tests::{Ran, read, root, tandem};

const HEAD: &str = "# Closing a handle that nobody has fails.\n";
const SCENE: &str = "process app\nthread  main in=app\n";

/// A folder with one case in it, `x.case`.
fn folder(text: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("x.case"), text).expect("a case");
    folder
}

/// Runs a case of this text outside the corpus.
fn run(text: &str) -> Ran {
    tandem(folder(text).path(), &["run", "x.case"])
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
}

#[track_caller]
fn refused(ran: &Ran, parts: &[&str]) {
    assert_eq!(ran.status, 2, "{ran:?}");
    assert_eq!(ran.out, "", "nothing is a result");
    has(&ran.err, parts);
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
}

#[test]
fn a_misspelt_name_is_shown_with_its_place_and_the_nearest_one() {
    let ran = run(&format!("{HEAD}{SCENE}thread worker in=app\nmain NtSuspendThread thread=workr\n"));
    refused(
        &ran,
        &["error: ", "workr", "x.case:5:29", "main NtSuspendThread thread=workr", "^^^^^", "worker"],
    );
}

#[test]
fn a_use_before_creation_is_shown_with_its_place() {
    let ran = run(&format!("{HEAD}{SCENE}main NtSuspendThread thread=worker\nthread worker in=app\n"));
    refused(&ran, &["x.case:4:29", "worker", "^^^^^^"]);
}

#[test]
fn an_unknown_verb_is_shown_with_the_nearest_one() {
    let ran = run(&format!("{HEAD}{SCENE}main NtTerminateProces process=NULL\n"));
    refused(&ran, &["x.case:4:6", "NtTerminateProces", "NtTerminateProcess"]);
}

#[test]
fn every_wrong_case_is_told_and_none_is_run() {
    let folder = folder("nothing\n");
    std::fs::write(folder.path().join("y.case"), format!("{HEAD}{SCENE}main Nonsense\n")).unwrap();
    std::fs::write(folder.path().join("z.case"), format!("{HEAD}{SCENE}main NtClose handle=bad\n")).unwrap();
    refused(&tandem(folder.path(), &["run", "."]), &["x.case:1", "y.case:4"]);
}

#[test]
fn paths_that_lead_to_no_case_are_refused() {
    let folder = folder("");
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    refused(&tandem(folder.path(), &["run", "y.case"]), &["nothing lies at y.case; did you mean x.case?"]);
    refused(&tandem(folder.path(), &["run", "empty"]), &["no case lies below empty"]);
    refused(&tandem(folder.path(), &["run", "x.case"]), &["x.case"]);
    refused(&tandem(folder.path(), &["show", "empty", "--kernel", "nt"]), &["empty is a folder"]);
    std::fs::write(folder.path().join("x.case"), [0xC3, 0x28]).unwrap();
    refused(&tandem(folder.path(), &["run", "x.case"]), &["x.case is no case: it is not UTF-8 text"]);
}

#[test]
fn bad_usage_ends_with_2_and_help_with_0() {
    let here = root();
    refused(&tandem(&here, &["recrod"]), &["recrod", "'record'"]);
    refused(&tandem(&here, &["run", "--left", "ntt"]), &["[possible values: nt, reactos"]);
    refused(&tandem(&here, &["record", "x.case"]), &["--kernel"]);
    let help = tandem(&here, &["--help"]);
    assert_eq!((help.status, help.err.as_str()), (0, ""));
    has(&help.out, &["run", "record", "replay", "diff", "show", "new", "verbs"]);
}

#[test]
fn verbs_are_listed_with_arguments_types_defaults_and_kernels() {
    let ran = tandem(&root(), &["verbs"]);
    assert_eq!(ran.status, 0);
    let entry = ran.out.split("\n\n").find(|entry| entry.contains("NtTerminateProcess "));
    has(entry.expect("NtTerminateProcess is a verb"), &["process", "status", "required", "on every kernel"]);
    for verb in recorder::verbs::table() {
        has(&ran.out, &[verb.name, verb.doc]);
    }
}

/// The closing line, taken apart: cases, agree, differ as written, unexpected.
fn closing(out: &str) -> [usize; 4] {
    let last = out.lines().last().expect("a closing line");
    let numbers: Vec<usize> =
        last.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    let [cases, agree, differ, unexpected] = numbers[..] else { panic!("{last}") };
    let many = if cases == 1 { "case" } else { "cases" };
    let form = format!("{cases} {many}: {agree} agree, {differ} differ as written, {unexpected} unexpected");
    assert_eq!(last, form);
    [cases, agree, differ, unexpected]
}

#[test]
fn a_difference_without_a_reason_and_a_reason_without_a_difference_are_unexpected() {
    let differing = "main NtTerminateProcess process=NULL status=1\n";
    let reason = "# differs: One has a NULL case, the other has none.\n";

    let ran = run(&format!("{HEAD}{SCENE}{differing}"));
    assert_eq!((ran.status, closing(&ran.out)), (1, [1, 0, 0, 1]));
    has(&ran.out, &["unexpected          x.case:4: outcome: nt ", ", reactos ", "# differs:"]);

    let ran = run(&format!("{HEAD}{reason}{SCENE}{differing}"));
    assert_eq!((ran.status, closing(&ran.out)), (0, [1, 0, 1, 0]));
    has(&ran.out, &["differs as written  x.case\n"]);

    let ran = run(&format!("{HEAD}{reason}{SCENE}main NtClose handle=bad\n"));
    assert_eq!((ran.status, closing(&ran.out)), (1, [1, 0, 0, 1]));
    has(&ran.out, &["x.case:2: nt and reactos agree", "One has a NULL case"]);

    let ran = run(&format!("{HEAD}{SCENE}main NtClose handle=bad\n"));
    assert_eq!((ran.status, closing(&ran.out), ran.err.as_str()), (0, [1, 1, 0, 0], ""));
    has(&ran.out, &["agrees              x.case\n"]);
}

#[test]
fn other_kernels_than_the_cases_can_be_named() {
    let text = format!(
        "{HEAD}# differs: Of the case's own pair.\n{SCENE}main NtTerminateProcess process=NULL status=1\n"
    );
    let folder = folder(&text);
    let same = tandem(folder.path(), &["run", "x.case", "--left", "reactos"]);
    assert_eq!((same.status, closing(&same.out)), (0, [1, 1, 0, 0]), "{same:?}");
}

#[test]
fn a_golden_that_is_missing_or_edited_is_unexpected() {
    let folder = tempfile::tempdir().unwrap();
    let name = "termination/null_handle_with_one_thread_does_nothing";
    let (case, golden) = (format!("corpus/{name}.case"), format!("golden/{name}.snap"));
    for file in [&case, &golden] {
        let to = folder.path().join(file);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(root().join(file), to).unwrap();
    }
    let run = || tandem(folder.path(), &[]);
    let ran = run();
    assert_eq!((ran.status, closing(&ran.out)[3]), (0, 0), "{ran:?}");

    let golden = folder.path().join(golden);
    std::fs::write(&golden, read(&golden).replacen("STATUS_", "STATUS_NOT_", 1)).unwrap();
    let ran = run();
    assert_eq!((ran.status, closing(&ran.out)), (1, [1, 0, 0, 1]));
    has(&ran.out, &[&format!("{case}:8: the golden differs"), "STATUS_NOT_", "cargo insta review"]);

    std::fs::remove_file(&golden).unwrap();
    let ran = run();
    assert_eq!(ran.status, 1);
    has(&ran.out, &["the case has no golden", "cargo insta review"]);
}

#[test]
fn json_has_one_object_a_line_with_the_promised_fields() {
    let text = format!("{HEAD}# differs: Why.\n{SCENE}main NtTerminateProcess process=NULL status=1\n");
    let folder = folder(&text);
    std::fs::write(folder.path().join("y.case"), format!("{HEAD}{SCENE}main NtClose handle=bad\n")).unwrap();
    let ran = tandem(folder.path(), &["run", "--format", "json", "."]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let cases: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(cases.len(), 2);
    assert_eq!(cases[0]["case"], "x");
    assert_eq!(cases[0]["kernels"], serde_json::json!(["nt", "reactos"]));
    assert_eq!(cases[0]["reason"], "Why.");
    assert_eq!(cases[0]["differs"], true);
    assert_eq!(cases[0]["first_difference"]["line"], 5);
    assert_eq!(cases[0]["first_difference"]["what"], "outcome");
    let event = &cases[0]["events"][2];
    assert_eq!(event["line"], 5);
    assert_eq!(event["text"], "main NtTerminateProcess process=NULL status=1");
    for kernel in ["nt", "reactos"] {
        assert_eq!(event[kernel]["outcome"]["kind"], "returned");
        assert!(event[kernel]["outcome"]["status"].is_string());
        assert_eq!(event[kernel]["view"]["threads"][0]["name"], "main");
        assert_ne!(cases[0]["first_difference"][kernel], Value::Null);
    }
    assert_eq!(cases[1]["reason"], Value::Null);
    assert_eq!(cases[1]["first_difference"], Value::Null);
    has(&ran.err, &["2 cases: 1 agree, 1 differ as written, 0 unexpected"]);
}

/// A recording of a small case, in a folder, and its bytes.
fn recorded() -> (TempDir, Vec<u8>) {
    let folder = folder(&format!("{HEAD}{SCENE}main NtClose handle=bad\n"));
    let ran = tandem(folder.path(), &["record", "x.case", "--kernel", "nt", "-o", "x.rec"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    has(&ran.out, &["x.rec: x on nt, 3 events, "]);
    let bytes = std::fs::read(folder.path().join("x.rec")).unwrap();
    (folder, bytes)
}

#[test]
fn one_of_a_thing_is_told_in_the_singular() {
    let folder = folder(&format!("{HEAD}process app\n"));
    let nt = ["--kernel", "nt"];
    let runs = [
        (&["run", "x.case"][..], 0, "1 case: 1 agree, 0 differ as written, 0 unexpected"),
        (&["record", "x.case", nt[0], nt[1], "-o", "x.rec"], 0, "x.rec: x on nt, 1 event, "),
        (&["replay", "x.rec"], 0, "x.rec: x on nt: 1 event, "),
        (&["show", "x.case", nt[0], nt[1], "--at", "2"], 2, "x has 1 event; there is no event 2"),
        (&["trace", "x.case", nt[0], nt[1], "--event", "2"], 2, "x has 1 event; there is no event 2"),
        (&["gdb", "x.case", nt[0], nt[1], "--at", "2"], 2, "x has 1 event; there is no event 2"),
    ];
    for (args, status, told) in runs {
        let ran = tandem(folder.path(), args);
        assert_eq!(ran.status, status, "{ran:?}");
        has(&format!("{}{}", ran.out, ran.err), &[told]);
    }
    let bytes = std::fs::read(folder.path().join("x.rec")).unwrap();
    let torn = replay(folder.path(), &bytes[..bytes.len() - 1]);
    has(&torn.err, &[" of 1 event can be read"]);
}

#[test]
fn a_recording_takes_the_place_of_a_recording_and_of_nothing_else() {
    let (folder, _) = recorded();
    let record = |to: &str| tandem(folder.path(), &["record", "x.case", "--kernel", "nt", "-o", to]);
    let read = || std::fs::read(folder.path().join("x.case")).expect("the case");
    let before = read();
    refused(&record("x.case"), &["error: x.case: is there already, and is no recording"]);
    assert_eq!(read(), before, "the case is as it was");
    std::fs::write(folder.path().join("empty"), "").expect("a file");
    for to in ["x.rec", "empty"] {
        assert_eq!(record(to).status, 0, "{to}");
    }
}

#[test]
fn a_recording_is_named_as_it_was_given() {
    let (folder, _) = recorded();
    let in_here = |args: &[&str]| {
        let ran = tandem(folder.path(), args);
        let said = format!("{}{}", ran.out, ran.err);
        assert!(!said.contains(folder.path().to_str().unwrap()), "{said}");
        said
    };
    has(&in_here(&["replay", "x.rec"]), &["x.rec: x on nt: 3 events, "]);
    has(&in_here(&["replay", "z.rec"]), &["error: z.rec: "]);
    has(&in_here(&["replay", "x.case"]), &["error: x.case: this is not a recording"]);
    has(&in_here(&["diff", "x.rec", "x.case"]), &["error: x.case: this is not a recording"]);
    tandem(folder.path(), &["record", "x.case", "--kernel", "reactos", "-o", "y.rec"]);
    assert!(in_here(&["diff", "x.rec", "x.rec"]).ends_with("\nno difference\n"));
    assert!(in_here(&["diff", "x.rec", "y.rec"]).ends_with("\nno difference between nt and reactos\n"));
}

fn replay(folder: &Path, bytes: &[u8]) -> Ran {
    std::fs::write(folder.join("y.rec"), bytes).unwrap();
    tandem(folder, &["replay", "y.rec"])
}

#[test]
fn a_recording_replays_and_a_torn_one_says_where() {
    let (folder, bytes) = recorded();
    let ran = replay(folder.path(), &bytes);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{ran:?}");
    has(
        &ran.out,
        &[
            "y.rec: x on nt: 3 events, ",
            " instructions, the same to the byte: from the start, from 1 checkpoint, and after a round trip\n",
        ],
    );

    let ran = replay(folder.path(), &bytes[..bytes.len() - 1]);
    assert_eq!(ran.status, 2);
    has(&ran.err, &["y.rec: the recording is torn at byte ", " of 3 events can be read"]);
    has(&ran.out, &["the same to the byte"]);
    for cut in (0..bytes.len()).step_by(bytes.len() / 23) {
        let ran = replay(folder.path(), &bytes[..cut]);
        assert_eq!(ran.status, 2, "cut at {cut}: {ran:?}");
        has(&ran.err, &["y.rec"]);
    }
}

#[test]
fn a_damaged_recording_is_refused_wherever_the_bit_is() {
    let (folder, bytes) = recorded();
    for at in (0..bytes.len()).step_by(bytes.len() / 97) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        let ran = replay(folder.path(), &damaged);
        assert_eq!(ran.status, 2, "bit at {at}: {ran:?}");
        has(&ran.err, &["error: ", "y.rec"]);
    }
}

#[test]
fn what_is_no_recording_or_of_another_version_is_refused() {
    let (folder, bytes) = recorded();
    refused(&replay(folder.path(), b""), &["y.rec"]);
    refused(&replay(folder.path(), b"MZ\x90\0 and so on"), &["y.rec: ", "not a recording"]);
    let mut newer = bytes;
    let version = u32::from_le_bytes(newer[8..12].try_into().unwrap());
    newer[8..12].copy_from_slice(&(version + 1).to_le_bytes());
    let told = format!("version {}", version + 1);
    refused(&replay(folder.path(), &newer), &["y.rec: ", &told]);
    refused(&tandem(folder.path(), &["replay", "none.rec"]), &["none.rec"]);
}

/// Takes the kernel's half of the current address space away.
fn unmap_the_kernel(machine: &mut Machine) {
    machine.memory.write(Pa(machine.cpu.cr3 + PAGE / 2), &[0; PAGE as usize / 2]);
}

#[test]
fn a_recording_of_machines_that_a_kernel_cannot_look_at_is_refused_with_the_event_and_the_instant() {
    let (folder, bytes) = recorded();
    let recording = Recording::from_bytes(&bytes).unwrap().recording;
    for spoiled in 0..=recording.events.len() {
        let mut crafted = recording.clone();
        let from = spoiled.checked_sub(1);
        match from {
            None => unmap_the_kernel(&mut crafted.boot.machine),
            Some(index) => unmap_the_kernel(&mut crafted.events[index].machine),
        }
        let event = recording.event(spoiled).unwrap();
        let place = format!("y.rec: event {spoiled}, line {}, instruction {}: nt ", event.line, event.end());
        let ran = replay(folder.path(), &crafted.to_bytes());
        assert_eq!(ran.status, 2, "event {spoiled}: {ran:?}");
        has(&ran.err, &["error: ", &place, "record the case again"]);
        // What is not the recorded machine is told all the same.
        has(&ran.out, &["y.rec: x on nt: from the start: "]);
    }
}

#[test]
fn a_recording_of_machines_that_a_kernel_cannot_look_at_is_not_compared() {
    // The first difference is in event 3, which is not the last.
    let lines = "main NtTerminateProcess process=NULL status=1\nmain NtClose handle=bad\n";
    let folder = folder(&format!("{HEAD}{SCENE}{lines}"));
    for (kernel, file) in [("nt", "nt.rec"), ("reactos", "ros.rec")] {
        let ran = tandem(folder.path(), &["record", "x.case", "--kernel", kernel, "-o", file]);
        assert_eq!(ran.status, 0, "{ran:?}");
    }
    let bytes = std::fs::read(folder.path().join("nt.rec")).unwrap();
    let recording = Recording::from_bytes(&bytes).unwrap().recording;
    // What was left behind is told of booting and the last event, the trace of the first that differs.
    for spoiled in [0, 3, 4] {
        let mut crafted = recording.clone();
        let event = match spoiled {
            0 => &mut crafted.boot,
            event => &mut crafted.events[event - 1],
        };
        unmap_the_kernel(&mut event.machine);
        let (line, end) = (event.line, event.end());
        let place = format!("y.rec: event {spoiled}, line {line}, instruction {end}: nt cannot ");
        std::fs::write(folder.path().join("y.rec"), crafted.to_bytes()).unwrap();
        let commands: [&[&str]; 3] = [
            &["diff", "y.rec", "ros.rec"],
            &["diff", "ros.rec", "y.rec"],
            &["replay", "y.rec", "--kernel", "reactos"],
        ];
        for command in commands {
            let ran = tandem(folder.path(), command);
            assert_eq!(ran.status, 2, "{command:?}, event {spoiled}: {ran:?}");
            has(&ran.err, &["error: ", &place, "record the case again"]);
            assert!(!ran.err.contains("panicked"), "{}", ran.err);
        }
    }
}

#[test]
fn two_recordings_of_one_case_are_compared_and_of_two_cases_refused() {
    let folder = folder(&format!("{HEAD}{SCENE}main NtTerminateProcess process=NULL status=1\n"));
    std::fs::write(folder.path().join("y.case"), format!("{HEAD}{SCENE}main NtClose handle=bad\n")).unwrap();
    let record = |case: &str, kernel: &str, file: &str| {
        let ran = tandem(folder.path(), &["record", case, "--kernel", kernel, "-o", file]);
        assert_eq!(ran.status, 0, "{ran:?}");
    };
    record("x.case", "nt", "nt.rec");
    record("x.case", "reactos", "ros.rec");
    record("y.case", "nt", "y.rec");
    let ran = tandem(folder.path(), &["diff", "nt.rec", "ros.rec"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    has(
        &ran.out,
        &["\nfirst difference: line 4, outcome: ", "\n  nt ", "| reactos\n", "NtTerminateProcess("],
    );
    assert_eq!(tandem(folder.path(), &["diff", "nt.rec", "nt.rec"]).status, 0);
    refused(&tandem(folder.path(), &["diff", "nt.rec", "y.rec"]), &["two different cases: x and y"]);
}

#[test]
fn a_kernel_is_shown_after_an_event() {
    let text =
        format!("{HEAD}{SCENE}thread worker in=app\nworker NtDelayExecution alertable=no interval=forever\n");
    let folder = folder(&text);
    for kernel in ["nt", "reactos"] {
        let show =
            |event: &str| tandem(folder.path(), &["show", "x.case", "--kernel", kernel, "--event", event]);
        let ran = show("4");
        assert_eq!(ran.status, 0, "{ran:?}");
        has(
            &ran.out,
            &["after event 4 of 4", "thread worker (waiting)", "NtDelayExecution", "eip ", "ring 3"],
        );
        assert_eq!(show("0").status, 0);
        refused(&show("5"), &["x has 4 events; there is no event 5"]);
    }
}

#[test]
fn a_new_case_is_written_once_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    refused(&tandem(folder.path(), &["new", "topic/name"]), &["no corpus here"]);
    for name in ["corpus", "golden"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    for name in ["name", "a/b/c", "../x/y", "A/b", "a/", "a/b.case"] {
        refused(&tandem(folder.path(), &["new", name]), &["TOPIC/NAME"]);
    }
    let ran = tandem(folder.path(), &["new", "topic/name"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    has(&ran.out, &["corpus/topic/name.case", "cargo insta review"]);
    refused(&tandem(folder.path(), &["new", "topic/name"]), &["corpus/topic/name.case is there already"]);
    let ran = tandem(folder.path(), &["run", "corpus/topic/name.case"]);
    assert_eq!(ran.status, 1, "only its golden is missing: {ran:?}");
    has(&ran.out, &["the case has no golden"]);
}
