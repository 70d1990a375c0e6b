//! Objects, types, handle tables and pool blocks. Only the handle-table entry and the attribute bits
//! are the sheet's (2.16, 2.19); the rest is private to this kernel.

use guest::{Va, guest_enum, guest_struct};

guest_enum! {
    /// The types of objects.
    pub(crate) enum Kind: u32 {
        Process = 1, Thread = 2, Event = 3, Mutant = 4, Semaphore = 5, Section = 6, DebugObject = 7,
    }
}

guest_struct! {
    /// What precedes every block of the pool.
    pub(crate) struct PoolHeader [0x10] {
        0x0 size: u32,
        0x4 tag: u32,
        0x8 serial: u32,
        0xC state: u32,
    }
}
guest_struct! {
    /// OBJECT_HEADER; the body follows it.
    pub(crate) struct ObjectHeader [0x18] {
        0x00 pointer_count: u32,
        0x04 handle_count: u32,
        0x08 kind as "Type": Kind,
        0x0C remove_link: Va,
    }
}
guest_struct! {
    /// HANDLE_TABLE: 32 pointers to pages of 512 entries.
    pub(crate) struct HandleTable [0xA0] {
        0x00 owner: Va,
        0x04 unique_process_id: u32,
        0x08 handle_count: u32,
        0x0C next_never_used: u32,
        0x10 first_free: u32,
        0x14 last_free: u32,
        0x18 strict_fifo: u32,
        0x20 pages: [u8; 32],
    }
}
guest_struct! {
    /// HANDLE_TABLE_ENTRY.
    pub(crate) struct HandleEntry [8] {
        0 object: u32,
        4 granted_access: u32,
    }
}

/// Object attributes in a handle's first doubleword: bit 0 says that the entry is unlocked.
pub(crate) mod attribute {
    pub(crate) const UNLOCKED: u32 = 1;
    pub(crate) const INHERIT: u32 = 2;
    pub(crate) const ALL: u32 = 7;
    /// In GrantedAccess: protected from close. Of medium confidence (nt52.md 2.16).
    pub(crate) const PROTECT: u32 = 0x0200_0000;
}

/// Access rights (nt52.md 2.19).
pub(crate) mod access {
    pub(crate) const PROCESS_TERMINATE: u32 = 0x1;
    pub(crate) const PROCESS_CREATE_THREAD: u32 = 0x2;
    pub(crate) const PROCESS_VM_OPERATION: u32 = 0x8;
    pub(crate) const PROCESS_VM_READ: u32 = 0x10;
    pub(crate) const PROCESS_VM_WRITE: u32 = 0x20;
    pub(crate) const PROCESS_DUP_HANDLE: u32 = 0x40;
    pub(crate) const PROCESS_CREATE_PROCESS: u32 = 0x80;
    pub(crate) const PROCESS_SET_INFORMATION: u32 = 0x200;
    pub(crate) const PROCESS_QUERY_INFORMATION: u32 = 0x400;
    pub(crate) const PROCESS_SUSPEND_RESUME: u32 = 0x800;
    pub(crate) const PROCESS_ALL_ACCESS: u32 = 0x1F_0FFF;
    pub(crate) const THREAD_TERMINATE: u32 = 0x1;
    pub(crate) const THREAD_SUSPEND_RESUME: u32 = 0x2;
    pub(crate) const THREAD_ALERT: u32 = 0x4;
    pub(crate) const THREAD_GET_CONTEXT: u32 = 0x8;
    pub(crate) const THREAD_SET_CONTEXT: u32 = 0x10;
    pub(crate) const THREAD_SET_INFORMATION: u32 = 0x20;
    pub(crate) const THREAD_QUERY_INFORMATION: u32 = 0x40;
    pub(crate) const THREAD_ALL_ACCESS: u32 = 0x1F_03FF;
    pub(crate) const DEBUG_WAIT_STATE_CHANGE: u32 = 1;
    pub(crate) const DEBUG_ADD_REMOVE_PROCESS: u32 = 2;
    pub(crate) const DEBUG_SET_INFORMATION: u32 = 4;
    pub(crate) const DEBUG_ALL_ACCESS: u32 = 0x1F_000F;
    pub(crate) const EVENT_MODIFY_STATE: u32 = 2;
    pub(crate) const EVENT_ALL_ACCESS: u32 = 0x1F_0003;
    pub(crate) const MUTANT_ALL_ACCESS: u32 = 0x1F_0001;
    pub(crate) const SEMAPHORE_MODIFY_STATE: u32 = 2;
    pub(crate) const SEMAPHORE_ALL_ACCESS: u32 = 0x1F_0003;
    pub(crate) const SECTION_MAP_EXECUTE: u32 = 8;
    pub(crate) const SECTION_ALL_ACCESS: u32 = 0xF_001F;
    pub(crate) const SYNCHRONIZE: u32 = 0x10_0000;
    pub(crate) const MAXIMUM_ALLOWED: u32 = 0x0200_0000;
}

guest_struct! {
    /// A virtual address descriptor: a region of user space, in a list by address.
    pub(crate) struct Vad [0x14] {
        0x00 next: Va,
        0x04 start: u32,
        0x08 end: u32,
        0x0C kind: u32,
        0x10 protect: u32,
    }
}

guest_struct! {
    /// A section object: the image of the one program there is.
    pub(crate) struct Section [0x18] {
        0x00 base: Va,
        0x04 size: u32,
        0x08 entry: u32,
        0x0C header_frame: u32,
        0x10 code_frame: u32,
    }
}
