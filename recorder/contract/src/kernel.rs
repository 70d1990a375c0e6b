//! The trait that a kernel implements.

use crate::{Image, Named, View, routine::Frame};
use machine::{Fault, Machine, Va};
use serde::{Deserialize, Serialize};

/// An object of a kernel, for as long as it exists: where its body lies, and the serial number of the
/// allocation, so that an address used again is another object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId {
    /// The linear address of the object's body.
    pub at: Va,
    /// The number of the pool allocation that holds it.
    pub serial: u32,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ObjectKind {
    Process,
    Thread,
    Event,
    Mutant,
    Semaphore,
    Timer,
    Section,
    DebugObject,
    Port,
}

/// Whose handle table is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The built-in process that sets the scene.
    Init,
    /// A process.
    Process(ObjectId),
}

/// What a thread is doing, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Activity {
    /// Created, and not yet ready to run.
    Initialized,
    /// It has the processor, or is ready for it.
    Runnable,
    /// Blocked in a wait.
    Waiting,
    /// Stopped by its suspend count, whether it sleeps or spins there.
    Suspended,
    /// It has ended.
    Terminated,
}

/// Where a thread goes on when it gets the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The instruction pointer.
    pub eip: u32,
    /// The stack pointer.
    pub esp: u32,
    /// The frame pointer.
    pub ebp: u32,
    /// Whether that is in ring 3.
    pub user: bool,
}

/// A thread as the recorder needs to see it in order to drive it.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreadStatus {
    /// The thread.
    pub id: ObjectId,
    /// The process it belongs to.
    pub process: ObjectId,
    /// What it is doing.
    pub activity: Activity,
    /// Whether it is the thread that has the processor.
    pub current: bool,
    /// Whether it is a thread of the system (or idle) process.
    pub system: bool,
    /// Where it goes on, innermost first: for the current thread the registers, for one that was
    /// preempted in user mode the user registers in its trap frame, else the switch frame's. None for
    /// a terminated thread.
    pub resume: Option<Resume>,
    /// Where ring 0 goes on once it is switched to, wherever it was preempted: its switch frame. None for
    /// the current thread and for one that has ended.
    pub switched: Option<Resume>,
    /// Its user-mode registers when it has entered the kernel from user mode: the trap frame's.
    pub user: Option<Resume>,
    /// The kernel stack: lowest address and the address behind its highest byte.
    pub stack: (Va, Va),
    /// CR3 of its address space.
    pub cr3: u32,
}

/// The scene that a booted machine offers: who sets it, and what is there before any case.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The process `init`.
    pub process: ObjectId,
    /// Its one thread, parked once the machine is quiet for the first time.
    pub thread: ObjectId,
    /// Objects that exist from the start, by the names that cases use for them (`System`,
    /// `SystemThread`), with the value of a handle with full access in `init`.
    pub named: Vec<(&'static str, ObjectKind, u32)>,
    /// A handle in `init` to the section of the program's image, where the kernel needs one.
    pub section: u32,
}

/// A slot of the pool's failure table, four doublewords in kernel memory: the allocator of each kernel
/// consults the slots before it allocates. `tag` 0 matches every tag. A matching slot first counts
/// `skip` down to 0, then `count` down to 0, failing the allocation each time it counts `count` down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolFault {
    /// The tag, as its four characters lie in memory; 0 for any.
    pub tag: u32,
    /// Matching allocations that still succeed.
    pub skip: u32,
    /// Matching allocations that then fail.
    pub count: u32,
    /// Matching allocations seen since the slot was written.
    pub seen: u32,
}

impl PoolFault {
    /// How many slots there are.
    pub const SLOTS: u32 = 4;
    /// Bytes in a slot: tag, skip, count and seen, a doubleword each.
    pub const SIZE: u32 = 16;
}

/// A block of the pool that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The linear address of its first byte, header included.
    pub at: Va,
    /// Bytes, header included.
    pub size: u32,
    /// Its tag, as its four characters lie in memory.
    pub tag: u32,
}

