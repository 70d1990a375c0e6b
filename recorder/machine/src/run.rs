//! Running: the loop that takes interrupts, stops where the host wants, fetches and executes.
//!
//! Everything that can happen happens at a boundary between two instructions, in a fixed order, so
//! that a run cut in pieces does the same as a run in one.

use crate::debug::{ENABLED, STEPPED};
use crate::lower::{LONGEST, Lowered, lower};
use crate::op::Op;
use crate::registers::flags;
use crate::segment::attribute;
use crate::trap::Exit;
use crate::{Access, Machine, PAGE, Pa, Seg, Stop, Trap, Until};

/// What lives no longer than an instruction, or can be made again from the machine: not state.
#[derive(Debug, Default)]
pub(crate) struct Transient {
    /// DR6 bits of the data breakpoints that the current instruction has met.
    pub hits: u32,
    /// Offset of the current instruction.
    pub here: u32,
}

impl Clone for Transient {
    fn clone(&self) -> Self {
        Transient::default()
    }
}

impl PartialEq for Transient {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// How many exceptions and interrupts in a row may be delivered without an instruction being retired
/// between them: a handler that faults at its own first instruction must not keep a run from ending.
const DELIVERIES: u32 = 1000;

/// What an attempt at an instruction came to.
enum Attempt {
    Retired,
    /// An exception was delivered instead of the instruction.
    Delivered,
}

impl Machine {
    /// Runs until something of `until` or of [`Stop`] happens. Always ends.
    ///
    /// At each boundary between instructions, in this order: a pending external interrupt is taken if
    /// it may be; a halted processor stops; a breakpoint stops; a native routine's address stops; the
    /// end of the budget stops; and only then is an instruction executed. With a budget of zero nothing
    /// happens at all. A run that only delivers exceptions, without ever executing an instruction,
    /// ends as if its budget were used up.
    pub fn run(&mut self, until: &Until) -> Stop {
        match self.run_or_stop(until) {
            Ok(never) => match never {},
            Err(stop) => stop,
        }
    }

    /// Executes one instruction, or delivers one exception or interrupt; `Stop::Budget` when it did.
    pub fn step(&mut self) -> Stop {
        self.step_or_stop().err().unwrap_or(Stop::Budget)
    }

    fn step_or_stop(&mut self) -> Result<(), Stop> {
        if self.take_interrupt()? {
            return Ok(());
        }
        if self.cpu.halted {
            return Err(Stop::Halted);
        }
        if !self.stop_at_gate()? {
            self.attempt()?;
        }
        Ok(())
    }

    fn run_or_stop(&mut self, until: &Until) -> Result<std::convert::Infallible, Stop> {
        if until.budget == 0 {
            return Err(Stop::Budget);
        }
        let end = self.retired.saturating_add(until.budget);
        let mut deliveries = 0;
        // Where a breakpoint does not stop: at the run's first instruction, and inside a repeated one.
        let mut passed = Some(self.cpu.next());
        loop {
            if deliveries > DELIVERIES {
                return Err(Stop::Budget);
            }
            if self.take_interrupt()? {
                deliveries += 1;
                passed = None;
                continue;
            }
            if self.cpu.halted {
                return Err(Stop::Halted);
            }
            let at = self.cpu.next();
            if !until.breakpoints.is_empty() && passed != Some(at) && until.breakpoints.contains(&at) {
                return Err(Stop::Breakpoint(at));
            }
            if self.stop_at_gate()? {
                deliveries += 1;
                passed = None;
                continue;
            }
            if self.retired >= end {
                return Err(Stop::Budget);
            }
            let cpl = self.cpu.cpl();
            match self.attempt()? {
                Attempt::Retired => deliveries = 0,
                Attempt::Delivered => deliveries += 1,
            }
            // Only a repeated instruction leaves RF set and EIP where it was.
            let repeating = self.cpu.flag(flags::RF) && self.cpu.next() == at;
            passed = repeating.then_some(at);
            if until.user_entry && cpl < 3 && self.cpu.cpl() == 3 {
                return Err(Stop::UserEntry);
            }
        }
    }

    /// Takes the pending external interrupt, if there is one and it may be taken.
    fn take_interrupt(&mut self) -> Result<bool, Stop> {
        let Some(vector) = self.cpu.interrupt else { return Ok(false) };
        if !self.cpu.flag(flags::IF) || self.cpu.shadow {
            return Ok(false);
        }
        self.cpu.interrupt = None;
        self.cpu.halted = false;
        self.deliver_external(vector)?;
        Ok(true)
    }

