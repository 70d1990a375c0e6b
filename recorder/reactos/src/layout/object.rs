//! Object headers, handle tables, client ids and pool headers (reactos.md 2.8, 11.1).

use guest::{ListEntry, Va, guest_struct};

guest_struct! {
    /// OBJECT_HEADER. The body begins 28h behind it: its last doubleword would overlap.
    pub(crate) struct ObjectHeader [0x28] {
        0x00 name: Va,
        0x08 entry: in ListEntry,
        0x10 ref_count: i32,
        0x14 handle_count: i32,
        0x18 close_in_process: u8,
        0x19 permanent: u8,
        0x1A inherit: u8,
        0x1C parent: Va,
        0x20 object_type: ObjectType,
        0x24 security_descriptor: Va,
    }
}

guest_struct! {
    /// OBJECT_TYPE: here only the code by which the kernel's own code knows it.
    pub(crate) struct ObjectType [0x10] {
        0x00 code: u32,
    }
}

/// Object types, as indices into the table of [`ObjectType`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Type {
    Process,
    Thread,
    Event,
    Mutant,
    Semaphore,
    Section,
    Port,
}

impl Type {
    /// Every type, in the order of the table.
    pub(crate) const ALL: [Type; 7] =
        [Type::Process, Type::Thread, Type::Event, Type::Mutant, Type::Semaphore, Type::Section, Type::Port];

    /// The pool tag of its objects: 2.15's for processes, threads and mutants, else ours.
    pub(crate) const fn tag(self) -> u32 {
        u32::from_le_bytes(match self {
            Type::Process => *b"PROC",
            Type::Thread => *b"THRT",
            Type::Event => *b"EVNT",
            Type::Mutant => *b"MTNT",
            Type::Semaphore => *b"SEMA",
            Type::Section => *b"SECT",
            Type::Port => *b"PORT",
        })
    }

    /// What several are called.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Type::Process => "processes",
            Type::Thread => "threads",
            Type::Event => "events",
            Type::Mutant => "mutants",
            Type::Semaphore => "semaphores",
            Type::Section => "sections",
            Type::Port => "ports",
        }
    }
}

guest_struct! {
    /// CID_OBJECT: what makes a thread's id valid.
    pub(crate) struct CidObject [0x34] {
        0x00 ref_count: u32,
        0x04 handle: u32,
        0x08 entry: in ListEntry,
        0x30 object: Va,
    }
}

guest_struct! {
    /// A block of a handle table: 2046 entries of eight bytes behind the header.
    pub(crate) struct HandleBlock [0x4000] {
        0x00 entry: in ListEntry,
        0x08 allocation_hint: u32,
        0x0C allocation_count: u32,
    }
}

/// Entries in a handle block.
pub(crate) const HANDLES: u32 = 2046;
/// Entry flag: inherited by children.
pub(crate) const HANDLE_INHERIT: u32 = 1;
/// Entry flag: NtClose refuses.
pub(crate) const HANDLE_PROTECT: u32 = 2;

guest_struct! {
    /// A handle table entry: the object with flags in its low three bits, and the granted access.
    pub(crate) struct HandleEntry [8] {
        0 object: u32,
        4 access: u32,
    }
}

impl HandleBlock {
    /// Entry `index`, counted from 0.
    pub(crate) fn slot(self, index: u32) -> HandleEntry {
        HandleEntry(self.0.add(0x10 + 8 * index))
    }
}

guest_struct! {
    /// What stands before every pool block. The sheet has no layout for it.
    pub(crate) struct PoolHeader [0x20] {
        0x00 tag: u32,
        /// Bytes behind this header, a multiple of sixteen.
        0x04 size: u32,
        /// The number of the allocation: no two are alike.
        0x08 serial: u32,
        /// 1 while allocated.
        0x0C allocated: u32,
        /// When the block was freed, in the order of frees.
        0x10 freed: u32,
    }
}
