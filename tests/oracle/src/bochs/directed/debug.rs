//! Debug exceptions: data and instruction breakpoints, single steps, RF, general detect, and what DR6,
//! DR7 and the frame say of them.

use super::Suite;
use crate::bochs::scene::{HANDLERS, OWN_HANDLER, Scene, USER_DATA, code_at, gate, selector};
use machine::Reg;
use machine::image::asm::*;

/// TF.
const TF: u32 = 0x100;
const RF: u32 = 0x1_0000;

pub(super) fn fill(suite: &mut Suite) {
    data(suite);
    instructions(suite);
    steps(suite);
    registers(suite);
    resume(suite);
}

/// Data breakpoints: kind and length, against the place and size of the access.
fn data(suite: &mut Suite) {
    for kind in 0..4u32 {
        for length in 0..4u32 {
            for place in [-1i32, 0, 1, 2, 3, 4] {
                for (name, code) in
                    [("read", 0u8), ("write", 1), ("read byte", 2), ("write word", 3), ("add", 4)]
                {
                    suite.add(3, format!("{name}, DR7 kind {kind} length {length}, {place} from it"), |s| {
                        s.m.cpu.dr[0] = USER_DATA + 8;
                        s.m.cpu.dr[7] = 0x401 | kind << 16 | length << 18;
                        let at = (USER_DATA + 8).wrapping_add_signed(place);
                        s.code(|a| match code {
                            0 => a.mov(eax, dword_ptr(at)),
                            1 => a.mov(dword_ptr(at), eax),
                            2 => a.mov(al, byte_ptr(at)),
                            3 => a.mov(word_ptr(at), ax),
                            _ => a.add(dword_ptr(at), eax),
                        });
                    });
                }
            }
        }
    }
    for enable in 0..256u32 {
        // Every register enabled locally and globally, all of them at the same place.
        suite.add(0, format!("DR7 enables {enable:02X}"), |s| {
            s.m.cpu.dr[..4].fill(USER_DATA);
            s.m.cpu.dr[7] = 0x400 | enable | 0xDDDD_0000;
            s.code(|a| a.mov(dword_ptr(USER_DATA), eax));
        });
    }
    for (name, code) in [
        ("PUSH", &[0x50u8][..]),
        ("POP", &[0x58]),
        ("CALL", &[0xE8, 0, 0, 0, 0]),
        ("RET", &[0xC3]),
        ("PUSHA", &[0x60]),
        ("POPA", &[0x61]),
        ("MOVSD", &[0xA5]),
        ("REP MOVSD", &[0xF3, 0xA5]),
        ("REP STOSD", &[0xF3, 0xAB]),
        ("REPE CMPSD", &[0xF3, 0xA7]),
        ("XCHG", &[0x87, 0x04, 0x24]),
        ("CMPXCHG", &[0x0F, 0xB1, 0x0C, 0x24]),
        ("CMPXCHG8B", &[0x0F, 0xC7, 0x0C, 0x24]),
        ("LEAVE", &[0xC9]),
        ("ENTER", &[0xC8, 8, 0, 1]),
        ("FLD", &[0xDD, 0x04, 0x24]),
        ("POP m", &[0x8F, 0x04, 0x24]),
    ] {
        for offset in [-8i32, -4, 0, 4, 8] {
            for kind in [1u32, 3] {
                suite.add(3, format!("{name}, DR7 kind {kind} at {offset}"), |s| {
                    let top = USER_DATA + 0x100;
                    s.m.cpu.dr[1] = top.wrapping_add_signed(offset);
                    s.m.cpu.dr[7] = 0x404 | kind << 20 | 3 << 22;
                    for reg in [Reg::Esp, Reg::Ebp, Reg::Edi, Reg::Esi] {
                        s.reg(reg, top);
                    }
                    s.reg(Reg::Ecx, 3).write_u32(top, code_at(3) + 0x40);
                    s.write(code_at(3) + 0x40, &[0x0F, 0x01, 0xC1]).bytes(code);
                });
            }
        }
    }
}

