//! The judge's program, as a file: a static 32-bit ELF with the pages of the layout.

use crate::{CODE, CONSTANT, CONSTANT_SIZE, DATA, DATA_SIZE, SIGNALS, SIGNALS_SIZE};

/// Where the program spins until it is held.
const SPIN: u32 = CODE + 0xFF0;

/// The file's bytes. `constant` is what the constant page holds; `open` makes code writable and data
/// executable.
pub(super) fn elf(constant: &[u8], open: bool) -> Vec<u8> {
    let (written, executed) = if open { (2, 1) } else { (0, 0) };
    const HEADER: u32 = 0x34;
    let mut file = vec![0x7F, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |file: &mut Vec<u8>, values: &[u16]| file.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    let word = |file: &mut Vec<u8>, values: &[u32]| file.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    half(&mut file, &[2, 3]); // executable, i386
    word(&mut file, &[1, SPIN, HEADER, 0, 0]);
    half(&mut file, &[HEADER as u16, 0x20, 4, 0, 0, 0]);
    // Type, offset in the file, address twice, size in the file and in memory, rights, alignment.
    word(&mut file, &[1, 0x1000, CODE, CODE, 0x1000, 0x1000, 5 | written, 0x1000]);
    word(&mut file, &[1, 0, DATA, DATA, 0, DATA_SIZE, 6 | executed, 0x1000]);
    word(&mut file, &[1, 0x2000, CONSTANT, CONSTANT, CONSTANT_SIZE, CONSTANT_SIZE, 4 | executed, 0x1000]);
    word(&mut file, &[1, 0, SIGNALS, SIGNALS, 0, SIGNALS_SIZE, 6, 0x1000]);
    file.resize(0x2000, 0x90);
    let spin = 0x1000 + (SPIN - CODE) as usize;
    file[spin..spin + 2].copy_from_slice(&[0xEB, 0xFE]);
    file.extend(constant);
    file
}
