//! What a person reads when a case is wrong: the whole message, as it appears.

use proptest::prelude::*;
use recorder::{Case, verbs};

const HEAD: &str = "# A sentence.\n";

/// Checks the message for a case of these lines under a title, and that it says where it is.
#[track_caller]
fn check(lines: &str, expected: &str) {
    whole(&format!("{HEAD}{lines}"), expected);
}

#[track_caller]
fn whole(text: &str, expected: &str) {
    let error = Case::parse("corpus/topic/name.case", "topic/name", text).expect_err("the case is wrong");
    let found = error.to_string();
    assert_eq!(found, expected.trim_matches('\n'), "\n{found}\n");
    let place = format!("corpus/topic/name.case:{}:{}", error.line, error.column);
    assert!(found.contains(&place), "{place}");
    assert!(!found.contains('\u{1b}') && error.coloured().contains('\u{1b}'));
}

#[test]
fn a_misspelt_name() {
    check(
        "process app\nthread main in=app\nmian NtTestAlert\n",
        "
error: nothing is named `mian`
 --> corpus/topic/name.case:4:1
  |
3 | thread main in=app
  |        ---- `main` is created here
4 | mian NtTestAlert
  | ^^^^ did you mean `main`?",
    );
    check(
        "process app\nevent e in=app\n",
        "
error: nothing is named `event`
 --> corpus/topic/name.case:3:1
  |
3 | event e in=app
  | ^^^^^ not created before this line
  |
  = help: a line begins with a thread (`e = main NtCreateEvent` creates an event), or with one of clock, driver, hurry, interrupt, look, pool, process, repeat, run, stop, thread",
    );
    check(
        "process app\nclok advance=10ms\n",
        "
error: nothing is named `clok`
 --> corpus/topic/name.case:3:1
  |
3 | clok advance=10ms
  | ^^^^ did you mean `clock`?",
    );
    // A process and a thread of the system do nothing in a case.
    for name in ["victim", "SystemThread"] {
        let misspelt = &name[..name.len() - 1];
        let text = format!("# A sentence.\nprocess victim\n{misspelt} NtTestAlert\n");
        let error = Case::parse("corpus/topic/name.case", "topic/name", &text).unwrap_err().to_string();
        assert!(
            error.contains("not created before this line") && error.contains("a line begins with a thread"),
            "{error}"
        );
    }
    check(
        "process app\nthread main in=ap\n",
        "
error: nothing is named `ap`
 --> corpus/topic/name.case:3:16
  |
2 | process app
  |         --- `app` is created here
3 | thread main in=ap
  |                ^^ did you mean `app`?",
    );
}

#[test]
fn a_use_before_creation() {
    check(
        "process app\nthread main in=app\nmain NtTerminateThread thread=worker\nthread worker in=app\n",
        "
error: nothing is named `worker`
 --> corpus/topic/name.case:4:31
  |
4 | main NtTerminateThread thread=worker
  |                               ^^^^^^ not created before this line
5 | thread worker in=app
  |        ------ created only here",
    );
}

#[test]
fn an_unknown_verb() {
    check(
        "process app\nthread main in=app\nmain NtTerminateThred thread=thread\n",
        "
error: there is no verb `NtTerminateThred`
 --> corpus/topic/name.case:4:6
  |
4 | main NtTerminateThred thread=thread
  |      ^^^^^^^^^^^^^^^^ did you mean `NtTerminateThread`?
  |
  = help: `tandem verbs` lists every verb with its arguments",
    );
    check(
        "pool fial count=1\n",
        "
error: there is no verb `fial`
 --> corpus/topic/name.case:2:6
  |
2 | pool fial count=1
  |      ^^^^ did you mean `fail`?
  |
  = help: `tandem verbs` lists every verb with its arguments",
    );
    check(
        "process app\nthread main in=app\nmain\n",
        "
error: `main` does nothing
 --> corpus/topic/name.case:4:1
  |
4 | main
  | ^^^^ expected a verb behind it",
    );
}

