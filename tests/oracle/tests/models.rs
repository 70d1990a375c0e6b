//! Which instructions exist for a model: every opcode of one and two bytes with every prefix that chooses
//! an instruction, and those behind 0F 38 and 0F 3A, on each model. What none of the processors that the
//! model stands for has raises #UD; what one of them has raises it only for the reasons in a table. And LOCK
//! is allowed where the manual allows it, and nowhere else.
//!
//! When an instruction came is asked of iced's table of features, which follows the manuals; the machine
//! lowers by its own account of operations.

use iced_x86::{
    Code, CpuidFeature, Decoder, DecoderError, DecoderOptions, Instruction, Mnemonic, OpKind, Register,
};
use machine::registers::control::OSFXSR;
use machine::{Machine, Model, Pa, Reg, Seg, Segment, Stop, Table};
use std::collections::{BTreeMap, BTreeSet};

const MODELS: [Model; 3] = [Model::I386, Model::Pentium, Model::PentiumIii];
const HERE: u32 = 0x1000;
const DATA: u32 = 0x4000;
const HANDLERS: u32 = 0x8000;

/// A machine in ring 0 without paging, with code of 32 or 16 bits.
fn ready(model: Model, wide: bool) -> Machine {
    let mut m = Machine::new(16);
    let flat = |attributes| Segment { selector: 8, base: 0, limit: u32::MAX, attributes };
    m.cpu.segments = [flat(0xC093); 6];
    m.cpu.segments[Seg::Cs as usize] = flat(if wide { 0xC09B } else { 0x809B });
    m.memory.write(Pa(8), &0x00CF_9B00_0000_FFFFu64.to_le_bytes());
    m.memory.write(Pa(0x10), &0x00CF_9300_0000_FFFFu64.to_le_bytes());
    m.cpu.gdtr = Table { base: 0, limit: 0x17 };
    m.cpu.idtr = Table { base: 0x2000, limit: 0x7FF };
    for vector in 0..256 {
        let raw = 0x8E00_0008_0000u64 | u64::from(HANDLERS + vector * 4);
        m.memory.write(Pa(0x2000 + vector * 8), &raw.to_le_bytes());
    }
    m.cpu.model = model;
    m.cpu.cr4 = if model == Model::PentiumIii { OSFXSR } else { 0 };
    m.cpu.regs = [DATA; 8];
    m.cpu.set_reg(Reg::Esp, 0x7000);
    m.cpu.eip = HERE;
    m
}

/// Whether an instruction raises #UD.
fn is_refused(ready: &Machine, bytes: &[u8]) -> bool {
    let mut m = ready.clone();
    m.memory.write(Pa(HERE), bytes);
    match m.step() {
        Stop::Budget => m.cpu.eip == HANDLERS + 6 * 4 && m.retired == 0,
        _ => false,
    }
}

/// The features of a model's processors, each with those of the ones before.
fn has(model: Model, i: &Instruction) -> bool {
    use CpuidFeature as F;
    use Mnemonic as M;
    let since_386 = [
        F::INTEL8086,
        F::INTEL8086_ONLY,
        F::INTEL186,
        F::INTEL286,
        F::INTEL386,
        F::FPU,
        F::FPU287,
        F::FPU387,
        F::PAUSE,
    ];
    let since_pentium = [F::INTEL486, F::CPUID, F::TSC, F::MSR, F::CX8];
    let since_pentium_iii = [F::CMOV, F::SEP, F::FXSR, F::MULTIBYTENOP, F::PREFETCHW, F::D3NOW, F::CET_IBT];
    // Of SSE the model has what needs no XMM register, and hints that say nothing to it.
    let without_xmm = matches!(
        i.mnemonic(),
        M::Prefetchnta | M::Prefetcht0 | M::Prefetcht1 | M::Prefetcht2 | M::Ldmxcsr | M::Stmxcsr
    );
    if i.mnemonic() == M::Femms || i.mnemonic() == M::Rdpid {
        return false;
    }
    i.cpuid_features().iter().all(|feature| {
        since_386.contains(feature)
            || model >= Model::Pentium && since_pentium.contains(feature)
            || model >= Model::PentiumIii && since_pentium_iii.contains(feature)
            || model >= Model::PentiumIii && without_xmm && *feature == F::SSE
    })
}

/// Why an instruction that the model has raises #UD all the same.
fn refused_because(model: Model, i: &Instruction) -> Option<&'static str> {
    use Mnemonic as M;
    let no_prefetch = [Code::Reservednop_rm16_r16_0F0D, Code::Reservednop_rm32_r32_0F0D];
    let cr4 = (0..2).any(|n| i.op_register(n) == Register::CR4);
    match i.mnemonic() {
        M::Ud0 | M::Ud1 | M::Ud2 => Some("it is there to raise #UD"),
        M::Mov if cr4 && model == Model::I386 => Some("the i386 has no CR4"),
        M::Reservednop if no_prefetch.contains(&i.code()) => {
            Some("PREFETCHW with a register, which the real processor refuses")
        }
        _ => None,
    }
}

