//! What calls are given and give back, on a real kernel: handles, values, CONTEXTs, addresses.
//! What the services do is the kernel's business; what is tried here is that they are called right.

use recorder::{Case, Recording, kernels, record};

const SCENE: &str = "# A sentence.\nprocess app\nprocess other\nthread main in=app\nthread worker in=app\n\
                     thread third in=other\n";

fn recorded(lines: &[&str]) -> Recording {
    recorded_on("reactos", lines)
}

fn recorded_on(kernel: &str, lines: &[&str]) -> Recording {
    let text = format!("{SCENE}{}\n", lines.join("\n"));
    let case = Case::parse("calls", "calls", &text).unwrap_or_else(|error| panic!("{error}"));
    let kernel = kernels::by_name(kernel).expect("it exists");
    record(&case, kernel).unwrap_or_else(|error| panic!("{error}"))
}

/// Pairs of lines and what comes of them.
#[track_caller]
fn check(pairs: &[(&str, &str)]) {
    let lines: Vec<&str> = pairs.iter().map(|(line, _)| *line).collect();
    let recording = recorded(&lines);
    let outcomes: Vec<_> = recording.events[5..].iter().map(|event| event.outcome.to_string()).collect();
    let found: Vec<(&str, &str)> = lines.into_iter().zip(outcomes.iter().map(String::as_str)).collect();
    assert_eq!(found, pairs);
}

#[test]
fn a_name_is_a_handle_in_every_process_that_uses_it() {
    let lines = [
        "e = main NtCreateEvent type=notification",
        "third NtSetEvent event=e",
        "init NtResetEvent event=e",
        "third NtSuspendThread thread=worker",
        "third NtTerminateProcess process=app status=1",
    ];
    let recording = recorded(&lines);
    let outcomes: Vec<_> = recording.events[5..].iter().map(|event| event.outcome.to_string()).collect();
    assert_eq!(
        outcomes,
        [
            "returned STATUS_SUCCESS",
            "returned STATUS_SUCCESS previous=0",
            "returned STATUS_SUCCESS previous=1",
            "returned STATUS_SUCCESS previous=0",
            "returned STATUS_SUCCESS"
        ]
    );
    let handles = |event: usize| {
        let handles = &recording.events[event].view.handles;
        handles.iter().map(|(name, open)| format!("{name} {open}")).collect::<Vec<_>>().join(", ")
    };
    // Only who uses a name gets a handle, and `init`'s own are not the case's.
    assert_eq!(handles(4), "other:app true, other:worker true");
    assert_eq!(handles(5), "other:app true, other:worker true, app:e true, other:e true");
    assert_eq!(handles(8), handles(5), "a thread in the process is suspended and keeps it alive");
}

#[test]
fn a_handle_and_a_number_can_be_bound() {
    check(&[
        ("h = main NtDuplicateObject source=worker", "returned STATUS_SUCCESS"),
        ("main NtSuspendThread thread=h", "returned STATUS_SUCCESS previous=0"),
        ("was = main NtResumeThread thread=h", "returned STATUS_SUCCESS previous=1"),
        ("main NtClose handle=h", "returned STATUS_SUCCESS"),
        ("main NtResumeThread thread=h", "returned STATUS_INVALID_HANDLE"),
        ("there = main NtAllocateVirtualMemory size=0x3000", "returned STATUS_SUCCESS"),
        ("main fault kind=write address=there", "done"),
        ("main NtFreeVirtualMemory base=there", "returned STATUS_SUCCESS"),
        ("main fault kind=write address=data+0x10", "done"),
        ("main fault kind=write address=there", "did not return"),
    ]);
}

