//! Every pair of a first exception and a second one met while the first is delivered.

use super::Suite;
use crate::bochs::scene::{Scene, TSS, descriptor, gate, selector};
use machine::Reg;

/// First exceptions: the vector, and how it is raised in ring 3.
const FIRST: [(&str, u8, &[u8]); 12] = [
    ("#DE", 0, &[0xF7, 0xF1]),
    ("#BP", 3, &[0xCC]),
    ("#OF", 4, &[0xCE]),
    ("#BR", 5, &[0x62, 0x05, 0, 0, 6, 0]),
    ("#UD", 6, &[0x0F, 0x0B]),
    ("#NM", 7, &[0xD9, 0xE8]),
    ("#NP", 11, &[0x8E, 0xD8]),
    ("#SS", 12, &[0x36, 0xA1, 0, 0, 0, 0]),
    ("#GP", 13, &[0x64, 0xA1, 0, 0, 0, 0]),
    ("#PF", 14, &[0xA1, 0, 0, 0x10, 0]),
    ("#AC", 17, &[0xA1, 1, 0, 6, 0]),
    ("INT", 0x30, &[0xCD, 0x30]),
];

/// Second exceptions: what is wrong with the way to the first one's handler.
const SECOND: [&str; 9] = [
    "good",
    "gate not present",
    "gate of no type",
    "handler null",
    "handler not present",
    "stack not present",
    "stack of wrong RPL",
    "stack page not present",
    "handler page not present",
];

fn spoil(s: &mut Scene, vector: u8, second: usize) {
    let handler = crate::bochs::scene::HANDLERS + 0x800;
    let own = selector::FREE + 16;
    match second {
        1 => s.set_gate(vector, gate(selector::code(0), handler, 0x6E, 0)),
        2 => s.set_gate(vector, gate(selector::code(0), handler, 0xE2, 0)),
        3 => s.set_gate(vector, gate(0, handler, 0xEE, 0)),
        4 => {
            s.set_descriptor(own, descriptor(0, 0xF_FFFF, 0x1B, 0xC));
            s.set_gate(vector, gate(own, handler, 0xEE, 0))
        }
        // These go to ring 1, so that ring 0 is still there for what follows.
        5 => {
            s.set_descriptor(own, descriptor(0, 0xF_FFFF, 0x33, 0xC));
            s.write_u32(TSS + 16, u32::from(own | 1));
            s.set_gate(vector, gate(selector::code(1), handler, 0xEE, 0))
        }
        6 => {
            s.write_u32(TSS + 16, selector::data(2).into());
            s.set_gate(vector, gate(selector::code(1), handler, 0xEE, 0))
        }
        7 => {
            s.write_u32(TSS + 12, 0x10_0000);
            s.set_gate(vector, gate(selector::code(1), handler, 0xEE, 0))
        }
        8 => s.set_gate(vector, gate(selector::code(0), 0x10_1000, 0xEE, 0)),
        _ => s,
    };
}

fn raise(s: &mut Scene, code: &[u8]) {
    s.set_descriptor(selector::FREE, descriptor(0, 0xFFFF, 0x73, 0));
    s.reg(Reg::Eax, u32::from(selector::FREE | 3)).reg(Reg::Ecx, 0);
    s.m.cpu.eflags |= 0x4_0800;
    s.m.cpu.cr0 |= 8 | 0x4_0000;
    s.m.cpu.segments[4] = machine::Segment::default();
    if code.first() == Some(&0x36) {
        // An expand-down stack that begins above the first pages.
        s.set_descriptor(0x80, descriptor(0, 0x1, 0xF7, 0xC));
        s.m.cpu.segments[2] = s.segment(0x83);
    }
    s.bytes(code);
}

pub(super) fn fill(suite: &mut Suite) {
    for (first, vector, code) in FIRST {
        for (second, name) in SECOND.iter().enumerate() {
            suite.add(3, format!("{first}, then {name}"), |s| {
                raise(s, code);
                spoil(s, vector, second);
            });
            // And the handler of what the second one is cannot be reached either.
            // A page that is absent would be absent for ever.
            for (third, other) in SECOND.iter().enumerate().take(8).skip(1) {
                suite.add(3, format!("{first}, then {name}, and vectors 8 to 14 {other}"), |s| {
                    raise(s, code);
                    for vector in 8..15 {
                        spoil(s, vector, third);
                    }
                    spoil(s, vector, second);
                });
                suite.add(3, format!("{first}, then {name}, and vectors 10 to 14 {other}"), |s| {
                    raise(s, code);
                    for vector in 10..15 {
                        spoil(s, vector, third);
                    }
                    spoil(s, vector, second);
                });
            }
        }
        suite.add(0, format!("{first} in ring 0 without a stack"), |s| {
            raise(s, code);
            s.m.cpu.segments[2] = s.segment(selector::data(0));
            s.reg(Reg::Esp, 0x10_0000).page(0xF_F000, 1, 0);
        });
        suite.add(3, format!("{first}, and no table of interrupts"), |s| {
            raise(s, code);
            s.m.cpu.idtr.limit = 0;
        });
    }
    for (second, name) in SECOND.iter().enumerate() {
        suite.add(3, format!("external, then {name}"), |s| {
            s.m.cpu.interrupt = Some(0x40);
            s.bytes(&[0x90]);
            spoil(s, 0x40, second);
        });
    }
    suite.add(3, "a task gate for double faults", |s| {
        s.m.cpu.idtr.limit = 0x47;
        s.set_gate(8, gate(selector::TSS, 0, 0xE5, 0)).set_gate(0, 0);
        s.reg(Reg::Ecx, 0).bytes(&[0xF7, 0xF1]);
    });
}
