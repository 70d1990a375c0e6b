//! What must hold at every instruction, not only when the machine is quiet (nt52.md 5.5, 6.6, 9.4): random
//! calls by random threads, with a clock interrupt wherever a thread rests, watched step by step.

mod driver;

use contract::{Activity, Kernel, ObjectId, program};
use driver::{Arg::*, Driver, park};
use std::collections::BTreeSet;

/// KPCR.Irql.
const IRQL: u32 = 0xFFDF_F024;
/// Fields of ETHREAD: Header.SignalState, CombinedApcDisable, CrossThreadFlags and TERMINATED in it.
const SIGNAL_STATE: u32 = 0x4;
const COMBINED_APC_DISABLE: u32 = 0x70;
const CROSS_THREAD_FLAGS: u32 = 0x240;
const TERMINATED: u32 = 1;

/// Looks at the machine after every step.
#[derive(Default)]
struct Watch {
    last: Option<ObjectId>,
    /// Threads that have been signaled and have lost the processor.
    gone: BTreeSet<(u32, u32)>,
    /// How often a thread entered user mode.
    entries: u32,
    in_user: bool,
}

impl Watch {
    /// What is wrong with the machine as it stands.
    fn look(&mut self, d: &Driver) -> Option<String> {
        let current = d.nt.current(&d.m);
        if self.last != Some(current) {
            if let Some(last) = self.last.replace(current)
                && d.peek(last.at.0 + SIGNAL_STATE) != 0
            {
                self.gone.insert((last.at.0, last.serial));
            }
            if self.gone.contains(&(current.at.0, current.serial)) {
                return Some(format!("{current:?} was signaled and has the processor again"));
            }
        }
        let in_user = d.m.cpu.cpl() == 3;
        self.entries += u32::from(in_user && !self.in_user);
        self.in_user = in_user;
        if !in_user {
            return None;
        }
        if d.peek(IRQL) & 0xFF != 0 {
            return Some(format!("IRQL {} in user mode", d.peek(IRQL) & 0xFF));
        }
        if d.peek(current.at.0 + SIGNAL_STATE) != 0 {
            return Some(format!("{current:?} is signaled and in user mode"));
        }
        // Inside a region it goes on until it leaves it (rule 42).
        let marked = d.peek(current.at.0 + CROSS_THREAD_FLAGS) & TERMINATED != 0;
        if marked && d.peek(current.at.0 + COMBINED_APC_DISABLE) == 0 {
            return Some(format!("{current:?} is TERMINATED and in user mode"));
        }
        None
    }

    fn step(&mut self, d: &mut Driver) {
        d.step_on();
        if let Some(wrong) = self.look(d) {
            panic!("{wrong}, at {}", d.place());
        }
    }
}

/// Steps that an event gets at the most.
const EVENT: u32 = 6000;

/// A stream of numbers that a seed decides.
struct Random(u32);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % end
    }
}

/// Threads by their identity, and their handles in the process that all of them are in.
struct Cast {
    threads: Vec<(ObjectId, u32)>,
    process: u32,
}

fn cast(d: &mut Driver) -> Cast {
    let app = d.process("app");
    let mut threads = Vec::new();
    for index in 0..4 {
        let flags = if index == 0 { 2 } else { u32::from(index == 3) };
        let (handle, id) = d.thread(["a", "b", "c", "d"][index], app, flags, &[]);
        threads.push((id, d.give(app, handle)));
    }
    Cast { threads, process: app }
}

