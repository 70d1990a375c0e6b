//! Call gates: the gate's own checks, the target's, the inner stack's, and the parameters.

use super::Suite;
use super::transfers::direct;
use crate::bochs::scene::{HANDLERS, TSS, code_at, descriptor, gate, selector, stack_of};
use machine::Reg;

const GATE: u16 = selector::FREE;
const TARGET: u16 = selector::FREE + 8;
/// What a gate leads to: a VMCALL.
const ENTRY: u32 = HANDLERS + 0x700;

pub(super) fn fill(suite: &mut Suite) {
    // The gate: type, DPL, presence against CPL and RPL.
    for access in 0..=255u8 {
        if access & 0x17 != 0x04 {
            continue;
        }
        for ring in 0..4u8 {
            for rpl in 0..4u16 {
                for call in [false, true] {
                    for target in 0..4u8 {
                        let verb = if call { "CALL" } else { "JMP" };
                        let name = format!("{verb} access {access:02X}, RPL {rpl}, to ring {target}");
                        suite.add(ring, name, |s| {
                            s.set_descriptor(GATE, gate(selector::code(target), ENTRY, access, 0));
                            s.bytes(&direct(call, GATE | rpl, 0));
                        });
                    }
                }
            }
        }
    }
    // The target: every type, privilege and presence.
    for access in 0..=255u8 {
        for ring in [0u8, 1, 3] {
            for call in [false, true] {
                let verb = if call { "CALL" } else { "JMP" };
                suite.add(ring, format!("{verb} to a target of access {access:02X}"), |s| {
                    s.set_descriptor(GATE, gate(TARGET | 2, ENTRY, 0xEC, 0));
                    s.set_descriptor(TARGET, descriptor(0, 0xF_FFFF, access, 0xC));
                    s.bytes(&direct(call, GATE, 0));
                });
            }
        }
    }
    targets(suite);
    stacks(suite);
    parameters(suite);
}

fn targets(suite: &mut Suite) {
    for ring in 0..4u8 {
        for call in [false, true] {
            let verb = if call { "CALL" } else { "JMP" };
            for value in [0u16, 3, 4, 0xFFF8, 0x100] {
                suite.add(ring, format!("{verb} to selector {value:04X}"), |s| {
                    s.set_descriptor(GATE, gate(value, ENTRY, 0xEC, 0)).bytes(&direct(call, GATE, 0));
                });
            }
            for inner in [0u8, ring] {
                suite.add(ring, format!("{verb} beyond the limit in ring {inner}"), |s| {
                    s.set_descriptor(TARGET, descriptor(0, 0x60, 0x9A | inner << 5, 0xC));
                    s.set_descriptor(GATE, gate(TARGET, 0x6_1000, 0xEC, 0)).bytes(&direct(call, GATE, 0));
                });
                suite.add(ring, format!("{verb} through a 16-bit gate to ring {inner}"), |s| {
                    s.set_descriptor(TARGET, descriptor(ENTRY & !0xFFFF, 0xFFFF, 0x9A | inner << 5, 0x4));
                    s.set_descriptor(GATE, gate(TARGET, 0xABCD_0000 | ENTRY & 0xFFFF, 0xE4, 0));
                    s.bytes(&direct(call, GATE, 0));
                });
            }
        }
    }
}

