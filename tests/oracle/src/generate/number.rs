//! x87 states and numbers with edges in them.

use crate::{Random, X87};

/// An 80-bit number: zeros, ones, denormals, infinities, NaNs of both kinds, the forms that no
/// processor since the 387 accepts, and anything.
pub(super) fn extended(random: &mut Random) -> [u8; 10] {
    const EXPONENTS: [u16; 20] = [
        0, 0, 1, 2, 0x3C00, 0x3C01, 0x3F80, 0x3F81, 0x3FFE, 0x3FFF, 0x4000, 0x400D, 0x400E, 0x401E, 0x403E,
        0x407F, 0x43FE, 0x43FF, 0x7FFE, 0x7FFF,
    ];
    const MANTISSAS: [u64; 14] = [
        0,
        1,
        1 << 63,
        1 << 63,
        (1 << 63) | 1,
        3 << 62,
        (3 << 62) | 1,
        (1 << 63) | ((1 << 62) - 1),
        1 << 62,
        u64::MAX,
        u64::MAX - 1,
        u64::MAX << 11,
        (u64::MAX << 11) | 1 << 10,
        u64::MAX << 40,
    ];
    let exponent = match random.below(4) {
        0 | 1 => random.pick(&EXPONENTS),
        2 => 0x3FFF - 40 + random.below(80) as u16,
        _ => random.next() as u16 & 0x7FFF,
    };
    let mut mantissa = match random.below(3) {
        0 => random.pick(&MANTISSAS),
        1 => random.next() | 1 << 63,
        _ => (random.next() | 1 << 63) & u64::MAX << random.below(64),
    };
    // Most numbers are in the form that the unit itself makes.
    if !random.once_in(12) {
        let whole = exponent != 0;
        mantissa = mantissa & !(1 << 63) | u64::from(whole) << 63;
    }
    let mut raw = [0; 10];
    raw[..8].copy_from_slice(&mantissa.to_le_bytes());
    let sign = (random.next() as u16 & 1) << 15;
    raw[8..].copy_from_slice(&(exponent | sign).to_le_bytes());
    raw
}

/// A number as memory has it, in so many bytes, often near an edge of its format.
pub(super) fn memory(random: &mut Random, len: usize) -> Vec<u8> {
    match len {
        4 => {
            const EDGES: [u32; 12] = [
                0,
                1,
                0x7F_FFFF,
                0x80_0000,
                0x3F80_0000,
                0x4000_0000,
                0x7F7F_FFFF,
                0x7F80_0000,
                0x7F80_0001,
                0x7FC0_0000,
                0x3F80_0001,
                0x4B00_0001,
            ];
            let value = match random.below(3) {
                0 => random.pick(&EDGES) | ((random.next() as u32) << 31),
                1 => random.edge(),
                _ => (0x3780_0000 + random.below(0x1000_0000)) | ((random.next() as u32) << 31),
            };
            value.to_le_bytes().to_vec()
        }
        8 => {
            const EDGES: [u64; 12] = [
                0,
                1,
                0xF_FFFF_FFFF_FFFF,
                0x10_0000_0000_0000,
                0x3FF0_0000_0000_0000,
                0x4000_0000_0000_0000,
                0x7FEF_FFFF_FFFF_FFFF,
                0x7FF0_0000_0000_0000,
                0x7FF0_0000_0000_0001,
                0x7FF8_0000_0000_0000,
                0x7FFF_FFFF_FFFF_FFFF,
                0x8000_0000_0000_0000,
            ];
            let value = match random.below(3) {
                0 => random.pick(&EDGES) | random.next() << 63,
                1 => i64::from(random.edge() as i32) as u64,
                _ => random.next(),
            };
            value.to_le_bytes().to_vec()
        }
        10 if random.once_in(2) => extended(random).to_vec(),
        10 => {
            let mut raw: Vec<u8> =
                (0..10).map(|_| (random.below(10) << 4 | random.below(10)) as u8).collect();
            raw[9] = random.pick(&[0, 0x80, 0x7F, 1]);
            if random.once_in(4) {
                raw[random.below(9) as usize] = random.next() as u8;
            }
            raw
        }
        2 => (random.edge() as u16).to_le_bytes().to_vec(),
        _ => (0..len).map(|_| random.next() as u8).collect(),
    }
}

/// A control word: mostly with everything masked, in every precision and rounding.
pub(super) fn control(random: &mut Random) -> u16 {
    let masks = match random.below(4) {
        0 => random.next() as u16 & 0x3F,
        _ => 0x3F,
    };
    let precision = random.pick(&[0x300, 0x300, 0x300, 0x200, 0, 0x100]);
    let rounding = (random.below(4) as u16) << 10;
    masks | precision | rounding | 0x40 | (random.next() as u16 & 0x1000)
}

/// A state of the unit: any top, registers mostly full, now and then an exception pending.
pub(super) fn state(random: &mut Random) -> X87 {
    let control = control(random);
    let full = match random.below(4) {
        0 => random.next() as u8,
        1 => random.next() as u8 | random.next() as u8,
        2 => 0xFF,
        _ => (random.next() | random.next() | random.next()) as u8,
    };
    let exceptions = match random.below(12) {
        0 => random.next() as u16 & 0x3F,
        1..4 => random.next() as u16 & 0x3F & control,
        _ => 0,
    };
    let stack = if exceptions & 1 != 0 && random.once_in(2) { 0x40 } else { 0 };
    let pending = if exceptions & !control & 0x3F != 0 { 0x8080 } else { 0 };
    let rest = random.next() as u16 & 0x7F00;
    let mut st = [[0; 10]; 8];
    for raw in &mut st {
        *raw = extended(random);
    }
    if random.once_in(4) {
        // Operands that lie close together: cancellation, and equality.
        st[1] = st[0];
        st[1][0] ^= random.below(4) as u8;
        st[1][9] ^= (random.next() as u8) & 0x80;
    }
    X87 {
        control,
        status: exceptions | stack | pending | rest,
        full,
        opcode: random.next() as u16 & 0x7FF,
        instruction: random.next() as u32,
        operand: random.next() as u32,
        st,
    }
}
