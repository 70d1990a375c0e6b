//! What STI and loads of SS hold back for one instruction.

use super::Suite;
use crate::bochs::scene::{USER_DATA, code_at, selector};
use machine::Reg;

pub(super) fn fill(suite: &mut Suite) {
    let pointer = |s: &mut crate::bochs::scene::Scene, ring: u8| {
        s.write_u32(USER_DATA, 0x5_0000).write_u32(USER_DATA + 4, selector::data(ring).into());
    };
    for ring in 0..4u8 {
        for enabled in [false, true] {
            for iopl in [0u32, 3] {
                for (name, code) in [
                    ("STI", &[0xFBu8, 0x90, 0x90][..]),
                    ("STI twice", &[0xFB, 0xFB, 0x90]),
                    ("STI, CLI", &[0xFB, 0xFA, 0x90]),
                    ("MOV SS", &[0x8E, 0xD0, 0x90, 0x90]),
                    ("MOV SS twice", &[0x8E, 0xD0, 0x8E, 0xD0, 0x90]),
                    ("MOV SS, STI", &[0x8E, 0xD0, 0xFB, 0x90]),
                    ("STI, MOV SS", &[0xFB, 0x8E, 0xD0, 0x90]),
                    ("POP SS", &[0x17, 0x90, 0x90]),
                    ("LSS", &[0x0F, 0xB2, 0x35, 0, 0, 6, 0, 0x90]),
                    ("MOV DS", &[0x8E, 0xD8, 0x90]),
                    ("STI, UD2", &[0xFB, 0x0F, 0x0B]),
                    ("MOV SS, UD2", &[0x8E, 0xD0, 0x0F, 0x0B]),
                    ("MOV SS, INT3", &[0x8E, 0xD0, 0xCC]),
                    ("STI, REP MOVSB", &[0xFB, 0xF3, 0xA4, 0x90]),
                    ("STI, HLT", &[0xFB, 0xF4]),
                    ("POPF sets IF", &[0x9D, 0x90]),
                    ("STI, JMP", &[0xFB, 0xEB, 0, 0x90]),
                    ("IRET sets IF", &[0xCF, 0x90]),
                ] {
                    suite.add(ring, format!("{name}, IF {enabled}, IOPL {iopl}"), |s| {
                        pointer(s, ring);
                        s.m.cpu.eflags = 2 | iopl << 12 | if enabled { 0x200 } else { 0 };
                        s.reg(Reg::Eax, selector::data(ring).into());
                        s.reg(Reg::Esi, 0x6_0100).reg(Reg::Edi, 0x6_0200).reg(Reg::Ecx, 2);
                        match name {
                            "POPF sets IF" => s.push(&[0x202 | iopl << 12]),
                            "IRET sets IF" => {
                                s.push(&[0x202 | iopl << 12, selector::code(ring).into(), code_at(ring) + 1])
                            }
                            _ => s.push(&[selector::data(ring).into()]),
                        };
                        s.bytes(code);
                    });
                }
            }
        }
        for (name, code) in [("MOV SS, bad", [0x8Eu8, 0xD0]), ("MOV SS, null", [0x8E, 0xD1])] {
            suite.add(ring, name, |s| {
                s.reg(Reg::Eax, 0xFFF8).reg(Reg::Ecx, 0).bytes(&code);
            });
        }
    }
}
