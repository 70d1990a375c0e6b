//! RETF and IRET: to the same ring and to an outer one, with every check of CS and SS, the flags that
//! come back by privilege, and the segment registers that are cleared.

use super::Suite;
use crate::bochs::scene::{Scene, code_at, descriptor, selector, stack_of};
use machine::Reg;

const CODE: u16 = selector::FREE;
const STACK: u16 = selector::FREE + 8;

const FORMS: [(&str, &[u8]); 5] = [
    ("IRET", &[0xCF]),
    ("RETF", &[0xCB]),
    ("RETF 8", &[0xCA, 8, 0]),
    ("IRET o16", &[0x66, 0xCF]),
    ("RETF o16", &[0x66, 0xCB]),
];

/// The frame that a return pops.
struct Frame {
    eip: u32,
    cs: u16,
    eflags: u32,
    esp: u32,
    ss: u16,
}

impl Frame {
    /// A return to a ring, which would succeed.
    fn to(ring: u8) -> Frame {
        Frame {
            eip: code_at(ring) + 0x80,
            cs: selector::code(ring),
            eflags: 0x202,
            esp: stack_of(ring) - 0x100,
            ss: selector::data(ring),
        }
    }

    fn place(&self, s: &mut Scene, form: usize) {
        let mut words = vec![self.ss.into(), self.esp, self.eflags, self.cs.into(), self.eip];
        let iret = matches!(form, 0 | 3);
        if !iret {
            words.remove(2);
        }
        if form == 2 {
            // What is released lies between CS and ESP.
            words.splice(2..2, [0x1234, 0x5678]);
        }
        if form >= 3 {
            let esp = s.m.cpu.esp() - 2 * words.len() as u32;
            for (index, word) in words.iter().rev().enumerate() {
                s.write(esp + 2 * index as u32, &(*word as u16).to_le_bytes());
            }
            s.reg(Reg::Esp, esp);
        } else {
            s.push(&words);
        }
        s.write(self.eip, &[0x0F, 0x01, 0xC1]).bytes(FORMS[form].1);
    }
}

pub(super) fn fill(suite: &mut Suite) {
    codes(suite);
    stacks(suite);
    flags(suite);
    cleared(suite);
    edges(suite);
}

/// CS: every type, privilege and presence against CPL and RPL.
fn codes(suite: &mut Suite) {
    for access in 0..=255u8 {
        for ring in 0..4u8 {
            for rpl in 0..4u8 {
                let form = usize::from(access ^ ring ^ rpl) % 3;
                suite.add(ring, format!("{} CS access {access:02X}, RPL {rpl}", FORMS[form].0), |s| {
                    s.set_descriptor(CODE, descriptor(0, 0xF_FFFF, access, 0xC));
                    Frame { cs: CODE | u16::from(rpl), ..Frame::to(rpl) }.place(s, form);
                });
            }
        }
    }
    for ring in 0..4u8 {
        for (form, (verb, _)) in FORMS.iter().enumerate() {
            for value in [0u16, 1, 3, 4, 0xFFF8, 0xFFFB, 0x100, 0x103, selector::TSS | 3] {
                suite.add(ring, format!("{verb} CS {value:04X}"), |s| {
                    Frame { cs: value, ..Frame::to(ring) }.place(s, form);
                });
            }
            for outer in ring..4 {
                suite.add(ring, format!("{verb} to ring {outer}"), |s| {
                    if form >= 3 {
                        let base = code_at(outer) & !0xFFFF;
                        s.set_descriptor(CODE, descriptor(base, 0xFFFF, 0x9A | outer << 5, 4));
                        s.set_descriptor(
                            STACK,
                            descriptor(stack_of(outer) & !0xFFFF, 0xFFFF, 0x92 | outer << 5, 0),
                        );
                        let (cs, ss) = (CODE | u16::from(outer), STACK | u16::from(outer));
                        Frame { cs, ss, ..Frame::to(outer) }.place(s, form);
                    } else {
                        Frame::to(outer).place(s, form);
                    }
                });
                suite.add(ring, format!("{verb} to ring {outer} beyond the limit"), |s| {
                    s.set_descriptor(CODE, descriptor(0, 0x1F, 0x9A | outer << 5, 0));
                    Frame { cs: CODE | u16::from(outer), ..Frame::to(outer) }.place(s, form);
                });
            }
        }
    }
}

/// SS of an outer ring: every type, privilege and presence.
fn stacks(suite: &mut Suite) {
    for access in 0..=255u8 {
        for (ring, outer) in [(0u8, 1u8), (0, 3), (1, 2), (2, 3)] {
            let form = usize::from(access ^ outer) % 3;
            suite.add(ring, format!("{} to ring {outer}, SS access {access:02X}", FORMS[form].0), |s| {
                s.set_descriptor(STACK, descriptor(0, 0xF_FFFF, access, 0xC));
                Frame { ss: STACK | u16::from(outer), ..Frame::to(outer) }.place(s, form);
            });
        }
    }
    for (form, (verb, _)) in FORMS.iter().enumerate() {
        for outer in 1..4u8 {
            for value in [0u16, 3, 4, 0xFFF8, 0x103, selector::data(0), selector::data(1), selector::data(2)]
            {
                suite.add(0, format!("{verb} to ring {outer}, SS {value:04X}"), |s| {
                    let wide = Frame { ss: value, ..Frame::to(outer) };
                    if form >= 3 {
                        let base = code_at(outer) & !0xFFFF;
                        s.set_descriptor(CODE, descriptor(base, 0xFFFF, 0x9A | outer << 5, 4));
                        Frame { cs: CODE | u16::from(outer), ..wide }.place(s, form);
                    } else {
                        wide.place(s, form);
                    }
                });
            }
            suite.add(0, format!("{verb} to ring {outer}, a 16-bit stack"), |s| {
                s.set_descriptor(STACK, descriptor(0x5_0000, 0xFFFF, 0x92 | outer << 5, 0));
                Frame { ss: STACK | u16::from(outer), esp: 0xABCD_1000, ..Frame::to(outer) }.place(s, form);
            });
        }
    }
}

