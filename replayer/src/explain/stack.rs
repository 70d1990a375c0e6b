//! A thread's stacks, walked and with every slot named.
//!
//! Three things give a slot its name: the structures that the kernel says lie there (trap frames, the
//! switch frame), the frames of native routines, whose arguments and locals are known, and the CONTEXT
//! that KiUserApcDispatcher finds. What is left is told by what it holds.

use super::{Names, fields};
use contract::{Resume, ThreadStatus, context, routine::RoutineInfo};
use machine::registers::flags;
use machine::{Machine, PAGE, Reg, Va};

/// Links of an EBP chain that are followed, at most.
const LINKS: usize = 64;
/// Slots of a user stack that are shown, at most.
const USER_SLOTS: u32 = 512;
/// How far behind the entry of KiUserApcDispatcher, or behind a return to it, a pointer to the CONTEXT lies
/// at most.
const POINTER_WITHIN: u32 = 0x30;
/// The opcode of IRETD.
const IRET: u8 = 0xCF;
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
    let walk = |ring, from| Walk::new(names, m, thread, ring).stack(from);
    kernel.map(|from| walk(0, from)).into_iter().chain(user.map(|from| walk(3, from))).collect()
}

/// A stack that is being walked.
struct Walk<'a> {
    names: &'a Names,
    m: &'a Machine,
    thread: &'a ThreadStatus,
    ring: u8,
    /// The structures that lie on it: address, size, layout.
    structures: Vec<(u32, u32, &'static str)>,
}

