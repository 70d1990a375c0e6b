//! Reading and writing guest memory a field at a time.

use crate::{Fault, Scalar, Va};
use machine::Machine;
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
    fn bytes(&mut self, at: Va, out: &mut [u8]) -> Result<(), Fault> {
        self.read(at, out)
    }
}
impl Write for Machine {
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
