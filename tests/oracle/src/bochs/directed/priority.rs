//! Two causes at once: which one is met.

use super::Suite;
use super::transfers::direct;
use crate::bochs::scene::{GDT, Scene, code_at, descriptor, gate, selector};
use machine::Reg;
use machine::image::asm::*;

/// Causes that lie in the instruction, from the first that is looked at to the last.
type Cause = (&'static str, fn(&mut Scene));

const CAUSES: [Cause; 8] = [
    ("an instruction breakpoint", |s| {
        s.m.cpu.dr[0] = s.m.cpu.next().0;
        s.m.cpu.dr[7] |= 1;
    }),
    ("code beyond the limit", |s| {
        s.m.cpu.segments[1].attributes &= !0x8000;
        s.m.cpu.segments[1].limit = s.m.cpu.eip + 1;
    }),
    ("code across an absent page", |s| {
        let (to, from) = (0x5_0FFE, s.m.cpu.eip);
        if from != to {
            let mut raw = [0; 16];
            s.m.memory.read(machine::Pa(from), &mut raw);
            s.write(to, &raw).page(0x5_1000, 1, 0);
            s.m.cpu.eip = to;
        }
    }),
    ("FS null", |s| s.m.cpu.segments[4] = machine::Segment::default()),
    ("FS beyond the limit", |s| {
        s.m.cpu.segments[4].attributes &= !0x8000;
        s.m.cpu.segments[4].limit = 0xFF;
    }),
    ("an absent page", |s| {
        s.page(0x6_0000, 1, 0);
    }),
    ("an address that is not aligned", |s| {
        s.m.cpu.cr0 |= 0x4_0000;
        s.m.cpu.eflags |= 0x4_0000;
    }),
    ("TF", |s| s.m.cpu.eflags |= 0x100),
];

pub(super) fn fill(suite: &mut Suite) {
    for (first, (name, set)) in CAUSES.iter().enumerate() {
        for (other, also) in &CAUSES[first..] {
            for (form, code) in [
                ("a load", &[0x64u8, 0xA1, 1, 0, 6, 0][..]),
                ("a store", &[0x64, 0xA3, 1, 0, 6, 0]),
                ("a load that was shifted", &[0x64, 0xD1, 0x25, 1, 0, 6, 0]),
                ("LOCK where it may not be", &[0x64, 0xF0, 0xA1, 1, 0, 6, 0]),
                (
                    "too long an instruction",
                    &[0x64, 0x64, 0x64, 0x64, 0x64, 0x64, 0x64, 0x64, 0x64, 0x64, 0x64, 0xA1, 1, 0, 6, 0],
                ),
            ] {
                suite.add(3, format!("{form}: {name} and {other}"), |s| {
                    s.bytes(code);
                    set(s);
                    also(s);
                });
            }
        }
    }
    loads(suite);
    transfers(suite);
    floats(suite);
    events(suite);
}

/// A segment load's own checks against those of its operand.
fn loads(suite: &mut Suite) {
    for (name, selector, present) in
        [("bad", 0xFFF8u32, true), ("not present", u32::from(selector::FREE | 3), false)]
    {
        for absent in [false, true] {
            suite.add(3, format!("MOV DS from memory, selector {name}, operand absent {absent}"), |s| {
                s.set_descriptor(selector::FREE, descriptor(0, 0xFF, if present { 0xF3 } else { 0x73 }, 0));
                s.write_u32(0x6_0000, selector);
                if absent {
                    s.page(0x6_0000, 1, 0);
                }
                s.code(|a| a.mov(ds, word_ptr(0x6_0000)));
            });
            suite.add(3, format!("LDS, selector {name}, operand absent {absent}"), |s| {
                s.set_descriptor(selector::FREE, descriptor(0, 0xFF, if present { 0xF3 } else { 0x73 }, 0));
                s.write_u32(0x6_0FFC, 5).write_u32(0x6_1000, selector);
                if absent {
                    s.page(0x6_1000, 1, 0);
                }
                s.bytes(&[0xC5, 0x05, 0xFC, 0x0F, 6, 0]);
            });
            suite.add(3, format!("POP DS, selector {name}, table absent {absent}"), |s| {
                s.set_descriptor(selector::FREE, descriptor(0, 0xFF, if present { 0xF3 } else { 0x73 }, 0));
                s.push(&[selector]);
                if absent {
                    s.page(GDT, 1, 0);
                }
                s.bytes(&[0x1F]);
            });
        }
    }
}

/// A far call's checks against its stack, and a gate's against its target's.
fn transfers(suite: &mut Suite) {
    for (name, access) in [("good", 0xFBu8), ("not present", 0x7B), ("of another ring", 0x9B), ("data", 0xF3)]
    {
        for stack in [0x5_8000u32, 0x40_0000] {
            for offset in [code_at(3) + 0x40, 0xFFFF_FFFF] {
                suite.add(3, format!("CALL to a segment {name}, ESP {stack:X}, EIP {offset:X}"), |s| {
                    s.set_descriptor(selector::FREE, descriptor(0, 0xFFFF, access, 0xC));
                    s.reg(Reg::Esp, stack).bytes(&direct(true, selector::FREE | 3, offset));
                    s.write(code_at(3) + 0x40, &[0x0F, 0x01, 0xC1]);
                });
            }
        }
        for present in [false, true] {
            suite.add(3, format!("a call gate, present {present}, to a segment {name}"), |s| {
                s.set_descriptor(selector::FREE + 8, descriptor(0, 0xF_FFFF, access, 0xC));
                let rights = if present { 0xEC } else { 0x6C };
                s.set_descriptor(selector::FREE, gate(selector::FREE + 8, 0x1_2500, rights, 0));
                s.bytes(&direct(true, selector::FREE, 0));
            });
        }
    }
}

/// #UD, #NM, #MF, #GP and #PF over x87 instructions.
fn floats(suite: &mut Suite) {
    for (name, code) in [
        ("FLD", &[0x64u8, 0xD9, 0x05, 0, 0, 6, 0][..]),
        ("FST", &[0x64, 0xD9, 0x15, 0, 0, 6, 0]),
        ("FNSTCW", &[0x64, 0xD9, 0x3D, 0, 0, 6, 0]),
        ("FNSAVE", &[0x64, 0xDD, 0x35, 0, 0, 6, 0]),
        ("FRSTOR", &[0x64, 0xDD, 0x25, 0, 0, 6, 0]),
        ("FXSAVE", &[0x64, 0x0F, 0xAE, 0x05, 0, 0, 6, 0]),
        ("FXRSTOR", &[0x64, 0x0F, 0xAE, 0x0D, 0, 0, 6, 0]),
        ("LOCK FLD", &[0xF0, 0x64, 0xD9, 0x05, 0, 0, 6, 0]),
    ] {
        for switched in [false, true] {
            for pending in [false, true] {
                for (cause, set) in &CAUSES[3..6] {
                    suite.add(3, format!("{name}, TS {switched}, pending {pending}, {cause}"), |s| {
                        s.m.cpu.cr4 |= 0x200;
                        if switched {
                            s.m.cpu.cr0 |= 8;
                        }
                        if pending {
                            s.m.cpu.fpu.control = 0x37E;
                            s.m.cpu.fpu.status = 0x8081;
                        }
                        s.bytes(code);
                        set(s);
                    });
                }
            }
        }
    }
}

/// External interrupts against traps and breakpoints.
fn events(suite: &mut Suite) {
    for ring in [0u8, 3] {
        for (name, set) in [CAUSES[0], CAUSES[2], CAUSES[7]] {
            suite.add(ring, format!("an external interrupt and {name}"), |s| {
                s.m.cpu.interrupt = Some(0x40);
                s.code(|a| a.mov(eax, 5));
                set(s);
            });
        }
    }
}