/// EFLAGS: every bit, by CPL and IOPL; and NT and VM, which lead elsewhere.
fn flags(suite: &mut Suite) {
    for ring in 0..4u8 {
        for iopl in 0..4u32 {
            for (index, value) in
                (0..22).map(|bit| 1u32 << bit).chain([0, 0x3F_7FD5 & !0x2_0000, 0x24_7FD5]).enumerate()
            {
                // TF would step into the handler, and VM is a mode of its own below.
                if value & 0x2_0100 == value && value != 0 {
                    continue;
                }
                for before in [0x2u32, 0x24_0AD7] {
                    let form = [0, 3][index % 2];
                    let name = format!("{} flags {value:X} over {before:X}, IOPL {iopl}", FORMS[form].0);
                    suite.add(ring, name, |s| {
                        s.m.cpu.eflags = before | iopl << 12;
                        let frame = Frame { eflags: value & !0x100, ..Frame::to(ring) };
                        if form == 3 {
                            let base = code_at(ring) & !0xFFFF;
                            s.set_descriptor(CODE, descriptor(base, 0xFFFF, 0x9A | ring << 5, 4));
                            Frame { cs: CODE | u16::from(ring), ..frame }.place(s, form);
                        } else {
                            frame.place(s, form);
                        }
                    });
                    suite.add(ring, format!("POPF {value:X} over {before:X}, IOPL {iopl}"), |s| {
                        s.m.cpu.eflags = before | iopl << 12;
                        s.push(&[value & !0x100]).bytes(if index % 2 == 0 { &[0x9D] } else { &[0x66, 0x9D] });
                    });
                    suite.add(ring, format!("PUSHF {value:X}, IOPL {iopl}"), |s| {
                        s.m.cpu.eflags = (value | 2 | iopl << 12) & !0x1A_8128;
                        s.bytes(if index % 2 == 0 { &[0x9C] } else { &[0x66, 0x9C] });
                    });
                }
            }
        }
        suite.add(ring, "IRET with NT set: a task switch", |s| {
            s.m.cpu.eflags |= 0x4000;
            Frame::to(ring).place(s, 0);
        });
    }
    for outer in 1..4u8 {
        for value in [0u32, 0x3202, 0x24_7ED7, 0x1_0202] {
            suite.add(0, format!("IRET to ring {outer} with flags {value:X}"), |s| {
                Frame { eflags: value, ..Frame::to(outer) }.place(s, 0);
            });
        }
    }
}

/// DS, ES, FS and GS after a return to an outer ring.
fn cleared(suite: &mut Suite) {
    for form in [0usize, 1] {
        for outer in 1..4u8 {
            for access in (0..=255u8).filter(|access| access & 0x91 == 0x91) {
                // What a register may hold: readable, or nothing.
                if access & 8 != 0 && access & 2 == 0 {
                    continue;
                }
                suite.add(
                    0,
                    format!("{} to ring {outer}, DS and GS access {access:02X}", FORMS[form].0),
                    |s| {
                        s.set_descriptor(0x80, descriptor(0x5000, 0xFFF, access, 4));
                        let rpl = u16::from(access >> 5 & 3);
                        s.m.cpu.segments[3] = s.segment(0x80 | rpl);
                        s.m.cpu.segments[5] = s.segment(0x80 | rpl);
                        s.m.cpu.segments[0] = machine::Segment { selector: 2, ..machine::Segment::default() };
                        Frame::to(outer).place(s, form);
                    },
                );
            }
        }
    }
}

/// Where the frame cannot be read.
fn edges(suite: &mut Suite) {
    for (form, (verb, _)) in FORMS.iter().enumerate() {
        for outer in [0u8, 3] {
            for room in (0..=24u32).step_by(2) {
                suite.add(0, format!("{verb} to ring {outer} with {room} bytes of stack"), |s| {
                    s.page(0x3_1000, 1, 0).reg(Reg::Esp, 0x3_1000);
                    // The frame as it would lie, cut at the page's end.
                    let mut other = s.clone();
                    other.reg(Reg::Esp, stack_of(0));
                    Frame::to(outer).place(&mut other, form);
                    let esp = other.m.cpu.esp();
                    let mut raw = vec![0; (stack_of(0) - esp) as usize];
                    other.m.memory.read(machine::Pa(esp), &mut raw);
                    raw.truncate(room as usize);
                    s.write(0x3_1000 - room, &raw).reg(Reg::Esp, 0x3_1000 - room).bytes(FORMS[form].1);
                });
                suite.add(0, format!("{verb} to ring {outer}, the limit {room} bytes above"), |s| {
                    Frame::to(outer).place(s, form);
                    let esp = s.m.cpu.esp();
                    s.m.cpu.segments[2].limit = esp.wrapping_add(room).wrapping_sub(1);
                    s.m.cpu.segments[2].attributes &= !0x8000;
                });
            }
        }
    }
    suite.add(3, "IRET through a stack page of the supervisor", |s| {
        Frame::to(3).place(s, 0);
        s.page(0x5_7000, 4, 0);
    });
}
