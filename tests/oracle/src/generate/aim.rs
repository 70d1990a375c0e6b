//! Operands: registers, displacements and memory so that accesses meet the pages of the layout, their
//! edges, and the limits of segments.

use super::{Making, decode, number, pops_words, selector};
use crate::{CODE, CONSTANT, DATA, DATA_SIZE, entry};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Mnemonic, OpKind, Register};

/// Where an operand's bytes are to be.
#[derive(Clone, Copy)]
struct Goal {
    /// Index of the segment register.
    seg: usize,
    offset: u32,
}

impl Making<'_> {
    /// Makes everything that the instruction reads.
    pub(super) fn operands(&mut self) {
        self.counts();
        self.stack();
        self.strings();
        self.memory();
        self.immediates();
        self.division();
    }

    /// An offset in a segment for an operand of `len` bytes: mostly in the middle of the data, often
    /// at a page's end or at the segment's limit.
    fn goal(&mut self, seg: usize, len: u32) -> Goal {
        let descriptor = entry(self.start.selectors[seg]);
        let base = descriptor.map_or(0, |entry| entry.base);
        let random = &mut *self.random;
        let near =
            |random: &mut crate::Random, at: u32| at.wrapping_sub(random.below(len + 6)).wrapping_add(2);
        let place = match self.calm && !random.once_in(12) {
            true => random.pick(&[0, 9, 10, 10, 12, 20, 20, 20, 20, 20]),
            false => random.below(24),
        };
        let linear = match place {
            0..2 => near(random, DATA + 0x1000),
            2 => near(random, DATA + DATA_SIZE),
            3 => near(random, DATA),
            4 => CONSTANT + random.below(0xF00),
            5 => near(random, CONSTANT + 0x1000),
            6 => random.below(0x100),
            7 | 8 => match descriptor {
                Some(entry) if entry.last() != u32::MAX => {
                    near(random, entry.base.wrapping_add(entry.last()).wrapping_add(1))
                }
                _ => DATA + 0x400 + random.below(0x800),
            },
            9 => CODE + random.below(0x800),
            10..16 => (DATA + 0x400 + random.below(DATA_SIZE - 0x800)) & !15,
            _ => DATA + 0x400 + random.below(DATA_SIZE - 0x800),
        };
        Goal { seg, offset: linear.wrapping_sub(base) }
    }

    fn linear(&self, goal: Goal) -> u32 {
        let base = entry(self.start.selectors[goal.seg]).map_or(0, |entry| entry.base);
        base.wrapping_add(goal.offset)
    }

    fn put(&mut self, goal: Goal, bytes: &[u8]) {
        let at = self.linear(goal);
        self.start.bytes.put(at, bytes);
    }

    fn set(&mut self, register: usize, value: u32, bytes: u32) {
        let mask = if bytes >= 4 { u32::MAX } else { 0xFFFF };
        self.start.regs[register] = self.start.regs[register] & !mask | value & mask;
    }

    /// Counts of shifts and repetitions.
    fn counts(&mut self) {
        if self.random.once_in(2) {
            let count = self.random.below(40);
            self.set(1, count, 4);
        }
    }

    /// ESP, and for those that use it EBP, with what is popped.
    fn stack(&mut self) {
        let i = &self.instruction;
        let (mnemonic, width) = (i.mnemonic(), if pops_words(i.code()) { 2 } else { 4 });
        let moved = i.stack_pointer_increment();
        let far = matches!(mnemonic, Mnemonic::Retf | Mnemonic::Iret | Mnemonic::Iretd);
        let uses = i.is_stack_instruction() || far || i.flow_control() == FlowControl::Interrupt;
        if !uses && !self.random.once_in(4) {
            return;
        }
        let len = moved.unsigned_abs().clamp(2, 64);
        let mut goal = self.goal(2, len);
        let pops = moved > 0 || far;
        let top = if pops { goal.offset } else { goal.offset.wrapping_add(len) };
        let wide = entry(self.start.selectors[2]).is_none_or(|entry| entry.wide);
        self.set(4, top, if wide { 4 } else { 2 });
        if mnemonic == Mnemonic::Enter || mnemonic == Mnemonic::Leave {
            let other = self.goal(2, len);
            self.set(5, other.offset, if wide { 4 } else { 2 });
            goal = other;
        }
        if far {
            let eip = self.eip();
            let cs = self.code_selector();
            let flags = self.random.next() as u32 & 0x24_4FD5;
            for (n, word) in [eip, cs.into(), flags].into_iter().enumerate() {
                let bytes = word.to_le_bytes();
                let at = Goal { offset: goal.offset.wrapping_add(n as u32 * width), ..goal };
                self.put(at, &bytes[..width as usize]);
            }
        } else if mnemonic == Mnemonic::Pop && self.instruction.op0_register().is_segment_register() {
            let chosen = selector(self.random);
            self.put(goal, &chosen.to_le_bytes());
        } else if mnemonic == Mnemonic::Ret {
            let eip = self.eip();
            self.put(goal, &eip.to_le_bytes()[..width as usize]);
        } else if pops {
            let value = self.random.edge();
            self.put(goal, &value.to_le_bytes());
        }
    }

    /// An offset to jump to: in the code, at its limit, or anywhere.
    fn eip(&mut self) -> u32 {
        match self.random.below(4) {
            0 => CODE + self.random.below(0x1000),
            1 => 0x830 + self.random.below(0x20),
            2 => self.random.below(0x1010),
            _ => self.random.edge(),
        }
    }

    /// A selector for CS: never one of 64-bit code, in which nothing here could go on.
    fn code_selector(&mut self) -> u16 {
        use crate::{FLAT_CODE, local};
        match self.random.below(4) {
            0 => selector(self.random),
            1 => FLAT_CODE,
            _ => local(self.random.pick(&[7, 8, 9, 10, 14, 17])),
        }
    }

    fn strings(&mut self) {
        if !self.instruction.is_string_instruction() {
            return;
        }
        let i = self.instruction;
        let size = i.memory_size().size() as u32;
        let source = segment(match i.memory_segment() {
            Register::None => Register::DS,
            other => other,
        });
        for n in 0..i.op_count() {
            let (register, seg, bytes) = match i.op_kind(n) {
                OpKind::MemorySegSI => (6, source, 2),
                OpKind::MemorySegESI => (6, source, 4),
                OpKind::MemoryESDI => (7, 0, 2),
                OpKind::MemoryESEDI => (7, 0, 4),
                _ => continue,
            };
            let goal = self.goal(seg, size);
            self.set(register, goal.offset, bytes);
            if self.random.once_in(2) {
                // Equal elements, so that comparisons go both ways.
                let value = self.random.below(3) | 0x100;
                self.put(goal, &value.to_le_bytes());
                if self.random.once_in(2) {
                    self.start.regs[0] = value;
                }
            }
        }
    }

    /// The memory operand that ModRM names: its address, then what is there.
    fn memory(&mut self) {
        let i = self.instruction;
        let has = (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory);
        self.register_selectors();
        if !has || i.mnemonic() == Mnemonic::Lea && self.random.once_in(2) {
            return;
        }
        let size = (i.memory_size().size() as u32).max(1);
        let goal = self.goal(segment(i.memory_segment()), size);
        let reached = self.aim(goal);
        let address = Goal { offset: reached, ..goal };
        let bytes = self.contents(size as usize);
        self.put(address, &bytes);
    }

    /// Selectors in registers, for those that take one there.
    fn register_selectors(&mut self) {
        let i = self.instruction;
        let n = match i.mnemonic() {
            Mnemonic::Mov if i.op_kind(0) == OpKind::Register && i.op0_register().is_segment_register() => 1,
            Mnemonic::Lar | Mnemonic::Lsl => 1,
            Mnemonic::Verr | Mnemonic::Verw | Mnemonic::Arpl => 0,
            _ => return,
        };
        if i.op_kind(n) == OpKind::Register {
            let chosen = u32::from(selector(self.random)) | (self.random.edge() & 0xFFFF_0000);
            self.set(i.op_register(n).full_register32().number(), chosen, 4);
        }
    }

    /// Changes registers and the displacement so that the operand is at an offset, as well as they
    /// can. Gives the offset that came of it.
    fn aim(&mut self, goal: Goal) -> u32 {
        let i = self.instruction;
        let (base, index) = (i.memory_base(), i.memory_index());
        let word = base.size() == 2
            || index.size() == 2
            || (base == Register::None && index == Register::None && i.memory_displ_size() == 2);
        let bytes = if word { 2 } else { 4 };
        let reach = self.bit_offset(&i);
        let wanted = goal.offset.wrapping_sub(reach);
        let displacement = i.memory_displacement32();
        let read = |making: &Self, register: Register| -> u32 {
            if register == Register::None {
                return 0;
            }
            let whole = making.start.regs[register.full_register32().number()];
            match register.size() {
                1 => whole & 0xFF,
                2 => whole & 0xFFFF,
                _ => whole,
            }
        };
        let scaled = read(self, index).wrapping_mul(i.memory_index_scale());
        if base != Register::None && base.full_register32() != index.full_register32() {
            let value = wanted.wrapping_sub(displacement).wrapping_sub(scaled);
            self.set(base.full_register32().number(), value, bytes);
        } else if i.memory_displ_size() >= bytes {
            let value = wanted.wrapping_sub(scaled).wrapping_sub(read(self, base));
            let wide = self.wide();
            let decoder_offsets = {
                let bits = if wide { 32 } else { 16 };
                let mut decoder = Decoder::with_ip(bits, self.code, 0, DecoderOptions::NO_INVALID_CHECK);
                let again = decoder.decode();
                decoder.get_constant_offsets(&again)
            };
            let at = decoder_offsets.displacement_offset();
            let size = decoder_offsets.displacement_size();
            self.code[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
            self.instruction = decode(self.code, wide);
        } else if index != Register::None && index.full_register32() != base.full_register32() {
            let value = wanted.wrapping_sub(displacement) / i.memory_index_scale().max(1);
            self.set(index.full_register32().number(), value, bytes);
        }
        let i = self.instruction;
        let sum = read(self, base)
            .wrapping_add(read(self, index).wrapping_mul(i.memory_index_scale()))
            .wrapping_add(i.memory_displacement32());
        let sum = if word { sum & 0xFFFF } else { sum };
        sum.wrapping_add(self.bit_offset(&i))
    }

    fn wide(&self) -> bool {
        entry(self.start.selectors[1]).is_none_or(|entry| entry.wide)
    }

    /// How far from its operand BT and its kin reach, in bytes, when the bit's number is in a register.
    fn bit_offset(&mut self, i: &iced_x86::Instruction) -> u32 {
        let bits = matches!(i.mnemonic(), Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc);
        if !bits || i.op_count() < 2 || i.op1_kind() != OpKind::Register {
            return 0;
        }
        let whole = self.start.regs[i.op1_register().full_register32().number()];
        match i.op1_register().size() {
            2 => ((whole as u16 as i16 >> 4) * 2) as i32 as u32,
            _ => ((whole as i32 >> 5) * 4) as u32,
        }
    }

    /// What the operand in memory holds.
    fn contents(&mut self, size: usize) -> Vec<u8> {
        let i = self.instruction;
        let mnemonic = i.mnemonic();
        if super::touches_x87(&i) {
            let mut image = number::memory(self.random, size);
            if size == 512 {
                // MXCSR as it always is here, or what is refused.
                let refused = self.random.once_in(4);
                let word = if refused { 0x8000_1F80u32 } else { 0x1F80 };
                image[24..28].copy_from_slice(&word.to_le_bytes());
            }
            return image;
        }
        match mnemonic {
            Mnemonic::Les | Mnemonic::Lds | Mnemonic::Lss | Mnemonic::Lfs | Mnemonic::Lgs => {
                let offset = self.random.edge();
                pointer(offset, selector(self.random), size)
            }
            Mnemonic::Jmp | Mnemonic::Call if i.is_jmp_far_indirect() || i.is_call_far_indirect() => {
                let (eip, cs) = (self.eip(), self.code_selector());
                pointer(eip, cs, size)
            }
            Mnemonic::Jmp | Mnemonic::Call => self.eip().to_le_bytes().to_vec(),
            Mnemonic::Lar | Mnemonic::Lsl | Mnemonic::Verr | Mnemonic::Verw | Mnemonic::Arpl => {
                selector(self.random).to_le_bytes().to_vec()
            }
            Mnemonic::Mov if i.op0_kind() == OpKind::Register && i.op0_register().is_segment_register() => {
                selector(self.random).to_le_bytes().to_vec()
            }
            Mnemonic::Cmpxchg | Mnemonic::Cmpxchg8b if self.random.once_in(2) => {
                let mut bytes = self.start.regs[0].to_le_bytes().to_vec();
                bytes.extend(self.start.regs[2].to_le_bytes());
                bytes.truncate(size);
                bytes
            }
            Mnemonic::Bound => {
                let (low, high) = (self.random.below(100), self.random.below(1000));
                let width = size / 2;
                let mut bytes = low.to_le_bytes()[..width].to_vec();
                bytes.extend(&high.to_le_bytes()[..width]);
                bytes
            }
            _ => {
                let mut bytes = self.random.edge().to_le_bytes().to_vec();
                bytes.resize(size.max(4), 0x5A);
                bytes.truncate(size);
                bytes
            }
        }
    }

    /// Selectors and offsets in the instruction itself; levels of ENTER; vectors of INT.
    fn immediates(&mut self) {
        let wide = self.wide();
        let mut decoder =
            Decoder::with_ip(if wide { 32 } else { 16 }, self.code, 0, DecoderOptions::NO_INVALID_CHECK);
        let i = decoder.decode();
        let offsets = decoder.get_constant_offsets(&i);
        let at = offsets.immediate_offset();
        match (i.mnemonic(), i.op0_kind()) {
            (_, OpKind::FarBranch16 | OpKind::FarBranch32) => {
                let size = if i.op0_kind() == OpKind::FarBranch16 { 2 } else { 4 };
                let eip = self.eip();
                let cs = self.code_selector();
                self.code[at..at + size].copy_from_slice(&eip.to_le_bytes()[..size]);
                self.code[at + size..at + size + 2].copy_from_slice(&cs.to_le_bytes());
            }
            (Mnemonic::Enter, _) => {
                let size = self.random.below(64) as u16;
                self.code[at..at + 2].copy_from_slice(&size.to_le_bytes());
                self.code[at + 2] = if self.random.once_in(2) { 0 } else { self.random.below(40) as u8 };
            }
            (Mnemonic::Int, _) if self.code[at] == 0x80 => self.code[at] = 0x81,
            _ => {}
        }
    }

    /// A dividend that fits, half of the time; and a target for near jumps through registers.
    fn division(&mut self) {
        let i = self.instruction;
        if matches!(i.mnemonic(), Mnemonic::Div | Mnemonic::Idiv) && self.random.once_in(2) {
            let small = self.random.below(4);
            let sign = self.random.pick(&[small, 0, u32::MAX]);
            self.set(2, sign, 4);
            if i.memory_size().size() == 1 || i.op0_register().size() == 1 {
                let low = self.random.below(0x200);
                self.set(0, low, 2);
            }
        }
        let jumps = matches!(i.mnemonic(), Mnemonic::Jmp | Mnemonic::Call);
        if jumps && i.op0_kind() == OpKind::Register && i.op0_register().is_gpr() {
            let eip = self.eip();
            self.set(i.op0_register().full_register32().number(), eip, 4);
        }
    }
}

fn pointer(offset: u32, selector: u16, size: usize) -> Vec<u8> {
    let mut bytes = offset.to_le_bytes()[..size.saturating_sub(2).min(4)].to_vec();
    bytes.extend(selector.to_le_bytes());
    bytes
}

/// The index of a segment register.
fn segment(register: Register) -> usize {
    match register {
        Register::ES => 0,
        Register::CS => 1,
        Register::SS => 2,
        Register::FS => 4,
        Register::GS => 5,
        _ => 3,
    }
}
