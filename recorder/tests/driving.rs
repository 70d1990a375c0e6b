//! How a kernel is driven through a case, on a toy of a kernel.

mod toy;

use recorder::{Case, EventRecord, Recording, Replay, Run, record, record_in_detail};
use toy::Toy;

static TOY: Toy = Toy { name: "toy", broken: false };
static BROKEN: Toy = Toy { name: "toy-broken", broken: true };

fn case(lines: &str) -> Case {
    let text = format!("# A sentence.\nprocess app\nthread main in=app\nthread worker in=app\n{lines}\n");
    Case::parse("driving", "driving", &text).unwrap_or_else(|error| panic!("{error}"))
}

fn recorded(lines: &str) -> Recording {
    record(&case(lines), &TOY).unwrap_or_else(|error| panic!("{error}"))
}

/// The outcomes of the lines behind the scene.
fn outcomes(lines: &str) -> Vec<String> {
    recorded(lines).events[3..].iter().map(|event| event.outcome.to_string()).collect()
}

/// What an event's view says of a thread.
fn facts(event: &EventRecord, thread: &str) -> String {
    let subject = format!("thread {thread}");
    let facts = event.view.facts().into_iter().filter(|fact| fact.subject == subject);
    facts.map(|fact| format!("{} {}", fact.property, fact.value)).collect::<Vec<_>>().join("; ")
}

#[test]
fn the_scene_is_set_and_threads_park() {
    let recording = recorded("main NtSuspendThread thread=worker");
    let scene = &recording.events[..3];
    assert!(scene.iter().all(|event| event.outcome.kind() == "done"), "{:?}", scene[2].outcome);
    assert_eq!(facts(&scene[2], "worker"), "state running; ran entry");
    assert_eq!(scene[2].view.handles, [("app:worker".to_owned(), true)]);
    let event = &recording.events[3];
    assert_eq!(event.outcome.to_string(), "returned STATUS_SUCCESS previous=0");
    assert_eq!(facts(event, "worker"), "state suspended; suspend count 1; ran entry");
    assert_eq!(
        facts(event, "main"),
        "state running; ran entry; call NtSuspendThread returned STATUS_SUCCESS previous=0"
    );
}

#[test]
fn a_thread_that_waits_cannot_act_until_its_time_has_come() {
    let lines = "worker NtDelayExecution interval=20ms\nworker NtResumeThread thread=main\nclock advance=10ms\nworker NtTestAlert\n\
                 clock advance=10ms\nworker NtDelayExecution interval=forever";
    let recording = recorded(lines);
    let outcomes: Vec<_> = recording.events[3..].iter().map(|event| event.outcome.to_string()).collect();
    assert_eq!(outcomes, ["waits", "unavailable: waiting", "done", "unavailable: waiting", "done", "waits"]);
    assert_eq!(
        facts(&recording.events[6], "worker"),
        "state waiting; ran entry; call NtDelayExecution waits"
    );
    assert_eq!(
        facts(&recording.events[7], "worker"),
        "state running; ran entry; call NtDelayExecution returned STATUS_SUCCESS"
    );
}

#[test]
fn what_cannot_take_place_is_an_outcome() {
    assert_eq!(
        outcomes(
            "worker NtTerminateThread thread=thread status=7\nworker NtTestAlert\nmain NtTestAlert\n\
             main NtTerminateThread thread=self\nmain ExitProcess\nmain NtTestAlert"
        ),
        [
            "did not return",
            "unavailable: terminated",
            "unavailable: no such service",
            "returned STATUS_INVALID_HANDLE",
            "did not return",
            "unavailable: stopped"
        ]
    );
}

#[test]
fn everybody_asleep_is_quiet_too() {
    let recording = recorded(
        "main NtDelayExecution interval=forever\nworker NtDelayExecution interval=forever\ninit NtDelayExecution interval=10ms\nrun\nclock advance=10ms\nthread late in=app",
    );
    let last = recording.events.last().unwrap();
    assert_eq!(last.outcome.to_string(), "done");
    assert_eq!(facts(last, "late"), "state running; ran entry");
}

#[test]
fn looks_show_no_address() {
    let lines = "look registers thread=worker\nlook first-instruction thread=worker\nmain fnstcw\nmain fldcw value=0x27F\nmain fnstcw";
    let outcomes = outcomes(lines);
    assert_eq!(
        outcomes[0],
        "seen cs=001B ss=0023 ds=0023 es=0023 fs=003B gs=0000 eflags=00000202 dr0=00000000 dr1=00000000 \
         dr2=00000000 dr3=00000000 dr6=FFFF0FF0 dr7=00000400"
    );
    assert_eq!(
        outcomes[1],
        "seen eip=entry eax=00000000 ebx=00000000 ecx=00000000 edx=00000000 esi=00000000 edi=00000000 \
         ebp=00000000 esp=StackBase-8 eflags=00000202 cs=001B ss=0023 ds=0023 es=0023 fs=003B gs=0000 \
         stack+0=00000000 stack+4=00000000 stack+8=00000000 stack+C=00000000 stack+10=00000000 stack+14=00000000"
    );
    assert_eq!(outcomes[2..], ["seen control-word=037F", "done", "seen control-word=027F"]);
}

