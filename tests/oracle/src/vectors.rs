//! The real processor's answers, kept for where there is none: `vectors/real.bin`.
//!
//! Little-endian: the eight bytes of [`MAGIC`]; the digest of all cases (8 bytes), which tells that the
//! generator has changed and the file must be written anew; then for each case in the order of its
//! number the digest of what the processor made of it (8 bytes), or 0 where the case is not compared. A
//! case is made from [`SEED`] and its number; its form is the one of that index, counted around. A
//! digest is FNV-1a of 64 bits over what [`crate::difference`] compares, without what is undefined.

use crate::{Case, End, State, Undefined};

/// The file's first bytes.
pub const MAGIC: &[u8; 8] = b"TNDMREA1";
/// The seed of the cases.
pub const SEED: u64 = 0x7A6D;
/// Cases of each form.
pub const EACH: usize = 40;

/// FNV-1a.
struct Digest(u64);

impl Digest {
    fn new() -> Digest {
        Digest(0xCBF2_9CE4_8422_2325)
    }
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
    fn words(&mut self, words: &[u32]) {
        words.iter().for_each(|word| self.add(&word.to_le_bytes()));
    }
    fn state(&mut self, state: &State, undefined: &Undefined) {
        self.words(&state.regs);
        self.words(&[state.eflags & !undefined.flags]);
        self.words(&state.selectors.map(u32::from));
        if let Some(x87) = &state.x87 {
            let status = x87.status & !undefined.status;
            self.words(&[x87.control.into(), status.into(), x87.full.into()]);
            x87.st.iter().for_each(|raw| self.add(raw));
            if status & 0x80 != 0 {
                self.words(&[x87.instruction, x87.operand]);
            }
        }
        let masked = |at: usize| undefined.bytes.iter().any(|(first, len)| at >= *first && at - first < *len);
        for (at, byte) in state.bytes.0.iter().enumerate() {
            self.add(&[if !undefined.bytes.is_empty() && masked(at) { 0 } else { *byte }]);
        }
    }
}

/// The digest of what came of a case; never 0.
pub fn answer(outcome: &(State, End), undefined: &Undefined) -> u64 {
    let mut digest = Digest::new();
    digest.words(&[outcome.0.eip]);
    let none = Undefined::default();
    match outcome.1 {
        End::Done if undefined.result => {}
        End::Done => digest.state(&outcome.0, undefined),
        End::Fault { vector, error, address } => {
            let error = if vector == 14 { error & !0x10 } else { error };
            digest.words(&[vector.into(), error, address]);
            digest.state(&outcome.0, &none);
        }
    }
    digest.0.max(1)
}

/// Mixes a case into the digest of all cases.
pub fn mix(all: u64, case: &Case) -> u64 {
    let mut digest = Digest(all ^ 0xCBF2_9CE4_8422_2325);
    digest.add(&case.code);
    digest.words(&[case.start.eip]);
    digest.state(&case.start, &Undefined::default());
    digest.0
}
