//! Doubly linked circular lists, as every NT-like kernel keeps them.

use crate::{Fault, Pointer, Read, Va, Write, guest_struct};

guest_struct! {
    /// LIST_ENTRY: a link of a circular list, or its head.
    pub struct ListEntry [8] {
        0 flink: ListEntry,
        4 blink: ListEntry,
    }
}

impl ListEntry {
    /// Makes this the head of an empty list.
    ///
    /// # Errors
    /// The page fault of the access.
    pub fn init(self, m: &mut impl Write) -> Result<(), Fault> {
        m.set(self.flink(), self)?;
        m.set(self.blink(), self)
    }

    /// Whether the list at this head is empty.
    ///
    /// # Errors
    /// The page fault of the access.
    pub fn is_empty(self, m: &mut impl Read) -> Result<bool, Fault> {
        Ok(m.get(self.flink())? == self)
    }

    /// Links `entry` at the end of the list at this head.
    ///
    /// # Errors
    /// The page fault of an access; the list may be half linked then.
    pub fn push_back(self, m: &mut impl Write, entry: ListEntry) -> Result<(), Fault> {
        let last = m.get(self.blink())?;
        m.set(entry.flink(), self)?;
        m.set(entry.blink(), last)?;
        m.set(last.flink(), entry)?;
        m.set(self.blink(), entry)
    }

    /// Links `entry` at the start of the list at this head; also: right behind this entry.
    ///
    /// # Errors
    /// The page fault of an access; the list may be half linked then.
    pub fn push_front(self, m: &mut impl Write, entry: ListEntry) -> Result<(), Fault> {
        let first = m.get(self.flink())?;
        m.set(entry.flink(), first)?;
        m.set(entry.blink(), self)?;
        m.set(first.blink(), entry)?;
        m.set(self.flink(), entry)
    }

    /// Takes this entry out of its list. The entry's own links keep their old values, and so does a
    /// second removal what a second removal does.
    ///
    /// # Errors
    /// The page fault of an access; the list may be half linked then.
    pub fn unlink(self, m: &mut impl Write) -> Result<(), Fault> {
        let next = m.get(self.flink())?;
        let previous = m.get(self.blink())?;
        m.set(previous.flink(), next)?;
        m.set(next.blink(), previous)
    }

    /// Takes the first entry out of the list at this head; none when it is empty.
    ///
    /// # Errors
    /// The page fault of an access.
    pub fn pop_front(self, m: &mut impl Write) -> Result<Option<ListEntry>, Fault> {
        let first = m.get(self.flink())?;
        if first == self {
            return Ok(None);
        }
        first.unlink(m)?;
        Ok(Some(first))
    }

    /// The structure of which this is the `link`.
    pub fn owner<P: Pointer>(self, link: fn(P) -> ListEntry) -> P {
        // The accessor, asked at address 0, is the only place that knows the offset.
        let offset = link(P::at(Va(0))).va().0;
        P::at(self.va().sub(offset))
    }
}

/// What a list may hold before it is taken for a loop.
pub const LIST_MAX: usize = 4096;

/// Why a list could not be walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A link leads to memory that cannot be read.
    Fault(Fault),
    /// More than [`LIST_MAX`] entries: the list does not come back to its head.
    Endless,
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Broken::Fault(fault)
    }
}

/// The structures that are linked through `link` into the list at `head`, in list order.
///
/// # Errors
/// [`Broken`] when the list is.
pub fn walk<P: Pointer>(
    m: &mut impl Read,
    head: ListEntry,
    link: fn(P) -> ListEntry,
) -> Result<Vec<P>, Broken> {
    let mut found = Vec::new();
    let mut entry = m.get(head.flink())?;
    while entry != head {
        if found.len() == LIST_MAX {
            return Err(Broken::Endless);
        }
        found.push(entry.owner(link));
        entry = m.get(entry.flink())?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scalar, guest_enum};
    use machine::Machine;

    guest_enum! {
        /// A thread's state.
        pub enum State: u8 { Ready = 1, Running = 2 }
    }
    guest_struct! {
        /// A thread.
        pub struct Thread [0x40] {
            0x08 state: State,
            0x10 link: in ListEntry,
            0x20 stack: Va,
            0x21 middle: over u8,
        }
    }

    #[test]
    fn a_field_is_one_access_of_its_width() {
        let mut m = Machine::new(1);
        let thread = Thread::at(Va(0x100));
        m.set(thread.state(), State::Running).unwrap();
        m.set(thread.stack(), Va(0x1234)).unwrap();
        assert_eq!(m.load::<u32>(Va(0x108)), Ok(2));
        assert_eq!(m.get(thread.middle()), Ok(0x12));
        m.set(thread.state(), State::Unknown(9)).unwrap();
        assert_eq!(m.get(thread.state()), Ok(State::Unknown(9)));
        assert_eq!(<State as Scalar>::SIZE, 1);
        let rows: Vec<_> = Thread::FIELDS.iter().map(|f| format!("{:02x} {}", f.offset, f.name)).collect();
        assert_eq!(rows, ["08 state", "10 link", "20 stack", "21 middle"]);
    }

    #[test]
    fn lists_keep_their_order_and_loops_are_found() {
        let mut m = Machine::new(1);
        let head = ListEntry::at(Va(0x10));
        let [a, b, c] = [0x100, 0x200, 0x300].map(|at| Thread::at(Va(at)));
        head.init(&mut m).unwrap();
        head.push_back(&mut m, b.link()).unwrap();
        head.push_back(&mut m, c.link()).unwrap();
        head.push_front(&mut m, a.link()).unwrap();
        assert_eq!(walk(&mut m, head, Thread::link), Ok(vec![a, b, c]));
        b.link().unlink(&mut m).unwrap();
        assert_eq!(head.pop_front(&mut m), Ok(Some(a.link())));
        assert_eq!(walk(&mut m, head, Thread::link), Ok(vec![c]));
        m.set(c.link().flink(), c.link()).unwrap();
        assert_eq!(walk(&mut m, head, Thread::link), Err(Broken::Endless));
    }
}
