//! Paging: rights of both levels by WP and ring, every error code, accessed and dirty bits, accesses that
//! cross a page, 4 MiB pages, and the implicit accesses of the processor itself.

use super::Suite;
use crate::bochs::scene::{DIRECTORY, GDT, PAGE_TABLE, Scene, code_at, descriptor, selector};
use machine::Reg;
use machine::image::asm::*;
use machine::registers::control;

/// A second table, for linear addresses from 4 MiB on.
const TABLE: u32 = 0x8000;
const LINEAR: u32 = 0x40_0000;
/// The frame that is mapped there.
const FRAME: u32 = 0x7_0000;

/// What an access is.
const ACCESSES: [&str; 6] = ["read", "write", "read and write", "push", "fetch", "compare and exchange"];

fn access(s: &mut Scene, kind: usize, at: u32) {
    match kind {
        0 => s.code(|a| a.mov(eax, dword_ptr(at))),
        1 => s.code(|a| a.mov(dword_ptr(at), eax)),
        2 => s.code(|a| a.add(dword_ptr(at), eax)),
        3 => s.reg(Reg::Esp, at + 4).code(|a| a.push(eax)),
        4 => s.reg(Reg::Eax, at).code(|a| a.jmp(eax)),
        _ => s.code(|a| a.cmpxchg(dword_ptr(at), ecx)),
    };
}

fn map(s: &mut Scene, upper: u32, lower: u32) {
    s.write_u32(DIRECTORY + 4, TABLE | upper).write_u32(TABLE, FRAME | lower);
    s.write(FRAME, &[0x90, 0x0F, 0x01, 0xC1]);
}

pub(super) fn fill(suite: &mut Suite) {
    rights(suite);
    bits(suite);
    crossing(suite);
    large(suite);
    implicit(suite);
    changes(suite);
}

/// Every combination of P, W and U in both levels.
fn rights(suite: &mut Suite) {
    for upper in 0..8u32 {
        for lower in 0..8u32 {
            for ring in [0u8, 1, 2, 3] {
                for protect in [false, true] {
                    for (kind, name) in ACCESSES.iter().enumerate() {
                        // Rings 1 and 2 are the supervisor's as well.
                        if matches!(ring, 1 | 2) && kind > 1 {
                            continue;
                        }
                        suite.add(
                            ring,
                            format!("{name}, directory {upper}, table {lower}, WP {protect}"),
                            |s| {
                                map(s, upper, lower);
                                if !protect {
                                    s.m.cpu.cr0 &= !control::WP;
                                }
                                access(s, kind, LINEAR);
                            },
                        );
                    }
                }
            }
        }
    }
}

/// Accessed and dirty bits, and the bits that mean nothing.
fn bits(suite: &mut Suite) {
    for upper in [0x7u32, 0x27, 0xE07, 0x1F, 0x47, 0x107] {
        for lower in [0x7u32, 0x27, 0x47, 0x67, 0xE07, 0x1F, 0x87, 0x107, 0x5] {
            for ring in [0u8, 3] {
                for (kind, name) in ACCESSES.iter().enumerate() {
                    suite.add(ring, format!("{name}, directory {upper:X}, table {lower:X}"), |s| {
                        map(s, upper, lower);
                        access(s, kind, LINEAR);
                    });
                }
            }
        }
    }
}

/// An access to the last bytes of one page and the first ones of the next.
fn crossing(suite: &mut Suite) {
    for ring in [0u8, 3] {
        for first in [7u32, 5, 3, 0] {
            for second in [7u32, 5, 3, 0, 6] {
                for back in 1..4u32 {
                    for (kind, name) in ACCESSES.iter().enumerate() {
                        if kind == 4 && back > 1 {
                            continue;
                        }
                        suite.add(
                            ring,
                            format!("{name} {back} bytes before a page, {first} then {second}"),
                            |s| {
                                map(s, 7, first);
                                s.write_u32(TABLE + 4, (FRAME + 0x1000) | second);
                                s.write(FRAME + 0xFF0, &[0x90; 0xF]);
                                s.write(FRAME + 0xFFF, &[0xB8, 1, 2, 3, 4, 0x0F, 0x01, 0xC1]);
                                access(s, kind, LINEAR + 0x1000 - back);
                            },
                        );
                    }
                }
            }
        }
        for (name, code) in [
            ("PUSHA", &[0x60u8][..]),
            ("POPA", &[0x61]),
            ("ENTER 16, 3", &[0xC8, 16, 0, 3]),
            ("FNSAVE", &[0xDD, 0x34, 0x24]),
            ("FRSTOR", &[0xDD, 0x24, 0x24]),
            ("FLD m80", &[0xDB, 0x2C, 0x24]),
            ("FSTP m80", &[0xDB, 0x3C, 0x24]),
            ("CMPXCHG8B", &[0x0F, 0xC7, 0x0C, 0x24]),
            ("BOUND", &[0x62, 0x04, 0x24]),
            ("SGDT", &[0x0F, 0x01, 0x04, 0x24]),
            ("POP m32", &[0x8F, 0x04, 0x24]),
            ("PUSH m32", &[0xFF, 0x34, 0x24]),
            ("XCHG", &[0x87, 0x04, 0x24]),
            ("MOVSD", &[0xA5]),
            ("REP STOSD", &[0xF3, 0xAB]),
            ("CALL", &[0xE8, 0, 0, 0, 0]),
        ] {
            for second in [5u32, 0] {
                for back in [2u32, 6, 12, 20] {
                    suite.add(ring, format!("{name} {back} bytes before a page of rights {second}"), |s| {
                        map(s, 7, 7);
                        s.write_u32(TABLE + 4, (FRAME + 0x1000) | second);
                        let at = LINEAR + 0x1000 - back;
                        for reg in [Reg::Esp, Reg::Ebp, Reg::Edi] {
                            s.reg(reg, at);
                        }
                        s.reg(Reg::Esi, 0x6_0000).reg(Reg::Ecx, 8).bytes(code);
                    });
                }
            }
        }
    }
}

