//! Programs of 5 to 20 instructions and what they need: each instruction is made as a single one is, and
//! the registers that its operands need are loaded before it. Among them are branches forward, bounded
//! loops, calls and returns, and stores into the program itself.

use super::{Generator, Making, decode, encode, number, plain, touches_x87};
use crate::program::{Part, Program};
use crate::{CODE, DATA, FLAT_CODE, FLAT_DATA, Form, Random, State, Template, entry, local};
use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind};

/// The forms that programs are made of, for 32-bit and for 16-bit code.
pub struct Pools([Pool; 2]);

#[derive(Default)]
struct Pool {
    /// What programs mostly consist of, and blocks have fast forms for.
    common: Vec<Template>,
    /// The other integer instructions that ring 3 may execute.
    integer: Vec<Template>,
    x87: Vec<Template>,
    /// What faults or changes segments.
    rare: Vec<Template>,
}

impl Pools {
    /// Sorts forms.
    pub fn new(forms: &[Form]) -> Pools {
        let mut pools = [Pool::default(), Pool::default()];
        for form in forms.iter().filter(|form| crate::excluded(form.code).is_none()) {
            for pool in [true, false] {
                let templates: Vec<&Template> = form.templates.iter().filter(|t| t.wide == pool).collect();
                let Some(first) = templates.first() else { continue };
                let instruction = decode(&plain(first), pool);
                let of = &mut pools[usize::from(!pool)];
                // A form has as many templates as its opcode leaves ModRM bytes: one share for each.
                let chosen = match kind(&instruction) {
                    Kind::Common => &mut of.common,
                    Kind::Integer => &mut of.integer,
                    Kind::X87 => &mut of.x87,
                    Kind::Rare => &mut of.rare,
                    Kind::Never => continue,
                };
                let step = templates.len().div_ceil(24);
                chosen.extend(templates.into_iter().step_by(step).copied());
            }
        }
        Pools(pools)
    }
}

enum Kind {
    Common,
    Integer,
    X87,
    Rare,
    Never,
}

fn kind(instruction: &Instruction) -> Kind {
    use Mnemonic as M;
    let mnemonic = instruction.mnemonic();
    if instruction.flow_control() != FlowControl::Next || !crate::program::judged(instruction) {
        return Kind::Never;
    }
    let segments = (0..instruction.op_count()).any(|n| {
        instruction.op_kind(n) == OpKind::Register && instruction.op_register(n).is_segment_register()
    });
    let refused = instruction.is_privileged()
        || matches!(mnemonic, M::In | M::Out | M::Insb | M::Insw | M::Insd | M::Outsb | M::Outsw | M::Outsd);
    let pointer = matches!(mnemonic, M::Les | M::Lds | M::Lss | M::Lfs | M::Lgs);
    if refused || segments || pointer || matches!(mnemonic, M::Popfd | M::Popf | M::Bound | M::Wait) {
        return Kind::Rare;
    }
    if touches_x87(instruction) {
        return Kind::X87;
    }
    let often = matches!(
        mnemonic,
        M::Mov | M::Movzx | M::Movsx | M::Lea | M::Add | M::Or | M::And | M::Sub | M::Xor | M::Cmp | M::Test
    ) || matches!(
        mnemonic,
        M::Inc | M::Dec | M::Shl | M::Shr | M::Sar | M::Push | M::Pop | M::Adc | M::Sbb
    );
    if often { Kind::Common } else { Kind::Integer }
}

impl Generator {
    /// The program with a number under a seed.
    pub fn program(&self, pools: &Pools, seed: u64, number: u64) -> Program {
        let mut random = Random::new(seed ^ 0x5072_6F67, number);
        let wide = !random.once_in(6);
        let mut start = self.start(&mut random, wide);
        if !random.once_in(6) {
            // With addresses of 16 bits nothing is reached through a flat segment.
            start.selectors = match wide {
                true => [FLAT_DATA, FLAT_CODE, FLAT_DATA, FLAT_DATA, local(0), FLAT_DATA],
                false => [local(0), local(9), local(2), local(0), local(2), FLAT_DATA],
            };
        }
        let stack = entry(start.selectors[2]).map_or(0, |entry| entry.base);
        start.regs[4] = (DATA + 0xC00 + 4 * random.below(0x200)).wrapping_sub(stack);
        let base = entry(start.selectors[1]).map_or(0, |entry| entry.base);
        let into = if random.once_in(16) { 0xFFF - random.below(80) } else { random.below(64) };
        start.eip = CODE.wrapping_sub(base).wrapping_add(into);
        let floats = random.once_in(5);
        start.x87 = floats.then(|| number::state(&mut random));
        let pool = &pools.0[usize::from(!wide)];
        let mut writing = Writing { random, pool, start, wide, floats, parts: Vec::new() };
        let most = 5 + writing.random.below(16) as usize;
        while writing.parts.len() < most {
            writing.piece(most);
        }
        writing.patches();
        Program { parts: writing.parts, start: writing.start }
    }
}

