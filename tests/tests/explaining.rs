//! The commands that explain: what they say of a case of the corpus, and to bad input.

use tests::{Ran, root, tandem};

const CASE: &str = "corpus/termination/null_handle_ends_the_others.case";

fn run(args: &[&str]) -> Ran {
    tandem(&root(), args)
}

#[track_caller]
fn has(ran: &Ran, status: u8, parts: &[&str]) {
    assert_eq!(ran.status, status, "{ran:?}");
    for part in parts {
        assert!(ran.out.contains(part), "`{part}` is missing in:\n{}", ran.out);
    }
}

#[track_caller]
fn refused(args: &[&str], told: &str) {
    let ran = run(args);
    assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{ran:?}");
    assert!(ran.err.contains(told), "`{told}` is missing in:\n{}", ran.err);
}

#[test]
fn explain_tells_the_facts_the_calls_the_fields_the_stacks_and_the_code() {
    let ran = run(&["explain", CASE]);
    has(
        &ran,
        1,
        &[
            "null_handle_ends_the_others: nt and reactos part in event 7, line 12\n",
            "  nt       outcome               returned STATUS_SUCCESS\n",
            "  reactos  outcome               returned STATUS_INVALID_HANDLE\n",
            "  nt       thread worker state   terminated\n",
            "  reactos  thread worker state   waiting\n",
            "ReactOS has no NULL case",
            "NtTerminateProcess(00000000, STATUS_CONTROL_C_EXIT) = STATUS_INVALID_HANDLE",
            "worker ETHREAD.CrossThreadFlags 00000000 -> 00000001 Terminated\n",
            "worker ETHREAD.ExitStatus 00000103 STATUS_PENDING -> C000013A STATUS_CONTROL_C_EXIT\n",
            "thread main: NtTerminateProcess(",
            "  KTRAP_FRAME\n",
            "  native\n",
            "nothing that follows from it differs later\n",
        ],
    );
    // Interrupts by which the recorder rotates the scheduler are told in a line, unless one asks.
    let clock = |ran: &Ran| ran.out.matches("KeUpdateSystemTime(").count();
    has(&ran, 1, &["\n    (2 clock interrupts)", "\n  (sleeper)"]);
    let unfolded = run(&["explain", CASE, "--interrupts"]);
    assert!(clock(&ran) == 0 && clock(&unfolded) > 0, "{unfolded:?}");
    assert!(!unfolded.out.contains("clock interrupt"), "{unfolded:?}");
    // The set is the smallest: exit statuses go without saying.
    assert!(!ran.out.contains("exit status"), "{}", ran.out);
    has(&run(&["explain", CASE, "--right", "nt"]), 0, &["nt and nt agree"]);
}

#[test]
fn resync_tells_of_what_does_not_follow_from_the_first_difference() {
    let text = "# Two differences.\n# differs: Twice.\nprocess app\nthread main in=app\nthread worker in=app\n\
                worker NtDelayExecution alertable=no interval=forever\n\
                main NtTerminateProcess process=NULL status=1\n\
                worker NtTestAlert\nmain NtTerminateThread thread=NULL status=1\n";
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("x.case"), text).expect("a case");
    let parts = |args: &[&str]| {
        let ran = tandem(folder.path(), args);
        let told = ran.out.lines().filter(|line| line.contains(" part in event ")).map(str::to_owned);
        (told.collect::<Vec<_>>(), ran)
    };
    let (first, ran) = parts(&["explain", "x.case"]);
    assert_eq!(first.len(), 1, "{ran:?}");
    let told = "what follows from it differs in 2 later events\n  line 8, worker NtTestAlert: outcome, ";
    assert!(ran.out.contains(told), "{ran:?}");
    let (all, ran) = parts(&["explain", "x.case", "--resync"]);
    assert_eq!(all[0], first[0], "{ran:?}");
    assert!(ran.out.contains("what follows from it differs in 2 later events\n"), "{ran:?}");
    // What the dead worker does not do follows; that line is not told of.
    assert!(!all.iter().any(|line| line.contains("line 8")), "{all:?}");
}