#[test]
fn arguments_that_do_not_do() {
    let scene = "process app\nthread main in=app\n";
    check(
        &format!("{scene}main NtTerminateThread thred=thread\n"),
        "
error: `NtTerminateThread` has no argument `thred`
 --> corpus/topic/name.case:4:24
  |
4 | main NtTerminateThread thred=thread
  |                        ^^^^^ did you mean `thread`?
  |
  = help: `NtTerminateThread` takes thread, status",
    );
    check(
        &format!("{scene}main NtTerminateThread status=1\n"),
        "
error: `NtTerminateThread` needs `thread=`
 --> corpus/topic/name.case:4:6
  |
4 | main NtTerminateThread status=1
  |      ^^^^^^^^^^^^^^^^^ the thread: a name, self, thread, NULL, bad or a number; h+3",
    );
    check(
        &format!("{scene}main NtTerminateThread thread=thread status=STATUS_SUCESS\n"),
        "
error: there is no status `STATUS_SUCESS`
 --> corpus/topic/name.case:4:45
  |
4 | main NtTerminateThread thread=thread status=STATUS_SUCESS
  |                                             ^^^^^^^^^^^^^ did you mean `STATUS_SUCCESS`?",
    );
    check(
        &format!("{scene}main NtTerminateThread thread=thread status=0x1FFFFFFFF\n"),
        "
error: `0x1FFFFFFFF` does not fit the 32 bits of `status`
 --> corpus/topic/name.case:4:45
  |
4 | main NtTerminateThread thread=thread status=0x1FFFFFFFF
  |                                             ^^^^^^^^^^^ expected a status",
    );
    check(
        &format!("{scene}main NtTerminateThread thread=thread thread=main\n"),
        "
error: `thread` is given twice
 --> corpus/topic/name.case:4:38
  |
4 | main NtTerminateThread thread=thread thread=main
  |                        ------------- ^^^^^^^^^^^ the second time
  |                        |
  |                        the first time",
    );
    check(
        &format!("{scene}main NtOpenProcess process=app access=PROCESS_TERMINATE|PROCESS_VM_REED\n"),
        "
error: there is no access right `PROCESS_VM_REED`
 --> corpus/topic/name.case:4:57
  |
4 | main NtOpenProcess process=app access=PROCESS_TERMINATE|PROCESS_VM_REED
  |                                                         ^^^^^^^^^^^^^^^ did you mean `PROCESS_VM_READ`?
  |
  = help: there is PROCESS_ALL_ACCESS, PROCESS_TERMINATE, PROCESS_CREATE_THREAD,
          PROCESS_VM_OPERATION, PROCESS_VM_READ, PROCESS_VM_WRITE, PROCESS_DUP_HANDLE,
          PROCESS_CREATE_PROCESS, PROCESS_SET_QUOTA, PROCESS_SET_INFORMATION,
          PROCESS_QUERY_INFORMATION, PROCESS_SUSPEND_RESUME, PROCESS_SET_PORT, THREAD_ALL_ACCESS,
          THREAD_TERMINATE, THREAD_SUSPEND_RESUME, THREAD_ALERT, THREAD_GET_CONTEXT,
          THREAD_SET_CONTEXT, THREAD_SET_INFORMATION, THREAD_QUERY_INFORMATION,
          THREAD_SET_THREAD_TOKEN, THREAD_IMPERSONATE, THREAD_DIRECT_IMPERSONATION,
          DEBUG_OBJECT_ALL_ACCESS, DEBUG_OBJECT_WAIT_STATE_CHANGE, DEBUG_OBJECT_ADD_REMOVE_PROCESS,
          DEBUG_OBJECT_SET_INFORMATION, EVENT_ALL_ACCESS, EVENT_QUERY_STATE, EVENT_MODIFY_STATE,
          MUTANT_ALL_ACCESS, MUTANT_QUERY_STATE, SEMAPHORE_ALL_ACCESS, SEMAPHORE_QUERY_STATE,
          SEMAPHORE_MODIFY_STATE, SYNCHRONIZE, DELETE, READ_CONTROL, WRITE_DAC, WRITE_OWNER,
          MAXIMUM_ALLOWED, GENERIC_ALL, GENERIC_EXECUTE, GENERIC_WRITE or GENERIC_READ",
    );
    check(
        "clock advance=5ms\n",
        "
error: the clock cannot advance by `5ms`
 --> corpus/topic/name.case:2:15
  |
2 | clock advance=5ms
  |               ^^^ expected a multiple of 10ms, up to 60s",
    );
    check(
        &format!("{scene}main fault kind=reed\n"),
        "
error: there is no kind of fault `reed`
 --> corpus/topic/name.case:4:17
  |
4 | main fault kind=reed
  |                 ^^^^ did you mean `read`?
  |
  = help: there is read, write, execute, divide, breakpoint, undefined, privileged, overflow,
          bounds, float-divide, float-invalid, step, interrupt or msr",
    );
}