/// Encodings to ask about: a prefix, an opcode, and ModRM bytes; all of them where they choose.
fn encodings() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for prefix in [0u8, 0x66, 0xF2, 0xF3] {
        for opcode in 0..0x400u16 {
            let low = opcode as u8;
            let opcode: Vec<u8> = match opcode >> 8 {
                0 if matches!(low, 0x0F | 0x26 | 0x2E | 0x36 | 0x3E | 0x64..=0x67 | 0xF0 | 0xF2 | 0xF3) => {
                    continue;
                }
                0 => vec![low],
                1 if matches!(low, 0x38 | 0x3A) => continue,
                1 => vec![0x0F, low],
                2 => vec![0x0F, 0x38, low],
                _ => vec![0x0F, 0x3A, low],
            };
            let chooses = matches!(opcode[..], [0xD8..=0xDF] | [0x0F, 0x01 | 0xAE | 0xC7]);
            for modrm in (0..=255u8)
                .filter(|modrm| chooses || matches!(modrm & 0xC7, 0x03 | 0x06 | 0x46 | 0xC0 | 0xC3))
            {
                let mut bytes: Vec<u8> = (prefix != 0).then_some(prefix).into_iter().collect();
                bytes.extend(&opcode);
                // The displacement is small, and immediates are 2.
                bytes.extend([modrm, 2, 0, 0, 0, 2, 0, 0, 0]);
                all.push(bytes);
            }
        }
    }
    all
}

/// Decodes as a processor does that knows nothing of TZCNT, LZCNT and WBNOINVD: there REP before BSF, BSR and
/// WBINVD is ignored (SDM 2, the entries of the three).
fn decoded(bytes: &[u8], wide: bool) -> Option<Instruction> {
    const OLD: u32 =
        DecoderOptions::NO_MPFX_0FBC | DecoderOptions::NO_MPFX_0FBD | DecoderOptions::NO_WBNOINVD;
    let mut decoder = Decoder::new(if wide { 32 } else { 16 }, bytes, OLD);
    let instruction = decoder.decode();
    (decoder.last_error() == DecoderError::None).then_some(instruction)
}

#[test]
fn what_a_model_does_not_have_is_refused_and_nothing_else() {
    let (mut wrong, mut reasons) = (BTreeSet::new(), BTreeMap::new());
    for model in MODELS {
        let (mut missing, mut known) = (BTreeSet::new(), BTreeSet::new());
        for wide in [true, false] {
            let ready = ready(model, wide);
            for bytes in encodings() {
                let instruction = decoded(&bytes, wide);
                let refused = is_refused(&ready, &bytes);
                match instruction.filter(|i| has(model, i)) {
                    None => {
                        missing.insert(instruction.map_or(Code::INVALID, |i| i.code()));
                        if !refused {
                            wrong.insert(format!("{model:?} executes {:?}", instruction.map(|i| i.code())));
                        }
                    }
                    Some(i) => match refused_because(model, &i) {
                        Some(why) => _ = reasons.insert(why, i.code()),
                        None if refused => {
                            wrong.insert(format!("{model:?} refuses {:?}", i.code()));
                        }
                        None => _ = known.insert(i.code()),
                    },
                }
            }
        }
        println!("{model:?}: {} forms known, {} refused as not of the model", known.len(), missing.len());
        assert!(known.len() > 600 && missing.len() > 250, "{} and {}", known.len(), missing.len());
    }
    for (why, code) in reasons {
        println!("  refused although known: {why}, as {code:?}");
    }
    let shown: Vec<&String> = wrong.iter().take(60).collect();
    assert!(wrong.is_empty(), "{} encodings: {shown:#?}", wrong.len());
}

/// SDM 2, LOCK: these with a destination in memory; XCHG is locked even without it.
fn may_be_locked(i: &Instruction) -> bool {
    use Mnemonic as M;
    let listed = matches!(
        i.mnemonic(),
        M::Add
            | M::Adc
            | M::And
            | M::Btc
            | M::Btr
            | M::Bts
            | M::Cmpxchg
            | M::Cmpxchg8b
            | M::Dec
            | M::Inc
            | M::Neg
            | M::Not
            | M::Or
            | M::Sbb
            | M::Sub
            | M::Xor
            | M::Xadd
            | M::Xchg
    );
    // The order of XCHG's operands is iced's choice; one of them is in memory.
    let memory = (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory);
    let destination = i.op0_kind() == OpKind::Memory || i.mnemonic() == M::Xchg && memory;
    listed && destination
}

#[test]
fn lock_is_allowed_where_the_manual_allows_it() {
    let (mut allowed, mut forbidden, mut wrong) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for model in MODELS {
        for wide in [true, false] {
            let ready = ready(model, wide);
            for bytes in encodings() {
                // Where a repetition is meant LOCK is no question of its own.
                let Some(i) = decoded(&bytes, wide).filter(|i| has(model, i)) else { continue };
                if matches!(bytes[0], 0xF2 | 0xF3) {
                    continue;
                }
                let refused = is_refused(&ready, &[&[0xF0], &bytes[..]].concat());
                let may = may_be_locked(&i);
                if may {
                    allowed.insert(i.code())
                } else {
                    forbidden.insert(i.code())
                };
                if refused == may {
                    wrong.insert(format!("{model:?}: LOCK {:?} is refused: {refused}", i.code()));
                }
            }
        }
    }
    println!("LOCK: {} forms allowed, {} refused", allowed.len(), forbidden.len());
    assert!(allowed.len() > 60 && forbidden.len() > 600, "{} and {}", allowed.len(), forbidden.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}