/// Instruction breakpoints: where they are met, and what else happens there.
fn instructions(suite: &mut Suite) {
    for ring in [0u8, 3] {
        for length in 0..4u32 {
            for offset in 0..3u32 {
                suite.add(ring, format!("a breakpoint at byte {offset}, length {length}"), |s| {
                    s.m.cpu.dr[2] = code_at(ring) + 1 + offset;
                    s.m.cpu.dr[7] = 0x410 | length << 26;
                    s.code(|a| {
                        a.nop()?;
                        a.mov(eax, 7)?;
                        a.nop()
                    });
                });
            }
        }
        for flag in [0, RF, TF, TF | RF] {
            suite.add(ring, format!("a breakpoint at the first instruction, flags {flag:X}"), |s| {
                s.m.cpu.dr[0] = code_at(ring);
                s.m.cpu.dr[7] = 0x401;
                s.m.cpu.eflags |= flag;
                s.code(|a| {
                    a.nop()?;
                    a.nop()
                });
            });
            suite.add(ring, format!("a breakpoint at the second instruction, flags {flag:X}"), |s| {
                s.m.cpu.dr[0] = code_at(ring) + 1;
                s.m.cpu.dr[7] = 0x401;
                s.m.cpu.eflags |= flag;
                s.code(|a| {
                    a.nop()?;
                    a.nop()
                });
            });
            suite.add(ring, format!("a breakpoint at an instruction that faults, flags {flag:X}"), |s| {
                s.m.cpu.dr[0] = code_at(ring);
                s.m.cpu.dr[7] = 0x401;
                s.m.cpu.eflags |= flag;
                s.bytes(&[0x0F, 0x0B]);
            });
            suite.add(ring, format!("a breakpoint at a handler's first instruction, flags {flag:X}"), |s| {
                s.set_gate(0x31, gate(selector::code(0), OWN_HANDLER, 0xEE, 0));
                s.write(OWN_HANDLER, &[0x90, 0x0F, 0x01, 0xC1]);
                s.m.cpu.dr[0] = OWN_HANDLER;
                s.m.cpu.dr[7] = 0x401;
                s.m.cpu.eflags |= flag;
                s.bytes(&[0xCD, 0x31]);
            });
        }
        suite.add(ring, "a breakpoint behind a disabled one", |s| {
            s.m.cpu.dr[0] = code_at(ring);
            s.m.cpu.dr[1] = code_at(ring);
            s.m.cpu.dr[7] = 0x404;
            s.code(|a| a.nop());
        });
        suite.add(ring, "REP MOVSB with a breakpoint on it", |s| {
            s.m.cpu.dr[0] = code_at(ring) + 1;
            s.m.cpu.dr[7] = 0x401;
            s.reg(Reg::Esi, 0x6_0000).reg(Reg::Edi, 0x6_0100).reg(Reg::Ecx, 3);
            s.bytes(&[0x90, 0xF3, 0xA4]);
        });
    }
}

/// TF over every kind of instruction.
fn steps(suite: &mut Suite) {
    for ring in [0u8, 3] {
        for (name, code) in [
            ("NOP", &[0x90u8][..]),
            ("INT n", &[0xCD, 0x31]),
            ("INT3", &[0xCC]),
            ("INT1", &[0xF1]),
            ("INTO", &[0xCE]),
            ("UD2", &[0x0F, 0x0B]),
            ("DIV by zero", &[0xF7, 0xF1]),
            ("MOV SS", &[0x8E, 0xD0, 0x90, 0x90]),
            ("MOV DS", &[0x8E, 0xD8]),
            ("POPF clears TF", &[0x9D]),
            ("PUSHF", &[0x9C, 0x90]),
            ("REP MOVSB", &[0xF3, 0xA4, 0x90]),
            ("REP MOVSB of none", &[0xF3, 0xA6, 0x90]),
            ("CLI", &[0xFA]),
            ("STI", &[0xFB, 0x90]),
            ("JMP", &[0xEB, 0]),
            ("a page fault", &[0xA1, 0, 0, 0x10, 0]),
            ("CPUID", &[0x0F, 0xA2]),
        ] {
            suite.add(ring, format!("TF over {name}"), |s| {
                s.m.cpu.eflags |= TF | 0x800;
                s.reg(Reg::Eax, selector::data(ring).into());
                s.reg(Reg::Esi, 0x6_0000).reg(Reg::Edi, 0x6_0100);
                let count = if name.contains("none") || name.contains("zero") { 0 } else { 3 };
                s.reg(Reg::Ecx, count).push(&[0x202]).bytes(code);
            });
        }
        suite.add(ring, "POPF sets TF", |s| {
            s.push(&[0x302]).bytes(&[0x9D, 0x90, 0x90]);
        });
        suite.add(ring, "IRET sets TF", |s| {
            let segment = selector::code(ring).into();
            s.push(&[0x302, segment, code_at(ring) + 1]).bytes(&[0xCF, 0x90, 0x90]);
        });
        suite.add(ring, "IRET to an outer ring sets TF", |s| {
            s.push(&[selector::data(3).into(), 0x5_8000, 0x302, selector::code(3).into(), code_at(3) + 0x40]);
            s.write(code_at(3) + 0x40, &[0x90, 0x90, 0x0F, 0x01, 0xC1]).bytes(&[0xCF]);
        });
        let watched_stack = |s: &mut Scene, dr: u32, ring: u8| {
            s.m.cpu.dr[0] = USER_DATA;
            s.m.cpu.dr[7] = dr;
            s.write_u32(USER_DATA, selector::data(ring).into());
            s.code(|a| {
                a.mov(ss, word_ptr(USER_DATA))?;
                a.nop()?;
                a.nop()
            });
        };
        for dr in [0x401u32 | 1 << 16, 0x401 | 3 << 16] {
            suite.add(ring, format!("TF and a data breakpoint, DR7 {dr:X}"), |s| {
                s.m.cpu.eflags |= TF;
                s.m.cpu.dr[0] = USER_DATA;
                s.m.cpu.dr[7] = dr;
                s.code(|a| a.mov(dword_ptr(USER_DATA), eax));
            });
            suite.add(ring, format!("MOV SS from watched memory, DR7 {dr:X}"), |s| {
                watched_stack(s, dr, ring);
            });
            suite.add(ring, format!("TF, MOV SS from watched memory, DR7 {dr:X}"), |s| {
                s.m.cpu.eflags |= TF;
                watched_stack(s, dr, ring);
            });
            suite.add(ring, format!("MOV SS from watched memory, then INT n, DR7 {dr:X}"), |s| {
                s.m.cpu.dr[0] = USER_DATA;
                s.m.cpu.dr[7] = dr;
                s.write_u32(USER_DATA, selector::data(ring).into());
                s.code(|a| {
                    a.mov(ss, word_ptr(USER_DATA))?;
                    a.int(0x31)
                });
            });
            suite.add(ring, format!("a watched write that is followed by a fault, DR7 {dr:X}"), |s| {
                s.m.cpu.dr[0] = USER_DATA;
                s.m.cpu.dr[7] = dr;
                s.code(|a| {
                    a.mov(dword_ptr(USER_DATA), eax)?;
                    a.ud2()
                });
            });
            suite.add(ring, format!("an instruction breakpoint behind a watched write, DR7 {dr:X}"), |s| {
                s.m.cpu.dr[0] = USER_DATA;
                s.m.cpu.dr[1] = code_at(ring) + 5;
                s.m.cpu.dr[7] = dr | 4;
                s.code(|a| {
                    a.mov(dword_ptr(USER_DATA), eax)?;
                    a.nop()
                });
            });
        }
        suite.add(ring, "INT n whose inner stack is watched", |s| {
            s.m.cpu.dr[0] = 0x2_1800 - 4;
            s.m.cpu.dr[7] = 0xD_0401;
            s.set_gate(0x31, gate(selector::code(0), HANDLERS + 0x310, 0xEE, 0)).bytes(&[0xCD, 0x31]);
        });
    }
}