#[test]
fn what_cannot_be_repeated() {
    check(
        "repeat times=301\n",
        "
error: an event cannot happen `301` times
 --> corpus/topic/name.case:2:14
  |
2 | repeat times=301
  |              ^^^ expected 1 to 300",
    );
    check(
        "repeat times=2\nprocess app\n",
        "
error: `process` cannot be repeated
 --> corpus/topic/name.case:3:1
  |
3 | process app
  | ^^^^^^^ expected a thread that acts, or a driver",
    );
}

#[test]
fn offsets_that_do_not_do() {
    let scene = "process app\nthread main in=app\nm = main NtAllocateVirtualMemory\n";
    check(
        &format!("{scene}main load address=m+x\n"),
        "
error: `x` is not a number
 --> corpus/topic/name.case:5:19
  |
5 | main load address=m+x
  |                   ^^^ expected a number behind +",
    );
    check(
        &format!("{scene}main NtClose handle=man+3\n"),
        "
error: nothing is named `man`
 --> corpus/topic/name.case:5:21
  |
3 | thread main in=app
  |        ---- `main` is created here
4 | m = main NtAllocateVirtualMemory
5 | main NtClose handle=man+3
  |                     ^^^ did you mean `main`?",
    );
}

#[test]
fn names_that_do_not_do() {
    check(
        "process app\nprocess app\n",
        "
error: `app` is a process already
 --> corpus/topic/name.case:3:9
  |
2 | process app
  |         --- created here
3 | process app
  |         ^^^ choose another name",
    );
    check(
        "process app\napp NtTestAlert\n",
        "
error: `app` is a process, and cannot act
 --> corpus/topic/name.case:3:1
  |
2 | process app
  |         --- created here
3 | app NtTestAlert
  | ^^^ expected a thread of the case, or `init`",
    );
    check(
        "process app\nprocess other\nthread main in=app\nthread o in=other\nh = main NtOpenProcess process=other\no NtClose handle=h\n",
        "
error: `h` is a handle of the process `app`
 --> corpus/topic/name.case:7:11
  |
6 | h = main NtOpenProcess process=other
  | - bound here
7 | o NtClose handle=h
  |           ^^^^^^^^ `o` runs in `other`",
    );
    check(
        "process Self\n",
        "
error: `Self` cannot be a name
 --> corpus/topic/name.case:2:9
  |
2 | process Self
  |         ^^^^ not a name
  |
  = help: a name starts with a small letter and has at most 32 letters, digits, `_` and `-`",
    );
    check(
        "process app\nthread main in=app\nh = main NtTestAlert\n",
        "
error: `NtTestAlert` gives nothing back that could be named
 --> corpus/topic/name.case:4:1
  |
4 | h = main NtTestAlert
  | ^        ----------- returns a status alone
  | |
  | nothing to bind",
    );
}