/// The stack of the inner ring: each check of it.
fn stacks(suite: &mut Suite) {
    for (ring, inner) in [(3u8, 0u8), (3, 1), (3, 2), (2, 0), (2, 1), (1, 0)] {
        let place = TSS + 4 + 8 * u32::from(inner);
        let mut add = |name: &str, set: &dyn Fn(&mut crate::bochs::scene::Scene)| {
            suite.add(ring, format!("the stack of ring {inner}: {name}"), |s| {
                s.set_descriptor(GATE, gate(selector::code(inner), ENTRY, 0xEC, 2));
                s.push(&[0x1111, 0x2222]);
                s.bytes(&direct(true, GATE, 0));
                set(s);
            });
        };
        super::stacks::selectors(inner, TARGET, &mut add);
        for room in [0u32, 4, 8, 20, 23, 24, 28] {
            add(&format!("{room} bytes above an expand-down limit"), &|s| {
                let rights = 0x97 | inner << 5;
                let limit = stack_of(inner) - 0x800 - room - 1;
                s.set_descriptor(TARGET, descriptor(0, limit, rights, 0x4));
                s.write_u32(place + 4, u32::from(TARGET | u16::from(inner)));
            });
            add(&format!("{room} bytes of present page"), &|s| {
                s.page(0x3_E000, 1, 0).write_u32(place, 0x3_F000 + room);
            });
            add(&format!("ESP {room}"), &|s| {
                s.write_u32(place, room);
            });
        }
        for limit in [0u32, 3, 7, 8, 0xB, 0xC, 0x10, 0x13, 0x14, 0x18, 0x1B, 0x1C, 0x66] {
            add(&format!("a task that ends at {limit:X}"), &|s| s.m.cpu.tr.limit = limit);
        }
        add("a 16-bit stack", &|s| {
            s.set_descriptor(TARGET, descriptor(0x2_0000, 0xFFFF, 0x93 | inner << 5, 0));
            s.write_u32(place + 4, u32::from(TARGET | u16::from(inner)));
            s.write_u32(place, 0xABCD_1000);
        });
        add("the task's page is not present", &|s| {
            s.page(TSS, 1, 0);
        });
        add("a 16-bit task", &|s| {
            s.m.cpu.tr.attributes = 0x83;
            for ring in 0..3u32 {
                s.write(TSS + 2 + 4 * ring, &0x2000u16.to_le_bytes());
                s.write(TSS + 4 + 4 * ring, &selector::data(ring as u8).to_le_bytes());
            }
            s.page(0x2000, 0, 0);
        });
        add("CS beyond its limit and no room", &|s| {
            s.set_descriptor(TARGET, descriptor(0, 0x60, 0x9A | inner << 5, 0xC));
            s.set_descriptor(GATE, gate(TARGET, 0x6_1000, 0xEC, 2));
            s.write_u32(place, 0x40_0000);
        });
    }
}

fn parameters(suite: &mut Suite) {
    for count in 0..32u8 {
        for wide in [false, true] {
            suite.add(3, format!("{count} parameters, wide {wide}"), |s| {
                let entry = if wide { ENTRY } else { ENTRY & 0xFFFF };
                let base = if wide { 0 } else { ENTRY & !0xFFFF };
                s.set_descriptor(TARGET, descriptor(base, 0xF_FFFF, 0x9B, 0xC));
                s.set_descriptor(GATE, gate(TARGET, entry, if wide { 0xEC } else { 0xE4 }, count | 0xE0));
                let words: Vec<u32> = (1..=40u32).map(|index| index * 0x0101_0101).collect();
                s.push(&words).bytes(&direct(true, GATE, 0));
            });
        }
    }
    suite.add(3, "parameters across a page that is not present", |s| {
        s.set_descriptor(GATE, gate(selector::code(0), ENTRY, 0xEC, 4));
        s.page(0x6_0000, 1, 0).reg(Reg::Esp, 0x5_FFF8).bytes(&direct(true, GATE, 0));
    });
    suite.add(3, "parameters beyond the outer stack's limit", |s| {
        s.set_descriptor(GATE, gate(selector::code(0), ENTRY, 0xEC, 4));
        s.m.cpu.segments[2].limit = 0x5_FFFF;
        s.reg(Reg::Esp, 0x5_FFF8).bytes(&direct(true, GATE, 0));
    });
    suite.add(3, "parameters of a supervisor page, which the call may read", |s| {
        s.set_descriptor(GATE, gate(selector::code(0), ENTRY, 0xEC, 4));
        s.page(0x5_7000, 4, 0).reg(Reg::Esp, 0x5_7100).bytes(&direct(true, GATE, 0));
    });
    for ring in 0..3u8 {
        suite.add(3, format!("and back by RETF from ring {ring}"), |s| {
            s.set_descriptor(GATE, gate(selector::code(ring), 0x1_4000, 0xEC, 3));
            s.write(0x1_4000, &[0xCA, 12, 0]);
            s.push(&[1, 2, 3]).bytes(&direct(true, GATE | 3, 0));
            assert_eq!(s.m.cpu.eip, code_at(3));
        });
    }
}
