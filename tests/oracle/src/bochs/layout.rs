//! Where things lie in Bochs's memory, and the words of which a processor state consists.
//!
//! The first 64 MiB belong to the monitor, the next 64 MiB are the guest's whole physical memory, the
//! next 64 MiB hold what that memory is compared with, and behind them lie the two tapes.

/// Size of the ROM, at the top of the address space and again below 1 MiB.
pub(super) const ROM_SIZE: u32 = 0x1_0000;
/// Where the ROM's shadow lies, from which the monitor runs.
pub(super) const ROM: u32 = 0xF_0000;

/// The monitor's own CR0: PG, NE, ET, MP, PE.
pub(super) const CR0: u32 = 0x8000_0033;
/// The monitor's own CR4: PSE, OSFXSR, OSXMMEXCPT, VMXE.
pub(super) const CR4: u32 = 0x2610;

/// The monitor's own page directory.
pub(super) const DIRECTORY: u32 = 0x1000;
/// The region that VMXON wants.
pub(super) const VMXON: u32 = 0x2000;
/// The one virtual-machine control structure.
pub(super) const VMCS: u32 = 0x3000;
/// No model-specific register is intercepted.
pub(super) const MSR_BITMAP: u32 = 0x4000;
/// The nested page tables: one page of each upper level, and a table for each 2 MiB.
pub(super) const EPT: u32 = 0x5000;
/// The last level of the nested page tables.
pub(super) const EPT_TABLES: u32 = 0x1_0000;
/// The top of the monitor's stack.
pub(super) const STACK: u32 = 0x9000;
/// The image of FXSAVE; 512 bytes.
pub(super) const FLOAT: u32 = 0x9000;
/// The guest's general registers, eight words.
pub(super) const GENERAL: u32 = 0x9200;
/// The state that was last taken, as words.
pub(super) const CURRENT: u32 = 0x9400;
/// The state that was last written to the tape.
pub(super) const PREVIOUS: u32 = 0x9600;
/// The monitor's variables.
pub(super) const VARIABLES: u32 = 0x9800;

/// The guest's physical memory.
pub(super) const GUEST: u32 = 0x0400_0000;
/// How much of it there is; 64 MiB.
pub(super) const GUEST_SIZE: u32 = 0x0400_0000;
/// What the guest's memory is compared with.
pub(super) const SHADOW: u32 = GUEST + GUEST_SIZE;
/// What the monitor is told to do.
pub(super) const TAPE: u32 = SHADOW + GUEST_SIZE;
/// The longest tape: 256 MiB.
pub(super) const TAPE_SIZE: u32 = 0x1000_0000;
/// What it answers: the length in bytes first.
pub(super) const ANSWERS: u32 = TAPE + TAPE_SIZE;
/// The most it answers: 256 MiB.
pub(super) const ANSWERS_SIZE: u32 = 0x1000_0000;

/// Bochs's memory in MiB.
pub(super) const MEMORY_MIB: u32 = (ANSWERS + ANSWERS_SIZE) >> 20;

/// Fields of the control structure that make up a state, in the order of their words. The numbers are
/// those of Intel's manual, volume 3, appendix B.
pub(super) const FIELDS: [u32; 57] = [
    0x681C, // ESP
    0x681E, // EIP
    0x6820, // EFLAGS
    0x0800, 0x0802, 0x0804, 0x0806, 0x0808, 0x080A, 0x080C, 0x080E, // selectors: ES … GS, LDTR, TR
    0x6806, 0x6808, 0x680A, 0x680C, 0x680E, 0x6810, 0x6812, 0x6814, // bases
    0x4800, 0x4802, 0x4804, 0x4806, 0x4808, 0x480A, 0x480C, 0x480E, // limits
    0x4814, 0x4816, 0x4818, 0x481A, 0x481C, 0x481E, 0x4820, 0x4822, // access rights
    0x6816, 0x4810, // GDTR
    0x6818, 0x4812, // IDTR
    0x6800, 0x6802, 0x6804, // CR0, CR3, CR4
    0x6004, 0x6006, // what CR0 and CR4 seem to be, in the bits of the masks
    0x681A, // DR7
    0x482A, 0x6824, 0x6826, // SYSENTER_CS, _ESP, _EIP
    0x4824, // interruptibility: the shadow of STI and of MOV SS
    0x6822, // debug exceptions that are pending
    0x4826, // activity
    0x4016, 0x4018, 0x401A, // an event to be delivered first: what, error code, length
    0x4402, 0x6400, 0x4404, // why the guest came back: reason, qualification, event
];

/// How many of them are only read: the last ones.
pub(super) const READ_ONLY: usize = 3;

/// The words of a state: eight general registers (ESP's is not used), the fields, CR2, DR0 to DR3 and
/// DR6.
pub(super) const WORDS: usize = 8 + FIELDS.len() + 6;

/// What the monitor can be told, by the first word of each command.
pub(super) mod command {
    /// Nothing more: stop.
    pub const END: u32 = 0;
    /// Physical address, length, whether to the shadow as well, and the bytes, padded to words.
    pub const WRITE: u32 = 1;
    /// Length: makes the guest's memory, up to there, what its shadow is.
    pub const RESET: u32 = 2;
    /// A state's words, and an image for FXRSTOR.
    pub const LOAD: u32 = 3;
    /// How many steps, and how many instructions a step has, plus one: runs the guest. Answers with the
    /// steps done and the words of the state, and before that for each step with what changed in it.
    pub const RUN: u32 = 4;
    /// Answers with the image of FXSAVE.
    pub const FLOAT: u32 = 5;
    /// What follows (0 nothing, 1 the shadow, 2 the guest): answers with the words of memory that differ
    /// from the shadow, in the pages that were written, and makes them the same.
    pub const COMPARE: u32 = 6;
}

/// What the monitor answers with, by the first word of each answer.
pub(super) mod answer {
    /// Three words of a mask of the words that changed, and those.
    pub const STEP: u32 = 1;
    /// The steps done and a state's words.
    pub const ENDED: u32 = 2;
    /// The processor refused the state: the number of the reason.
    pub const REFUSED: u32 = 3;
    /// Pairs of a physical address and the word there, and FFFFFFFF behind the last.
    pub const MEMORY: u32 = 4;
}
