//! Running: the loop that takes interrupts, stops where the host wants, fetches and executes.
//!
//! Everything that can happen happens at a boundary between two instructions, in a fixed order, so
//! that a run cut in pieces does the same as a run in one.

use crate::blocks::Directory;
use crate::debug::STEPPED;
use crate::lower::Lowered;
use crate::op::Op;
use crate::registers::flags;
use crate::{Access, Machine, Seg, Stop, Trap, Until};

/// What lives no longer than an instruction, or can be made again from the machine: not state.
#[derive(Debug, Default)]
pub(crate) struct Transient {
    /// DR6 bits of the data breakpoints that the current instruction has met.
    pub hits: u32,
    /// Offset of the current instruction.
    pub here: u32,
    /// What was read and written, where somebody looks on.
    pub touched: Option<Vec<crate::Touched>>,
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
        if until.budget == 0 {
            return Stop::Budget;
        }
        let mut directory = self.memory.cache.directory.take().unwrap_or_else(|| Box::new(Directory::new()));
        directory.heed(&self.gates);
        let result = self.run_or_stop(until, &mut directory);
        self.memory.cache.directory = Some(directory);
        match result {
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

    fn run_or_stop(
        &mut self,
        until: &Until,
        directory: &mut Directory,
    ) -> Result<std::convert::Infallible, Stop> {
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
            let sprint = self.sprint(directory, until.breakpoints, end)?;
            if sprint.ran {
                deliveries = 0;
            }
            if sprint.delivered {
                deliveries += 1;
            } else if !sprint.ran {
                match self.attempt()? {
                    Attempt::Retired => deliveries = 0,
                    Attempt::Delivered => deliveries += 1,
                }
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
    #[inline(always)]
    fn take_interrupt(&mut self) -> Result<bool, Stop> {
        match self.cpu.interrupt {
            None => Ok(false),
            Some(vector) => self.take_vector(vector),
        }
    }

    fn take_vector(&mut self, vector: u8) -> Result<bool, Stop> {
        if !self.cpu.flag(flags::IF) || self.cpu.shadow {
            return Ok(false);
        }
        self.deliver_external(vector)?;
        self.cpu.interrupt = None;
        Ok(true)
    }

    /// Stops if EIP is at a native routine. When the routine's address cannot be fetched from, the
    /// page fault is delivered instead, which is what `true` says.
    #[inline(always)]
    fn stop_at_gate(&mut self) -> Result<bool, Stop> {
        let at = self.cpu.next().0;
        if self.gates.kernel.contains(&at) || self.gates.user.contains(&at) {
            return self.stop_in_ring();
        }
        Ok(false)
    }

    fn stop_in_ring(&mut self) -> Result<bool, Stop> {
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
    #[inline]
    fn attempt(&mut self) -> Result<Attempt, Stop> {
        let here = self.cpu.eip;
        let before = self.cpu.eflags;
        let shadow = std::mem::take(&mut self.cpu.shadow);
        let held = std::mem::take(&mut self.cpu.held);
        (self.transient.hits, self.transient.here) = (0, here);
        let failed = match self.fetch() {
            Ok(Lowered { needs, .. }) if needs > self.cpu.model => Trap::Undefined.into(),
            Ok(Lowered { op, len, .. }) => {
                // RF holds for one instruction. IRET and repetition set it anew.
                self.cpu.eflags &= !flags::RF;
                self.cpu.eip = here.wrapping_add(u32::from(len));
                match self.execute(&op, here) {
                    Ok(()) => {
                        self.retired += 1;
                        if before & flags::TF != 0 || self.transient.hits | held != 0 {
                            self.debug_trap(&op, before, held)?;
                        }
                        return Ok(Attempt::Retired);
                    }
                    Err(exit) => exit,
                }
            }
            Err(trap) => trap.into(),
        };
        self.cpu.eip = here;
        self.cpu.eflags |= before & flags::RF;
        match self.failed(failed).and_then(|trap| self.raise(trap)) {
            Ok(()) => Ok(Attempt::Delivered),
            Err(stop) => {
                self.cpu.shadow = shadow;
                self.cpu.held = held;
                Err(stop)
            }
        }
    }

    /// Delivers the debug traps that follow an instruction: single step and data breakpoints.
    fn debug_trap(&mut self, op: &Op, before: u32, held: u32) -> Result<(), Stop> {
        let entered = matches!(op, Op::Interrupt(_) | Op::DebugTrap | Op::InterruptOnOverflow);
        // An instruction that goes through a gate clears TF, and with it the step that was due.
        let stepped = before & flags::TF != 0 && (!entered || self.cpu.flag(flags::TF));
        let bits = self.transient.hits | held | if stepped { STEPPED } else { 0 };
        if matches!(op, Op::LoadSegment(Seg::Ss, _) | Op::PopSegment(_, Seg::Ss)) {
            // A single step is made after the next instruction anyway.
            self.cpu.held = bits & !STEPPED;
            return Ok(());
        }
        if bits == 0 {
            return Ok(());
        }
        self.cpu.dr[6] |= bits;
        self.deliver(Trap::Debug)
    }
}
