//! The machine: processor, memory and clock, and the ways in which a host drives it.

use crate::run::Transient;
use crate::{Access, Cpu, Fault, Memory, PAGE, Va};
use std::ops::Range;

/// Where native routines live. Execution that reaches an address in a range at its privilege stops
/// the machine, so that the host can run the routine; everywhere else code is executed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gates {
    /// Linear addresses that stop the machine in ring 0.
    pub kernel: Range<u32>,
    /// Linear addresses that stop the machine in ring 3.
    pub user: Range<u32>,
}

/// An i386 with its memory. A copy is a snapshot: it can be compared, run on, or put back, best with
/// `clone_from`, which costs what has changed since.
#[derive(Debug, PartialEq)]
pub struct Machine {
    /// The registers.
    pub cpu: Cpu,
    /// Physical memory.
    pub memory: Memory,
    /// Instructions retired since the machine was made; a native routine counts as one.
    pub retired: u64,
    /// The world's clock in units of 100 ns. It moves only when the host moves it.
    pub clock: u64,
    /// Where native routines live.
    pub gates: Gates,
    pub(crate) transient: Transient,
}

/// How long a run may last, and what ends it early.
#[derive(Clone, Copy, Debug)]
pub struct Until<'a> {
    /// The most instructions to retire.
    pub budget: u64,
    /// Linear addresses at which to stop before the instruction there is executed. The first
    /// instruction of a run is never stopped at, so that a run can go on from a breakpoint.
    pub breakpoints: &'a [Va],
    /// Whether to stop when ring 3 has been entered, before its first instruction.
    pub user_entry: bool,
}

impl Until<'_> {
    /// Nothing but a budget.
    pub const fn budget(budget: u64) -> Until<'static> {
        Until { budget, breakpoints: &[], user_entry: false }
    }
}

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Execution reached a native routine's address; the routine has not run yet.
    Native(Va),
    /// The next instruction is at a breakpoint.
    Breakpoint(Va),
    /// Ring 3 was just entered.
    UserEntry,
    /// HLT, and nothing will end it but an interrupt.
    Halted,
    /// A fault while delivering a double fault.
    Shutdown,
    /// The budget is used up.
    Budget,
    /// Something that this machine does not do; the text names it and says where.
    Unsupported(String),
}

impl Clone for Machine {
    fn clone(&self) -> Machine {
        Machine {
            cpu: self.cpu.clone(),
            memory: self.memory.clone(),
            retired: self.retired,
            clock: self.clock,
            gates: self.gates.clone(),
            transient: Transient::default(),
        }
    }

    fn clone_from(&mut self, source: &Machine) {
        self.cpu.clone_from(&source.cpu);
        self.memory.clone_from(&source.memory);
        self.retired = source.retired;
        self.clock = source.clock;
        self.gates.clone_from(&source.gates);
        self.transient = Transient::default();
    }
}

impl Machine {
    /// A machine with `pages` pages of zeroed memory and a processor in protected mode without paging.
    pub fn new(pages: u32) -> Machine {
        Machine {
            cpu: Cpu::default(),
            memory: Memory::new(pages),
            retired: 0,
            clock: 0,
            gates: Gates::default(),
            transient: Transient::default(),
        }
    }

    /// Whether translations and decoded instructions are remembered, which changes nothing but the
    /// speed. A machine is made so; without it, it is the reference that the memory is tested against.
    pub fn set_caching(&mut self, on: bool) {
        self.memory.cache = crate::cache::Cache::new(on);
    }

    /// Reads linear memory at the current privilege, as an instruction would.
    ///
    /// # Errors
    /// The page fault of the first byte that cannot be read; `out` is unspecified then.
    #[inline]
    pub fn read(&mut self, at: Va, out: &mut [u8]) -> Result<(), Fault> {
        let user = self.cpu.cpl() == 3;
        let len = out.len() as u32;
        if in_one_page(at, out.len()) {
            let from = self.translate(at, Access::Read, user)?;
            self.memory.read(from, out);
        } else {
            self.read_across(at, out, user)?;
        }
        self.note(at, len, Access::Read);
        Ok(())
    }

    #[inline(never)]
    fn read_across(&mut self, at: Va, out: &mut [u8], user: bool) -> Result<(), Fault> {
        for (at, part) in pieces(at, out.len()) {
            let from = self.translate(at, Access::Read, user)?;
            self.memory.read(from, &mut out[part]);
        }
        Ok(())
    }

    /// Writes linear memory at the current privilege, as an instruction would: all or nothing.
    ///
    /// # Errors
    /// The page fault of the first byte that cannot be written; nothing is written then.
    #[inline]
    pub fn write(&mut self, at: Va, bytes: &[u8]) -> Result<(), Fault> {
        let user = self.cpu.cpl() == 3;
        if in_one_page(at, bytes.len()) {
            let to = self.translate(at, Access::Write, user)?;
            self.memory.write(to, bytes);
        } else {
            self.write_across(at, bytes, user)?;
        }
        self.note(at, bytes.len() as u32, Access::Write);
        Ok(())
    }

