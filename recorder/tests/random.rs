//! Cases that nobody would write: whatever threads do in whatever order, with interrupts anywhere, a
//! kernel is driven to the end of the case, and a replay of it is the same to the byte.

use proptest::prelude::*;
use recorder::{Case, Recording, Replay, kernels, record};

const SCENE: &str = "# A case.\nprocess app\nprocess other\nthread main in=app\nthread worker in=app\n\
                     thread third in=other\ne = main NtCreateEvent type=synchronization\nm = main NtCreateMutant\n";

fn handle() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "app",
        "other",
        "main",
        "worker",
        "third",
        "e",
        "m",
        "self",
        "thread",
        "NULL",
        "bad",
        "8",
        "SystemThread",
    ])
}

fn thread() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["main", "worker", "third", "init"])
}

/// What a thread can do; H stands for a handle.
fn doing() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "NtTerminateProcess process=H status=1",
        "NtTerminateThread thread=H status=2",
        "NtDelayExecution interval=10ms",
        "NtDelayExecution interval=forever alertable=yes",
        "NtWaitForSingleObject handle=H timeout=10ms",
        "NtWaitForSingleObject handle=H alertable=yes",
        "NtWaitForMultipleObjects handles=H,e wait-type=all",
        "NtWaitForMultipleObjects handles=H,H timeout=0",
        "NtSuspendThread thread=H",
        "NtResumeThread thread=H",
        "NtSuspendProcess process=H",
        "NtResumeProcess process=H",
        "NtQueueApcThread thread=H context=3",
        "NtQueueApcThread thread=H routine=entry",
        "NtTestAlert",
        "NtAlertThread thread=H",
        "NtAlertResumeThread thread=H",
        "NtClose handle=H",
        "NtDuplicateObject source=H",
        "NtSetEvent event=H",
        "NtReleaseMutant mutant=H",
        "NtQueryInformationProcess process=H",
        "NtQueryInformationThread thread=H",
        "NtSetInformationProcess process=H class=BreakOnTermination value=1",
        "NtGetContextThread thread=H flags=full|debug|float",
        "NtSetContextThread thread=H flags=control",
        "NtSetContextThread thread=H flags=debug dr0=0x401000 dr7=1",
        "NtContinue flags=full test-alert=yes",
        "NtYieldExecution",
        "NtDebugActiveProcess process=H debug=H",
        "NtWaitForDebugEvent debug=H timeout=10ms",
        "NtAllocateVirtualMemory process=H",
        "NtFreeVirtualMemory base=0x402000",
        "ExitProcess status=5",
        "ExitThread status=6",
        "return value=7",
        "fault kind=read address=0",
        "fault kind=execute address=data",
        "fault kind=privileged",
        "fld1",
        "fnstcw",
    ])
}

fn line() -> impl Strategy<Value = String> {
    let world = prop::sample::select(vec![
        "clock advance=10ms",
        "clock advance=110ms",
        "pool fail count=1 skip=1",
        "pool fail tag=PsEx,TAPC,Psap,KAPC count=2",
        "run",
        "look registers thread=worker",
        "driver enter-critical-region thread=worker",
        "driver leave-critical-region thread=worker",
        "driver queue-apc thread=main target=worker kind=special",
        "driver queue-apc thread=main target=worker kind=normal",
        "driver queue-apc thread=third target=main kind=user",
        "driver wait thread=worker object=e",
        "driver wait thread=main object=m mode=user alertable=yes",
    ]);
    prop_oneof![
        8 => (thread(), doing(), handle(), handle()).prop_map(|(thread, doing, first, second)| {
            format!("{thread} {}", doing.replacen("=H", &format!("={first}"), 1).replacen("=H", &format!("={second}"), 1).replace(",H", &format!(",{second}")))
        }),
        3 => world.prop_map(str::to_owned),
        2 => (0u32..400).prop_map(|after| format!("interrupt after={after}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_case_is_driven_to_its_end(lines in prop::collection::vec(line(), 1..14), late in any::<bool>()) {
        let late = if late { "\nthread late in=app suspended\n" } else { "" };
        let text = format!("{SCENE}{}{late}", lines.join("\n"));
        let case = Case::parse("random", "random", &text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        for kernel in kernels::names().iter().filter_map(|name| kernels::by_name(name)) {
            let start = std::time::Instant::now();
            let recording = record(&case, kernel).map_err(|error| TestCaseError::fail(format!("{text}\n{error}")))?;
            let took = start.elapsed();
            prop_assert!(took.as_millis() < 2000, "{} on {}: {:?}", text, kernel.name(), took);
            let read = Recording::from_bytes(&recording.to_bytes());
            let read = read.map_err(|error| TestCaseError::fail(error.to_string()))?.recording;
            let mut replay = Replay::start(&read, kernel);
            while let Some(replayed) = replay.next_event().expect("it has booted before") {
                prop_assert!(replayed.same, "{} on {}: {:?}", text, kernel.name(), replayed.strayed);
            }
        }
    }
}
