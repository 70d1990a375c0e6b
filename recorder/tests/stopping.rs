//! Events that `stop` cuts short, on the kernels.

use recorder::{Case, EventRecord, Recording, Replay, kernels, record, record_in_detail};

const SCENE: &str = "# A sentence.\nprocess app\nthread main in=app\nthread worker in=app suspended\n";
const RESUME: &str = "main NtResumeThread thread=worker\n";

fn case(lines: &str) -> Case {
    Case::parse("stopping", "stopping", &format!("{SCENE}{lines}\n"))
        .unwrap_or_else(|error| panic!("{error}"))
}

fn recorded(kernel: &str, lines: &str) -> Recording {
    let kernel = kernels::by_name(kernel).expect("it exists");
    record(&case(lines), kernel).unwrap_or_else(|error| panic!("{error}"))
}

/// Where an event has left the processor.
fn place(kernel: &str, event: &EventRecord) -> String {
    let kernel = kernels::by_name(kernel).expect("it exists");
    kernel.image().symbolize(event.machine.cpu.next())
}

fn facts(event: &EventRecord, thread: &str) -> String {
    let subject = format!("thread {thread}");
    let facts = event.view.facts().into_iter().filter(|fact| fact.subject == subject);
    facts.map(|fact| format!("{} {}", fact.property, fact.value)).collect::<Vec<_>>().join("; ")
}

/// The routines of an event's trace, each as it was entered.
fn entered<'r>(recording: &'r Recording, event: &EventRecord) -> Vec<&'r str> {
    event.trace.iter().filter(|step| step.stage == 0).map(|step| recording.routine(step)).collect()
}

#[test]
fn who_acts_next_does_so_before_the_routine_goes_on() {
    for (kernel, loader) in [("nt", "LdrpInitialize"), ("reactos", "LdrpInit")] {
        let lines =
            format!("stop at=KiInitializeUserApc\n{RESUME}main NtTerminateThread thread=worker status=5");
        let recording = recorded(kernel, &lines);
        let [.., resumed, terminated] = &recording.events[..] else { panic!("there are events") };
        assert_eq!(resumed.outcome.to_string(), "returned STATUS_SUCCESS previous=1");
        assert_eq!(place(kernel, resumed), "KiInitializeUserApc");
        let names = entered(&recording, terminated);
        let first = |name: &str| names.iter().position(|known| *known == name);
        assert!(first("NtTerminateThread").expect("called") < first("KiInitializeUserApc").expect("goes on"));
        assert!(!names.iter().any(|name| name.starts_with(loader)), "{names:?}");
        assert_eq!(facts(terminated, "worker"), "state terminated; exit status 00000005");
    }
}

#[test]
fn a_routine_that_interrupts_run_through_holds_nobody_up() {
    for kernel in ["nt", "reactos"] {
        for order in [["worker", "main"], ["main", "worker"]] {
            let [first, second] = order.map(|thread| format!("{thread} NtTestAlert"));
            let recording = recorded(
                kernel,
                &format!("{RESUME}stop at=KfLowerIrql\nmain NtTestAlert\n{first}\n{second}"),
            );
            let [.., stopped, first, second] = &recording.events[..] else { panic!("there are events") };
            assert_eq!(place(kernel, stopped), "KfLowerIrql");
            for event in [first, second] {
                assert!(event.outcome.to_string().starts_with("returned"), "{kernel}: {}", event.outcome);
            }
            // NT's thread is below DISPATCH_LEVEL: it stays there, however often interrupts run through the
            // routine, and its quantum's end takes the processor from it.
            if kernel == "nt" && order[0] == "worker" {
                assert!(first.inputs.len() < 20, "{} inputs", first.inputs.len());
            }
        }
    }
}

#[test]
fn the_caller_itself_can_be_stopped_and_goes_on() {
    let recording = recorded("nt", "stop at=NtTestAlert\nmain NtTestAlert\nrun");
    let [.., stopped, ran] = &recording.events[..] else { panic!("there are events") };
    assert_eq!(place("nt", stopped), "NtTestAlert");
    assert_eq!(stopped.outcome.to_string(), "is busy in the kernel");
    assert!(
        facts(ran, "main").ends_with("call NtTestAlert returned STATUS_SUCCESS"),
        "{}",
        facts(ran, "main")
    );
}

#[test]
fn a_clock_stops_at_the_tick_that_gets_there() {
    let sleeps = "main NtDelayExecution interval=20ms\nstop at=PspExitThread\nclock advance=30ms";
    let unmoved = recorded("nt", sleeps);
    let advanced = |recording: &Recording| {
        let [.., before, clock] = &recording.events[..] else { panic!("there are events") };
        clock.machine.clock - before.machine.clock
    };
    assert_eq!(advanced(&unmoved), 300_000, "nobody gets there");
    let stopped = recorded("nt", &sleeps.replace("PspExitThread", "KeUpdateSystemTime"));
    assert_eq!(advanced(&stopped), 100_000);
}

#[test]
fn an_event_comes_to_its_end_where_nobody_gets_there() {
    // The second is ReactOS's alone.
    assert_eq!(kernels::by_name("nt").unwrap().image().address("PiBeforeBeginThread"), None);
    for routine in ["PspCatchCriticalBreak", "PiBeforeBeginThread"] {
        let plain = recorded("nt", RESUME);
        let stopped = recorded("nt", &format!("stop at={routine}\n{RESUME}"));
        let [plain, stopped] = [&plain, &stopped].map(|recording| recording.events.last().unwrap());
        assert_eq!(stopped.outcome, plain.outcome);
        assert_eq!(stopped.view, plain.view);
    }
    // And the event behind it is not cut short instead.
    let recording = recorded("nt", "stop at=PspExitThread\nmain NtTestAlert\nmain ExitThread status=3");
    assert_eq!(
        facts(recording.events.last().unwrap(), "main"),
        "state terminated; exit status 00000003; ran entry; call ExitThread did not return"
    );
}

#[test]
fn what_was_cut_short_replays_to_the_byte() {
    for name in ["nt", "reactos"] {
        let kernel = kernels::by_name(name).expect("it exists");
        let case = case(&format!(
            "stop at=KiInitializeUserApc\n{RESUME}main NtTerminateThread thread=worker status=5"
        ));
        let plain = record(&case, kernel).unwrap();
        let detailed = record_in_detail(&case, kernel).unwrap();
        for (one, other) in plain.events.iter().zip(&detailed.events) {
            assert_eq!(one.machine, other.machine, "{name}: {}", one.text);
        }
        for recording in [&plain, &detailed] {
            let mut replay = Replay::start(recording, kernel);
            while let Some(replayed) = replay.next_event().unwrap() {
                assert!(replayed.same, "{name}: event {:?}", replayed.event);
            }
        }
    }
}
