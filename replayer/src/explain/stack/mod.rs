//! A thread's stacks, walked and with every slot named.
//!
//! Three things give a slot its name: the structures that lie there (`structures`: trap frames, the
//! switch frame, the CONTEXT that KiUserApcDispatcher finds), the frames of native routines, whose arguments
//! and locals are known (`frames`), and what it holds (`slots`).

mod draw;
mod frames;
mod slots;
mod structures;

pub use draw::{picture, walked};

use super::Names;
use contract::routine::RoutineInfo;
use contract::{Resume, ThreadStatus};
use machine::{Machine, PAGE, Reg, Va};

/// Slots of a user stack that are shown, at most.
const USER_SLOTS: u32 = 512;
/// User addresses end at 2 GiB.
const USER_END: u32 = 0x8000_0000;

/// A stack of a thread: that of ring 0, or that of ring 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// 0 or 3.
    pub ring: u8,
    /// What the thread executes there, or goes on with.
    pub eip: u32,
    /// Its lowest slot in use: ESP.
    pub esp: u32,
    /// The address behind its highest slot that is shown.
    pub top: u32,
    /// Its frames, innermost first.
    pub frames: Vec<StackFrame>,
    /// Its slots, from ESP up; slots that hold nothing are folded ([`Slot::count`]).
    pub slots: Vec<Slot>,
}

/// Somebody who is at work on a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackFrame {
    /// What it executes, or goes on with when it is returned to.
    pub eip: u32,
    /// Its frame pointer.
    pub ebp: u32,
    /// A native routine with its arguments and locals, a symbol, or a structure: `KTRAP_FRAME`.
    pub title: String,
}

/// A doubleword on a stack, or several that hold the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its linear address.
    pub at: u32,
    /// What it holds.
    pub value: u32,
    /// How many slots from here on hold that and have no name of their own.
    pub count: u32,
    /// What it is: `KTRAP_FRAME.Eip`, `NtClose argument 1`, `saved EBP`; empty when nothing is known.
    pub name: String,
    /// What it holds, where that has a name: a symbol, a structure, a status.
    pub meaning: Option<String>,
}

/// The stacks of a thread, first that of ring 0 if it is in use: also of one that was preempted in ring 3,
/// whose ring 0 goes on from a switch frame. None for a thread that has ended and is not at work any more.
pub fn stacks(names: &Names, m: &Machine, thread: &ThreadStatus) -> Vec<Stack> {
    // Who has just ended is signaled already, and has the processor up to its last switch.
    let (cpu, user) = (&m.cpu, m.cpu.cpl() == 3);
    let running = Resume { eip: cpu.eip, esp: cpu.esp(), ebp: cpu.reg(Reg::Ebp), user };
    let Some(resume) = thread.resume.or(thread.current.then_some(running)) else { return Vec::new() };
    let kernel = thread.switched.or(Some(resume).filter(|resume| !resume.user));
    let user = Some(resume).filter(|resume| resume.user).or(thread.user);
    let stack = |ring, from| Reader { names, m, thread, ring }.stack(from);
    kernel.map(|from| stack(0, from)).into_iter().chain(user.map(|from| stack(3, from))).collect()
}

/// Reads a stack of a thread.
#[derive(Clone, Copy)]
struct Reader<'a> {
    names: &'a Names,
    m: &'a Machine,
    thread: &'a ThreadStatus,
    ring: u8,
}