/// A kernel's pool, and the memory from which everything else is found: its variables. For telling which
/// blocks nothing leads to any more; the stacks of threads are known from [`ThreadStatus`].
#[derive(Clone, Debug, Default)]
pub struct Heap {
    /// The blocks in use, by address.
    pub blocks: Vec<Block>,
    /// Linear addresses and bytes of the kernel's variables.
    pub roots: Vec<(Va, u32)>,
}

/// Why a machine could not be booted: a fault of Tandem's, not of a case.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// Code could not be assembled.
    #[error("the {kernel} kernel's code does not assemble: {cause}")]
    Assemble {
        /// The kernel.
        kernel: &'static str,
        /// What the assembler says.
        cause: machine::image::AssembleError,
    },
    /// Memory that booting needs is not mapped.
    #[error("booting {kernel}: {fault}")]
    Fault {
        /// The kernel.
        kernel: &'static str,
        /// The access that failed.
        fault: Fault,
    },
    /// Anything else.
    #[error("booting {kernel}: {what}")]
    Other {
        /// The kernel.
        kernel: &'static str,
        /// What went wrong.
        what: String,
    },
}

/// An NT-like kernel: code without memory of its own. All that it knows lies in the machine.
pub trait Kernel: Send + Sync {
    /// The name by which users choose it: `nt`.
    fn name(&self) -> &'static str;

    /// A fresh machine with this kernel's descriptors, page tables, code, idle and system processes,
    /// and the process `init` whose thread is ready to start. Interrupts are the host's business.
    ///
    /// # Errors
    /// [`BootError`].
    fn boot(&self) -> Result<Machine, BootError>;

    /// Symbols, routines, services and layouts.
    fn image(&self) -> &Image;

    /// Runs one native routine (or one stage of it) in the frame that has been entered, up to where it
    /// returns, calls or jumps. The caller applies the [`crate::Flow`].
    ///
    /// # Errors
    /// A page fault that the routine does not handle: the caller raises it at the routine's address,
    /// so that it reaches the guest's own trap handler.
    fn native(&self, frame: &mut Frame) -> Result<crate::Flow, Fault>;

    /// What a program could tell apart, of the objects that the case has named.
    fn view(&self, m: &Machine, named: &[Named]) -> View;

    /// The scene of a machine that this kernel has booted.
    fn scene(&self, m: &Machine) -> Scene;

    /// Every thread, in a fixed order: by process, then by creation.
    fn threads(&self, m: &Machine) -> Vec<ThreadStatus>;

    /// The thread that has the processor.
    fn current(&self, m: &Machine) -> ObjectId;

    /// The object that a handle names in a process's handle table.
    fn object(&self, m: &Machine, owner: Owner, handle: u32) -> Option<(ObjectId, ObjectKind)>;

    /// The ids of a process (its id and 0) or of a thread (its process's id and its own), as a
    /// CLIENT_ID holds them.
    fn client_id(&self, m: &Machine, object: ObjectId) -> Option<(u32, u32)>;

    /// CR3 of a process's address space; none when it is gone.
    fn address_space(&self, m: &Machine, process: ObjectId) -> Option<u32>;

    /// Live structures worth naming in a dump, with the name of their layout: processes and threads.
    fn structures(&self, m: &Machine) -> Vec<(ObjectId, &'static str)>;

    /// Structures that lie on a thread's kernel stack, by address and name of their layout, in any order:
    /// trap frames, the switch frame, an APC's frame. For drawing the stack; what is not known is left out.
    fn frames(&self, _m: &Machine, _thread: &ThreadStatus) -> Vec<(Va, &'static str)> {
        Vec::new()
    }

    /// The pool and what leads to it. Without it, nothing is known of blocks that are left behind.
    fn heap(&self, _m: &Machine) -> Heap {
        Heap::default()
    }

    /// Blocks, references, handles and stacks in use, by kind, in a fixed order: private detail, shown
    /// on request. For finding what a path leaves behind. The kind of what concerns one process ends in
    /// `process 0024` (`threads of process 0024`, `references to process 0024`), its id in at least four
    /// hexadecimal digits, which is shown as the process's name.
    fn inventory(&self, m: &Machine) -> Vec<(String, u32)>;
}
