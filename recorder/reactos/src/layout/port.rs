//! Ports and their messages (reactos.md 4.6, 10.6). The sheet gives no layout.

use crate::layout::{EThread, KSemaphore};
use guest::{ListEntry, Va, guest_struct};

guest_struct! {
    /// A communication port, with one server thread at its other end.
    pub(crate) struct KPort [0x28] {
        /// One unit for each message, and one for the close.
        0x00 semaphore: in KSemaphore,
        0x14 queue: in ListEntry,
        /// The client process's id.
        0x1C client: u32,
        /// 1 once the client's last handle is closed: LPC_PORT_CLOSED.
        0x20 closed: u32,
    }
}

guest_struct! {
    /// A message that waits for its answer.
    pub(crate) struct LpcMessage [0x20] {
        0x00 link: in ListEntry,
        0x08 kind: u32,
        0x0C argument: u32,
        /// Who sent it, referenced until it is answered.
        0x10 sender: EThread,
        0x14 status: u32,
        /// 1 once it is answered.
        0x18 replied: u32,
        /// 1 when its sender waits no more: whoever answers frees it.
        0x1C abandoned: u32,
    }
}

guest_struct! {
    /// What CSRSS keeps of a process.
    pub(crate) struct CsrProcessData [0x10] {
        0x00 link: in ListEntry,
        0x08 id: u32,
        0x0C shutdown_level: u32,
    }
}

guest_struct! {
    /// A port that a thread wants told of its end; its list is the thread's TerminationPortList.
    pub(crate) struct TerminationPort [0x10] {
        0x00 link: in ListEntry,
        0x08 port: Va,
    }
}