impl<'a> Walk<'a> {
    fn new(names: &'a Names, m: &'a Machine, thread: &'a ThreadStatus, ring: u8) -> Walk<'a> {
        let kernel = names.kernel();
        let size =
            |layout| kernel.image().layouts.iter().find(|info| info.name == layout).map(|info| info.size);
        let known = if ring == 0 { kernel.frames(m, thread) } else { Vec::new() };
        let sized = known.into_iter().filter_map(|(at, layout)| Some((at.0, size(layout)?, layout)));
        let mut walk = Walk { names, m, thread, ring, structures: Vec::new() };
        // Of who was interrupted in ring 0 the processor pushes no ESP and SS: there its own stack goes on.
        let cut = |(at, size, layout)| {
            let interrupted = walk.interrupted(at, layout);
            (at, interrupted.map_or(size, |interrupted| interrupted.esp - at), layout)
        };
        let structures = sized.map(cut).collect();
        walk.structures = structures;
        walk
    }

    /// Where a trap frame that was made in ring 0 leads back to.
    fn interrupted(&self, at: u32, layout: &str) -> Option<Resume> {
        let is_eip = |field: &&fields::Field| field.path == "Eip";
        let eip = self.names.fields(layout).filter(|_| layout == "KTRAP_FRAME")?.iter().find(is_eip)?;
        let pushed = |index: u32| self.word(at + eip.offset + 4 * index);
        let [eip_then, cs, eflags] = [pushed(0)?, pushed(1)?, pushed(2)?];
        let in_ring_0 = cs & 3 == 0 && eflags & flags::VM == 0;
        let esp = at + eip.offset + 12;
        in_ring_0.then_some(Resume { eip: eip_then, esp, ebp: self.word(at)?, user: false })
    }

    fn word(&self, at: u32) -> Option<u32> {
        let mut raw = [0; 4];
        self.m.peek(self.thread.cr3, Va(at), &mut raw).ok()?;
        Some(u32::from_le_bytes(raw))
    }

    /// A native routine at one of its stages: one that has a frame.
    fn at_stage(&self, eip: u32) -> Option<RoutineInfo> {
        let (info, stage) = self.names.kernel().image().routine(Va(eip))?;
        (stage > 0).then_some(info)
    }

    /// A native routine that has its frame already, though it goes on from its entry: an access of its first
    /// stage has faulted.
    fn entered(&self, from: &Resume) -> Option<RoutineInfo> {
        let (info, stage) = self.names.kernel().image().routine(Va(from.eip))?;
        let made = from.ebp == from.esp.wrapping_add(4 * u32::from(info.locals));
        // Where it has none, its caller's may look so; but then its return address is the lowest slot.
        let returns = info.locals > 0 && self.word(from.esp).is_some_and(|value| self.is_code(value));
        (stage == 0 && made && !returns).then_some(info)
    }

    fn is_code(&self, value: u32) -> bool {
        let image = self.names.kernel().image();
        image.routine(Va(value)).is_some() || image.symbolize(Va(value)).contains('+')
    }

    fn stack(mut self, from: Resume) -> Stack {
        // A switch frame may lie below where ESP will be once the thread goes on.
        let lowest = self.structures.iter().map(|(at, ..)| *at).min().unwrap_or(from.esp);
        let (esp, mut slots) = (lowest.min(from.esp), Vec::new());
        let top = if self.ring == 0 { self.thread.stack.1.0 } else { self.user_top(esp) };
        let links = self.links(from.ebp, esp, top);
        let mut frames = self.innermost(&from, esp, &mut slots);
        // Who is at work below all frames: the thread itself, then whoever an interrupt has stopped.
        let mut at_work = Some(from);
        let mut low = esp;
        for link in &links {
            if let Some((_, _, layout)) = self.structures.iter().find(|(at, ..)| at == link) {
                let eip = self.word(link + 4).unwrap_or(0);
                frames.push(StackFrame { eip, ebp: *link, title: (*layout).to_owned() });
                at_work = self.interrupted(*link, layout);
                low = at_work.map_or(link + 4, |interrupted| interrupted.esp);
                frames.extend(at_work.iter().flat_map(|from| self.innermost(from, low, &mut slots)));
                continue;
            }
            let stopped = at_work.take();
            let owner = self.owner(stopped, low, *link);
            if let Some((info, eip)) = &owner {
                frames.push(StackFrame { eip: *eip, ebp: *link, title: self.title(info, *link) });
                self.name_native(info, *link, &mut slots);
                self.name_call(info, *eip, low, *link, &mut slots);
            } else {
                let eip = self.returns(stopped.is_none(), low, *link);
                frames.extend(eip.map(|eip| StackFrame {
                    eip,
                    ebp: *link,
                    title: super::symbol(self.names.kernel(), Va(eip)),
                }));
            }
            slots.push((*link, "saved EBP".to_owned()));
            slots.push((link + 4, "return address".to_owned()));
            low = link + 4;
        }
        self.contexts(esp, top);
        frames.dedup_by(|a, b| a.eip == b.eip && a.title == b.title);
        let slots = self.slots(esp, top, &slots);
        Stack { ring: self.ring, eip: from.eip, esp, top, frames, slots }
    }

    /// The EBP chain, as far as it climbs on this stack.
    fn links(&self, from: u32, esp: u32, top: u32) -> Vec<u32> {
        let mut links: Vec<u32> = Vec::new();
        let mut link = from;
        while links.len() < LINKS
            && link >= esp
            && link.saturating_add(8) <= top
            && links.last().is_none_or(|last| *last < link)
        {
            links.push(link);
            match self.word(link) {
                Some(next) => link = next,
                None => break,
            }
        }
        links
    }

    /// What the thread itself executes, if that has no frame of its own yet.
    fn innermost(&self, from: &Resume, esp: u32, slots: &mut Vec<(u32, String)>) -> Vec<StackFrame> {
        if self.at_stage(from.eip).is_some() {
            return Vec::new();
        }
        // A native routine that is about to be entered finds its arguments above its return address.
        if let Some((info, _)) = self.names.kernel().image().routine(Va(from.eip)) {
            if self.entered(from).is_some() {
                return Vec::new();
            }
            slots.push((esp, "return address".to_owned()));
            let bare = RoutineInfo { locals: 0, ..info };
            self.name_native(&bare, esp.wrapping_sub(4), slots);
            let title = self.title(&bare, esp.wrapping_sub(4));
            return vec![StackFrame { eip: from.eip, ebp: from.ebp, title }];
        }
        // IRET takes ESP and SS as well where it leads to an outer ring.
        let mut code = [0];
        if self.m.peek(self.thread.cr3, Va(from.eip), &mut code).is_ok() && code[0] == IRET {
            let outer = !from.user && self.word(esp.wrapping_add(4)).is_some_and(|cs| cs & 3 == 3);
            let names = ["EIP", "CS", "EFLAGS", "ESP", "SS"].iter().take(if outer { 5 } else { 3 });
            slots.extend((esp..).step_by(4).zip(names).map(|(at, name)| (at, format!("IRET {name}"))));
        }
        let title = super::symbol(self.names.kernel(), Va(from.eip));
        vec![StackFrame { eip: from.eip, ebp: from.ebp, title }]
    }

    /// The native routine whose frame a link is, and where it goes on: the one whose stage is the
    /// return address of the call that it made last, below its locals and what it passed. What it passed
    /// may be such an address as well, so the lowest one counts.
    fn owner(&self, at_work: Option<Resume>, low: u32, link: u32) -> Option<(RoutineInfo, u32)> {
        let at_once =
            |from: Resume| Some((self.at_stage(from.eip).or_else(|| self.entered(&from))?, from.eip));
        if let Some(known) = at_work.and_then(at_once) {
            return Some(known);
        }
        (low..link).step_by(4).find_map(|at| {
            let value = self.word(at)?;
            let info = self.at_stage(value)?;
            (at + 4 + 4 * u32::from(info.locals) <= link).then_some((info, value))
        })
    }

    /// Where the owner of a link goes on, if that is executed code: the frame below returns there, if there is
    /// one. Else it is the highest slot that returns into code, for stubs have no frames.
    fn returns(&self, framed: bool, low: u32, link: u32) -> Option<u32> {
        let code = |value: &u32| {
            recorder::symbol(self.names.kernel(), Va(*value)).is_some()
                && self.m.peek(self.thread.cr3, Va(*value), &mut [0]).is_ok()
                && self.names.kernel().image().routine(Va(*value)).is_none()
        };
        let returns = self.word(low).filter(|value| framed && low < link && code(value));
        returns.or_else(|| (low..link).step_by(4).rev().filter_map(|at| self.word(at)).find(code))
    }

    fn title(&self, info: &RoutineInfo, link: u32) -> String {
        let words = |from: u32, count: u8, step: i64| -> Vec<String> {
            (0..i64::from(count))
                .map(|index| {
                    let at = (i64::from(from) + index * step) as u32;
                    self.word(at).map_or("?".to_owned(), |value| self.names.value(value))
                })
                .collect()
        };
        let args = words(link + 8, info.params, 4).join(", ");
        let locals = words(link.wrapping_sub(4), info.locals, -4);
        // A routine may keep a whole structure there: what repeats itself is told once.
        let runs = locals.chunk_by(|one, next| one == next).map(|run| match run.len() {
            times @ 3.. => format!("{} ×{times}", run[0]),
            _ => run.join(", "),
        });
        let locals = runs.collect::<Vec<_>>().join(", ");
        let locals = if locals.is_empty() { String::new() } else { format!("  locals {locals}") };
        format!("{}({args}){locals}", info.name)
    }

    fn name_native(&self, info: &RoutineInfo, link: u32, slots: &mut Vec<(u32, String)>) {
        for index in 0..u32::from(info.params) {
            slots.push((link + 8 + 4 * index, format!("{} argument {}", info.name, index + 1)));
        }
        for index in 0..u32::from(info.locals) {
            slots.push((link.wrapping_sub(4 * (index + 1)), format!("{} local {}", info.name, index + 1)));
        }
    }

    /// The call that a native routine made last and that has not returned: where it returns to, and what
    /// was passed, right below the routine's locals.
    fn name_call(&self, info: &RoutineInfo, eip: u32, low: u32, link: u32, slots: &mut Vec<(u32, String)>) {
        let locals = link.saturating_sub(4 * u32::from(info.locals));
        let mut below = (low..locals).step_by(4);
        let Some(returns) = below.find(|at| self.word(*at) == Some(eip)) else { return };
        // The frame below is the callee's, if it has one: then it names them.
        let mut name = |at: u32, text: String| {
            if slots.iter().all(|(known, _)| *known != at) {
                slots.push((at, text));
            }
        };
        name(returns, "return address".to_owned());
        for (index, at) in (returns + 4..locals).step_by(4).enumerate() {
            name(at, format!("argument {}", index + 1));
        }
    }

    /// The CONTEXTs that lie behind returns to KiUserApcDispatcher, or that it has just been given: several
    /// where one APC came while another was at work.
    fn contexts(&mut self, esp: u32, top: u32) {
        if self.ring != 3 {
            return;
        }
        let inside = |value: u32| {
            recorder::symbol(self.names.kernel(), Va(value))
                .is_some_and(|symbol| symbol.starts_with("KiUserApcDispatcher"))
        };
        let resume = self.thread.user.or(self.thread.resume.filter(|resume| resume.user));
        let entered = resume.is_some_and(|resume| inside(resume.eip)).then_some(esp);
        let returns: Vec<u32> =
            (esp..top).step_by(4).filter(|at| self.word(*at).is_some_and(inside)).collect();
        for at in entered.into_iter().chain(returns) {
            // In line behind the routine and its three arguments; or where a pointer shortly before leads.
            let is_one = |at: u32| self.word(at).is_some_and(|flags| flags & context::I386 != 0);
            let leads = |slot: u32| {
                self.word(slot).filter(|to| (4..=8).contains(&to.wrapping_sub(slot)) && is_one(*to))
            };
            let at = (at..at + POINTER_WITHIN).step_by(4).find_map(leads).unwrap_or(at + 0x10);
            if is_one(at) && at + context::SIZE <= top {
                self.structures.push((at, context::SIZE, "CONTEXT"));
            }
        }
    }

    /// Where the mapped part of a user stack ends, or as much of it as is shown.
    fn user_top(&self, esp: u32) -> u32 {
        let mut at = esp & !3;
        while at < USER_END && at - esp < 4 * USER_SLOTS && self.word(at).is_some() {
            at += 4;
        }
        at.max(PAGE)
    }

    fn slots(&self, esp: u32, top: u32, named: &[(u32, String)]) -> Vec<Slot> {
        let layouts: Vec<(u32, u32, &str, &[fields::Field])> = self
            .structures
            .iter()
            .map(|(at, size, layout)| (*at, *size, *layout, self.names.fields(layout).unwrap_or_default()))
            .collect();
        let name_of = |at: u32| -> String {
            // The end of a frame may not be there: then what lies in its place begins behind the frame.
            let holds =
                |(from, size, ..): &&(u32, u32, &str, &[fields::Field])| (*from..from + size).contains(&at);
            if let Some((from, _, layout, fields)) =
                layouts.iter().filter(holds).max_by_key(|(from, ..)| *from)
            {
                let offset = at - from;
                let inside = |field: &&fields::Field| {
                    (field.offset..field.offset + field.size.max(4)).contains(&offset)
                };
                return match fields.iter().find(inside) {
                    Some(field) if field.offset == offset => format!("{layout}.{}", field.path),
                    _ => format!("{layout}+{offset:X}"),
                };
            }
            named.iter().find(|(known, _)| *known == at).map_or(String::new(), |(_, name)| name.clone())
        };
        let mut slots: Vec<Slot> = Vec::new();
        let mut at = esp & !3;
        while at < top {
            let Some(value) = self.word(at) else { break };
            let name = name_of(at);
            let meaning = self.names.meaning(value);
            let plain = name.is_empty() || name.contains('+');
            match slots.last_mut() {
                Some(last)
                    if plain
                        && last.value == value
                        && meaning.is_none()
                        && (last.name.is_empty() || last.name.contains('+'))
                        && last.name.is_empty() == name.is_empty() =>
                {
                    last.count += 1;
                }
                _ => slots.push(Slot { at, value, count: 1, name, meaning }),
            }
            at += 4;
        }
        slots
    }
}

/// The frames of a thread's stacks, a line each.
pub fn walked(stacks: &[Stack]) -> String {
    if stacks.is_empty() {
        return "    no stack: it has ended\n".to_owned();
    }
    let mut text = String::new();
    for stack in stacks {
        for StackFrame { eip, ebp, title } in &stack.frames {
            text.push_str(&format!("    ring {}  ebp {ebp:08X}  {eip:08X}  {title}\n", stack.ring));
        }
    }
    text
}

/// A stack as a picture: its slots from the top of the stack's use down to its base, each with its
/// address, what it holds, what it is and what that means.
pub fn picture(stack: &Stack) -> String {
    let width = stack.slots.iter().map(|slot| slot.name.chars().count()).max().unwrap_or(0);
    let mut text = format!("    ring {}, esp {:08X}\n", stack.ring, stack.esp);
    for slot in &stack.slots {
        let count = if slot.count > 1 { format!("×{}", slot.count) } else { String::new() };
        let meaning = slot.meaning.as_deref().unwrap_or_default();
        let line =
            format!("    {:08X}  {:08X} {count:5} {:width$}  {meaning}", slot.at, slot.value, slot.name);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_threads_stack_is_named_from_the_switch_frame_to_the_trap_frame() {
        let text = "# A wait.\nprocess app\nthread main in=app\n\
                    main NtDelayExecution alertable=no interval=forever\n";
        let case = recorder::Case::parse("x", "x", text).unwrap();
        for name in ["nt", "reactos"] {
            let kernel = recorder::kernels::by_name(name).unwrap();
            let recording = recorder::record(&case, kernel).unwrap();
            let event = recording.event(3).unwrap();
            let names = Names::new(kernel, &event.machine, &event.named);
            let id = event.named.iter().find(|named| named.name == "main").unwrap().id;
            let thread = kernel.threads(&event.machine).into_iter().find(|thread| thread.id == id).unwrap();
            let stacks = stacks(&names, &event.machine, &thread);
            assert_eq!(stacks.iter().map(|stack| stack.ring).collect::<Vec<_>>(), [0, 3], "{name}");
            let text = picture(&stacks[0]) + &walked(&stacks);
            for part in [
                "KSWITCHFRAME.",
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
}
