//! The debug registers: breakpoints on instructions and data, and what DR6 says of them.

use crate::{Access, Machine, Va};

/// DR7: the next access to a debug register raises #DB.
pub(crate) const GENERAL_DETECT: u32 = 0x2000;
/// DR6: an access to a debug register was detected.
pub(crate) const DETECTED: u32 = 0x2000;
/// DR6: a single step.
pub(crate) const STEPPED: u32 = 0x4000;
/// DR7: breakpoints that are enabled, locally or globally.
pub(crate) const ENABLED: u32 = 0xFF;

const ON_EXECUTE: u32 = 0;
const ON_WRITE: u32 = 1;
const ON_ACCESS: u32 = 3;

impl Machine {
    /// The DR6 bits of the enabled breakpoints whose kind is in `kinds` and whose place overlaps.
    fn matching(&self, at: Va, len: u32, kinds: &[u32]) -> u32 {
        let control = self.cpu.dr[7];
        (0..4)
            .filter(|index| control >> (index * 2) & 3 != 0)
            .filter(|index| kinds.contains(&(control >> (16 + index * 4) & 3)))
            .filter(|index| {
                let size = match control >> (18 + index * 4) & 3 {
                    2 => 8,
                    other => other + 1,
                };
                let start = self.cpu.dr[*index as usize] & !(size - 1);
                // Distances, so that an access may wrap around.
                at.0.wrapping_sub(start) < size || start.wrapping_sub(at.0) < len
            })
            .fold(0, |bits, index| bits | 1 << index)
    }

    /// Notes the data breakpoints that an access meets; they trap after the instruction.
    pub(crate) fn watch(&mut self, at: Va, len: u32, access: Access) {
        let kinds: &[u32] = if access == Access::Write { &[ON_WRITE, ON_ACCESS] } else { &[ON_ACCESS] };
        self.transient.hits |= self.matching(at, len, kinds);
    }

    /// The breakpoints on the instruction at `at`.
    pub(crate) fn instruction_breakpoints(&self, at: Va) -> u32 {
        self.matching(at, 1, &[ON_EXECUTE])
    }
}
