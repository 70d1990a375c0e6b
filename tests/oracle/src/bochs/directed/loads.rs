//! Loads of segment registers: every type, privilege and presence of the descriptor, from every ring.

use super::Suite;
use crate::bochs::scene::{GDT, LDT, SUPERVISOR_DATA, TSS, USER_DATA, descriptor, selector};
use machine::Reg;
use machine::image::asm::*;

/// A load of one segment register from AX.
fn mov_from_ax(register: u8) -> [u8; 2] {
    [0x8E, 0xC0 | register << 3]
}

pub(super) fn fill(suite: &mut Suite) {
    grid(suite);
    selectors(suite);
    forms(suite);
    system(suite);
}

/// Every access byte, through MOV to SS and to the four data registers in turn.
fn grid(suite: &mut Suite) {
    const REGISTERS: [(u8, &str); 5] = [(2, "SS"), (3, "DS"), (0, "ES"), (4, "FS"), (5, "GS")];
    for access in 0..=255u8 {
        for ring in 0..4u8 {
            for rpl in 0..4u16 {
                let data = 1 + (access as usize + usize::from(ring) + usize::from(rpl)) % 4;
                for (register, name) in [REGISTERS[0], REGISTERS[data]] {
                    let name = format!("MOV {name}, access {access:02X}, RPL {rpl}");
                    suite.add(ring, name, |s| {
                        s.set_descriptor(selector::FREE, descriptor(0x1234_5678, 0xABCDE, access, 0xC));
                        s.reg(Reg::Eax, u32::from(selector::FREE | rpl)).bytes(&mov_from_ax(register));
                    });
                }
            }
        }
    }
}

/// Null selectors, selectors beyond their table, and the local table.
fn selectors(suite: &mut Suite) {
    for ring in 0..4u8 {
        for value in [0u16, 1, 2, 3, 4, 7, 0xF8, 0xF9, 0x100, 0x103, 0xFFFF, 0xFC | 3, 0x104, 0x107] {
            for (register, name) in [(2, "SS"), (3, "DS"), (5, "GS")] {
                suite.add(ring, format!("MOV {name}, selector {value:04X}"), |s| {
                    for at in [0u16, 0xF8] {
                        let rights = 0x93 | ring << 5;
                        s.set_descriptor(at | 4, descriptor(0x1000, 0xFFFF, rights, 0x4));
                    }
                    s.set_descriptor(0xF8, descriptor(0x2000, 0xFFFF, 0x93 | ring << 5, 0x4));
                    s.reg(Reg::Eax, value.into()).bytes(&mov_from_ax(register));
                });
            }
        }
        for limit in [0xF7u16, 0xFE, 0xFF] {
            suite.add(ring, format!("MOV DS, a table that ends at {limit:X}"), |s| {
                s.m.cpu.gdtr.limit = limit;
                s.set_descriptor(0xF8, descriptor(0x2000, 0xFFFF, 0xF3, 0x4));
                s.reg(Reg::Eax, 0xFB).bytes(&mov_from_ax(3));
            });
            suite.add(ring, format!("MOV DS, a local table that ends at {limit:X}"), |s| {
                s.m.cpu.ldtr.limit = limit.into();
                s.set_descriptor(0xFC, descriptor(0x2000, 0xFFFF, 0xF3, 0x4));
                s.reg(Reg::Eax, 0xFF).bytes(&mov_from_ax(3));
            });
        }
        suite.add(ring, "MOV DS, no local table", |s| {
            s.m.cpu.ldtr = machine::Segment::default();
            s.reg(Reg::Eax, 0x7).bytes(&mov_from_ax(3));
        });
        suite.add(ring, "MOV DS, the table's page is not present", |s| {
            s.page(LDT, 1, 0).reg(Reg::Eax, 0xF).bytes(&mov_from_ax(3));
        });
        suite.add(ring, "MOV DS, the table's page is not writable", |s| {
            // The accessed bit has to be set there.
            s.set_descriptor(0xC, descriptor(0x2000, 0xFFFF, 0xF2, 0x4));
            s.page(LDT, 2, 0).reg(Reg::Eax, 0xF).bytes(&mov_from_ax(3));
        });
        suite.add(ring, "MOV DS, the descriptor is in two pages", |s| {
            s.m.cpu.gdtr.base = GDT + 0xF04;
            s.write(GDT + 0xF04 + 0xF8, &descriptor(0x2000, 0xFFFF, 0xF2, 4).to_le_bytes());
            s.reg(Reg::Eax, 0xFB).bytes(&mov_from_ax(3));
        });
    }
}

