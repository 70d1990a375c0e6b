//! The stack of an inner ring, whichever gate leads there.

use crate::bochs::scene::{Scene, TSS, descriptor, selector};

/// Adds a test: its name, and what is special in its scene.
type Add<'a> = dyn FnMut(&str, &dyn Fn(&mut Scene)) + 'a;

/// Each check of the selector that the task has for it, and of the descriptor `target`.
pub(super) fn selectors(inner: u8, target: u16, add: &mut Add) {
    let place = TSS + 8 + 8 * u32::from(inner);
    add("good", &|_| {});
    for value in [0u16, 3, 0xFFF8, 0x100, 0x107] {
        add(&format!("selector {value:04X}"), &|s| {
            s.write_u32(place, value.into());
        });
    }
    for rpl in 0..4u16 {
        add(&format!("RPL {rpl}"), &|s| {
            s.write_u32(place, u32::from(selector::data(inner) & !3 | rpl));
        });
    }
    for access in (0..=255u8).filter(|access| access & 0x60 == inner << 5 || access & 0x1F == 0x13) {
        add(&format!("access {access:02X}"), &|s| {
            s.set_descriptor(target, descriptor(0, 0xF_FFFF, access, 0xC));
            s.write_u32(place, u32::from(target | u16::from(inner)));
        });
    }
}
