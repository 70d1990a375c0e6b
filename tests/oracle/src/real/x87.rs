//! The process's x87 state, as ptrace shows it.

use crate::X87;
use nix::libc::user_fpregs_struct;

/// The process is a 32-bit one, so that the system shows its x87 state as FNSAVE's image: this many
/// doublewords, in the place of the larger image for which the type is made.
const SAVED: usize = 27;

fn image_of(words: &[u32; SAVED], whole: &mut user_fpregs_struct) {
    let pair = |n: usize| u64::from(words[n]) | u64::from(words[n + 1]) << 32;
    let half = |n: usize| [words[n] as u16, (words[n] >> 16) as u16];
    [whole.cwd, whole.swd] = half(0);
    [whole.ftw, whole.fop] = half(1);
    (whole.rip, whole.rdp) = (pair(2), pair(4));
    (whole.mxcsr, whole.mxcr_mask) = (words[6], words[7]);
    whole.st_space[..SAVED - 8].copy_from_slice(&words[8..]);
}

fn words_of(whole: &user_fpregs_struct) -> [u32; SAVED] {
    let pair = |low: u16, high: u16| u32::from(low) | u32::from(high) << 16;
    let mut words = [0; SAVED];
    words[..8].copy_from_slice(&[
        pair(whole.cwd, whole.swd),
        pair(whole.ftw, whole.fop),
        whole.rip as u32,
        (whole.rip >> 32) as u32,
        whole.rdp as u32,
        (whole.rdp >> 32) as u32,
        whole.mxcsr,
        whole.mxcr_mask,
    ]);
    words[8..].copy_from_slice(&whole.st_space[..SAVED - 8]);
    words
}

pub(super) fn put(image: &mut user_fpregs_struct, x87: &X87) {
    let tags = (0..8).fold(0, |tags, i| tags | if x87.full >> i & 1 == 0 { 3 << (2 * i) } else { 0 });
    let mut words = [0; SAVED];
    words[..7].copy_from_slice(&[
        x87.control.into(),
        x87.status.into(),
        tags,
        x87.instruction,
        u32::from(x87.opcode) << 16,
        x87.operand,
        0,
    ]);
    let bytes: Vec<u8> = x87.st.concat();
    for (word, bytes) in words[7..].iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    image_of(&words, image);
}

pub(super) fn get(image: &user_fpregs_struct) -> X87 {
    let words = words_of(image);
    let bytes: Vec<u8> = words[7..].iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut st = [[0; 10]; 8];
    for (raw, bytes) in st.iter_mut().zip(bytes.chunks_exact(10)) {
        raw.copy_from_slice(bytes);
    }
    X87 {
        control: words[0] as u16,
        status: words[1] as u16,
        full: (0..8).filter(|i| words[2] >> (2 * i) & 3 != 3).fold(0, |bits, i| bits | 1 << i),
        // The system does not show it.
        opcode: 0,
        instruction: words[3],
        operand: words[5],
        st,
    }
}
