//! Where things lie in this kernel: addresses, selectors, levels, and the structures (reactos.md 1, 2).

mod dispatcher;
mod globals;
mod object;
#[cfg(test)]
mod pins;
mod port;
mod process;
mod thread;
mod trap;

pub(crate) use dispatcher::*;
pub(crate) use globals::*;
pub(crate) use object::*;
pub(crate) use port::*;
pub(crate) use process::*;
pub(crate) use thread::*;
pub(crate) use trap::*;

use contract::{LayoutInfo, context::Context};
use guest::Pointer;
use machine::Va;

/// The outcome of a step that reads or writes guest memory.
pub(crate) type R<T> = Result<T, machine::Fault>;

/// Pages of physical memory: 32 MiB.
pub(crate) const PHYSICAL_PAGES: u32 = 8192;

// The kernel half. The sheet fixes KERNEL_BASE, the PCR, the shared page and the self map; the rest
// is ours to place.

/// KERNEL_BASE of the default (3 GB) build (1.1).
pub(crate) const KERNEL_BASE: u32 = 0xC000_0000;
/// The GDT, 11 descriptors (1.3).
pub(crate) const GDT: Va = Va(0xC000_1000);
/// The IDT, 256 gates (1.5).
pub(crate) const IDT: Va = Va(0xC000_2000);
/// The boot KTSS: 2069h bytes with its I/O bitmap (1.4).
pub(crate) const TSS: Va = Va(0xC000_3000);
/// The double-fault KTSSNOIOPM, 69h bytes.
pub(crate) const TRAP_TSS: Va = Va(0xC000_6000);
/// The kernel's global variables.
pub(crate) const GLOBALS: Va = Va(0xC000_7000);
/// One bit for each physical page, set while it is in use.
pub(crate) const PAGE_BITMAP: Va = Va(0xC000_8000);
/// One byte for each kernel stack slot, set while it is in use.
pub(crate) const STACK_SLOTS: Va = Va(0xC000_9000);
/// trap_stack: the stack of the double-fault task.
pub(crate) const TRAP_STACK: Va = Va(0xC000_A000);
/// The service table: 235 addresses, with the argument byte counts right behind them (6.2).
pub(crate) const SERVICE_TABLE: Va = Va(0xC000_E000);
/// KeServiceDescriptorTableShadow, all zero: no win32k is loaded.
pub(crate) const SHADOW_SERVICE_TABLE: Va = Va(0xC000_E800);
/// Executed kernel code.
pub(crate) const KERNEL_CODE: Va = Va(0xC002_0000);
/// Pages of executed kernel code.
pub(crate) const KERNEL_CODE_PAGES: u32 = 4;
/// Nonpaged pool.
pub(crate) const POOL: Va = Va(0xD000_0000);
/// Bytes of pool address space.
pub(crate) const POOL_SIZE: u32 = 0x40_0000;
/// Kernel stacks: slots of 4000h bytes, of which the lowest page stays unmapped.
pub(crate) const STACKS: Va = Va(0xD800_0000);
/// Bytes from one stack slot to the next.
pub(crate) const STACK_SLOT: u32 = 0x4000;
/// How many stack slots there are.
pub(crate) const STACK_COUNT: u32 = 512;
/// MM_STACK_SIZE (1.1).
pub(crate) const STACK_SIZE: u32 = 0x3000;
/// The page-table self map (1.1); its directory entry is the only one in the kernel half that differs
/// between processes.
pub(crate) const SELF_MAP: u32 = 0xF000_0000;
/// KPCR_BASE (1.1).
pub(crate) const KPCR: Va = Va(0xFF00_0000);
/// KI_USER_SHARED_DATA: the kernel's view of the shared page.
pub(crate) const KI_USER_SHARED_DATA: Va = Va(0xFFDF_0000);

// The user half.

/// PEB_BASE: the PEB of every process.
pub(crate) const PEB_BASE: Va = Va(0x7FFD_F000);
/// The 64 KiB reserved for the PEB and the first fifteen TEBs.
pub(crate) const PEB_BLOCK: Va = Va(0x7FFD_0000);
/// USER_SHARED_DATA.
pub(crate) const USER_SHARED_DATA: Va = Va(0x7FFE_0000);
/// MmUserProbeAddress: the first address that a probe rejects.
pub(crate) const USER_PROBE: u32 = 0x7FFF_0000;
/// Where ntdll.dll is linked.
pub(crate) const NTDLL: Va = Va(0x7C90_0000);
/// Where kernel32.dll is linked; its page of executed code comes first, its routines behind it.
pub(crate) const KERNEL32: Va = Va(0x7C80_0000);
/// MM_VIRTMEM_GRANULARITY.
pub(crate) const GRANULARITY: u32 = 0x1_0000;

