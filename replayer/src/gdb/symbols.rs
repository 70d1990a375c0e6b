//! An ELF file with a kernel's names in it, for gdb: stubs, native routines with their stages, the
//! program; and how frames are walked there. It holds no code: gdb reads that from the machine.
//!
//! Every frame is found by EBP, as stubs, native routines and the program keep it; only at its entry
//! has a native routine no frame yet.

use contract::routine::STAGES;
use contract::{Kernel, program};
use gimli::write::{
    Address, CallFrameInstruction, CommonInformationEntry, DebugFrame, EndianVec, Expression,
    FrameDescriptionEntry, FrameTable,
};
use gimli::{Encoding, Format, LittleEndian, Register};
use machine::Va;
use object::elf;
use object::write::elf::{FileHeader, SectionHeader, Sym, Writer};
use std::collections::BTreeMap;

/// A section that only these files have, by which one is known that may be overwritten.
pub const MARK: &str = ".tandem";
/// The last symbol of a stretch is taken to have so many bytes at most.
const TAIL: u32 = 0x100;
/// Symbols farther apart than this lie in two sections.
const GAP: u32 = 0x1000;

const ESP: Register = Register(4);
const EBP: Register = Register(5);
const RETURN: Register = Register(8);

/// A name, where it is, and how many bytes it covers.
struct Symbol {
    name: String,
    at: u32,
    size: u32,
    native: bool,
}

