//! Running: the loop that fetches, executes and takes interrupts, and the doors for a host.

use crate::{Fault, Machine, Seg, Stop, Until};

/// An exception, as the processor raises it: its vector and its error code if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// #PF, vector 14.
    Page(Fault),
    /// #GP, vector 13, with its error code.
    General(u16),
    /// #NP, vector 11, with its error code.
    NotPresent(u16),
    /// #SS, vector 12, with its error code.
    Stack(u16),
}

impl Machine {
    /// Runs until something of `until` or of [`Stop`] happens. Always ends.
    pub fn run(&mut self, until: &Until) -> Stop {
        let _ = until;
        unimplemented!()
    }

    /// Delivers the page fault of a native routine, as if the instruction at EIP had made the access:
    /// CR2 is set and the guest's handler is entered through the IDT.
    ///
    /// # Errors
    /// [`Stop::Shutdown`] when not even a double fault can be delivered.
    pub fn page_fault(&mut self, fault: Fault) -> Result<(), Stop> {
        let _ = fault;
        unimplemented!()
    }

    /// Loads a segment register from the GDT or LDT with all checks, at the current privilege.
    /// CS is loaded without checks of privilege: it sets the privilege. For booting.
    ///
    /// # Errors
    /// The exception that the load would raise.
    pub fn load_segment(&mut self, seg: Seg, selector: u16) -> Result<(), Trap> {
        let _ = (seg, selector);
        unimplemented!()
    }

    /// Loads the task register, as LTR does.
    ///
    /// # Errors
    /// The exception that LTR would raise.
    pub fn load_task(&mut self, selector: u16) -> Result<(), Trap> {
        let _ = selector;
        unimplemented!()
    }
}
