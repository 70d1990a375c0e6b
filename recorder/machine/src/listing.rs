//! Listing code for people: iced's disassembly in the style of nasm.

use crate::segment::attribute;
use crate::{Machine, Seg, Va};
use iced_x86::{Decoder, DecoderOptions, Formatter, NasmFormatter};

impl Machine {
    /// Disassembles `count` instructions at a linear address of the address space `cr3`. Ends early
    /// where nothing is mapped; bytes that are no instruction are listed as `(bad)`.
    pub fn disassemble(&self, cr3: u32, at: Va, count: usize) -> Vec<(Va, String)> {
        let wide = self.cpu.seg(Seg::Cs).attributes & attribute::BIG != 0;
        let bits = if wide || self.cpu.seg(Seg::Cs).attributes == 0 { 32 } else { 16 };
        let mut formatter = NasmFormatter::new();
        formatter.options_mut().set_space_after_operand_separator(true);
        formatter.options_mut().set_branch_leading_zeros(false);
        let mut lines = Vec::new();
        let mut at = at;
        for _ in 0..count {
            let bytes = self.code_bytes(cr3, at);
            if bytes.is_empty() {
                break;
            }
            let mut decoder = Decoder::with_ip(bits, &bytes, u64::from(at.0), DecoderOptions::NONE);
            let instruction = decoder.decode();
            let mut text = String::new();
            formatter.format(&instruction, &mut text);
            lines.push((at, text));
            at = at.add(instruction.len().max(1) as u32);
        }
        lines
    }

    /// As many bytes of an instruction as are mapped.
    fn code_bytes(&self, cr3: u32, at: Va) -> Vec<u8> {
        let mut bytes = vec![0; crate::lower::LONGEST];
        let in_page = (crate::PAGE - at.offset()) as usize;
        if self.peek(cr3, at, &mut bytes).is_err() {
            bytes.truncate(in_page.min(crate::lower::LONGEST));
            if self.peek(cr3, at, &mut bytes).is_err() {
                bytes.clear();
            }
        }
        bytes
    }
}