/// MOV from and to the debug registers; general detect; the aliases.
fn registers(suite: &mut Suite) {
    for ring in 0..4u8 {
        for index in 0..8u8 {
            for (extension, detect) in [(false, false), (true, false), (false, true), (true, true)] {
                for store in [false, true] {
                    let verb = if store { "read" } else { "write" };
                    let name = format!("{verb} DR{index}, DE {extension}, GD {detect}");
                    suite.add(ring, name, |s| {
                        if extension {
                            s.m.cpu.cr4 |= 8;
                        }
                        if detect {
                            s.m.cpu.dr[7] |= 0x2000;
                        }
                        s.m.cpu.dr[..4].copy_from_slice(&[1, 2, 3, 4]);
                        s.reg(Reg::Eax, 0xFFFF_0FF0);
                        s.bytes(&[0x0F, if store { 0x21 } else { 0x23 }, 0xC0 | index << 3]);
                    });
                }
            }
        }
    }
    for index in [6u8, 7] {
        for bit in 0..32 {
            suite.add(0, format!("write bit {bit} of DR{index}"), |s| {
                s.reg(Reg::Eax, 1 << bit);
                s.bytes(&[0x0F, 0x23, 0xC0 | index << 3, 0x90]);
            });
        }
    }
}

/// RF in the frames of faults, traps and interrupts.
fn resume(suite: &mut Suite) {
    for flag in [0, RF] {
        for (name, code) in [
            ("NOP", &[0x90u8][..]),
            ("UD2", &[0x0F, 0x0B]),
            ("INT n", &[0xCD, 0x31]),
            ("INT3", &[0xCC]),
            ("INTO", &[0xCE]),
            ("INT1", &[0xF1]),
            ("a page fault", &[0xA1, 0, 0, 0x10, 0]),
            ("PUSHF", &[0x9C]),
            ("REP MOVSB that faults", &[0xF3, 0xA4]),
            ("IRET with RF", &[0xCF]),
            ("POPF with RF", &[0x9D]),
        ] {
            suite.add(3, format!("RF over {name}, flags {flag:X}"), |s| {
                s.m.cpu.eflags |= flag | 0x800;
                s.reg(Reg::Esi, 0x6_0000).reg(Reg::Edi, 0xF_FFFE).reg(Reg::Ecx, 5);
                if code == [0x9D] {
                    s.push(&[RF | 0x202]);
                } else {
                    s.push(&[RF | 0x202, selector::code(3).into(), code_at(3) + 0x40]);
                    s.write(code_at(3) + 0x40, &[0x90, 0x0F, 0x01, 0xC1]);
                    s.m.cpu.dr[0] = code_at(3) + 0x40;
                    s.m.cpu.dr[7] = 0x401;
                }
                s.bytes(code);
            });
        }
        suite.add(3, format!("an external interrupt, flags {flag:X}"), |s| {
            s.m.cpu.eflags |= flag;
            s.m.cpu.interrupt = Some(0x40);
            s.bytes(&[0x90]);
        });
    }
}
