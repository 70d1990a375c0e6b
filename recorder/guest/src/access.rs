//! Reading and writing guest memory a field at a time.

use crate::{Fault, Scalar, Va};
use machine::{Access, Machine, PAGE, Page};
use std::marker::PhantomData;

/// The widest value a slot can hold, in bytes.
const WIDEST: usize = 32;

/// A place in guest memory that holds one `T`.
pub struct Slot<T> {
    /// The linear address of its first byte.
    pub at: Va,
    holds: PhantomData<fn() -> T>,
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Slot<T> {}
impl<T> Slot<T> {
    /// The place at `at`.
    pub const fn new(at: Va) -> Self {
        Slot { at, holds: PhantomData }
    }
}

/// Guest memory that can be read.
pub trait Read {
    /// Reads bytes at a linear address.
    ///
    /// # Errors
    /// The page fault of the first byte that cannot be read.
    fn bytes(&mut self, at: Va, out: &mut [u8]) -> Result<(), Fault>;

    /// Reads the value in a slot.
    ///
    /// # Errors
    /// The page fault of the access.
    fn get<T: Scalar>(&mut self, slot: Slot<T>) -> Result<T, Fault> {
        let mut raw = [0; WIDEST];
        let raw = &mut raw[..T::SIZE as usize];
        self.bytes(slot.at, raw)?;
        Ok(T::decode(raw))
    }

    /// Reads a value at an address.
    ///
    /// # Errors
    /// The page fault of the access.
    fn load<T: Scalar>(&mut self, at: Va) -> Result<T, Fault> {
        self.get(Slot::new(at))
    }
}

/// Guest memory that can be written.
pub trait Write: Read {
    /// Writes bytes at a linear address, all or nothing.
    ///
    /// # Errors
    /// The page fault of the first byte that cannot be written.
    fn put(&mut self, at: Va, bytes: &[u8]) -> Result<(), Fault>;

    /// Writes a value into a slot.
    ///
    /// # Errors
    /// The page fault of the access.
    fn set<T: Scalar>(&mut self, slot: Slot<T>, value: T) -> Result<(), Fault> {
        let mut raw = [0; WIDEST];
        let raw = &mut raw[..T::SIZE as usize];
        value.encode(raw);
        self.put(slot.at, raw)
    }

    /// Writes a value at an address.
    ///
    /// # Errors
    /// The page fault of the access.
    fn store<T: Scalar>(&mut self, at: Va, value: T) -> Result<(), Fault> {
        self.set(Slot::new(at), value)
    }

    /// Writes `len` zero bytes.
    ///
    /// # Errors
    /// The page fault of the first byte that cannot be written.
    fn zero(&mut self, at: Va, len: u32) -> Result<(), Fault> {
        self.put(at, &vec![0; len as usize])
    }
}

/// At the privilege of the code that runs: a native routine reads as the instruction it stands for.
impl Read for Machine {
    #[inline]
    fn bytes(&mut self, at: Va, out: &mut [u8]) -> Result<(), Fault> {
        self.read(at, out)
    }
}
impl Write for Machine {
    #[inline]
    fn put(&mut self, at: Va, bytes: &[u8]) -> Result<(), Fault> {
        self.write(at, bytes)
    }
}

/// A look at a machine from outside: reads with supervisor rights in one address space, changes nothing.
#[derive(Clone, Copy)]
pub struct Peek<'m> {
    /// The machine that is looked at.
    pub machine: &'m Machine,
    /// The physical address of the page directory to translate with.
    pub cr3: u32,
}

impl<'m> Peek<'m> {
    /// Looks in the address space that is current.
    pub fn new(machine: &'m Machine) -> Peek<'m> {
        Peek { machine, cr3: machine.cpu.cr3 }
    }
}

impl Read for Peek<'_> {
    fn bytes(&mut self, at: Va, out: &mut [u8]) -> Result<(), Fault> {
        self.machine.peek(self.cr3, at, out)
    }
}

/// How many pages a [`Survey`] keeps at hand.
const AT_HAND: usize = 64;

/// A look at much of a machine, as [`Peek`] in the address space that is current: it keeps at hand the
/// pages that it has come through, so that whoever reads many fields asks the page tables once a page.
/// Making one costs more than a few reads; for those there is [`Peek`].
#[derive(Clone)]
pub struct Survey<'m> {
    peek: Peek<'m>,
    /// Pages that were looked at, by the low bits of their numbers: number and one, and contents.
    pages: [(u32, &'m Page); AT_HAND],
}

/// What nobody reads: no page has the number -1.
static NO_PAGE: Page = [0; PAGE as usize];

impl<'m> Survey<'m> {
    /// Looks in the address space that is current.
    pub fn new(machine: &'m Machine) -> Survey<'m> {
        Survey { peek: Peek::new(machine), pages: [(0, &NO_PAGE); AT_HAND] }
    }

    /// The machine that is looked at.
    pub fn machine(&self) -> &'m Machine {
        self.peek.machine
    }

    /// The page in which an address lies; none when it is not mapped, or was never written.
    #[inline]
    fn page(&mut self, at: Va) -> Option<&'m Page> {
        let number = at.0 / PAGE;
        let entry = &mut self.pages[number as usize % AT_HAND];
        if entry.0 != number + 1 {
            let Peek { machine, cr3 } = self.peek;
            let place = machine.probe(cr3, at, Access::Read).ok()?;
            *entry = (number + 1, machine.memory.page(place.frame())?);
        }
        Some(entry.1)
    }
}

impl Read for Survey<'_> {
    #[inline]
    fn bytes(&mut self, at: Va, out: &mut [u8]) -> Result<(), Fault> {
        let from = at.offset() as usize;
        match self.page(at).and_then(|page| page.get(from..from + out.len())) {
            Some(bytes) => out.copy_from_slice(bytes),
            None => self.peek.bytes(at, out)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::{Pa, registers::control};

    /// Pages 5, 6, 69 and 8 lead to the frames 3, 4, 5 and 6, of which the last was never written, and page 7
    /// nowhere.
    fn machine() -> Machine {
        let mut m = Machine::new(16);
        m.memory.write_u32(Pa(0x1000), 0x2000 | 7);
        for (page, frame) in [(5, 3), (6, 4), (5 + AT_HAND as u32, 5), (8, 6)] {
            m.memory.write_u32(Pa(0x2000 + 4 * page), (frame << 12) | 7);
        }
        for frame in 3..6 {
            for word in 0..PAGE / 4 {
                m.memory.write_u32(Pa((frame << 12) | (word * 4)), (frame << 24) | word);
            }
        }
        m.cpu.cr3 = 0x1000;
        m.cpu.cr0 |= control::PG;
        m
    }

    #[test]
    fn a_survey_reads_what_a_peek_reads_wherever_it_was_before() {
        let m = machine();
        let (mut survey, mut peek) = (Survey::new(&m), Peek::new(&m));
        let other = 5 + AT_HAND as u32;
        let places = [(5, 0), (5, 8), (6, 0xFFC), (other, 4), (5, 4), (8, 4), (7, 0), (6, 0), (5, 0xFFE)];
        for (page, offset) in places {
            let at = Va(page * PAGE + offset);
            assert_eq!(survey.load::<u32>(at), peek.load::<u32>(at), "{at}");
        }
        // Across two pages, the second of which is not mapped.
        for at in [Va(5 * PAGE + 0xFFC), Va(6 * PAGE + 0xFFC)] {
            assert_eq!(survey.load::<u64>(at), peek.load::<u64>(at), "{at}");
        }
        assert_eq!(survey.load::<u32>(Va(5 * PAGE)), Ok(3 << 24));
    }
}