/// Selectors (1.2).
#[allow(missing_docs)]
pub(crate) mod selector {
    pub(crate) const KERNEL_CS: u16 = 0x08;
    pub(crate) const KERNEL_DS: u16 = 0x10;
    pub(crate) const USER_CS: u16 = 0x1B;
    pub(crate) const USER_DS: u16 = 0x23;
    pub(crate) const TSS: u16 = 0x28;
    pub(crate) const PCR: u16 = 0x30;
    pub(crate) const TEB: u16 = 0x3B;
    pub(crate) const LDT: u16 = 0x48;
    pub(crate) const TRAP_TSS: u16 = 0x50;
}

/// Interrupt request levels (1.6).
pub(crate) mod irql {
    pub(crate) const PASSIVE: u8 = 0;
    pub(crate) const APC: u8 = 1;
    pub(crate) const DISPATCH: u8 = 2;
    pub(crate) const CLOCK: u8 = 28;
}

/// KPROCESSOR_MODE.
pub(crate) const KERNEL_MODE: u32 = 0;
/// KPROCESSOR_MODE.
pub(crate) const USER_MODE: u32 = 1;

/// KWAIT_REASON values in use (2.11).
pub(crate) mod reason {
    pub(crate) const EXECUTIVE: u32 = 0;
    pub(crate) const DELAY: u32 = 4;
    pub(crate) const USER_REQUEST: u32 = 6;
    pub(crate) const LPC_RECEIVE: u32 = 16;
    pub(crate) const LPC_REPLY: u32 = 17;
}

/// ThreadQuantum of every process (1.7): two ticks of three units.
pub(crate) const QUANTUM: i8 = 6;
/// What one tick costs.
pub(crate) const TICK: i8 = 3;
/// The base priority of every process (1.7).
pub(crate) const BASE_PRIORITY: u32 = 8;
/// The fake return address of 3.3 and 7.5.
pub(crate) const DEADBEEF: u32 = 0xDEAD_BEEF;

/// The vector of IRQ 0, the clock (1.5).
pub(crate) const CLOCK_VECTOR: u8 = 0x40;

/// Bugcheck codes (2.13).
pub(crate) mod stop {
    pub(crate) const GENERIC: u32 = 0;
    pub(crate) const INVALID_PROCESS_ATTACH_ATTEMPT: u32 = 5;
    pub(crate) const INVALID_PROCESS_DETACH_ATTEMPT: u32 = 6;
    pub(crate) const THREAD_NOT_MUTEX_OWNER: u32 = 0x11;
    pub(crate) const KMODE_EXCEPTION_NOT_HANDLED: u32 = 0x1E;
    /// The sheet names it without its number, which is the documented one.
    pub(crate) const NO_PAGES_AVAILABLE: u32 = 0x4D;
}

macro_rules! layouts {
    ($($name:literal $ty:ident),* $(,)?) => {
        /// Every structure that a dump can name.
        pub(crate) fn all() -> Vec<LayoutInfo> {
            vec![$(LayoutInfo { name: $name, size: <$ty as Pointer>::EXTENT, fields: $ty::FIELDS }),*]
        }
    };
}
layouts! {
    "ETHREAD" EThread, "EPROCESS" EProcess, "KTHREAD" KThread, "KPROCESS" KProcess, "KAPC" KApc,
    "KTRAP_FRAME" TrapFrame, "CONTEXT" Context, "KSWITCHFRAME" SwitchFrame, "START_FRAME" StartFrame, "PsBeginThread" SystemStart, "KiTrapProlog" OldTrapFrame, "FX_SAVE_AREA" FxSaveArea, "KPCR" Kpcr, "KWAIT_BLOCK" KWaitBlock, "KTIMER" KTimer,
    "DISPATCHER_HEADER" Header, "KMUTANT" KMutant, "KSEMAPHORE" KSemaphore, "FAST_MUTEX" FastMutex,
    "OBJECT_HEADER" ObjectHeader, "CID_OBJECT" CidObject, "HANDLE_BLOCK" HandleBlock, "TEB" Teb,
    "PEB" Peb, "POOL_HEADER" PoolHeader, "GLOBALS" Globals, "KTSS" Ktss, "KUSER_SHARED_DATA" SharedData,
    "PEB_LDR_DATA" PebLdrData, "LDR_MODULE" LdrModule, "RTL_CRITICAL_SECTION" CriticalSection,
    "PORT" KPort, "LPC_MESSAGE" LpcMessage, "CSRSS_PROCESS_DATA" CsrProcessData,
}
