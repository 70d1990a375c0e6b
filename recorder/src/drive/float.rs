//! The floating-point groups of a CONTEXT: what an event gives, and what an answer shows.

use super::call::dword;
use contract::context::{self, Context};
use guest::Pointer;
use machine::Va;

/// Where the words that both images have lie: in the FNSAVE image, in the FXSAVE image, and how many
/// bytes they have there. An FNSAVE image keeps the opcode above the selector.
const WORDS: [(&str, usize, usize, usize); 7] = [
    ("fpu-control", 0x00, 0x00, 2),
    ("fpu-status", 0x04, 0x02, 2),
    ("fpu-tag", 0x08, 0x04, 1),
    ("fpu-error-offset", 0x0C, 0x08, 4),
    ("fpu-error-selector", 0x10, 0x0C, 2),
    ("fpu-data-offset", 0x14, 0x10, 4),
    ("fpu-data-selector", 0x18, 0x14, 2),
];
/// Where the FXSAVE image has the opcode and MXCSR.
const OPCODE: usize = 0x06;
const MXCSR: usize = 0x18;
/// Where the registers lie in the two images, and how far apart.
const FNSAVE_REGISTERS: (usize, usize) = (0x1C, 10);
const FXSAVE_REGISTERS: (usize, usize) = (0x20, 16);
/// The significand of 1.0.
const ONE: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 0x80];

/// Puts what an event gives into both images of a CONTEXT; its flags say which of them counts.
pub(super) fn put(raw: &mut [u8], given: &dyn Fn(&str) -> Option<u32>) {
    let (plain, extended) = (context::FLOAT_SAVE as usize, context::EXTENDED as usize);
    for (key, fnsave, fxsave, len) in WORDS {
        if let Some(value) = given(key) {
            let bytes = value.to_le_bytes();
            raw[plain + fnsave..plain + fnsave + 4].copy_from_slice(&bytes);
            raw[extended + fxsave..extended + fxsave + len].copy_from_slice(&bytes[..len]);
        }
    }
    if let Some(selector) = given("fpu-error-selector") {
        raw[extended + OPCODE..extended + OPCODE + 2].copy_from_slice(&selector.to_le_bytes()[2..]);
    }
    if let Some(mxcsr) = given("mxcsr") {
        raw[extended + MXCSR..extended + MXCSR + 4].copy_from_slice(&mxcsr.to_le_bytes());
    }
    if let Some(first) = given("fpu-registers") {
        for index in 0..8 {
            let exponent = (first as u16).wrapping_add(index as u16).to_le_bytes();
            for (image, (registers, each)) in [(plain, FNSAVE_REGISTERS), (extended, FXSAVE_REGISTERS)] {
                let at = image + registers + each * index;
                raw[at..at + 8].copy_from_slice(&ONE);
                raw[at + 8..at + 10].copy_from_slice(&exponent);
            }
        }
    }
}

/// Shows the floating-point groups that a CONTEXT has. A register that holds zero bits alone is not
/// shown, nor is what an FNSAVE image has in its reserved halves.
pub(super) fn show(bytes: &[u8], plain: bool, extended: bool, show: &mut dyn FnMut(&str, String)) {
    if plain {
        let image = &bytes[context::FLOAT_SAVE as usize..context::EXTENDED as usize];
        let word = |at: usize| dword(image, at);
        for (key, at, ..) in WORDS {
            let value = word(at);
            match key {
                "fpu-error-offset" | "fpu-data-offset" | "fpu-error-selector" => {
                    show(key, format!("{value:08X}"));
                }
                _ => show(key, format!("{:04X}", value & 0xFFFF)),
            }
        }
        registers(image, FNSAVE_REGISTERS, "st", show);
        let state = Context::at(Va(0)).cr0_npx_state().at.0 as usize;
        show("cr0-npx-state", format!("{:08X}", dword(bytes, state)));
    }
    if extended {
        let image = &bytes[context::EXTENDED as usize..context::SIZE as usize];
        for (key, _, at, len) in WORDS {
            let value = dword(image, at) & (u32::MAX >> (32 - 8 * len));
            show(&key.replace("fpu", "fx"), format!("{value:0width$X}", width = 2 * len));
        }
        show("fx-opcode", format!("{:04X}", dword(image, OPCODE) & 0xFFFF));
        show("mxcsr", format!("{:08X}", dword(image, MXCSR)));
        show("mxcsr-mask", format!("{:08X}", dword(image, MXCSR + 4)));
        registers(image, FXSAVE_REGISTERS, "fx-st", show);
    }
}

fn registers(image: &[u8], (at, each): (usize, usize), name: &str, show: &mut dyn FnMut(&str, String)) {
    for index in 0..8 {
        let number = &image[at + each * index..at + each * index + 10];
        if number.iter().any(|byte| *byte != 0) {
            let text: String = number.iter().rev().map(|byte| format!("{byte:02X}")).collect();
            show(&format!("{name}{index}"), text);
        }
    }
}