/// POP, LDS and their like, in both operand sizes; MOV to CS, which there is not.
fn forms(suite: &mut Suite) {
    for ring in 0..4u8 {
        let good = u32::from(selector::data(ring));
        for (name, chosen) in
            [("good", good), ("null", 0), ("code", selector::code(ring).into()), ("bad", 0xFFF8)]
        {
            for (form, code) in [
                ("POP ES", &[0x07u8][..]),
                ("POP SS", &[0x17]),
                ("POP DS", &[0x1F]),
                ("POP FS", &[0x0F, 0xA1]),
                ("POP GS", &[0x0F, 0xA9]),
                ("POP DS o16", &[0x66, 0x1F]),
                ("POP SS o16", &[0x66, 0x17]),
            ] {
                suite.add(ring, format!("{form}, {name}"), |s| {
                    s.push(&[0xDEAD_0000 | chosen]).bytes(code);
                });
            }
            for (form, opcode) in [
                ("LES", &[0xC4u8][..]),
                ("LDS", &[0xC5]),
                ("LSS", &[0x0F, 0xB2]),
                ("LFS", &[0x0F, 0xB4]),
                ("LGS", &[0x0F, 0xB5]),
            ] {
                for size in [0usize, 1] {
                    suite.add(ring, format!("{form}{}, {name}", [" o32", " o16"][size]), |s| {
                        let at = if ring == 3 { USER_DATA } else { SUPERVISOR_DATA };
                        let pointer = u64::from(chosen) << (if size == 0 { 32 } else { 16 }) | 0x8765;
                        s.write(at, &pointer.to_le_bytes());
                        let mut code = [0x66, 0][..size.min(1)].to_vec();
                        code.extend(opcode);
                        code.push(0x35);
                        code.extend(at.to_le_bytes());
                        s.bytes(&code);
                    });
                }
            }
            suite.add(ring, format!("MOV DS from memory, {name}"), |s| {
                let at = if ring == 3 { USER_DATA } else { SUPERVISOR_DATA };
                s.write_u32(at, chosen);
                s.code(|a| a.mov(ds, word_ptr(at)));
            });
        }
        suite.add(ring, "MOV CS", |s| {
            s.bytes(&mov_from_ax(1));
        });
        suite.add(ring, "MOV to segment register 6", |s| {
            s.bytes(&mov_from_ax(6));
        });
        suite.add(ring, "LDS from a register", |s| {
            s.bytes(&[0xC5, 0xC0]);
        });
        suite.add(ring, "POP DS beyond the stack", |s| {
            s.page(0x60000, 1, 0).reg(Reg::Esp, 0x5_FFFE).bytes(&[0x1F]);
        });
    }
}

/// LLDT and LTR: every type of descriptor; and who may use them.
fn system(suite: &mut Suite) {
    for (name, modrm) in [("LLDT", 0xD0u8), ("LTR", 0xD8)] {
        for access in 0..=255u8 {
            for rpl in [0u16, 3] {
                suite.add(0, format!("{name} access {access:02X}, RPL {rpl}"), |s| {
                    s.set_descriptor(selector::FREE, descriptor(TSS, 0x67, access, 0));
                    s.reg(Reg::Eax, u32::from(selector::FREE | rpl)).bytes(&[0x0F, 0x00, modrm]);
                });
            }
        }
        for ring in 0..4u8 {
            for value in [0u16, 3, 4, 0xF8, 0x100, 0xC, 0xFFFF, selector::LDT, selector::TSS] {
                suite.add(ring, format!("{name} selector {value:04X}"), |s| {
                    s.set_descriptor(0xC, descriptor(0x2000, 0xFF, 0x82, 0));
                    s.reg(Reg::Eax, value.into()).bytes(&[0x0F, 0x00, modrm]);
                });
            }
        }
        suite.add(0, format!("{name}, the table's page is not present"), |s| {
            s.page(GDT, 1, 0).reg(Reg::Eax, selector::FREE.into()).bytes(&[0x0F, 0x00, modrm]);
        });
        suite.add(0, format!("{name}, the table's page is not writable"), |s| {
            s.set_descriptor(
                selector::FREE,
                descriptor(TSS, 0x67, if modrm == 0xD0 { 0x82 } else { 0x89 }, 0),
            );
            s.page(GDT, 2, 0).reg(Reg::Eax, selector::FREE.into()).bytes(&[0x0F, 0x00, modrm]);
        });
    }
    // LAR, LSL, VERR, VERW: they ask and never fault.
    for access in 0..=255u8 {
        for (ring, rpl) in [(0u8, 0u16), (0, 3), (1, 1), (2, 0), (3, 3), (3, 0)] {
            for (name, code) in [
                ("LAR", [0x0F, 0x02, 0xC8]),
                ("LSL", [0x0F, 0x03, 0xC8]),
                ("VERR", [0x0F, 0x00, 0xE0]),
                ("VERW", [0x0F, 0x00, 0xE8]),
            ] {
                suite.add(ring, format!("{name} access {access:02X}, RPL {rpl}"), |s| {
                    let raw = descriptor(0x1234_5678, 0xABCDE, access, access & 0xD);
                    s.set_descriptor(selector::FREE, raw);
                    s.reg(Reg::Eax, u32::from(selector::FREE | rpl)).bytes(&code);
                });
            }
        }
    }
}
