//! Making cases: an instruction of a given form with operands, flags, descriptors and addresses that
//! are often at an edge. A case depends on its seed and number alone.

mod aim;
mod number;
mod program;

pub use program::Pools;

use crate::{Bytes, CODE, Case, FLAGS, FLAT_CODE, FLAT_DATA, Form, Random, State, Template, entry, local};
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic};

/// Bytes that are written behind the code page's start: the instruction and what follows it.
const WRITTEN: usize = 24;

/// What memory holds before a case puts its operands there: always the same.
pub fn background() -> Bytes {
    let mut random = Random::new(0, 0);
    let mut bytes = Bytes::zeroed();
    for chunk in bytes.0.chunks_mut(8) {
        chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]);
    }
    bytes
}

/// Makes cases.
pub struct Generator {
    background: Bytes,
}

impl Default for Generator {
    fn default() -> Self {
        Generator { background: background() }
    }
}

impl Generator {
    /// The case of a form with a number under a seed.
    pub fn case(&self, form: &Form, seed: u64, number: u64) -> Case {
        let mut random = Random::new(seed, number);
        let template = random.pick(&form.templates);
        self.case_of(&mut random, &template)
    }

    /// A case of one way of making a form.
    fn case_of(&self, random: &mut Random, template: &Template) -> Case {
        let mut start = self.start(random, template.wide);
        let mut code = encode(random, template);
        let instruction = decode(&code, template.wide);
        if touches_x87(&instruction) {
            start.x87 = Some(number::state(random));
        }
        let mut target = Making { random, code: &mut code, instruction, start: &mut start, calm: false };
        target.operands();
        let len = decode(&code, template.wide).len();
        code.truncate(len);
        code.resize(WRITTEN, 0x90);
        let base = entry(start.selectors[1]).map_or(0, |entry| entry.base);
        let room = (CODE + 0x1000).wrapping_sub(base.wrapping_add(start.eip));
        code.truncate(room.min(WRITTEN as u32) as usize);
        Case { len, code, start }
    }

    fn start(&self, random: &mut Random, wide: bool) -> State {
        let mut regs = [0; 8];
        for reg in &mut regs {
            *reg = random.edge();
        }
        let code = match wide {
            true => random.pick(&[FLAT_CODE, FLAT_CODE, FLAT_CODE, local(7), local(8), local(10)]),
            false => random.pick(&[local(9), local(9), local(17)]),
        };
        const STACKS: [u16; 12] = [
            FLAT_DATA,
            FLAT_DATA,
            FLAT_DATA,
            FLAT_DATA,
            FLAT_DATA,
            local(0),
            local(1),
            local(2),
            local(3),
            local(4),
            local(11),
            local(19),
        ];
        const OTHERS: [u16; 22] = [
            FLAT_DATA,
            FLAT_DATA,
            FLAT_DATA,
            FLAT_DATA,
            FLAT_DATA,
            FLAT_DATA,
            FLAT_DATA,
            FLAT_DATA,
            local(0),
            local(1),
            local(2),
            local(3),
            local(4),
            local(5),
            local(7),
            local(11),
            local(12),
            local(13),
            local(15),
            local(18),
            local(19),
            0,
        ];
        let mut other = || random.pick(&OTHERS);
        let (ds, es, fs, gs) = (other(), other(), other(), other());
        let ss = random.pick(&STACKS);
        let mut eflags = random.next() as u32 & FLAGS & 0x8D5;
        for (bit, times) in [(0x400, 4), (0x4_0000, 12), (0x4000, 40), (0x20_0000, 60)] {
            eflags |= if random.once_in(times) { bit } else { 0 };
        }
        // Most often at the start of the page, now and then so that its end cuts the instruction off.
        let into = if random.once_in(20) { 0xFFF - random.below(12) } else { random.below(64) };
        let base = entry(code).map_or(0, |entry| entry.base);
        State {
            regs,
            eip: CODE.wrapping_sub(base).wrapping_add(into),
            eflags,
            selectors: [es, code, ss, ds, fs, gs],
            x87: None,
            bytes: self.background.clone(),
        }
    }
}

/// Decodes an instruction, one with a LOCK that is not allowed too.
pub fn decode(code: &[u8], wide: bool) -> Instruction {
    let bits = if wide { 32 } else { 16 };
    Decoder::with_ip(bits, code, 0, DecoderOptions::NO_INVALID_CHECK).decode()
}

fn encode(random: &mut Random, template: &Template) -> Vec<u8> {
    let plain = decode(&plain(template), template.wide);
    let mut code = Vec::new();
    if plain.is_string_instruction() && random.once_in(2) {
        code.push(random.pick(&[0xF2, 0xF3]));
    }
    if random.once_in(60) {
        code.push(0xF0);
    }
    if random.once_in(5) {
        code.push(random.pick(&[0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65]));
    }
    if random.once_in(8) {
        code.push(0x67);
    }
    code.extend((template.prefix != 0).then_some(template.prefix));
    code.extend(&template.opcode[..template.opcodes]);
    code.extend(template.modrm);
    while code.len() < WRITTEN {
        // SIB, displacement and immediate: whatever comes, and often something small.
        let byte = if random.once_in(3) { random.edge() as u8 } else { random.next() as u8 };
        code.push(byte);
    }
    code
}

fn plain(template: &Template) -> Vec<u8> {
    let mut code = Vec::new();
    code.extend((template.prefix != 0).then_some(template.prefix));
    code.extend(&template.opcode[..template.opcodes]);
    code.extend(template.modrm);
    code.resize(16, 0);
    code
}

/// Whether an instruction reads or changes the x87 state.
pub fn touches_x87(instruction: &Instruction) -> bool {
    use iced_x86::CpuidFeature as F;
    let unit = [F::FPU, F::FPU287, F::FPU387, F::FXSR, F::SSE];
    instruction.mnemonic() == Mnemonic::Wait
        || instruction.cpuid_features().iter().any(|feature| unit.contains(feature))
}

/// A case while its operands are made.
struct Making<'a> {
    random: &'a mut Random,
    code: &'a mut Vec<u8>,
    instruction: Instruction,
    start: &'a mut State,
    /// Whether most operands are to be where they can be reached.
    calm: bool,
}

/// A selector to load: of every kind, right and wrong.
fn selector(random: &mut Random) -> u16 {
    match random.below(8) {
        0 => random.pick(&[0, 1, 2, 3]),
        1 => random.pick(&[FLAT_DATA, FLAT_CODE, FLAT_DATA & !3, FLAT_CODE & !3]),
        2 => random.pick(&[0x08, 0x0B, 0x10, 0x18, 0x1B, 0x83, 0x80, 0xFFF3]),
        3 => local(random.pick(&[21, 22, 100, 8191])),
        4 => local(random.below(21) as u16) & !3 | random.below(4) as u16,
        _ => local(random.below(21) as u16),
    }
}

/// Whether a form's name says that what it takes off the stack are words.
fn pops_words(form: Code) -> bool {
    format!("{form:?}").split('_').next().is_some_and(|mnemonic| mnemonic.ends_with('w'))
}