#[test]
fn an_interrupt_comes_after_exactly_so_many_instructions() {
    let plain = recorded("main NtSuspendThread thread=worker");
    // The tenth instruction brings it back to where it parks.
    for after in 0..10 {
        let recording = recorded(&format!("interrupt after={after}\nmain NtSuspendThread thread=worker"));
        let event = &recording.events[4];
        assert_eq!(event.outcome, plain.events[3].outcome, "after {after}");
        assert_eq!(event.view, plain.events[3].view, "after {after}");
        let placed = event
            .inputs
            .iter()
            .position(|input| matches!(input.what, recorder::recording::Reaching::Program { .. }));
        let [program, interrupt] = &event.inputs[placed.unwrap()..][..2] else { panic!("two inputs") };
        assert_eq!(interrupt.at - program.at, after, "{:?}", event.inputs);
    }
}

#[test]
fn a_repeated_event_happens_so_often_and_the_next_once() {
    let lines = "repeat times=3\nmain NtSuspendThread thread=worker\nmain NtSuspendThread thread=worker";
    let told = outcomes(lines);
    assert_eq!(told[1..], ["returned STATUS_SUCCESS previous=2", "returned STATUS_SUCCESS previous=3"]);
}

#[test]
fn an_event_in_a_hurry_ends_before_what_it_set_going() {
    let ran = |hurry: &str| {
        let recording = recorded(&format!("{hurry}thread late in=app\nrun"));
        let events = &recording.events[recording.events.len() - 2..];
        [facts(&events[0], "late"), facts(&events[1], "late")]
    };
    assert_eq!(ran(""), ["state running; ran entry", "state running; ran entry"]);
    assert_eq!(ran("hurry\n"), ["state running", "state running; ran entry"]);
}

#[test]
fn the_trace_nests_by_the_stack() {
    let recording = recorded("main NtSuspendThread thread=worker");
    let event = &recording.events[3];
    let names: Vec<_> = event.trace.iter().map(|step| (recording.routine(step), step.depth)).collect();
    assert!(names.contains(&("ToyService", 0)), "{names:?}");
    let service = event.trace.iter().find(|step| recording.routine(step) == "ToyService").unwrap();
    let thread = event.threads[usize::from(service.thread)];
    assert!(event.named.iter().any(|named| named.name == "main" && named.id == thread));
}

const MUCH: &str = "worker NtDelayExecution interval=30ms\ninterrupt after=5\nmain NtSuspendThread thread=worker\n\
                    clock advance=40ms\nmain NtResumeThread thread=worker\nlook first-instruction thread=main\n\
                    pool fail tag=PsEx,TAPC count=2\nthread late in=app suspended\nmain ExitProcess";

#[test]
fn the_same_case_gives_the_same_bytes() {
    let once = recorded(MUCH).to_bytes();
    let others = std::thread::spawn(|| recorded("main NtSuspendThread thread=worker"));
    assert_eq!(recorded(MUCH).to_bytes(), once);
    others.join().unwrap();
    let read = Recording::from_bytes(&once).unwrap().recording;
    assert_eq!(read.to_bytes(), once);
    assert_eq!(read.case().unwrap().lines.len(), read.events.len());
}

#[test]
fn detail_changes_nothing_that_can_be_seen() {
    let (plain, detailed) = (recorded(MUCH), record_in_detail(&case(MUCH), &TOY).unwrap());
    for (plain, detailed) in plain.events.iter().zip(&detailed.events) {
        assert_eq!(
            (&plain.outcome, &plain.view, &plain.inputs),
            (&detailed.outcome, &detailed.view, &detailed.inputs)
        );
        assert_eq!(plain.trace, detailed.trace);
        assert!(plain.machine == detailed.machine);
        assert!(plain.steps.is_empty());
    }
    assert!(detailed.events[5].steps.len() > 20);
}

#[test]
fn a_run_an_event_at_a_time_is_the_recording() {
    let case = case(MUCH);
    let recording = record(&case, &TOY).unwrap();
    let mut run = Run::start(&case, &TOY).unwrap();
    let mut events = Vec::new();
    while let Some(event) = run.next_event().unwrap() {
        assert!(run.machine() == &event.machine);
        events.push(event);
    }
    assert!(events == recording.events);
}

#[test]
fn a_replay_leads_to_the_same_machines() {
    for recording in [recorded(MUCH), record_in_detail(&case(MUCH), &TOY).unwrap()] {
        let recording = Recording::from_bytes(&recording.to_bytes()).unwrap().recording;
        let mut replay = Replay::start(&recording, &TOY);
        let mut events = 0;
        while let Some(replayed) = replay.next_event().unwrap() {
            assert!(
                replayed.same && replayed.strayed.is_none(),
                "{:?}: {:?}",
                replayed.event,
                replayed.strayed
            );
            assert_eq!(replay.first_step(replayed.event).unwrap(), None);
            events += 1;
        }
        assert_eq!(events, recording.events.len() + 1);
    }
}

#[test]
fn a_changed_kernel_is_found_at_its_first_instruction() {
    for recording in [recorded(MUCH), record_in_detail(&case(MUCH), &TOY).unwrap()] {
        let mut replay = Replay::start(&recording, &BROKEN);
        let mut first = None;
        while let Some(replayed) = replay.next_event().unwrap() {
            if !replayed.same {
                first = first.or(Some(replayed.event));
            }
        }
        assert_eq!(first, Some(Some(5)), "the first line that suspends");
        let step = replay.first_step(Some(5)).unwrap();
        if recording.header.detail {
            let step = step.unwrap();
            assert_eq!((step.place.as_str(), step.thread.as_deref()), ("ToyService", Some("main")));
            let service =
                recording.events[5].trace.iter().find(|step| recording.routine(step) == "ToyService");
            assert_eq!(step.at, service.unwrap().at);
        }
    }
}
