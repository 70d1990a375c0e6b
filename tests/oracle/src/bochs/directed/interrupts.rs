//! Interrupt and trap gates: the gate's own checks, the handler's segment and stack, and the frames, for
//! INT n, exceptions and external interrupts.

use super::Suite;
use crate::bochs::scene::{HANDLERS, IDT, Scene, TSS, descriptor, gate, selector, stack_of};
use machine::Reg;

const TARGET: u16 = selector::FREE;
const ENTRY: u32 = HANDLERS + 0x300;

/// What goes through a gate.
#[derive(Clone, Copy)]
enum Cause {
    Int,
    External,
    /// #UD, which has no error code.
    Undefined,
    /// #GP(0), which has one.
    General,
}

const CAUSES: [(Cause, &str); 4] =
    [(Cause::Int, "INT"), (Cause::External, "external"), (Cause::Undefined, "#UD"), (Cause::General, "#GP")];

impl Cause {
    fn vector(self) -> u8 {
        match self {
            Cause::Int | Cause::External => 0x30,
            Cause::Undefined => 6,
            Cause::General => 13,
        }
    }

    fn code(self, s: &mut Scene) {
        match self {
            Cause::Int => s.bytes(&[0xCD, 0x30]),
            Cause::External => {
                s.m.cpu.interrupt = Some(0x30);
                s.bytes(&[0x90])
            }
            Cause::Undefined => s.bytes(&[0x0F, 0x0B]),
            // A read through a null segment.
            Cause::General => {
                s.m.cpu.segments[4] = machine::Segment::default();
                s.bytes(&[0x64, 0xA1, 0, 0, 0, 0])
            }
        };
    }
}

pub(super) fn fill(suite: &mut Suite) {
    gates(suite);
    handlers(suite);
    stacks(suite);
    software(suite);
}

/// Every access byte of a gate.
fn gates(suite: &mut Suite) {
    for access in 0..=255u8 {
        for ring in 0..4u8 {
            for (cause, name) in CAUSES {
                // A general protection fault while one is delivered: the family of double faults.
                if matches!(cause, Cause::General) && access % 3 != 0 {
                    continue;
                }
                suite.add(ring, format!("{name} through a gate of access {access:02X}"), |s| {
                    let wide = access & 8 != 0;
                    if !wide {
                        s.set_descriptor(TARGET, descriptor(ENTRY & !0xFFFF, 0xFFFF, 0x9B, 4));
                    }
                    let (to, offset) =
                        if wide { (selector::code(0), ENTRY) } else { (TARGET, ENTRY & 0xFFFF) };
                    s.set_gate(cause.vector(), gate(to, offset, access, 0));
                    cause.code(s);
                });
            }
        }
    }
}

/// The handler's segment: every access byte, null, beyond the table; and its offset.
fn handlers(suite: &mut Suite) {
    for access in 0..=255u8 {
        for ring in 0..4u8 {
            let (cause, name) = CAUSES[usize::from(access ^ ring) % 3];
            suite.add(ring, format!("{name} to a handler of access {access:02X}"), |s| {
                s.set_descriptor(TARGET, descriptor(0, 0xF_FFFF, access, 0xC));
                s.set_gate(cause.vector(), gate(TARGET | 3, ENTRY, 0xEE, 0));
                cause.code(s);
            });
        }
    }
    for (cause, name) in CAUSES {
        for ring in 0..4u8 {
            for value in [0u16, 3, 4, 0xFFF8, 0x100, 0x107] {
                suite.add(ring, format!("{name} to a handler in {value:04X}"), |s| {
                    s.set_gate(cause.vector(), gate(value, ENTRY, 0xEF, 0));
                    cause.code(s);
                });
            }
            for inner in [0, ring] {
                suite.add(ring, format!("{name} beyond the limit in ring {inner}"), |s| {
                    s.set_descriptor(TARGET, descriptor(0, 0x10, 0x9A | inner << 5, 0xC));
                    s.set_gate(cause.vector(), gate(TARGET, ENTRY, 0xEF, 0));
                    cause.code(s);
                });
            }
            for limit in [0x17Fu16, 0x180, 0x186, 0x187, 0x2F, 0x36, 0x37, 0x67, 0x6E, 0x6F] {
                suite.add(ring, format!("{name}, the table ends at {limit:X}"), |s| {
                    s.m.cpu.idtr.limit = limit;
                    cause.code(s);
                });
            }
            suite.add(ring, format!("{name}, the table's page is not present"), |s| {
                s.page(IDT, 1, 0);
                cause.code(s);
            });
            for flags in [0x246u32, 0x3E47, 0x4202, 0x24_0ED7] {
                for access in [0xEEu8, 0xEF] {
                    suite.add(ring, format!("{name}, flags {flags:X}, gate {access:X}"), |s| {
                        s.set_gate(cause.vector(), gate(selector::code(0), ENTRY, access, 0));
                        s.m.cpu.eflags = flags;
                        cause.code(s);
                    });
                }
            }
        }
    }
}