/// 4 MiB pages, with CR4.PSE and without.
fn large(suite: &mut Suite) {
    for rights in 0..8u32 {
        for ring in [0u8, 3] {
            for extended in [false, true] {
                for (kind, name) in ACCESSES.iter().enumerate() {
                    suite.add(
                        ring,
                        format!("{name}, a 4 MiB page of rights {rights}, PSE {extended}"),
                        |s| {
                            // Frame 0, so that every address below 1 MiB is at the same offset.
                            s.write_u32(DIRECTORY + 4, 0x80 | rights).write_u32(0, 0x7_0007);
                            s.write(0x7_0000, &[0x90, 0x0F, 0x01, 0xC1]);
                            if extended {
                                s.m.cpu.cr4 |= 0x10;
                            }
                            access(s, kind, LINEAR + 0x7_0000);
                        },
                    );
                }
            }
        }
    }
}

/// What the processor reads and writes itself has supervisor rights, in ring 3 as well.
fn implicit(suite: &mut Suite) {
    suite.add(3, "INT through supervisor pages", |s| {
        s.bytes(&[0xCD, 0x31]);
    });
    for bits in [0u32, 1, 3] {
        suite.add(3, format!("a descriptor in a page of rights {bits}"), |s| {
            s.set_descriptor(0x80, descriptor(0, 0xFF, 0xF2, 0)).page(GDT, 7, bits);
            s.reg(Reg::Eax, 0x83).bytes(&[0x8E, 0xE0]);
        });
        suite.add(3, format!("an inner stack in a page of rights {bits}"), |s| {
            s.page(0x2_1000, 7, bits).bytes(&[0xCD, 0x31]);
        });
    }
    for clear in [0x20u32, 0x40, 0x60] {
        suite.add(3, format!("an inner stack whose page lacks {clear:X}"), |s| {
            s.page(0x2_1000, clear, 0).bytes(&[0xCD, 0x31]);
        });
        suite.add(3, format!("a table whose page lacks {clear:X}"), |s| {
            s.page(GDT, clear, 0).page(0x5000, clear, 0).page(0x6000, clear, 0).bytes(&[0xCD, 0x31]);
        });
    }
    suite.add(3, "code across pages, the second one of the supervisor", |s| {
        s.m.cpu.eip = 0x5_0FFE;
        s.page(0x5_1000, 4, 0).bytes(&[0xB8, 1, 2, 3, 4]);
    });
    suite.add(3, "the last byte of a page, the next one absent", |s| {
        s.m.cpu.eip = 0x5_0FFF;
        s.page(0x5_1000, 1, 0).write(0x5_0FFF, &[0x90]);
    });
}

/// Tables that change while they are in use.
fn changes(suite: &mut Suite) {
    for kind in [0usize, 1, 2, 4] {
        suite.add(0, format!("{} behind a change of CR3", ACCESSES[kind]), |s| {
            map(s, 7, 7);
            let copy = 0x9000;
            for index in 0..2 {
                let entry = s.m.memory.read_u32(machine::Pa(DIRECTORY + 4 * index));
                s.write_u32(copy + 4 * index, entry);
            }
            s.write_u32(copy + 4, 0).reg(Reg::Ecx, copy);
            let stop = code_at(0) + 0x100;
            s.code(|a| {
                a.mov(eax, dword_ptr(LINEAR))?;
                a.mov(cr3, ecx)?;
                a.jmp(u64::from(stop))
            });
            s.code_at(stop, |a| match kind {
                0 => a.mov(eax, dword_ptr(LINEAR)),
                1 => a.mov(dword_ptr(LINEAR), eax),
                2 => a.add(dword_ptr(LINEAR), eax),
                _ => a.jmp(u64::from(LINEAR)),
            });
        });
        suite.add(0, format!("{} behind INVLPG", ACCESSES[kind]), |s| {
            map(s, 7, 7);
            s.code(|a| {
                a.mov(eax, dword_ptr(LINEAR))?;
                a.mov(dword_ptr(TABLE), 0)?;
                a.invlpg(dword_ptr(LINEAR))?;
                match kind {
                    0 => a.mov(eax, dword_ptr(LINEAR)),
                    1 => a.mov(dword_ptr(LINEAR), eax),
                    2 => a.add(dword_ptr(LINEAR), eax),
                    _ => a.jmp(u64::from(LINEAR)),
                }
            });
        });
    }
    suite.add(0, "paging off and on again", |s| {
        s.code(|a| {
            a.mov(eax, cr0)?;
            a.and(eax, 0x7FFF_FFFF)?;
            a.mov(cr0, eax)?;
            a.mov(ecx, dword_ptr(PAGE_TABLE))?;
            a.or(eax, 0x8000_0000u32 as i32)?;
            a.mov(cr0, eax)
        });
    });
    let _ = selector::FREE;
}