impl Reader<'_> {
    fn stack(&self, from: Resume) -> Stack {
        let mut structures = self.known();
        // A switch frame may lie below where ESP will be once the thread goes on.
        let lowest = structures.iter().map(|one| one.at).min().unwrap_or(from.esp);
        let esp = lowest.min(from.esp);
        let top = if self.ring == 0 { self.thread.stack.1.0 } else { self.user_top(esp) };
        let (frames, named) = frames::walk(self, &structures, from, esp..top);
        structures.extend(self.contexts(esp..top));
        let slots = self.slots(&structures, &named, esp..top);
        Stack { ring: self.ring, eip: from.eip, esp, top, frames, slots }
    }

    /// Where the mapped part of a user stack ends, or as much of it as is shown.
    fn user_top(&self, esp: u32) -> u32 {
        let lowest = esp & !3;
        let mut at = lowest;
        while at < USER_END && at - lowest < 4 * USER_SLOTS && self.word(at).is_some() {
            at += 4;
        }
        at.max(PAGE)
    }

    fn word(&self, at: u32) -> Option<u32> {
        let mut raw = [0; 4];
        self.m.peek(self.thread.cr3, Va(at), &mut raw).ok()?;
        Some(u32::from_le_bytes(raw))
    }

    /// The native routine that an address belongs to, and the stage; 0 is its entry.
    fn routine(&self, at: u32) -> Option<(RoutineInfo, u8)> {
        self.names.kernel().image().routine(Va(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_threads_stack_is_named_from_the_switch_frame_to_the_trap_frame() {
        let text = "# A wait.\nprocess app\nthread main in=app\n\
                    main NtDelayExecution alertable=no interval=forever\n";
        for name in ["nt", "reactos"] {
            let stacks = stacks_of(name, text, "main", 3, None);
            assert_eq!(stacks.iter().map(|stack| stack.ring).collect::<Vec<_>>(), [0, 3], "{name}");
            let text = picture(&stacks[0]) + &walked(&stacks);
            for part in [
                "KSWITCHFRAME.",
                if name == "nt" { "KiSwapContext.Ebp" } else { "KSWITCHFRAME.Ebp" },
                "KTRAP_FRAME.Eip ",
                if name == "nt" { "KTRAP_FRAME.EFlags" } else { "KTRAP_FRAME.Eflags" },
                "NtDelayExecution argument 1",
                "saved EBP",
                "return address",
            ] {
                assert!(text.contains(part), "{name}: {part} is missing in\n{text}");
            }
            let unnamed = stacks[0].slots.iter().filter(|slot| slot.name.is_empty());
            assert_eq!(unnamed.count(), 0, "{name}:\n{text}");
        }
    }

    fn stacks_of(name: &str, text: &str, thread: &str, event: usize, instant: Option<u64>) -> Vec<Stack> {
        let case = recorder::Case::parse("x", "x", text).unwrap();
        let kernel = recorder::kernels::by_name(name).unwrap();
        let recording = recorder::record(&case, kernel).unwrap();
        let mut player = recorder::Player::at(&recording, kernel, event, 0).unwrap();
        player.forward(instant.unwrap_or(player.length())).unwrap();
        let (m, event) = (player.machine(), player.event());
        let id = event.named.iter().find(|named| named.name == thread).unwrap().id;
        let status = kernel.threads(m).into_iter().find(|status| status.id == id).unwrap();
        stacks(&Names::new(kernel, m, &event.named), m, &status)
    }

    #[test]
    fn stubs_without_frames_are_told_with_their_return_addresses_and_arguments() {
        let text = "# A wait.\nprocess app\nthread main in=app\n\
                    main NtDelayExecution alertable=no interval=forever\n";
        for (name, expected) in [
            ("nt", ["KiFastSystemCallRet", "NtDelayExecution+C", "park"]),
            ("reactos", ["NtDelayExecution+B", "park", "BaseProcessStart+1C"]),
        ] {
            let stacks = stacks_of(name, text, "main", 3, None);
            let titles: Vec<&str> =
                stacks[1].frames.iter().map(|frame| frame.title.as_str()).take(3).collect();
            assert_eq!(titles, expected, "{}", picture(&stacks[1]));
            let names = stacks[1].slots.iter().map(|slot| slot.name.as_str());
            let names: Vec<&str> = names.skip(usize::from(name == "nt")).take(3).collect();
            let stub = ["return address", "NtDelayExecution argument 1", "NtDelayExecution argument 2"];
            assert_eq!(names, stub, "{}", picture(&stacks[1]));
        }
    }

    #[test]
    fn who_was_preempted_in_ring_3_has_a_stack_in_ring_0_with_all_its_frames() {
        let text = "# A case.\nprocess app\nthread main in=app\nthread worker in=app\nthread other in=app\n\
                    main NtSuspendThread thread=worker\n";
        for name in ["nt", "reactos"] {
            for (thread, within) in [("other", "Dispatch"), ("worker", "Suspend")] {
                let stacks = stacks_of(name, text, thread, 5, None);
                let rings: Vec<u8> = stacks.iter().map(|stack| stack.ring).collect();
                assert_eq!(rings, [0, 3], "{name} {thread}");
                let text = picture(&stacks[0]) + &walked(&stacks);
                for part in ["KSWITCHFRAME.", "KTRAP_FRAME.", within, "park"] {
                    assert!(text.contains(part), "{name} {thread}: {part} is missing in\n{text}");
                }
            }
        }
    }

    /// Threads of every kind: that wait, are suspended, have never run, were preempted, run an APC, end.
    const KINDS: &str = "# A case.\nprocess app\nthread main in=app\nthread worker in=app\n\
                         thread sleeper in=app\nthread young in=app suspended\n\
                         sleeper NtDelayExecution alertable=yes interval=forever\n\
                         main NtSuspendThread thread=worker\n\
                         main NtQueueApcThread thread=sleeper context=5\n\
                         main NtQueueApcThread thread=young context=5\n\
                         main NtResumeThread thread=young\n\
                         main NtTerminateThread thread=worker status=1\n\
                         driver queue-apc thread=main target=sleeper kind=normal\n\
                         main NtTerminateProcess process=self status=1\n";

    #[test]
    fn no_slot_in_ring_0_is_without_a_name() {
        let case = recorder::Case::parse("x", "x", KINDS).unwrap();
        for name in ["nt", "reactos"] {
            let kernel = recorder::kernels::by_name(name).unwrap();
            let recording = recorder::record(&case, kernel).unwrap();
            for record in std::iter::once(&recording.boot).chain(&recording.events) {
                let m = &record.machine;
                let names = Names::new(kernel, m, &record.named);
                for thread in kernel.threads(m) {
                    let stacks = stacks(&names, m, &thread);
                    for stack in stacks.iter().filter(|stack| stack.ring == 0) {
                        let unnamed = stack.slots.iter().filter(|slot| slot.name.is_empty()).count();
                        let who = names.object(thread.id);
                        assert_eq!(unnamed, 0, "{name}, {}: {who}\n{}", record.text, picture(stack));
                    }
                }
            }
        }
    }

    #[test]
    fn who_was_interrupted_in_ring_0_has_its_own_stack_behind_the_trap_frame() {
        // The kernel itself faults, in the first stage of a routine that has its frame already.
        let text = "# A case.\nprocess app\nthread main in=app\nthread worker in=app\n\
                    main NtGetContextThread thread=worker flags=control\n";
        let stacks = stacks_of("reactos", text, "worker", 4, None);
        let text = picture(&stacks[0]) + &walked(&stacks);
        let lines: Vec<&str> = text.lines().collect();
        let eflags = lines.iter().position(|line| line.contains("KTRAP_FRAME.Eflags")).unwrap();
        for (line, part) in lines[eflags + 1..].iter().zip(["saved EBP", "return address"]) {
            assert!(line.contains(part), "{part} does not follow in\n{text}");
        }
        for part in
            ["KiTrapProlog.TrapFrame", "KeGetContextKernelRoutine argument 1\n", "KiTrapHandler argument 1\n"]
        {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(text.contains("  KeGetContextKernelRoutine("), "{text}");
        // The frame of the entry from ring 3 ends where the floating-point area begins.
        assert!(text.contains("FX_SAVE_AREA.ControlWord") && !text.contains(".V86"), "{text}");
    }

    #[test]
    fn what_is_about_to_be_entered_finds_its_return_address_and_its_arguments() {
        let text = "# A case.\nprocess app\nthread main in=app\n\
                    main NtDelayExecution alertable=no interval=forever\n";
        let case = recorder::Case::parse("x", "x", text).unwrap();
        for name in ["nt", "reactos"] {
            let kernel = recorder::kernels::by_name(name).unwrap();
            let recording = recorder::record(&case, kernel).unwrap();
            let start = recording.event(2).unwrap().end();
            let calls = super::super::calls(&recording, 3);
            let at = calls.iter().find(|call| call.routine == "NtDelayExecution").unwrap().at - start;
            let stacks = stacks_of(name, text, "main", 3, Some(at));
            let names: Vec<&str> = stacks[0].slots.iter().map(|slot| slot.name.as_str()).take(3).collect();
            let expected = ["return address", "NtDelayExecution argument 1", "NtDelayExecution argument 2"];
            assert_eq!(names, expected, "{name}:\n{}", picture(&stacks[0]));
        }
    }

    #[test]
    fn an_argument_that_looks_like_a_return_address_is_told_as_an_argument() {
        // The kernel stops over a routine that is at work further out, and passes where that goes on.
        let text = "# A case.\nprocess app\nthread main in=app\n\
                    s = main NtCreateSemaphore initial-count=1 maximum-count=2\n\
                    e = main NtCreateEvent type=notification state=yes\n\
                    main NtSignalAndWaitForSingleObject signal=s wait=e\n\
                    main NtSignalAndWaitForSingleObject signal=s wait=e\n";
        let stacks = stacks_of("reactos", text, "main", 6, None);
        let text = picture(&stacks[0]) + &walked(&stacks);
        let told = [
            "  ExRaiseStatus(STATUS_SEMAPHORE_LIMIT_EXCEEDED)\n",
            "  KeReleaseSemaphore(s KSEMAPHORE, 00000001, 00000001, 00000001)",
            "       return address                             ExRaiseStatus.1\n",
            "       argument 3                                 KeReleaseSemaphore.2\n",
        ];
        for part in told {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn what_iret_was_to_return_by_is_named() {
        let text = "# A case.\nprocess app\nthread main in=app\nmain NtContinue flags=control segcs=0\n";
        let stacks = stacks_of("reactos", text, "main", 3, None);
        let slots = stacks[0].slots.iter().filter(|slot| slot.name.starts_with("IRET "));
        let told: Vec<(&str, u32)> = slots.map(|slot| (slot.name.as_str(), slot.value)).collect();
        assert_eq!((told.len(), told[1]), (3, ("IRET CS", 0)), "{}", picture(&stacks[0]));
    }

    /// The stack in ring 0 of who is at work where a place is reached for the first time in an event.
    fn reached(name: &str, text: &str, event: usize, place: &str) -> Stack {
        let case = recorder::Case::parse("x", "x", text).unwrap();
        let kernel = recorder::kernels::by_name(name).unwrap();
        let recording = recorder::record(&case, kernel).unwrap();
        let at = kernel.image().address(place).unwrap();
        let mut player = recorder::Player::at(&recording, kernel, event, 0).unwrap();
        while player.machine().cpu.next() != at {
            player.forward(1).unwrap();
        }
        let (m, named) = (player.machine(), &player.event().named);
        let current = kernel.threads(m).into_iter().find(|thread| thread.current).unwrap();
        stacks(&Names::new(kernel, m, named), m, &current).swap_remove(0)
    }

    #[test]
    fn what_a_stub_has_pushed_for_the_routine_that_it_calls_is_named() {
        let text = "# A case.\nprocess app\nthread main in=app\nmain NtQueueApcThread thread=main context=5\n\
                    main NtTestAlert\nclock advance=10ms\nmain NtQueueApcThread thread=main context=5\n\
                    main NtContinue test-alert=yes\n";
        let deliver = ["KiDeliverApc argument 2", "KiDeliverApc argument 3", "KiServiceExit.OldIrql"];
        let told: [(&str, usize, &str, &str, [&str; 3]); 4] = [
            ("nt", 4, "KiDeliverApc", "KiServiceExitUser+", deliver),
            ("nt", 7, "KiDeliverApc", "KiServiceExit2User+", deliver),
            (
                "nt",
                5,
                "KeUpdateSystemTime",
                "KiInterruptDebugSaved+",
                ["KeUpdateSystemTime argument 1", "HalpClockInterrupt.OldIrql", "KTRAP_FRAME.DbgEbp"],
            ),
            (
                "reactos",
                0,
                "PsReaperThreadMain",
                "PsBeginThread+",
                ["PsBeginThread.ReturnAddress", "PsBeginThread.StartRoutine", "PsBeginThread.StartContext"],
            ),
        ];
        for (kernel, event, place, stub, names) in told {
            let stack = reached(kernel, text, event, place);
            let title = format!("{kernel} {event} {place}:\n{}", picture(&stack));
            let (returns, behind) = stack.slots.split_first().unwrap();
            assert!(returns.meaning.as_ref().is_some_and(|meaning| meaning.starts_with(stub)), "{title}");
            let all: Vec<&str> = behind.iter().map(|slot| slot.name.as_str()).collect();
            assert!(all.windows(3).any(|three| three == names), "{title}");
        }
    }

    #[test]
    fn each_context_of_an_apc_inside_another_one_is_named() {
        let text = "# A case.\nprocess app\nthread main in=app\nthread worker in=app suspended\n\
                    main NtQueueApcThread thread=worker context=5\nmain NtResumeThread thread=worker\n";
        let case = recorder::Case::parse("x", "x", text).unwrap();
        let kernel = recorder::kernels::by_name("nt").unwrap();
        let recording = recorder::record(&case, kernel).unwrap();
        let start = recording.event(4).unwrap().end();
        let calls = super::super::calls(&recording, 5);
        let within = calls.iter().find(|call| call.routine == "NtContinue").unwrap().at - start;
        let stacks = stacks_of("nt", text, "worker", 5, Some(within));
        let user = stacks.iter().find(|stack| stack.ring == 3).unwrap();
        let contexts = user.slots.iter().filter(|slot| slot.name == "CONTEXT.ContextFlags").count();
        assert_eq!(contexts, 2, "{}", picture(user));
    }

    #[test]
    fn a_stack_whose_pointer_is_not_aligned_is_shown_from_the_doubleword_that_it_points_into() {
        let user = |name: &str, esp: u32| {
            let event = format!("main NtContinue flags=control esp={esp:#X}\n");
            let text = format!("# A case.\nprocess app\nthread main in=app\n{event}");
            stacks_of(name, &text, "main", 3, None).into_iter().find(|stack| stack.ring == 3).unwrap()
        };
        for name in ["nt", "reactos"] {
            let scene = "# A case.\nprocess app\nthread main in=app\n";
            let aligned = stacks_of(name, scene, "main", 2, None).pop().unwrap();
            let shifted = user(name, aligned.esp - 7);
            let at = |stack: &Stack| stack.slots.iter().map(|slot| slot.at).collect::<Vec<_>>();
            assert_eq!(at(&shifted)[0], aligned.esp - 8, "{name}:\n{}", picture(&shifted));
            assert!(at(&shifted).ends_with(&at(&aligned)[1..]), "{name}:\n{}", picture(&shifted));
            assert_eq!(user(name, u32::MAX - 1).slots, [], "{name}: nothing is mapped there");
        }
    }
}
