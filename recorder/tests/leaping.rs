//! A run that is done again by leaps, from one boundary at which the processor may change hands to the next.

use contract::Kernel;
use machine::Machine;
use machine::registers::flags;
use recorder::recording::Reaching;
use recorder::{Case, EventRecord, Input, Next, Player, Recording, SeekError, kernels, record};

/// Threads wait, are preempted, end: with interrupts in ring 3 and in ring 0.
const LINES: &str = "# A case.\nprocess app\nthread main in=app\nthread worker in=app\nthread third in=app\n\
                     worker NtDelayExecution alertable=no interval=20ms\nmain NtSuspendThread thread=third\n\
                     clock advance=10ms\nclock advance=10ms\ninterrupt after=37\n\
                     main NtTerminateThread thread=worker status=1\nmain NtTerminateProcess process=NULL status=2\n";

fn recorded() -> [(&'static dyn Kernel, Recording); 2] {
    let case = Case::parse("leaping", "leaping", LINES).unwrap_or_else(|error| panic!("{error}"));
    ["nt", "reactos"].map(|name| {
        let kernel = kernels::by_name(name).unwrap();
        (kernel, record(&case, kernel).unwrap())
    })
}

#[test]
fn every_routine_and_every_interrupt_is_told_before_it_happens() {
    for (kernel, recording) in recorded() {
        let mut player = Player::at(&recording, kernel, 0, 0).unwrap();
        let mut pending = 0;
        for number in 0..=recording.events.len() {
            if number > 0 {
                player = player.follow(recording.event(number).unwrap()).unwrap();
            }
            let record = player.event();
            let at = |player: &Player| format!("{} event {number}+{}", kernel.name(), player.offset());
            let (mut routines, mut interrupts) = (Vec::new(), 0);
            loop {
                let next = player.leap(player.length(), &[]).unwrap();
                let cpu = &player.machine().cpu;
                let routine = kernel.image().routine(cpu.next()).is_some();
                match next {
                    Next::Interrupt => {
                        assert!(cpu.interrupt.is_some() && cpu.flag(flags::IF), "{}", at(&player));
                        interrupts += 1;
                    }
                    Next::Routine => assert!(routine, "{}", at(&player)),
                    Next::Instruction => assert_eq!(cpu.cpl(), 3, "{}", at(&player)),
                    Next::Nothing => break,
                }
                if routine && next != Next::Interrupt {
                    routines.push(player.machine().retired);
                }
            }
            let traced: Vec<u64> = record.trace.iter().map(|step| step.at).collect();
            assert_eq!(routines, traced, "{} event {number}", kernel.name());
            let reached = record.inputs.iter().filter(|input| matches!(input.what, Reaching::Interrupt(_)));
            // What is pending at an event's end is taken in the next one.
            let left = usize::from(record.machine.cpu.interrupt.is_some());
            assert_eq!(interrupts + left, reached.count() + pending, "{} event {number}", kernel.name());
            pending = left;
            assert!(player.machine() == &record.machine, "{} event {number}", kernel.name());
        }
    }
}

#[test]
fn from_each_boundary_the_way_on_is_the_recorded_one() {
    for (kernel, recording) in recorded() {
        for number in 0..=recording.events.len() {
            let mut player = Player::at(&recording, kernel, number, 0).unwrap();
            while player.leap(player.length(), &[]).unwrap() != Next::Nothing {
                let mut on = player.clone();
                on.forward(player.length() - player.offset()).unwrap();
                let at = format!("{} event {number}+{}", kernel.name(), player.offset());
                assert!(on.machine() == &player.event().machine, "{at}");
            }
        }
    }
}

#[test]
fn a_place_and_the_first_instruction_in_ring_3_are_told_each_time() {
    let (kernel, recording) = &recorded()[0];
    let place = kernel.image().address("KiSwapContext").unwrap();
    let mut passes = 0;
    for number in 0..=recording.events.len() {
        let mut leaping = Player::at(recording, *kernel, number, 0).unwrap();
        let mut stepping = leaping.clone();
        let mut told = Vec::new();
        loop {
            match leaping.leap(leaping.length(), &[place]).unwrap() {
                Next::Nothing => break,
                Next::Instruction => told.push((leaping.offset(), leaping.machine().cpu.cpl())),
                Next::Interrupt | Next::Routine => {}
            }
        }
        let mut passed = Vec::new();
        while stepping.offset() < stepping.length() {
            let ring = stepping.machine().cpu.cpl();
            stepping.forward(1).unwrap();
            let cpu = &stepping.machine().cpu;
            if cpu.next() == place || ring < 3 && cpu.cpl() == 3 {
                passed.push((stepping.offset(), cpu.cpl()));
            }
        }
        assert_eq!(told, passed, "event {number}");
        passes += told.len();
    }
    assert!(passes > 10, "{passes}");
}

/// The event with one interrupt more.
fn interrupted(event: &EventRecord, at: u64, vector: u8) -> EventRecord {
    let mut event = event.clone();
    event.inputs.push(Input { at, what: Reaching::Interrupt(vector) });
    event.inputs.sort_by_key(|input| input.at);
    event
}

/// The instants at which interrupts are taken, and the machine in the end.
fn leapt(mut player: Player) -> Option<(Vec<u64>, Machine)> {
    let mut taken = Vec::new();
    loop {
        match player.leap(player.length(), &[]).ok()? {
            Next::Interrupt => taken.push(player.machine().retired),
            Next::Routine | Next::Instruction => {}
            Next::Nothing => return Some((taken, player.machine().clone())),
        }
    }
}

fn forwarded(mut player: Player) -> Option<Machine> {
    player.forward(player.length()).ok()?;
    Some(player.machine().clone())
}

#[test]
fn an_interrupt_that_has_to_wait_is_told_when_it_is_taken() {
    for (kernel, recording) in recorded() {
        let (before, event) = (&recording.event(5).unwrap().machine, recording.event(6).unwrap());
        let vector = kernel.image().clock_vector;
        let (mut waited, mut both) = (0, 0);
        for at in before.retired + 1..event.end() {
            let title = format!("{} at {at}", kernel.name());
            let once = interrupted(event, at, vector);
            let player = Player::new(kernel, 6, before.clone(), &once);
            let Some((taken, end)) = leapt(player.clone()) else { continue };
            assert!(forwarded(player).as_ref() == Some(&end), "{title}");
            // One that comes while another one waits takes its place.
            let Some(then) = taken.iter().copied().find(|then| *then >= at) else { continue };
            if event.inputs.iter().any(|input| (at..=then).contains(&input.at)) {
                continue;
            }
            let interrupts = once.inputs.iter().filter(|input| matches!(input.what, Reaching::Interrupt(_)));
            let left = usize::from(end.cpu.interrupt.is_some());
            assert_eq!(taken.len() + left, interrupts.count(), "{title}: {taken:?}");
            if then > at {
                waited += 1;
                // What reaches the machine where the one is taken comes behind it, as in a run.
                let twice = interrupted(&once, then, vector);
                let player = Player::new(kernel, 6, before.clone(), &twice);
                let end = forwarded(player.clone());
                both += usize::from(end.is_some());
                assert!(leapt(player.clone()).map(|(_, end)| end) == end, "{title} and {then}");
                let mut there = player;
                while there.machine().retired < then {
                    there.leap(there.length(), &[]).unwrap();
                }
                there.forward(there.length() - there.offset()).ok();
                assert!(end.is_none_or(|end| *there.machine() == end), "{title}, then {then}");
            }
        }
        assert!(waited > 100 && both > 100, "{}: {waited} {both}", kernel.name());
    }
}

#[test]
fn a_leap_ends_at_its_instant_and_with_its_event() {
    let (kernel, recording) = &recorded()[1];
    let mut player = Player::at(recording, *kernel, 7, 0).unwrap();
    let length = player.length();
    for instant in [0, 1, length / 3, length / 2, length - 1, length] {
        while player.leap(instant, &[]).unwrap() != Next::Nothing {
            assert!(player.offset() <= instant);
        }
        let sought = Player::at(recording, *kernel, 7, instant).unwrap();
        assert_eq!(player.offset(), instant);
        assert!(player.machine() == sought.machine(), "at {instant} of {length}");
    }
    let behind = player.leap(length + 1, &[]);
    assert!(matches!(behind, Err(SeekError::NoInstant { event: 7, .. })), "{behind:?}");
}

#[test]
fn a_machine_that_cannot_go_on_strays() {
    let (kernel, recording) = &recorded()[1];
    let event = recording.event(7).unwrap();
    let mut before = recording.event(6).unwrap().machine.clone();
    before.cpu.halted = true;
    before.cpu.eflags &= !flags::IF;
    let mut player = Player::new(*kernel, 7, before, event);
    let strayed = loop {
        match player.leap(player.length(), &[]) {
            Ok(Next::Nothing) => panic!("it goes on"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&strayed, SeekError::Strayed { event: 7, why } if why.contains("Halted")),
        "{strayed:?}"
    );
}