    #[inline(never)]
    fn write_across(&mut self, at: Va, bytes: &[u8], user: bool) -> Result<(), Fault> {
        let mut places = Vec::new();
        for (at, part) in pieces(at, bytes.len()) {
            places.push((self.translate(at, Access::Write, user)?, part));
        }
        for (to, part) in places {
            self.memory.write(to, &bytes[part]);
        }
        Ok(())
    }

    /// Reads linear memory of the address space `cr3` with supervisor rights, touching nothing.
    ///
    /// # Errors
    /// The page fault of the first byte that is not mapped.
    #[inline]
    pub fn peek(&self, cr3: u32, at: Va, out: &mut [u8]) -> Result<(), Fault> {
        // Whoever looks asks mostly for a field of what the code that runs has just used.
        if in_one_page(at, out.len())
            && let Some(from) = self.remembered(cr3, at)
        {
            self.memory.read(from, out);
            return Ok(());
        }
        self.peek_by_tables(cr3, at, out)
    }

    fn peek_by_tables(&self, cr3: u32, at: Va, out: &mut [u8]) -> Result<(), Fault> {
        for (at, part) in pieces(at, out.len()) {
            let from = self.probe(cr3, at, Access::Read)?;
            self.memory.read(from, &mut out[part]);
        }
        Ok(())
    }

    /// Writes linear memory of the address space `cr3` from outside: rights, A and D bits are not
    /// consulted or changed. For loading images and for placing what a program would have written.
    ///
    /// # Errors
    /// The page fault of the first byte that is not mapped; earlier pages are written then.
    pub fn poke(&mut self, cr3: u32, at: Va, bytes: &[u8]) -> Result<(), Fault> {
        for (at, part) in pieces(at, bytes.len()) {
            let to = self.probe(cr3, at, Access::Read)?;
            self.memory.write(to, &bytes[part]);
        }
        Ok(())
    }
}

/// Whether `len` bytes at `at` are some, and lie in one page.
#[inline]
fn in_one_page(at: Va, len: usize) -> bool {
    // No bytes wrap to the largest number.
    len.wrapping_sub(1) < (PAGE - at.offset()) as usize
}

/// Cuts `len` bytes at `at` into pieces that do not cross a page.
pub(crate) fn pieces(at: Va, len: usize) -> impl Iterator<Item = (Va, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = at.add(done as u32);
        let part = ((PAGE - at.offset()) as usize).min(len - done);
        let range = done..done + part;
        done += part;
        (part > 0).then_some((at, range))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pa, registers::control};

    /// Page 5 of one address space leads to frame 3, of another to frame 4.
    fn machine() -> Machine {
        let mut m = Machine::new(16);
        for (directory, table, frame) in [(0x1000, 0x2000, 3), (0x6000, 0x7000, 4)] {
            m.memory.write_u32(Pa(directory), table | 7);
            m.memory.write_u32(Pa(table + 4 * 5), frame << 12 | 7);
            m.memory.write_u32(Pa(frame << 12), frame);
        }
        m.cpu.cr3 = 0x1000;
        m.cpu.cr0 |= control::PG;
        m
    }

    fn peeked(m: &Machine, cr3: u32) -> u32 {
        let mut raw = [0; 4];
        m.peek(cr3, Va(0x5000), &mut raw).expect("it is mapped");
        u32::from_le_bytes(raw)
    }

    #[test]
    fn a_look_that_uses_a_remembered_translation_sees_what_the_tables_say() {
        let mut m = machine();
        assert_eq!(m.read(Va(0x5000), &mut [0; 4]), Ok(()));
        assert!(m.remembered(0x1000, Va(0x5000)).is_some());
        assert_eq!((peeked(&m, 0x1000), peeked(&m, 0x6000)), (3, 4));
        m.memory.write_u32(Pa(0x2000 + 4 * 5), 4 << 12 | 7);
        assert_eq!(peeked(&m, 0x1000), 4);
        assert_eq!(m.read(Va(0x5000), &mut [0; 4]), Ok(()));
        m.cpu.cr0 &= !control::PG;
        assert_eq!(peeked(&m, 0x1000), 0, "without paging an address is a physical one");
    }

    #[test]
    fn bytes_lie_in_one_page_up_to_its_last() {
        let one = |at, len| in_one_page(Va(at), len);
        assert!(one(0x1000, 1) && one(0x1000, 0x1000) && one(0x1FFF, 1) && one(u32::MAX, 1));
        assert!(!one(0x1000, 0) && !one(0x1000, 0x1001) && !one(0x1FFF, 2) && !one(u32::MAX, 2));
    }
}
