//! Accesses against a segment's limit and rights: every type of data and code segment, at the edges.

use super::Suite;
use crate::bochs::scene::{USER_DATA, descriptor, selector};
use machine::image::asm::*;
use machine::{Reg, Seg};

pub(super) fn fill(suite: &mut Suite) {
    data(suite);
    stack(suite);
    code(suite);
}

/// MOV to and from a segment of every type, around its limit.
fn data(suite: &mut Suite) {
    let base = USER_DATA;
    for kind in 0..16u8 {
        // Code that may not be read cannot be in a data register.
        if kind & 0xA == 8 {
            continue;
        }
        for flags in [0u8, 4, 8, 0xC] {
            let limit = if flags & 8 != 0 { 0 } else { 0xFF };
            let edge = if flags & 8 != 0 { 0xFFFu32 } else { 0xFF };
            for size in [1u32, 2, 4] {
                let edges = [0, edge.wrapping_sub(size), edge + 1 - size, edge + 2 - size, edge, edge + 1];
                let tops = [
                    0xFFFF - size,
                    0x1_0000 - size,
                    0x1_0001 - size,
                    0u32.wrapping_sub(size),
                    1u32.wrapping_sub(size),
                ];
                for offset in edges.into_iter().chain(tops) {
                    for write in [false, true] {
                        let name = format!(
                            "{} {size} bytes at {offset:X}, type {kind:X}, flags {flags:X}",
                            if write { "write" } else { "read" }
                        );
                        suite.add(3, name, |s| {
                            // A loaded segment is always accessed and readable; the rest is reached only so.
                            s.set_descriptor(selector::FREE, descriptor(base, limit, 0xF1 | kind, flags));
                            s.m.cpu.segments[Seg::Fs as usize] = s.segment(selector::FREE | 3);
                            s.reg(Reg::Ebx, offset);
                            s.code(|a| match (size, write) {
                                (1, false) => a.mov(al, byte_ptr(ebx).fs()),
                                (2, false) => a.mov(ax, word_ptr(ebx).fs()),
                                (4, false) => a.mov(eax, dword_ptr(ebx).fs()),
                                (1, true) => a.mov(byte_ptr(ebx).fs(), al),
                                (2, true) => a.mov(word_ptr(ebx).fs(), ax),
                                _ => a.mov(dword_ptr(ebx).fs(), eax),
                            });
                        });
                    }
                }
            }
        }
    }
    for ring in 0..4u8 {
        for write in [false, true] {
            suite.add(ring, format!("a null segment, write {write}"), |s| {
                s.m.cpu.segments[Seg::Gs as usize] = machine::Segment::default();
                s.code(|a| {
                    if write {
                        a.mov(dword_ptr(0x60000).gs(), eax)
                    } else {
                        a.mov(eax, dword_ptr(0x60000).gs())
                    }
                });
            });
        }
    }
}

/// Pushes and pops in stacks of every form.
fn stack(suite: &mut Suite) {
    for (kind, flags) in
        [(0x3u8, 0u8), (0x3, 4), (0x3, 8), (0x3, 0xC), (0x7, 0), (0x7, 4), (0x7, 8), (0x7, 0xC)]
    {
        let limit = if flags & 8 != 0 { 0 } else { 0xFF };
        for top in [
            0u32,
            1,
            2,
            3,
            4,
            5,
            0x20,
            0xFC,
            0xFE,
            0x100,
            0x101,
            0x104,
            0xFFC,
            0x1000,
            0x1002,
            0x1004,
            0xFFFE,
            0x1_0000,
            0x1_0002,
            0xFFFF_FFFE,
        ] {
            for (name, code) in [
                ("PUSH", &[0x50u8][..]),
                ("PUSH o16", &[0x66, 0x50]),
                ("POP", &[0x58]),
                ("POP o16", &[0x66, 0x58]),
                ("PUSHA", &[0x60]),
                ("POPA", &[0x61]),
                ("ENTER", &[0xC8, 0x10, 0, 2]),
                ("LEAVE", &[0xC9]),
                ("CALL", &[0xE8, 0, 0, 0, 0]),
                ("RET", &[0xC3]),
                ("PUSHF", &[0x9C]),
                ("POP memory", &[0x8F, 0x04, 0x24]),
            ] {
                suite.add(3, format!("{name} at {top:X}, type {kind:X}, flags {flags:X}"), |s| {
                    s.set_descriptor(selector::FREE, descriptor(USER_DATA, limit, 0xF0 | kind, flags));
                    s.m.cpu.segments[Seg::Ss as usize] = s.segment(selector::FREE | 3);
                    s.write_u32(USER_DATA + 0x20, 0x4_0000).write_u32(USER_DATA + 4, 0x4_0008);
                    s.reg(Reg::Esp, top).reg(Reg::Ebp, top.wrapping_add(2)).bytes(code);
                });
            }
        }
    }
    for segment in [Seg::Ss, Seg::Ds] {
        suite.add(3, format!("[EBP] beyond the limit of {segment:?}"), |s| {
            s.set_descriptor(selector::FREE, descriptor(0, 0xFF, 0xF3, 4));
            s.m.cpu.segments[segment as usize] = s.segment(selector::FREE | 3);
            s.reg(Reg::Ebp, 0x60000).reg(Reg::Ebx, 0x60000);
            s.code(
                |a| if segment == Seg::Ss { a.mov(eax, dword_ptr(ebp)) } else { a.mov(eax, dword_ptr(ebx)) },
            );
        });
    }
}

/// Fetches beyond the limit of CS, and branches there.
fn code(suite: &mut Suite) {
    for limit in [0x4_0003u32, 0x4_0004, 0x4_0008] {
        suite.add(3, format!("an instruction across the limit {limit:X}"), |s| {
            s.m.cpu.segments[Seg::Cs as usize].limit = limit;
            s.m.cpu.segments[Seg::Cs as usize].attributes &= !0x8000;
            s.code(|a| {
                a.nop()?;
                a.mov(eax, 5)
            });
        });
    }
    for target in [0x5_0FFFu32, 0x5_1000, 0xFFFF_FFFF] {
        for (name, code) in [("JMP", 0u8), ("CALL", 1), ("RET", 2), ("Jcc", 3)] {
            suite.add(3, format!("{name} to {target:X}, the limit is 50FFF"), |s| {
                s.set_descriptor(selector::FREE, descriptor(0, 0x50, 0xFB, 0xC));
                s.m.cpu.segments[Seg::Cs as usize] = s.segment(selector::FREE | 3);
                s.write(0x5_0FFF, &[0x90]);
                s.reg(Reg::Eax, target);
                let target = u64::from(target);
                s.code(|a| match code {
                    0 => a.jmp(eax),
                    1 => a.call(eax),
                    2 => {
                        a.push(eax)?;
                        a.ret()
                    }
                    _ => {
                        a.cmp(eax, eax)?;
                        a.je(target)
                    }
                });
            });
        }
    }
    for kind in [0x9u8, 0xB] {
        suite.add(3, format!("a read through CS, type {kind:X}"), |s| {
            s.m.cpu.segments[Seg::Cs as usize].attributes = 0xC0F0 | u16::from(kind);
            s.code(|a| a.mov(eax, dword_ptr(0x60000).cs()));
        });
        suite.add(3, format!("a write through CS, type {kind:X}"), |s| {
            s.m.cpu.segments[Seg::Cs as usize].attributes = 0xC0F0 | u16::from(kind);
            s.code(|a| a.mov(dword_ptr(0x60000).cs(), eax));
        });
    }
}