/// A program while it is written.
struct Writing<'a> {
    random: Random,
    pool: &'a Pool,
    start: State,
    wide: bool,
    floats: bool,
    parts: Vec<Part>,
}

impl Writing<'_> {
    fn piece(&mut self, most: usize) {
        match self.random.below(14) {
            0 => self.forward(most),
            1 => self.repeated(),
            2 => self.called(),
            _ => self.instruction(),
        }
    }

    /// An instruction with what it needs; after one that leaves flags undefined, most often one that
    /// defines them.
    fn instruction(&mut self) {
        let template = self.template();
        let mut regs = [0; 8];
        regs.fill_with(|| self.random.edge());
        let before = regs;
        let mut state = self.start.clone();
        state.regs = regs;
        let mut code = encode(&mut self.random, &template);
        let instruction = decode(&code, self.wide);
        let narrow = self.wide && code[..4].contains(&0x67);
        if (instruction.has_lock_prefix() || narrow || moves_stack(&instruction)) && !self.random.once_in(8) {
            return;
        }
        let mut making =
            Making { random: &mut self.random, code: &mut code, instruction, start: &mut state, calm: true };
        making.operands();
        let instruction = decode(&code, self.wide);
        self.start.bytes = state.bytes;
        for (register, old) in before.into_iter().enumerate() {
            if state.regs[register] != old && self.needs(&instruction, register)
                || addresses(&instruction, register)
                || selects(&instruction, register)
            {
                self.load(register, state.regs[register]);
            }
        }
        code.truncate(instruction.len());
        self.parts.push(Part::Plain(code));
        if instruction.rflags_undefined() != 0 && !self.random.once_in(4) {
            // CMP of two registers.
            let modrm = 0xC0 | self.random.below(64) as u8;
            self.parts.push(Part::Plain(vec![0x39, modrm]));
        }
    }

    fn template(&mut self) -> Template {
        let pool = self.pool;
        let from = match self.random.below(60) {
            0 => &pool.rare,
            1..30 if self.floats => &pool.x87,
            1..36 => &pool.common,
            _ => &pool.integer,
        };
        self.random.pick(from)
    }

    /// Whether a register that was made for an instruction is worth loading.
    fn needs(&mut self, instruction: &Instruction, register: usize) -> bool {
        match register {
            1 if instruction.is_string_instruction() => {
                instruction.has_rep_prefix() || instruction.has_repne_prefix()
            }
            1 => (0..instruction.op_count()).any(|n| {
                instruction.op_kind(n) == OpKind::Register
                    && instruction.op_register(n).full_register32().number() == 1
            }),
            4 => instruction.is_stack_instruction() && self.random.once_in(5),
            _ => true,
        }
    }

    /// MOV to a register.
    fn load(&mut self, register: usize, value: u32) {
        let mut code = if self.wide { vec![] } else { vec![0x66] };
        code.push(0xB8 + register as u8);
        code.extend(value.to_le_bytes());
        self.parts.push(Part::Plain(code));
    }

    /// A branch over what follows, taken or not.
    fn forward(&mut self, most: usize) {
        let target = self.parts.len() + 1 + self.random.below(4) as usize;
        let condition = self.random.below(16) as u8;
        let (opcode, short) = match self.random.below(6) {
            0 => (vec![0x0F, 0x80 + condition], false),
            1 => (vec![0xEB], true),
            2 => (vec![self.random.pick(&[0xE0, 0xE1, 0xE2, 0xE3])], true),
            _ => (vec![0x70 + condition], true),
        };
        self.parts.push(Part::Branch { opcode, short, target });
        while self.parts.len() < target.min(most) {
            self.instruction();
        }
        let end = self.parts.len();
        self.bound(end);
    }

    /// What went behind the last part goes to the end.
    fn bound(&mut self, end: usize) {
        for part in &mut self.parts {
            if let Part::Branch { target, .. } = part {
                *target = (*target).min(end);
            }
        }
    }

    /// A few instructions that are repeated a few times, counted in ECX or another register.
    fn repeated(&mut self) {
        let before = self.parts.len();
        self.load(0, 0);
        let target = self.parts.len();
        for _ in 0..1 + self.random.below(3) {
            self.instruction();
        }
        let loaded = |register: u8| {
            let one = |part: &Part| matches!(part, Part::Plain(code) if code.contains(&(0xB8 + register)));
            self.parts[target..].iter().any(one)
        };
        // What the body loads itself counts nothing.
        let free: Vec<u8> = [1, 1, 3, 5, 6].into_iter().filter(|register| !loaded(*register)).collect();
        let register = if free.is_empty() { 1 } else { self.random.pick(&free) };
        let times = 1 + self.random.below(5);
        let Part::Plain(code) = &mut self.parts[before] else { unreachable!("a MOV") };
        let opcode = code.len() - 5;
        code[opcode] = 0xB8 + register;
        code[opcode + 1..].copy_from_slice(&times.to_le_bytes());
        let (opcode, short) = match register {
            1 => (vec![self.random.pick(&[0xE2, 0xE2, 0xE0, 0xE1])], true),
            _ => {
                self.parts.push(Part::Plain(vec![0x48 + register]));
                if self.random.once_in(2) { (vec![0x75], true) } else { (vec![0x0F, 0x85], false) }
            }
        };
        self.parts.push(Part::Branch { opcode, short, target });
    }

    /// A call of a few instructions that return, which the caller jumps over.
    fn called(&mut self) {
        let at = self.parts.len();
        self.parts.push(Part::Branch { opcode: vec![0xE8], short: false, target: at + 2 });
        self.parts.push(Part::Branch { opcode: vec![0xEB], short: true, target: 0 });
        for _ in 0..1 + self.random.below(2) {
            self.instruction();
        }
        let extra = self.random.once_in(4);
        self.parts.push(Part::Plain(if extra { vec![0xC2, 4, 0] } else { vec![0xC3] }));
        let end = self.parts.len();
        self.parts[at + 1] = Part::Branch { opcode: vec![0xEB], short: true, target: end };
    }

    /// Stores into the program, through a flat segment: mostly into the last bytes of an instruction.
    fn patches(&mut self) {
        let flat = (0..6).find(|index| self.start.selectors[*index] == FLAT_DATA);
        let Some(segment) = flat else { return };
        while self.random.once_in(2) && self.parts.len() < 40 {
            let at = self.random.below(self.parts.len() as u32) as usize;
            let target = self.random.below(self.parts.len() as u32 + 1) as usize;
            // The part that is written to, before this one is there.
            let victim = (target != at).then(|| &self.parts[if target > at { target - 1 } else { target }]);
            let Some(Part::Plain(bytes)) = victim else { continue };
            let dword = bytes.len() >= 5 && self.random.once_in(2);
            let len = if dword { 4 } else { 1 };
            let (skip, value) = match bytes.len() {
                1 => (0, vec![0x40 + self.random.below(16) as u8]),
                whole => (whole - len, self.random.edge().to_le_bytes()[..len].to_vec()),
            };
            let mut opcode = vec![[0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65][segment]];
            if !self.wide {
                opcode.push(0x67);
                opcode.extend(dword.then_some(0x66));
            }
            opcode.extend([if dword { 0xC7 } else { 0xC6 }, 0x05]);
            for part in &mut self.parts {
                if let Part::Branch { target, .. } | Part::Patch { target, .. } = part {
                    *target += usize::from(*target > at);
                }
            }
            self.parts.insert(at, Part::Patch { opcode, target, skip: skip as u32, value });
        }
    }
}

/// Whether a register takes part in an instruction's address.
fn addresses(instruction: &Instruction, register: usize) -> bool {
    let memory = (0..instruction.op_count()).any(|n| instruction.op_kind(n) == OpKind::Memory);
    let is = |of: iced_x86::Register| of.is_gpr() && of.full_register32().number() == register;
    memory && (is(instruction.memory_base()) || is(instruction.memory_index()))
}

/// Whether a register says which bit of a bit string is meant, and so where it lies.
fn selects(instruction: &Instruction, register: usize) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc)
        && instruction.op1_kind() == OpKind::Register
        && instruction.op1_register().full_register32().number() == register
}

/// Whether an instruction sets ESP to something that is no stack.
fn moves_stack(instruction: &Instruction) -> bool {
    let first = instruction.op0_register();
    instruction.op0_kind() == OpKind::Register
        && first.is_gpr()
        && first.size() > 1
        && first.full_register32().number() == 4
}