#[test]
fn headers_that_do_not_do() {
    whole(
        "process app\n",
        "
error: the case has no title
 --> corpus/topic/name.case:1:1
  |
1 | process app
  | ^^^^^^^ expected a comment first
  |
  = help: a case starts with a sentence about behaviour: `# A NULL process handle ends …`",
    );
    whole(
        "",
        "
error: the case has no title
 --> corpus/topic/name.case:1:1
  |
1 |
  | ^ expected a comment first
  |
  = help: a case starts with a sentence about behaviour: `# A NULL process handle ends …`",
    );
    check(
        "# kernel: nt reactos\nprocess app\n",
        "
error: a case has no header line `kernel:`
 --> corpus/topic/name.case:2:3
  |
2 | # kernel: nt reactos
  |   ^^^^^^ did you mean `kernels`?",
    );
    check(
        "# kernels: nt reactos-msvc\nprocess app\n",
        "
error: there is no kernel `reactos-msvc`
 --> corpus/topic/name.case:2:15
  |
2 | # kernels: nt reactos-msvc
  |               ^^^^^^^^^^^^ did you mean `reactos-msvc6`?
  |
  = help: the kernels are nt, reactos, reactos-r13089, reactos-msvc6",
    );
    check(
        "# kernels: nt\nprocess app\n",
        "
error: `kernels:` takes two kernels
 --> corpus/topic/name.case:2:12
  |
2 | # kernels: nt
  |            ^^ name the two that are compared",
    );
    check(
        "# covers: NT-2 RSO-4\nprocess app\n",
        "
error: `RSO-4` is not the number of a rule
 --> corpus/topic/name.case:2:16
  |
2 | # covers: NT-2 RSO-4
  |                ^^^^^ expected `NT-` or `ROS-` and a number
  |
  = help: rules are those of nt52.md section 13 (`NT-2`) and reactos.md section 12 (`ROS-30b`); a section is named behind its sheet (`nt52.md 8.13`)",
    );
    check(
        "# covers: NT-2 ROS-101\nprocess app\n",
        "
error: reactos.md has no rule ROS-101
 --> corpus/topic/name.case:2:16
  |
2 | # covers: NT-2 ROS-101
  |                ^^^^^^^ no such rule
  |
  = help: rules are those of nt52.md section 13 (`NT-2`) and reactos.md section 12 (`ROS-30b`); a section is named behind its sheet (`nt52.md 8.13`)",
    );
    check(
        "# covers: nt52.md 8.13 reactos.md 8.13\nprocess app\n",
        "
error: reactos.md has no section 8.13
 --> corpus/topic/name.case:2:35
  |
2 | # covers: nt52.md 8.13 reactos.md 8.13
  |                                   ^^^^ no such section
  |
  = help: rules are those of nt52.md section 13 (`NT-2`) and reactos.md section 12 (`ROS-30b`); a section is named behind its sheet (`nt52.md 8.13`)",
    );
    check(
        "# covers: NT-2 nt52.md\nprocess app\n",
        "
error: no section of nt52.md is named
 --> corpus/topic/name.case:2:16
  |
2 | # covers: NT-2 nt52.md
  |                ^^^^^^^ expected its number behind it
  |
  = help: rules are those of nt52.md section 13 (`NT-2`) and reactos.md section 12 (`ROS-30b`); a section is named behind its sheet (`nt52.md 8.13`)",
    );
    check(
        "\n",
        "
error: the case has no events
 --> corpus/topic/name.case:1:3
  |
1 | # A sentence.
  |   ^^^^^^^^^^^ nothing follows
  |
  = help: `tandem new TOPIC/NAME` writes one to start from",
    );
}

#[test]
fn a_routine_that_no_kernel_has() {
    check(
        "process app\nthread main in=app\nstop at=KiInitialiseUserApc\nmain NtTestAlert\n",
        "
error: no kernel has a routine `KiInitialiseUserApc`
 --> corpus/topic/name.case:4:9
  |
4 | stop at=KiInitialiseUserApc
  |         ^^^^^^^^^^^^^^^^^^^ did you mean `KiInitializeUserApc`?
  |
  = help: `tandem trace` shows the routines that a case runs through",
    );
    check(
        "stop\n",
        "
error: `stop` needs `at=`
 --> corpus/topic/name.case:2:1
  |
2 | stop
  | ^^^^ the routine: a name that a kernel has for its code, such as KiDeliverApc",
    );
}

/// The column counts characters, and a tab is one.
#[test]
fn the_excerpt_stands_still_whatever_the_text_holds() {
    check(
        "process äpp\n",
        "
error: `äpp` cannot be a name
 --> corpus/topic/name.case:2:9
  |
2 | process äpp
  |         ^^^ not a name
  |
  = help: a name starts with a small letter and has at most 32 letters, digits, `_` and `-`",
    );
    check(
        "process\tapp\r\nthread\tmain\tin=ap\r\n",
        "
error: nothing is named `ap`
 --> corpus/topic/name.case:3:16
  |
2 | process app
  |         --- `app` is created here
3 | thread main in=ap
  |                ^^ did you mean `app`?",
    );
}