#[test]
fn what_does_not_follow_from_the_first_difference_is_told_apart_from_what_does() {
    let case = "corpus/apc/test_alert_runs_apcs.case";
    let other = "1 more difference does not follow from the first";
    let listed = format!("{other}; `--resync` explains it\n  line 11, main NtTestAlert: thread main ran\n");
    let ran = run(&["explain", case]);
    has(&ran, 1, &[&listed]);
    assert!(!ran.out.contains("what follows from it"), "{}", ran.out);
    let folder = tempfile::tempdir().expect("a folder");
    let case = root().join(case).display().to_string();
    for kernel in ["nt", "reactos"] {
        tandem(folder.path(), &["record", &case, "--kernel", kernel, "-o", kernel]);
    }
    let ran = tandem(folder.path(), &["diff", "nt", "reactos"]);
    has(&ran, 1, &[&format!("; {other}\n")]);
}

#[test]
fn show_stands_anywhere_and_finds_anything_by_name() {
    for kernel in ["nt", "reactos"] {
        let show = |more: &[&str]| run(&[&["show", CASE, "--kernel", kernel], more].concat());
        has(
            &show(&["--at", "7"]),
            0,
            &[
                "after event 7 of 7",
                "\nview\n",
                "\nin use, against the booted machine\n",
                "  threads of app  0 -> ",
                "  handles of app  0 -> ",
                "  references to app  0 -> ",
                "\nleft behind\n  nothing\n",
                "\nregisters: ",
                "\ncode",
            ],
        );
        has(&show(&["--at", "7+60"]), 0, &["in event 7 of 7, after 60 of ", "NtTerminateProcess"]);
        has(
            &show(&["--at", "6", "--struct", "worker.ETHREAD.ExitStatus"]),
            0,
            &["worker ETHREAD.ExitStatus, 4 bytes at "],
        );
        has(&show(&["--struct", "app.EPROCESS"]), 0, &["  +000  Pcb.Header."]);
        has(
            &show(&["--at", "6", "--stack", "worker"]),
            0,
            &["KSWITCHFRAME.", "KTRAP_FRAME.Eip", "NtDelayExecution argument 1", "return address"],
        );
        for (place, told) in [
            ("park,1", "code at park\n    00401003  park  "),
            ("entry+1,1", "code at entry+1\n    00401001  entry+1  "),
            ("NtClose,1", "code at NtClose\n"),
            ("NtTerminateProcess.1,1", "code at NtTerminateProcess.1\n"),
        ] {
            has(&show(&["--code", place]), 0, &[told]);
        }
        has(&show(&["--memory", "00401000,8"]), 0, &["memory at 00401000\n  00401000  EBE58955 5DEC89FE"]);
        has(&show(&["--code", "00401000,3"]), 0, &["entry", "push ebp", "mov ebp, esp", "park"]);
        has(&show(&["--code", "NtClose,0x2"]), 0, &["NtClose"]);
        has(
            &show(&["--memory", "0x00401000,0x8"]),
            0,
            &["memory at 00401000\n  00401000  EBE58955 5DEC89FE"],
        );
        has(&show(&["--at", "6+0"]), 0, &["fields that the event changed\n  nothing\n", "\n  thread 000"]);
        // Within an event too it is told what ran before; at its end all is as after it.
        has(
            &show(&["--at", "7+60"]),
            0,
            &["\nview (what ran and the calls: as before the event)\n", "ran: entry"],
        );
        has(&show(&["--at", "0"]), 0, &["\nview\n  nothing\n", "fields that booting changed\n"]);
        has(&show(&["--at", "7"]), 0, &["  threads of app  0 -> 3\n"]);
        has(&show(&["--struct", "KPCR.Irql"]), 0, &["\nKPCR.Irql, 1 byte at "]);
    }
}