/// Why the file could not be made: a fault of Tandem's.
#[derive(Debug, thiserror::Error)]
pub enum SymbolsError {
    /// It would be too large.
    #[error(transparent)]
    File(#[from] object::write::Error),
    /// How frames are walked cannot be encoded.
    #[error(transparent)]
    Frames(#[from] gimli::write::Error),
}

/// The file. The same for every machine that the kernel boots.
///
/// # Errors
/// [`SymbolsError`].
pub fn file(kernel: &dyn Kernel) -> Result<Vec<u8>, SymbolsError> {
    let symbols = symbols(kernel);
    let sections = sections(&symbols);
    Ok(write(&symbols, &sections, &frames(&symbols)?)?)
}

fn symbols(kernel: &dyn Kernel) -> Vec<Symbol> {
    let image = kernel.image();
    let mut named: BTreeMap<u32, (String, bool)> = BTreeMap::new();
    let program = program::code().symbols.iter().map(|(name, at)| (*name, *at));
    let services = image.services.iter().map(|(name, at)| (*name, *at));
    let code = image.symbols.iter().map(|(at, name)| (*name, Va(*at)));
    for (name, at) in code.chain(program).chain(services) {
        named.entry(at.0).or_insert_with(|| (name.to_owned(), false));
    }
    for gate in &image.gates {
        for (index, routine) in gate.routines.iter().enumerate() {
            named.insert(gate.base.0 + STAGES * index as u32, (routine.name.to_owned(), true));
        }
    }
    let ends: Vec<u32> = named.keys().copied().skip(1).chain([u32::MAX]).collect();
    let sized = named.into_iter().zip(ends).map(|((at, (name, native)), end)| {
        let most = if native { STAGES } else { TAIL };
        Symbol { name, at, size: (end - at).min(most), native }
    });
    sized.collect()
}

/// Stretches of addresses without wide gaps: where each begins, and behind which it ends.
fn sections(symbols: &[Symbol]) -> Vec<(u32, u32)> {
    let mut sections: Vec<(u32, u32)> = Vec::new();
    for symbol in symbols {
        let end = symbol.at.saturating_add(symbol.size);
        match sections.last_mut() {
            Some(last) if symbol.at - last.1.min(symbol.at) < GAP => last.1 = end,
            _ => sections.push((symbol.at, end)),
        }
    }
    sections
}

fn frames(symbols: &[Symbol]) -> gimli::write::Result<Vec<u8>> {
    let encoding = Encoding { format: Format::Dwarf32, version: 4, address_size: 4 };
    let mut table = FrameTable::default();
    let entry = || CommonInformationEntry::new(encoding, 1, -4, RETURN);
    let mut plain = entry();
    plain.add_instruction(CallFrameInstruction::Cfa(EBP, 8));
    plain.add_instruction(CallFrameInstruction::Offset(EBP, -8));
    plain.add_instruction(CallFrameInstruction::Offset(RETURN, -4));
    // A caller stands at a stage, and is looked up by the address before, which may be the entry's: so
    // it is not the address that tells whether there is a frame, but EIP.
    let mut native = entry();
    let (at_entry, framed) = (|e: &mut Expression| e.op_breg(ESP, 4), |e: &mut Expression| e.op_breg(EBP, 8));
    native.add_instruction(CallFrameInstruction::CfaExpression(by_stage(at_entry, framed)));
    let same = |e: &mut Expression| e.op_breg(EBP, 0);
    let saved = |e: &mut Expression| {
        e.op_breg(EBP, 0);
        e.op_deref();
    };
    native.add_instruction(CallFrameInstruction::ValExpression(EBP, by_stage(same, saved)));
    native.add_instruction(CallFrameInstruction::Offset(RETURN, -4));
    let (plain, native) = (table.add_cie(plain), table.add_cie(native));
    for symbol in symbols {
        let frame = FrameDescriptionEntry::new(Address::Constant(symbol.at.into()), symbol.size);
        table.add_fde(if symbol.native { native } else { plain }, frame);
    }
    let mut section = DebugFrame::from(EndianVec::new(LittleEndian));
    table.write_debug_frame(&mut section)?;
    Ok(section.0.into_vec())
}

/// What `entry` computes where EIP is at a native routine's entry, else what `stage` does.
fn by_stage(entry: impl FnOnce(&mut Expression), stage: impl FnOnce(&mut Expression)) -> Expression {
    let mut e = Expression::new();
    e.op_breg(RETURN, 0);
    e.op_constu(u64::from(STAGES - 1));
    e.op(gimli::constants::DW_OP_and);
    let branch = e.op_bra();
    entry(&mut e);
    let skip = e.op_skip();
    let other = e.next_index();
    e.set_target(branch, other);
    stage(&mut e);
    let end = e.next_index();
    e.set_target(skip, end);
    e
}

fn write(
    symbols: &[Symbol],
    sections: &[(u32, u32)],
    frames: &[u8],
) -> Result<Vec<u8>, object::write::Error> {
    let mut bytes = Vec::new();
    let mut file = Writer::new(object::Endianness::Little, false, &mut bytes);
    file.reserve_null_section_index();
    let text = file.add_section_name(b".text");
    let texts: Vec<_> = sections.iter().map(|_| file.reserve_section_index()).collect();
    let (frame, mark) = (file.add_section_name(b".debug_frame"), file.add_section_name(MARK.as_bytes()));
    file.reserve_section_index();
    file.reserve_section_index();
    file.reserve_symtab_section_index();
    file.reserve_strtab_section_index();
    file.reserve_shstrtab_section_index();
    file.reserve_null_symbol_index();
    let names: Vec<_> = symbols
        .iter()
        .map(|symbol| {
            file.reserve_symbol_index(None);
            file.add_string(symbol.name.as_bytes())
        })
        .collect();
    file.reserve_file_header();
    let frames_at = file.reserve(frames.len() as u64, 4);
    file.reserve_symtab();
    file.reserve_strtab()?;
    file.reserve_shstrtab()?;
    file.reserve_section_headers();

    file.write_file_header(&FileHeader {
        os_abi: elf::ELFOSABI_NONE,
        abi_version: 0,
        e_type: elf::ET_EXEC,
        e_machine: elf::EM_386,
        e_entry: 0,
        e_flags: elf::FileFlags::default(),
    })?;
    file.pad_until(frames_at);
    file.write(frames);
    file.write_null_symbol();
    for (symbol, name) in symbols.iter().zip(names) {
        let section = sections.iter().position(|(from, to)| (*from..*to).contains(&symbol.at));
        let st_name = file.string_offset(Some(name));
        file.write_symbol(&Sym {
            section: section.map(|index| texts[index].0),
            st_name,
            st_info: elf::SymbolInfo::new(elf::STB_GLOBAL, elf::STT_FUNC),
            st_other: elf::SymbolOther::default(),
            st_shndx: elf::SymbolSection::default(),
            st_value: symbol.at.into(),
            st_size: symbol.size.into(),
        });
    }
    file.write_strtab();
    file.write_shstrtab();
    file.write_null_section_header();
    let (text, frame, mark) = (
        file.section_name_offset(Some(text)),
        file.section_name_offset(Some(frame)),
        file.section_name_offset(Some(mark)),
    );
    let header = |name, kind, flags| SectionHeader {
        sh_name: name,
        sh_type: kind,
        sh_flags: flags,
        sh_addr: 0,
        sh_offset: frames_at,
        sh_size: 0,
        sh_link: 0,
        sh_info: 0,
        sh_addralign: 1,
        sh_entsize: 0,
    };
    for (from, to) in sections {
        file.write_section_header(&SectionHeader {
            sh_addr: (*from).into(),
            sh_size: (to - from).into(),
            ..header(text, elf::SHT_NOBITS, elf::SHF_ALLOC | elf::SHF_EXECINSTR)
        });
    }
    file.write_section_header(&SectionHeader {
        sh_size: frames.len() as u64,
        ..header(frame, elf::SHT_PROGBITS, elf::SectionFlags::default())
    });
    file.write_section_header(&header(mark, elf::SHT_PROGBITS, elf::SectionFlags::default()));
    file.write_symtab_section_header(1);
    file.write_strtab_section_header();
    file.write_shstrtab_section_header();
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernels_names_fit_into_a_file_that_is_known_again() {
        for name in recorder::kernels::names() {
            let kernel = recorder::kernels::by_name(name).unwrap();
            let bytes = file(kernel).unwrap();
            assert_eq!(bytes[..4], *b"\x7FELF");
            for wanted in [MARK, "park", "NtTerminateProcess"] {
                let wanted = wanted.as_bytes();
                assert!(bytes.windows(wanted.len()).any(|part| part == wanted), "{name}");
            }
            assert_eq!(bytes, file(kernel).unwrap(), "{name}: the same every time");
        }
    }

    #[test]
    fn symbols_do_not_overlap_and_natives_have_their_stages() {
        let kernel = recorder::kernels::by_name("nt").unwrap();
        let symbols = symbols(kernel);
        assert!(symbols.windows(2).all(|pair| pair[0].at + pair[0].size <= pair[1].at));
        let native = symbols.iter().find(|symbol| symbol.name == "PspExitThread").unwrap();
        assert_eq!((native.size, native.native), (STAGES, true));
    }
}