/// Has a random thread that rests do something random. False when none can.
fn act(d: &mut Driver, cast: &Cast, random: &mut Random, watch: &mut Watch) -> bool {
    let known = d.nt.threads(&d.m);
    let can =
        |id: &ObjectId| known.iter().any(|thread| thread.id == *id && thread.activity == Activity::Runnable);
    let able: Vec<ObjectId> = cast.threads.iter().map(|thread| thread.0).filter(can).collect();
    if able.is_empty() {
        return false;
    }
    let actor = able[random.below(able.len() as u32) as usize];
    let rests = |d: &Driver| d.nt.current(&d.m) == actor && d.m.cpu.next() == park() && d.m.cpu.cpl() == 3;
    for _ in 0..EVENT {
        if rests(d) {
            break;
        }
        watch.step(d);
    }
    if !rests(d) {
        return true;
    }
    let target = cast.threads[random.below(4) as usize].1;
    let apc = program::symbol(program::APC).0;
    let forever = [0, 0x8000_0000];
    match random.below(16) {
        0 => d.place_call(actor, "NtTerminateThread", &[Value(target), Value(3)]),
        1 => d.place_call(actor, "NtTerminateThread", &[Value(u32::MAX - 1), Value(4)]),
        2 => d.place_call(actor, "NtTerminateProcess", &[Value(0), Value(5)]),
        3 => d.place_call(actor, "ExitThread", &[Value(6)]),
        4 => d.place_call(actor, "NtDelayExecution", &[Value(random.below(2)), Words(&forever)]),
        5 => d.place_call(actor, "NtSuspendThread", &[Value(target), Value(0)]),
        6 | 7 => d.place_call(actor, "NtResumeThread", &[Value(target), Value(0)]),
        8 => d.place_call(
            actor,
            "NtQueueApcThread",
            &[Value(target), Value(apc), Value(1), Value(2), Value(3)],
        ),
        9 => d.place_call(actor, "NtTestAlert", &[]),
        10 => d.place_call(actor, "NtAlertThread", &[Value(target)]),
        11 => d.place_call(actor, "DriverQueueApc", &[Value(target), Value(random.below(3))]),
        12 => d.place_call(actor, "DriverEnterCriticalRegion", &[]),
        13 => d.place_call(actor, "DriverLeaveCriticalRegion", &[]),
        14 => d.place_call(actor, "NtWaitForSingleObject", &[Value(target), Value(1), Value(0)]),
        _ => d.place_call(actor, "NtYieldExecution", &[]),
    };
    for _ in 0..200 + random.below(EVENT) {
        watch.step(d);
    }
    true
}

#[test]
fn at_every_instruction_of_random_scripts() {
    let (mut ended, mut entries) = (0, 0);
    for seed in 1..=24 {
        let mut d = Driver::boot(0);
        let cast = cast(&mut d);
        let mut random = Random(seed);
        let mut watch = Watch::default();
        for _ in 0..14 {
            if d.stopped() || !act(&mut d, &cast, &mut random, &mut watch) {
                break;
            }
        }
        ended += watch.gone.len();
        entries += watch.entries;
    }
    assert!(ended > 20 && entries > 1000, "{ended} {entries}");
}

/// A process ended by another at an instruction chosen in steps over the whole of a call.
#[test]
fn at_every_instruction_while_a_process_is_ended() {
    let mut first = Driver::boot(0);
    let cast = cast(&mut first);
    let init = first.init();
    let (actor, handle) = cast.threads[0];
    first.place_call(actor, "NtSuspendThread", &[Value(cast.threads[1].1), Value(0)]);
    assert_ne!(handle, 0);
    let mut ended = 0;
    for after in (1..900).step_by(37) {
        let mut d = first.clone();
        let mut watch = Watch::default();
        for _ in 0..after {
            watch.step(&mut d);
        }
        d.interrupt_for(init, "NtTerminateProcess", &[cast.process, 5]);
        let mut watch = Watch::default();
        for _ in 0..20_000 {
            watch.step(&mut d);
        }
        d.has("process app exit status 00000005");
        ended += watch.gone.len();
    }
    assert!(ended > 60, "{ended}");
}

#[test]
fn the_watch_sees_what_it_is_for() {
    let mut first = Driver::boot(0);
    let cast = cast(&mut first);
    let actor = cast.threads[0].0;
    first.bring(actor);
    assert_eq!(Watch::default().look(&first), None);
    let after = |at: u32, word: u32| {
        let mut d = first.clone();
        d.m.poke(d.m.cpu.cr3, driver_va(at), &word.to_le_bytes()).unwrap();
        Watch::default().look(&d).expect("something is wrong")
    };
    assert!(after(IRQL, 1).contains("IRQL 1"));
    assert!(after(actor.at.0 + SIGNAL_STATE, 1).contains("signaled and in user mode"));
    assert!(after(actor.at.0 + CROSS_THREAD_FLAGS, TERMINATED).contains("TERMINATED"));
    let mut watch = Watch::default();
    watch.gone.insert((actor.at.0, actor.serial));
    assert!(watch.look(&first).expect("it runs again").contains("again"));
}

fn driver_va(at: u32) -> machine::Va {
    machine::Va(at)
}