#[test]
fn who_tells_every_change_of_a_field_with_its_routine() {
    let ran = run(&["who", CASE, "--kernel", "nt", "worker.ETHREAD.ExitStatus"]);
    has(
        &ran,
        0,
        &[
            "null_handle_ends_the_others on nt: worker ETHREAD.ExitStatus, 4 bytes at ",
            "\nevent 7, line 12: main NtTerminateProcess process=NULL status=0xC000013A\n",
            "worker        PspExitThread.",
            "          00000103 STATUS_PENDING -> C000013A STATUS_CONTROL_C_EXIT\n",
        ],
    );
    has(
        &run(&["who", CASE, "--kernel", "reactos", "worker.ETHREAD.ExitStatus"]),
        0,
        &["nothing changed it: it is 00000000\n"],
    );
    has(&run(&["who", CASE, "--kernel", "nt", "init.KTHREAD.State"]), 0, &["\nevent 0: booting\n"]);
}

#[test]
fn trace_tells_the_calls_of_each_event() {
    let ran = run(&["trace", CASE, "--kernel", "reactos", "--event", "5"]);
    has(
        &ran,
        0,
        &["event 5, line 9: main NtSuspendThread thread=sleeper\n", "NtSuspendThread(", "(sleeper)"],
    );
    has(&ran, 0, &["     (2 clock interrupts)\n          ("]);
    let unfolded = run(&["trace", CASE, "--kernel", "reactos", "--event", "5", "--interrupts"]);
    assert!(!ran.out.contains("KiInterruptDispatch") && unfolded.out.contains("KiInterruptDispatch"));
    let all = run(&["trace", CASE, "--kernel", "reactos"]);
    assert_eq!(all.out.lines().filter(|line| line.starts_with("event ")).count(), 7);
}

#[test]
fn what_there_is_none_of_is_told_with_the_nearest_name() {
    let show = |more: &[&str], told: &str| refused(&[&["show", CASE, "--kernel", "nt"], more].concat(), told);
    show(&["--struct", "workr.ETHREAD"], "nothing is named workr; did you mean worker?");
    show(&["--struct", "worker.ETHRED"], "nt has no structure ETHRED; did you mean ETHREAD?");
    show(&["--struct", "worker.ETHREAD.ExitStatu"], "did you mean ExitStatus?");
    show(&["--stack", "slepeer"], "no thread is named slepeer; did you mean sleeper?");
    show(&["--at", "8"], "null_handle_ends_the_others has 7 events; there is no event 8");
    show(&["--at", "7+999999"], "event 7 has no instant 999999: its last is ");
    show(&["--at", "seven"], "EVENT or EVENT+INSTRUCTIONS");
    show(&["--memory", "00000000,16"], "00000000 is not mapped");
    show(&["--memory", "00401000,0"], "at most 65536 bytes");
    show(&["--memory", "00401000"], "81003A38,64");
    show(&["--code", "KiSwapContex,5"], "nt has no code named KiSwapContex; did you mean KiSwapContext?");
    show(&["--code", "KiSwapContext,70000"], "at most 65536 instructions");
    show(&["--code", "00000000,5"], "00000000 is not mapped");
    show(&["--struct", "FFFFF000.ETHREAD"], "FFFFF000 is not mapped in its address space");
    show(&["--struct", "401000.KAPC"], "as an address it is written 00401000.KAPC");
    refused(&["who", CASE, "--kernel", "nt", "worker.ETHREAD.ExitStaus"], "did you mean ExitStatus?");
    refused(&["trace", CASE, "--kernel", "nt", "--event", "8"], "there is no event 8");
}

#[test]
fn a_long_story_is_told_without_its_middle() {
    let ran = run(&["explain", "corpus/suspend/count_wraps.case", "--interrupts"]);
    has(
        &ran,
        1,
        &[
            " lines left out: `tandem trace --event 5` tells",
            "NtSuspendThread(",
            "differs in 2 later events\n",
        ],
    );
    assert!(ran.out.lines().count() < 400, "{} lines", ran.out.lines().count());
}
