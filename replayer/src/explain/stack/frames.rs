//! Who is at work on a stack, from its innermost frame up the EBP chain.
//!
//! A native routine's frame is told by where it goes on: at the return address of the call that it made
//! last. Then its arguments and locals are known, and what it passed. Executed code is told by its symbol.

use super::structures::Placed;
use super::{Reader, StackFrame};
use contract::Resume;
use contract::routine::RoutineInfo;
use machine::Va;
use std::collections::BTreeMap;
use std::ops::Range;

/// Links of an EBP chain that are followed, at most.
const LINKS: usize = 64;
/// The opcode of IRETD.
const IRET: u8 = 0xCF;
/// Stubs that have called each other, at most.
const STUBS: usize = 8;
/// Registers that a stub takes off the stack before it returns, at most.
const POPS: u32 = 8;

/// A stack that is being walked.
struct Walk<'a> {
    on: &'a Reader<'a>,
    frames: Vec<StackFrame>,
    /// What slots are, by address.
    named: BTreeMap<u32, String>,
}

/// The frames of a stack, innermost first, and what the slots are that belong to them, by address.
pub(super) fn walk(
    on: &Reader,
    structures: &[Placed],
    from: Resume,
    stack: Range<u32>,
) -> (Vec<StackFrame>, BTreeMap<u32, String>) {
    let mut walk = Walk { on, frames: Vec::new(), named: BTreeMap::new() };
    walk.innermost(&from, stack.start);
    // Who is at work below all frames: the thread itself, then whoever an interrupt has stopped.
    let mut at_work = Some(from);
    let mut low = stack.start;
    for link in on.links(from.ebp, stack) {
        match structures.iter().find(|one| one.at == link) {
            Some(Placed { layout, .. }) => {
                let eip = on.word(link + 4).unwrap_or(0);
                walk.frames.push(StackFrame { eip, ebp: link, title: (*layout).to_owned() });
                at_work = on.interrupted(link, layout);
                low = at_work.map_or(link + 4, |interrupted| interrupted.esp);
                if let Some(from) = at_work {
                    walk.innermost(&from, low);
                }
            }
            None => {
                walk.frame(at_work.take(), low, link);
                low = link + 4;
            }
        }
    }
    walk.frames.dedup_by(|a, b| a.eip == b.eip && a.title == b.title);
    (walk.frames, walk.named)
}

impl Walk<'_> {
    /// What the thread itself executes, if that has no frame of its own yet.
    fn innermost(&mut self, from: &Resume, esp: u32) {
        let on = self.on;
        let title = match on.routine(from.eip) {
            Some((_, stage)) if stage > 0 => return,
            Some(_) if on.entered(from).is_some() => return,
            // A native routine that is about to be entered finds its arguments above its return address.
            Some((info, _)) => {
                self.name(esp, "return address");
                let bare = RoutineInfo { locals: 0, ..info };
                let link = esp.wrapping_sub(4);
                self.name_native(&bare, link);
                on.title(&bare, link)
            }
            None => {
                self.name_iret(from, esp);
                on.symbol(from.eip)
            }
        };
        self.frames.push(StackFrame { eip: from.eip, ebp: from.ebp, title });
        self.stubs(from, esp);
    }

    /// The stubs by which the thread came to where it is, and who called the first of them. They have no frames;
    /// but from where a stub goes on it only returns, and so it tells where its return address lies and how
    /// many arguments it removes.
    fn stubs(&mut self, from: &Resume, esp: u32) {
        let on = self.on;
        let (mut eip, mut esp) = (from.eip, esp);
        for _ in 0..STUBS {
            let Some((at, removed)) = on.returning(eip, esp) else { return };
            let Some(to) = on.word(at).filter(|to| on.is_executed(*to) || on.at_stage(*to).is_some()) else {
                return;
            };
            self.name(at, "return address");
            let stub = on.symbol(eip);
            let stub = stub.split('+').next().unwrap_or_default();
            for index in 0..removed / 4 {
                self.name(at + 4 + 4 * index, format!("{stub} argument {}", index + 1));
            }
            // A native routine has a frame, which comes next.
            if !on.is_executed(to) {
                return;
            }
            self.frames.push(StackFrame { eip: to, ebp: from.ebp, title: on.symbol(to) });
            (eip, esp) = (to, at.wrapping_add(4 + removed));
        }
    }

    /// A frame, and who has it. Below it lies what its owner has called, or `stopped`, who is at work.
    fn frame(&mut self, stopped: Option<Resume>, low: u32, link: u32) {
        let on = self.on;
        if let Some((info, eip)) = on.owner(stopped, low, link) {
            self.frames.push(StackFrame { eip, ebp: link, title: on.title(&info, link) });
            self.name_native(&info, link);
            self.name_call(&info, eip, low, link);
        } else if let Some(eip) = on.returns(stopped.is_none(), low, link) {
            self.frames.push(StackFrame { eip, ebp: link, title: on.symbol(eip) });
        }
        self.name(link, "saved EBP");
        self.name(link + 4, "return address");
    }

    /// Says what a slot is, if nobody has yet.
    fn name(&mut self, at: u32, text: impl Into<String>) {
        self.named.entry(at).or_insert_with(|| text.into());
    }

    fn name_native(&mut self, info: &RoutineInfo, link: u32) {
        for index in 0..u32::from(info.params) {
            self.name(link + 8 + 4 * index, format!("{} argument {}", info.name, index + 1));
        }
        for index in 0..u32::from(info.locals) {
            self.name(link.wrapping_sub(4 * (index + 1)), format!("{} local {}", info.name, index + 1));
        }
    }

    /// The call that a native routine made last and that has not returned: where it returns to, and what
    /// was passed, right below the routine's locals. The callee, if it has a frame, has named them already.
    fn name_call(&mut self, info: &RoutineInfo, eip: u32, low: u32, link: u32) {
        let locals = link.saturating_sub(4 * u32::from(info.locals));
        let mut below = (low..locals).step_by(4);
        let Some(returns) = below.find(|at| self.on.word(*at) == Some(eip)) else { return };
        self.name(returns, "return address");
        for (index, at) in (returns + 4..locals).step_by(4).enumerate() {
            self.name(at, format!("argument {}", index + 1));
        }
    }

    /// IRET takes ESP and SS as well where it leads to an outer ring.
    fn name_iret(&mut self, from: &Resume, esp: u32) {
        let on = self.on;
        let mut code = [0];
        if on.m.peek(on.thread.cr3, Va(from.eip), &mut code).is_err() || code[0] != IRET {
            return;
        }
        let outer = !from.user && on.word(esp.wrapping_add(4)).is_some_and(|cs| cs & 3 == 3);
        let taken = ["EIP", "CS", "EFLAGS", "ESP", "SS"].iter().take(if outer { 5 } else { 3 });
        for (at, what) in (esp..).step_by(4).zip(taken) {
            self.name(at, format!("IRET {what}"));
        }
    }
}

