//! Assembling code for the guest: iced's assembler, with labels that become symbols.

use crate::Va;
pub use iced_x86::code_asm as asm;
use iced_x86::code_asm::{CodeAssembler, CodeLabel};
use std::collections::BTreeMap;

/// Assembled code: where it goes, its bytes, and the names of its places.
#[derive(Clone, Debug, Default)]
pub struct Code {
    /// Linear address of the first byte.
    pub base: Va,
    /// The machine code.
    pub bytes: Vec<u8>,
    /// Symbols with their addresses, in the order in which they were placed.
    pub symbols: Vec<(&'static str, Va)>,
}

impl Code {
    /// The address of a symbol.
    ///
    /// # Panics
    /// When there is none of that name: a misspelling in the code that asks.
    pub fn symbol(&self, name: &str) -> Va {
        let found = self.symbols.iter().find(|(symbol, _)| *symbol == name);
        found.unwrap_or_else(|| panic!("no symbol `{name}`")).1
    }
}

/// A piece of code being assembled for the address `base`.
///
/// `asm` is iced's assembler: `stubs.asm.push(eax)?`. Named places are [`Stubs::label`]s, which may
/// be used before they are [placed](Stubs::place).
pub struct Stubs {
    base: Va,
    /// The assembler, 32-bit.
    pub asm: CodeAssembler,
    labels: BTreeMap<&'static str, CodeLabel>,
    order: Vec<&'static str>,
}

/// Why code could not be assembled: an instruction that cannot be encoded, or a label misused.
pub type AssembleError = iced_x86::IcedError;

impl Stubs {
    /// Starts code for linear address `base`.
    ///
    /// # Panics
    /// Never: 32 is a bitness that iced knows.
    pub fn new(base: Va) -> Stubs {
        let asm = CodeAssembler::new(32).expect("32 is a bitness that iced knows");
        Stubs { base, asm, labels: BTreeMap::new(), order: Vec::new() }
    }

    /// The label of a name, made when it is first asked for.
    pub fn label(&mut self, name: &'static str) -> CodeLabel {
        let asm = &mut self.asm;
        *self.labels.entry(name).or_insert_with(|| asm.create_label())
    }

    /// Puts the label of a name here, so that it becomes a symbol.
    ///
    /// # Errors
    /// When the name was placed before, or another label stands here without an instruction between.
    pub fn place(&mut self, name: &'static str) -> Result<(), AssembleError> {
        let mut label = self.label(name);
        self.asm.set_label(&mut label)?;
        self.labels.insert(name, label);
        self.order.push(name);
        Ok(())
    }

    /// Assembles everything.
    ///
    /// # Errors
    /// When a label was used and never placed, or an operand cannot be encoded.
    pub fn finish(mut self) -> Result<Code, AssembleError> {
        use iced_x86::BlockEncoderOptions;
        let result = self
            .asm
            .assemble_options(u64::from(self.base.0), BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS)?;
        let mut symbols = Vec::new();
        for name in self.order {
            symbols.push((name, Va(result.label_ip(&self.labels[name])? as u32)));
        }
        Ok(Code { base: self.base, bytes: result.inner.code_buffer, symbols })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_symbols_at_their_addresses() {
        let mut stubs = Stubs::new(Va(0x8000_0000));
        stubs.place("first").unwrap();
        let last = stubs.label("last");
        stubs.asm.jmp(last).unwrap();
        stubs.asm.int3().unwrap();
        stubs.place("last").unwrap();
        stubs.asm.ret().unwrap();
        let code = stubs.finish().unwrap();
        assert_eq!(code.bytes, [0xEB, 0x01, 0xCC, 0xC3]);
        assert_eq!(code.symbol("last"), Va(0x8000_0003));
        assert_eq!(code.symbols, [("first", Va(0x8000_0000)), ("last", Va(0x8000_0003))]);
    }
}
