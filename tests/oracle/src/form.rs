//! Which instructions there are to ask about: every form that iced knows of the processors of the
//! time, with the bytes that make it. A form is iced's `Code`: operation, operand sizes and encoding.

use iced_x86::{Code, CpuidFeature, Decoder, DecoderOptions, Instruction, Mnemonic};
use std::collections::BTreeMap;

/// The opcode bytes of a form, with what of its operands they fix.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// Whether the code segment is of 32 bits.
    pub wide: bool,
    /// A prefix that belongs to the form: 66, F2 or F3; 0 for none.
    pub prefix: u8,
    /// One or two bytes.
    pub opcode: [u8; 2],
    /// How many.
    pub opcodes: usize,
    /// The ModRM byte, where there is one.
    pub modrm: Option<u8>,
}

/// A row of the table: a form, and how to make it.
#[derive(Clone, Debug)]
pub struct Form {
    /// Its name in iced.
    pub code: Code,
    /// The ways of making it.
    pub templates: Vec<Template>,
}

/// What the processors of the time have: 8086 to 486 with x87, and what the Pentium family added.
const FEATURES: &[CpuidFeature] = &[
    CpuidFeature::INTEL8086,
    CpuidFeature::INTEL186,
    CpuidFeature::INTEL286,
    CpuidFeature::INTEL386,
    CpuidFeature::INTEL486,
    CpuidFeature::FPU,
    CpuidFeature::FPU287,
    CpuidFeature::FPU387,
    CpuidFeature::CX8,
    CpuidFeature::CMOV,
    CpuidFeature::CPUID,
    CpuidFeature::FXSR,
    CpuidFeature::MULTIBYTENOP,
    CpuidFeature::PAUSE,
    CpuidFeature::MSR,
    CpuidFeature::TSC,
    CpuidFeature::SEP,
    CpuidFeature::PREFETCHW,
    CpuidFeature::D3NOW,
    CpuidFeature::CET_IBT,
    CpuidFeature::SSE,
];

/// Whether the processors of the time have an instruction.
pub(crate) fn of_the_time(instruction: &Instruction) -> bool {
    use Mnemonic as M;
    let mnemonic = instruction.mnemonic();
    if matches!(mnemonic, M::Rdpid | M::Femms) {
        return false;
    }
    let features = instruction.cpuid_features();
    let vector = features.contains(&CpuidFeature::SSE)
        && !matches!(
            mnemonic,
            M::Prefetchnta | M::Prefetcht0 | M::Prefetcht1 | M::Prefetcht2 | M::Ldmxcsr | M::Stmxcsr
        );
    !vector && features.iter().any(|feature| FEATURES.contains(feature))
}

/// Every form, in the order of its codes.
pub fn forms() -> Vec<Form> {
    let mut found: BTreeMap<usize, Form> = BTreeMap::new();
    for wide in [true, false] {
        for prefix in [0, 0x66, 0xF2, 0xF3] {
            for opcode in 0..512u16 {
                let (bytes, opcodes) = match opcode {
                    0..256 => ([opcode as u8, 0], 1),
                    _ => ([0x0F, opcode as u8], 2),
                };
                add(&mut found, wide, prefix, bytes, opcodes);
            }
        }
    }
    found.into_values().collect()
}

fn add(found: &mut BTreeMap<usize, Form>, wide: bool, prefix: u8, opcode: [u8; 2], opcodes: usize) {
    for modrm in 0..=255u8 {
        let mut bytes = Vec::new();
        bytes.extend((prefix != 0).then_some(prefix));
        bytes.extend(&opcode[..opcodes]);
        let at = bytes.len();
        bytes.push(modrm);
        bytes.resize(at + 12, 0);
        let mut decoder = Decoder::new(if wide { 32 } else { 16 }, &bytes, DecoderOptions::NONE);
        let instruction = decoder.decode();
        // A prefix that is an instruction of its own, or that is only repeated, makes no new form.
        let code = instruction.code();
        if instruction.is_invalid() || !of_the_time(&instruction) || is_prefix(&opcode, opcodes) {
            continue;
        }
        if matches!(prefix, 0xF2 | 0xF3) && !instruction.is_string_instruction() {
            let mandatory =
                matches!(instruction.mnemonic(), Mnemonic::Pause | Mnemonic::Endbr32 | Mnemonic::Endbr64);
            if !mandatory {
                continue;
            }
        }
        if matches!(prefix, 0xF2 | 0xF3) && instruction.is_string_instruction() {
            continue;
        }
        let has_modrm = uses_modrm(&bytes, at, wide, &instruction);
        let fixed = has_modrm || depends_on_modrm(&opcode, opcodes);
        let template = Template { wide, prefix, opcode, opcodes, modrm: fixed.then_some(modrm) };
        let form = found.entry(code as usize).or_insert_with(|| Form { code, templates: Vec::new() });
        form.templates.push(template);
        if !fixed {
            return;
        }
    }
}

/// Opcodes whose ModRM byte chooses the instruction even where it has no operands.
fn depends_on_modrm(opcode: &[u8; 2], opcodes: usize) -> bool {
    match opcodes {
        1 => matches!(opcode[0], 0xD8..=0xDF | 0xF6 | 0xF7 | 0xFE | 0xFF),
        _ => matches!(opcode[1], 0x00 | 0x01 | 0x0D | 0x18..=0x1F | 0xAE | 0xC7),
    }
}

/// Whether another ModRM byte makes another length or other operands.
fn uses_modrm(bytes: &[u8], at: usize, wide: bool, instruction: &Instruction) -> bool {
    let other = |modrm: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = modrm;
        Decoder::new(if wide { 32 } else { 16 }, &bytes, DecoderOptions::NONE).decode()
    };
    // An immediate of a byte there changes neither; a form with ModRM has a register or memory.
    let (a, b) = (other(bytes[at] ^ 0xC0), other(bytes[at] ^ 0x40));
    [a, b].iter().any(|other| {
        other.op0_kind() != instruction.op0_kind()
            || other.len() != instruction.len()
            || other.op1_kind() != instruction.op1_kind()
    })
}

fn is_prefix(opcode: &[u8; 2], opcodes: usize) -> bool {
    opcodes == 1
        && matches!(
            opcode[0],
            0x0F | 0x26 | 0x2E | 0x36 | 0x3E | 0x64 | 0x65 | 0x66 | 0x67 | 0xF0 | 0xF2 | 0xF3
        )
}

/// Why a form is not asked about, if it is not.
pub fn excluded(code: Code) -> Option<&'static str> {
    use Mnemonic as M;
    Some(match code.mnemonic() {
        M::Cpuid => "its answer is the processor's model",
        M::Rdtsc => "its answer is the time",
        M::Sgdt | M::Sidt | M::Sldt | M::Str | M::Smsw => {
            "UMIP, a newer processor's property, refuses it in ring 3"
        }
        M::Sysenter | M::Sysexit => "AMD's processors refuse it under a 64-bit system",
        M::Syscall | M::Sysret => "it enters the system",
        M::Ldmxcsr => "the system shows no MXCSR of a 32-bit process",
        M::Int1 => "its trap and the step's are the same",
        _ => return None,
    })
}