impl Reader<'_> {
    /// The EBP chain, as far as it climbs on this stack.
    fn links(&self, from: u32, stack: Range<u32>) -> Vec<u32> {
        let mut links: Vec<u32> = Vec::new();
        let mut link = from;
        while links.len() < LINKS
            && link >= stack.start
            && link.saturating_add(8) <= stack.end
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

    /// A native routine at one of its stages: one that has a frame.
    fn at_stage(&self, eip: u32) -> Option<RoutineInfo> {
        let (info, stage) = self.routine(eip)?;
        (stage > 0).then_some(info)
    }

    /// A native routine that has its frame already, though it goes on from its entry: an access of its first
    /// stage has faulted.
    fn entered(&self, from: &Resume) -> Option<RoutineInfo> {
        let (info, stage) = self.routine(from.eip)?;
        let made = from.ebp == from.esp.wrapping_add(4 * u32::from(info.locals));
        // Where it has none, its caller's may look so; but then its return address is the lowest slot.
        let returns = info.locals > 0 && self.word(from.esp).is_some_and(|value| self.is_code(value));
        (stage == 0 && made && !returns).then_some(info)
    }

    fn is_code(&self, value: u32) -> bool {
        self.routine(value).is_some() || self.names.kernel().image().symbolize(Va(value)).contains('+')
    }

    /// Where the owner of a link goes on, if that is executed code: the frame below returns there, if there is
    /// one. Else it is the highest slot that returns into code, for stubs have no frames.
    fn returns(&self, framed: bool, low: u32, link: u32) -> Option<u32> {
        let code = |value: &u32| self.is_executed(*value);
        let returns = self.word(low).filter(|value| framed && low < link && code(value));
        returns.or_else(|| (low..link).step_by(4).rev().filter_map(|at| self.word(at)).find(code))
    }

    /// Whether code with a name lies there, other than a native routine.
    fn is_executed(&self, at: u32) -> bool {
        recorder::symbol(self.names.kernel(), Va(at)).is_some()
            && self.m.peek(self.thread.cr3, Va(at), &mut [0]).is_ok()
            && self.routine(at).is_none()
    }

    /// Where the return address of code lies that does nothing any more but return, and how many bytes of
    /// arguments it removes. It may take registers off the stack first, other than EBP and ESP.
    fn returning(&self, eip: u32, esp: u32) -> Option<(u32, u32)> {
        let mut code = [0; 3];
        for pops in 0..POPS {
            self.m.peek(self.thread.cr3, Va(eip.wrapping_add(pops)), &mut code).ok()?;
            let at = esp.wrapping_add(4 * pops);
            match code {
                [0xC3, ..] => return Some((at, 0)),
                [0xC2, low, high] => return Some((at, u16::from_le_bytes([low, high]).into())),
                [0x58..=0x5B | 0x5E | 0x5F, ..] => {}
                _ => return None,
            }
        }
        None
    }

    fn symbol(&self, at: u32) -> String {
        crate::explain::symbol(self.names.kernel(), Va(at))
    }

    /// A native routine with its arguments and locals.
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
}
