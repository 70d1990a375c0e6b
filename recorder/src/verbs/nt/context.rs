//! The registers of a thread, as a CONTEXT holds them.

use super::*;

const EIP: Argument = arg("eip", Kind::Address, Absent, "where to go on");
const ESP: Argument = arg("esp", Kind::Address, Absent, "the stack pointer");
const EFLAGS: Argument = arg("eflags", Kind::Number, Absent, "the flags");
const EBP: Argument = arg("ebp", Kind::Number, Absent, "EBP");
const EAX: Argument = arg("eax", Kind::Number, Absent, "EAX (group integer)");
const EBX: Argument = arg("ebx", Kind::Number, Absent, "EBX (group integer)");
const ECX: Argument = arg("ecx", Kind::Number, Absent, "ECX (group integer)");
const EDX: Argument = arg("edx", Kind::Number, Absent, "EDX (group integer)");
const ESI: Argument = arg("esi", Kind::Number, Absent, "ESI (group integer)");
const EDI: Argument = arg("edi", Kind::Number, Absent, "EDI (group integer)");
const SEGCS: Argument = arg("segcs", Kind::Number, Absent, "the code selector");
const SEGDS: Argument = arg("segds", Kind::Number, Absent, "DS (group segments)");
const SEGES: Argument = arg("seges", Kind::Number, Absent, "ES (group segments)");
const SEGFS: Argument = arg("segfs", Kind::Number, Absent, "FS (group segments)");
const SEGGS: Argument = arg("seggs", Kind::Number, Absent, "GS (group segments)");
const SEGSS: Argument = arg("segss", Kind::Number, Absent, "the stack selector");
const DR0: Argument = arg("dr0", Kind::Number, Absent, "DR0 (group debug)");
const DR1: Argument = arg("dr1", Kind::Number, Absent, "DR1 (group debug)");
const DR2: Argument = arg("dr2", Kind::Number, Absent, "DR2 (group debug)");
const DR3: Argument = arg("dr3", Kind::Number, Absent, "DR3 (group debug)");
const DR6: Argument = arg("dr6", Kind::Number, Absent, "DR6 (group debug)");
const DR7: Argument = arg("dr7", Kind::Number, Absent, "DR7 (group debug)");
const FPU_CONTROL: Argument =
    arg("fpu-control", Kind::Number, Absent, "the control word (groups float and extended)");
const FPU_STATUS: Argument =
    arg("fpu-status", Kind::Number, Absent, "the status word (groups float and extended)");
const FPU_TAG: Argument = arg("fpu-tag", Kind::Number, Absent, "the tag word, each group's own form of it");
const FPU_ERROR_OFFSET: Argument = arg(
    "fpu-error-offset",
    Kind::Number,
    Absent,
    "offset of the last instruction (groups float and extended)",
);
const FPU_ERROR_SELECTOR: Argument = arg(
    "fpu-error-selector",
    Kind::Number,
    Absent,
    "its selector, and its opcode in the high word (groups float and extended)",
);
const FPU_DATA_OFFSET: Argument =
    arg("fpu-data-offset", Kind::Number, Absent, "offset of the last operand (groups float and extended)");
const FPU_DATA_SELECTOR: Argument =
    arg("fpu-data-selector", Kind::Number, Absent, "its selector (groups float and extended)");
const FPU_REGISTERS: Argument = arg(
    "fpu-registers",
    Kind::Number,
    Absent,
    "sign and exponent of ST(0), and one more for each further one; significands are 1.0",
);
const MXCSR: Argument = arg("mxcsr", Kind::Number, Absent, "MXCSR (group extended)");

/// The arguments that say what a CONTEXT's registers are, between those that the verb has besides.
macro_rules! with_registers {
    ([$($before:expr),*], [$($after:expr),*]) => {
        &[
            $($before,)*
            EIP,
            ESP,
            EFLAGS,
            EBP,
            EAX,
            EBX,
            ECX,
            EDX,
            ESI,
            EDI,
            SEGCS,
            SEGDS,
            SEGES,
            SEGFS,
            SEGGS,
            SEGSS,
            DR0,
            DR1,
            DR2,
            DR3,
            DR6,
            DR7,
            FPU_CONTROL,
            FPU_STATUS,
            FPU_TAG,
            FPU_ERROR_OFFSET,
            FPU_ERROR_SELECTOR,
            FPU_DATA_OFFSET,
            FPU_DATA_SELECTOR,
            FPU_REGISTERS,
            MXCSR,
            $($after,)*
        ]
    };
}

pub(super) static VERBS: &[Verb] = &[
    call(
        "NtContinue",
        "Goes on with a CONTEXT: the caller's own registers, but for what is given.",
        with_registers!(
            [arg("flags", Kind::Flags(&CONTEXT_GROUPS), Is("full"), "the groups that are loaded")],
            [arg("test-alert", Kind::Bool, Is("no"), "whether pending user APCs are delivered first")]
        ),
        &[ContextIn, Arg("test-alert")],
        NOTHING,
    ),
    call(
        "NtGetContextThread",
        "Reads a thread's user-mode registers.",
        &[THREAD, arg("flags", Kind::Flags(&CONTEXT_GROUPS), Is("full"), "the groups to read")],
        &[Arg("thread"), ContextOut],
        NOTHING,
    ),
    call(
        "NtSetContextThread",
        "Sets a thread's user-mode registers; of the groups given, what is left out is as at rest.",
        with_registers!(
            [THREAD, arg("flags", Kind::Flags(&CONTEXT_GROUPS), Is("control"), "the groups to set")],
            []
        ),
        &[Arg("thread"), ContextIn],
        NOTHING,
    ),
];