#[test]
fn pseudo_handles_and_literals_are_what_they_say() {
    check(&[
        ("main NtQueryInformationProcess process=self", "returned STATUS_SUCCESS exit-status=STATUS_SUCCESS"),
        (
            "main NtQueryInformationThread thread=thread class=AmILastThread",
            "returned STATUS_SUCCESS value=00000000",
        ),
        ("main NtClose handle=NULL", "returned STATUS_INVALID_HANDLE"),
        ("main NtClose handle=bad", "returned STATUS_INVALID_HANDLE"),
        ("main NtClose handle=0x2222", "returned STATUS_INVALID_HANDLE"),
        ("main NtTerminateProcess process=worker status=1", "returned STATUS_OBJECT_TYPE_MISMATCH"),
        ("main NtWaitForMultipleObjects handles=worker,main timeout=0", "returned STATUS_TIMEOUT"),
        ("main NtWaitForSingleObject handle=third timeout=none", "waits"),
    ]);
}

#[test]
fn a_context_is_written_and_read_by_its_groups() {
    check(&[
        (
            "main NtGetContextThread thread=thread flags=control|integer",
            "returned STATUS_SUCCESS flags=control|integer eip=NtGetContextThread+B cs=001B ss=0023 eflags=00000202 \
             eax=00000042 ebx=00000000 ecx=00000000 edx=00000000 esi=00000000 edi=00000000",
        ),
        // It goes on at `park`, where it came from: the call itself never comes back.
        ("main NtContinue flags=full", "did not return"),
        ("main NtTestAlert", "returned STATUS_ALERTED"),
        ("worker NtContinue flags=full eip=0", "did not return"),
        ("worker NtTestAlert", "unavailable: terminated"),
    ]);
}

#[test]
fn time_passes_when_the_clock_says_so() {
    check(&[
        ("worker NtDelayExecution interval=25ms", "waits"),
        ("run", "done"),
        ("clock advance=20ms", "done"),
        ("worker NtTestAlert", "unavailable: waiting"),
        ("clock advance=10ms", "done"),
        ("worker NtTestAlert", "returned STATUS_ALERTED"),
    ]);
}

#[test]
fn what_was_never_created_cannot_be_used() {
    check(&[
        ("d = main NtCreateDebugObject", "unavailable: no such service"),
        ("main NtClose handle=d", "unavailable: never created"),
        ("h = main NtOpenProcess process=other", "returned STATUS_SUCCESS"),
        ("main NtTerminateProcess process=h status=3", "returned STATUS_SUCCESS"),
        ("n = main NtOpenProcess process=other", "returned STATUS_PROCESS_IS_TERMINATING"),
        ("main NtClose handle=n", "unavailable: never created"),
        ("third NtTestAlert", "unavailable: terminated"),
    ]);
}

#[test]
fn who_is_ready_and_does_not_get_the_processor_is_not_busy() {
    check(&[
        ("driver set-priority thread=main target=worker priority=12", "is ready, without the processor"),
        ("main NtTestAlert", "unavailable: not scheduled"),
        ("driver set-priority thread=worker target=worker priority=8", "returned STATUS_SUCCESS"),
        ("main NtTestAlert", "returned STATUS_ALERTED"),
    ]);
    // Who spins in the kernel, with the processor, is: ReactOS's thread that is created suspended.
    check(&[
        ("thread late in=other suspended", "done"),
        ("driver set-priority thread=main target=late priority=10", "is ready, without the processor"),
        ("third NtTestAlert", "unavailable: not scheduled"),
    ]);
}

#[test]
fn an_event_in_a_hurry_sees_early_that_its_caller_is_passed_over() {
    let lines = [
        "e = main NtCreateEvent type=synchronization",
        "driver set-priority thread=worker target=worker priority=12",
        "worker NtWaitForSingleObject handle=e",
        "hurry",
        "main NtSetEvent event=e",
    ];
    let recording = recorded_on("nt", &lines);
    let [.., before, event] = &recording.events[..] else { panic!("there are events") };
    assert_eq!(event.outcome.to_string(), "is ready, without the processor");
    let took = event.end() - before.end();
    assert!(took < 30_000, "{took} instructions");
    // Who was woken without a reason to run at once is ready, when the event ends before its turn.
    let recording = recorded_on("reactos", &lines);
    let worker = recording.events.last().unwrap().view.threads.iter().find(|thread| thread.name == "worker");
    let call = worker.and_then(|worker| worker.call.as_deref());
    assert_eq!(call, Some("NtWaitForSingleObject is ready, without the processor"));
}
