//! Far JMP and CALL to code: every type, privilege and presence, from every ring.

use super::Suite;
use crate::bochs::scene::{SUPERVISOR_DATA, TSS, USER_DATA, code_at, descriptor, selector};
use machine::Reg;

/// JMP or CALL ptr16:32.
pub(super) fn direct(call: bool, selector: u16, offset: u32) -> Vec<u8> {
    let mut code = vec![if call { 0x9A } else { 0xEA }];
    code.extend(offset.to_le_bytes());
    code.extend(selector.to_le_bytes());
    code
}

pub(super) fn fill(suite: &mut Suite) {
    for access in 0..=255u8 {
        for ring in 0..4u8 {
            for rpl in 0..4u16 {
                let call = (u16::from(access) + u16::from(ring) + rpl) % 2 == 0;
                // Gates have a family of their own.
                if access & 0x17 == 0x04 {
                    continue;
                }
                let verb = if call { "CALL" } else { "JMP" };
                suite.add(ring, format!("{verb} access {access:02X}, RPL {rpl}"), |s| {
                    s.set_descriptor(selector::FREE, descriptor(0, 0xF_FFFF, access, 0xC));
                    s.bytes(&direct(call, selector::FREE | rpl, code_at(ring) + 0x40));
                    s.write(code_at(ring) + 0x40, &[0x0F, 0x01, 0xC1]);
                });
            }
        }
    }
    for ring in 0..4u8 {
        for call in [false, true] {
            let verb = if call { "CALL" } else { "JMP" };
            for value in [0u16, 3, 0xFFF8, 0x100, 0x107] {
                suite.add(ring, format!("{verb} selector {value:04X}"), |s| {
                    s.bytes(&direct(call, value, code_at(ring)));
                });
            }
            suite.add(ring, format!("{verb} beyond the limit"), |s| {
                let access = 0x9B | ring << 5;
                s.set_descriptor(selector::FREE, descriptor(0, 0x60, access, 0xC));
                s.bytes(&direct(call, selector::FREE | u16::from(ring), 0x6_1000));
            });
            suite.add(ring, format!("{verb} beyond the limit of a segment that is not accessed"), |s| {
                let access = 0x9A | ring << 5;
                s.set_descriptor(selector::FREE, descriptor(0, 0x60, access, 0xC));
                s.bytes(&direct(call, selector::FREE | u16::from(ring), 0x6_1000));
            });
            suite.add(ring, format!("{verb} into 16-bit code"), |s| {
                let access = 0x9A | ring << 5;
                s.set_descriptor(selector::FREE, descriptor(code_at(ring), 0xFFFF, access, 0));
                s.bytes(&direct(call, selector::FREE | u16::from(ring), 0x40));
                s.write(code_at(ring) + 0x40, &[0x50, 0xB8, 1, 0, 0x0F, 0x01, 0xC1]);
            });
            suite.add(ring, format!("{verb} m16:32 and o16"), |s| {
                let at = if ring == 3 { USER_DATA } else { SUPERVISOR_DATA };
                let access = 0x9A | ring << 5;
                s.set_descriptor(selector::FREE, descriptor(code_at(ring), 0xFFFF, access, 4));
                let pointer = u32::from(selector::FREE | u16::from(ring)) << 16 | 0x40;
                s.write_u32(at, pointer);
                s.write(code_at(ring) + 0x40, &[0x0F, 0x01, 0xC1]);
                let mut code = vec![0x66, 0xFF, if call { 0x1D } else { 0x2D }];
                code.extend(at.to_le_bytes());
                s.bytes(&code);
            });
            suite.add(ring, format!("{verb} to a task"), |s| {
                s.set_descriptor(selector::FREE, descriptor(TSS, 0x67, 0xE9, 0));
                s.bytes(&direct(call, selector::FREE, 0));
            });
        }
        for (name, esp) in [("half a page", 0x6_0004u32), ("no page", 0x6_0000)] {
            suite.add(ring, format!("CALL with {name} of stack"), |s| {
                s.page(0x5_F000, 1, 0).reg(Reg::Esp, esp);
                s.bytes(&direct(true, selector::code(ring), code_at(ring)));
            });
        }
    }
}