    /// Stops if EIP is at a native routine. When the routine's address cannot be fetched from, the
    /// page fault is delivered instead, which is what `true` says.
    fn stop_at_gate(&mut self) -> Result<bool, Stop> {
        let at = self.cpu.next();
        let gate = match self.cpu.cpl() {
            0 => self.gates.kernel.contains(&at.0),
            3 => self.gates.user.contains(&at.0),
            _ => false,
        };
        if !gate {
            return Ok(false);
        }
        match self.translate(at, Access::Execute, self.cpu.cpl() == 3) {
            Ok(_) => Err(Stop::Native(at)),
            Err(fault) => self.page_fault(fault).map(|()| true),
        }
    }

    /// Executes the instruction at EIP, or delivers the exception that it raises.
    fn attempt(&mut self) -> Result<Attempt, Stop> {
        let here = self.cpu.eip;
        let before = self.cpu.eflags;
        let shadow = std::mem::take(&mut self.cpu.shadow);
        self.transient.hits = 0;
        self.transient.here = here;
        match self.fetch_and_execute(here) {
            Ok(op) => {
                self.retired += 1;
                if before & flags::TF != 0 || self.transient.hits != 0 {
                    self.debug_trap(&op, before)?;
                }
                Ok(Attempt::Retired)
            }
            Err(exit) => {
                self.cpu.eip = here;
                self.cpu.eflags |= before & flags::RF;
                match self.failed(exit).and_then(|trap| self.raise(trap)) {
                    Ok(()) => Ok(Attempt::Delivered),
                    Err(stop) => {
                        self.cpu.shadow = shadow;
                        Err(stop)
                    }
                }
            }
        }
    }

    fn fetch_and_execute(&mut self, here: u32) -> Result<Op, Exit> {
        if self.cpu.dr[7] & ENABLED != 0 && !self.cpu.flag(flags::RF) {
            let hits = self.instruction_breakpoints(self.cpu.next());
            if hits != 0 {
                self.cpu.dr[6] |= hits;
                return Err(Trap::Debug.into());
            }
        }
        let Lowered { op, len } = self.fetch()?;
        // RF holds for one instruction. IRET and repetition set it anew.
        self.cpu.eflags &= !flags::RF;
        self.cpu.eip = here.wrapping_add(u32::from(len));
        self.execute(&op, here)?;
        Ok(op)
    }

    /// Delivers the debug traps that follow an instruction: single step and data breakpoints.
    fn debug_trap(&mut self, op: &Op, before: u32) -> Result<(), Stop> {
        let entered = matches!(op, Op::Interrupt(_) | Op::DebugTrap | Op::InterruptOnOverflow);
        // An instruction that goes through a gate clears TF, and with it the step that was due.
        let stepped = before & flags::TF != 0 && (!entered || self.cpu.flag(flags::TF));
        let held = matches!(op, Op::LoadSegment(Seg::Ss, _) | Op::PopSegment(_, Seg::Ss));
        let bits = self.transient.hits | if stepped { STEPPED } else { 0 };
        if bits == 0 || held {
            return Ok(());
        }
        self.cpu.dr[6] |= bits;
        self.deliver(Trap::Debug)
    }

    /// Fetches and lowers the instruction at EIP.
    #[inline]
    fn fetch(&mut self) -> Result<Lowered, Trap> {
        let cs = self.cpu.seg(Seg::Cs);
        let eip = self.cpu.eip;
        let (wide, limit) = (cs.attributes & attribute::BIG != 0, cs.limit);
        if eip > limit {
            return Err(Trap::General(0));
        }
        let from = self.translate(self.cpu.next(), Access::Execute, self.cpu.cpl() == 3)?;
        if wide
            && let Some(known) = self.memory.cache.instruction(from)
            && limit - eip >= u32::from(known.len) - 1
        {
            return Ok(known);
        }
        self.fetch_bytes(from, limit - eip, wide)
    }

    /// Decodes the instruction at EIP, which is at `from`, with `rest` more bytes in its segment.
    fn fetch_bytes(&mut self, from: Pa, rest: u32, wide: bool) -> Result<Lowered, Trap> {
        let in_page = PAGE - from.offset();
        let mut bytes = [0; LONGEST];
        let available = rest.saturating_add(1).min(LONGEST as u32);
        let head = available.min(in_page) as usize;
        self.memory.read(from, &mut bytes[..head]);
        if let Some(lowered) = lower(&bytes[..head], wide) {
            if wide {
                self.memory.keep_instruction(from, lowered);
            }
            return Ok(lowered);
        }
        let available = available as usize;
        if available > head {
            let user = self.cpu.cpl() == 3;
            let from = self.translate(self.cpu.next().add(in_page), Access::Execute, user)?;
            self.memory.read(from, &mut bytes[head..available]);
            if let Some(lowered) = lower(&bytes[..available], wide) {
                return Ok(lowered);
            }
        }
        // Only the end of the segment cuts an instruction short of fifteen bytes.
        Err(Trap::General(0))
    }
}