/// The inner ring's stack: each check of it.
fn stacks(suite: &mut Suite) {
    for (cause, name) in CAUSES {
        for (ring, inner) in [(3u8, 0u8), (3, 1), (3, 2), (2, 1), (1, 0)] {
            let place = TSS + 4 + 8 * u32::from(inner);
            let mut add = |what: &str, set: &dyn Fn(&mut Scene)| {
                suite.add(ring, format!("{name}, the stack of ring {inner}: {what}"), |s| {
                    s.set_gate(cause.vector(), gate(selector::code(inner), ENTRY, 0xEE, 0));
                    cause.code(s);
                    set(s);
                });
            };
            super::stacks::selectors(inner, TARGET, &mut add);
            for room in [0u32, 4, 8, 12, 16, 19, 20, 24, 28] {
                add(&format!("{room} bytes above an expand-down limit"), &|s| {
                    let limit = stack_of(inner) - 0x800 - room - 1;
                    s.set_descriptor(TARGET, descriptor(0, limit, 0x97 | inner << 5, 0x4));
                    s.write_u32(place + 4, u32::from(TARGET | u16::from(inner)));
                });
                add(&format!("{room} bytes of present page"), &|s| {
                    s.page(0x3_E000, 1, 0).write_u32(place, 0x3_F000 + room);
                });
            }
            for limit in [0u32, 3, 7, 8, 0xB, 0xC, 0x13, 0x14, 0x1B, 0x1C] {
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
            add("a 16-bit gate", &|s| {
                s.set_descriptor(TARGET + 8, descriptor(ENTRY & !0xFFFF, 0xFFFF, 0x9B | inner << 5, 4));
                s.set_gate(cause.vector(), gate(TARGET + 8, ENTRY & 0xFFFF, 0xE6, 0));
            });
        }
        for ring in 0..4u8 {
            for room in [0u32, 4, 8, 12, 15, 16, 20] {
                suite.add(ring, format!("{name} in the same ring, {room} bytes of stack"), |s| {
                    s.set_gate(cause.vector(), gate(selector::code(ring), ENTRY, 0xEE, 0));
                    s.page(0x6_2000, 1, 0).reg(Reg::Esp, 0x6_3000 + room);
                    cause.code(s);
                });
                suite.add(ring, format!("{name} in the same ring, {room} bytes above the limit"), |s| {
                    s.set_gate(cause.vector(), gate(selector::code(ring), ENTRY, 0xEE, 0));
                    s.set_descriptor(TARGET, descriptor(0, stack_of(ring) - room - 1, 0x97 | ring << 5, 4));
                    s.m.cpu.segments[2] = s.segment(TARGET | u16::from(ring));
                    cause.code(s);
                });
            }
        }
    }
}

/// INT3, INTO, INT1, BOUND and INT n: who may use which gate, and where the frame points.
fn software(suite: &mut Suite) {
    for ring in 0..4u8 {
        for dpl in 0..4u8 {
            for (name, vector, code) in [
                ("INT3", 3u8, &[0xCCu8][..]),
                ("INT 3", 3, &[0xCD, 3]),
                ("INTO", 4, &[0xCE]),
                ("INT1", 1, &[0xF1]),
                ("INT 1", 1, &[0xCD, 1]),
                ("INT 0D", 0xD, &[0xCD, 0xD]),
                ("INT 0E", 0xE, &[0xCD, 0xE]),
                ("INT 08", 8, &[0xCD, 8]),
                ("INT FF", 0xFF, &[0xCD, 0xFF]),
                ("BOUND", 5, &[0x62, 0x05, 0, 0, 6, 0]),
                ("DIV", 0, &[0xF7, 0xF1]),
            ] {
                suite.add(ring, format!("{name}, gate DPL {dpl}"), |s| {
                    s.set_gate(vector, gate(selector::code(0), ENTRY, 0x8E | dpl << 5, 0));
                    s.m.cpu.eflags |= 0x800;
                    s.reg(Reg::Ecx, 0).bytes(code);
                });
            }
        }
        suite.add(ring, "INTO without overflow", |s| {
            s.bytes(&[0xCE]);
        });
    }
}