#[test]
fn a_case_says_what_its_header_says() {
    let text = "# A sentence that\n#   goes on.\n# differs: one way\n#   and another\n# covers: NT-2 nt52.md 8.13 ROS-30b reactos.md 9.4.1\n\
                # kernels: reactos reactos-msvc6\n# A remark: nothing.\n\nprocess  app   # with a remark\n";
    let case = Case::parse("x", "topic/name", text).unwrap();
    assert_eq!(case.title, "A sentence that goes on.");
    assert_eq!(case.differs.as_deref(), Some("one way and another"));
    assert_eq!(case.covers, ["NT-2", "nt52.md 8.13", "ROS-30b", "reactos.md 9.4.1"]);
    assert_eq!(case.kernels, ("reactos".to_owned(), "reactos-msvc6".to_owned()));
    assert_eq!((case.lines[0].number, case.lines[0].text.as_str()), (9, "process app"));
}

#[test]
fn every_default_of_the_table_is_a_value() {
    for verb in verbs::table() {
        let mut line = match verb.by {
            verbs::By::Thread => format!("main {}", verb.name),
            _ => verb.name.to_owned(),
        };
        for argument in verb.args {
            if argument.default == verbs::Default::Required {
                line += &match argument.kind {
                    verbs::Kind::NewName => " fresh".to_owned(),
                    verbs::Kind::Thread => format!(" {}=main", argument.key),
                    verbs::Kind::Process => format!(" {}=app", argument.key),
                    verbs::Kind::Times => format!(" {}=2", argument.key),
                    verbs::Kind::Bool => format!(" {}=yes", argument.key),
                    verbs::Kind::Routine => format!(" {}=NtTestAlert", argument.key),
                    verbs::Kind::Time | verbs::Kind::Ticks => format!(" {}=10ms", argument.key),
                    verbs::Kind::Word(choices) | verbs::Kind::Choice(choices) => {
                        format!(" {}={}", argument.key, choices.words[0].0)
                    }
                    _ => format!(" {}=0", argument.key),
                };
            }
        }
        let text = format!("{HEAD}process app\nthread main in=app\n{line}\n");
        if let Err(error) = Case::parse("table", "table", &text) {
            panic!("{error}");
        }
    }
}

#[test]
fn every_case_of_the_corpus_parses() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let mut found = 0;
    for topic in std::fs::read_dir(corpus).unwrap().flatten() {
        for file in std::fs::read_dir(topic.path()).into_iter().flatten().flatten() {
            if file.path().extension().is_some_and(|extension| extension == "case") {
                let text = std::fs::read_to_string(file.path()).unwrap();
                let path = file.path().display().to_string();
                if let Err(error) = Case::parse(&path, "topic/name", &text) {
                    panic!("{error}");
                }
                found += 1;
            }
        }
    }
    assert!(found > 10, "the corpus has {found} cases");
}

/// A line made of the words that cases are made of.
fn line() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "process",
        "thread",
        "main",
        "app",
        "in=app",
        "suspended",
        "=",
        "h",
        "pool",
        "fail",
        "driver",
        "wait",
        "look",
        "registers",
        "thread=main",
        "clock",
        "advance=10ms",
        "NtOpenProcess",
        "NtClose",
        "handle=h",
        "process=app",
        "access=1|2",
        "tag=a,b",
        "#",
        "x=",
        "=x",
        "handles=h,NULL,bad",
        "init",
        "\t",
        "ä",
        "NtWaitForMultipleObjects",
        "status=0x",
        "interval=99999999999s",
        "eip=entry+0x10",
        "run",
    ]);
    prop::collection::vec(words, 0..8).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_case_or_an_error(text in "\\PC*|(?s).{0,200}") {
        if let Err(error) = Case::parse("any", "any", &text) {
            prop_assert!(!error.to_string().is_empty());
            prop_assert!(!error.coloured().is_empty());
        }
    }

    #[test]
    fn any_words_are_a_case_or_an_error(lines in prop::collection::vec(line(), 0..12), ends in any::<bool>()) {
        let end = if ends { "\r\n" } else { "\n" };
        let text = format!("{HEAD}process app{end}thread main in=app{end}{}", lines.join(end));
        if let Err(error) = Case::parse("any", "any", &text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
