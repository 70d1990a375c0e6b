//! The slots of a stack: what each is, and what it holds.

use super::structures::Placed;
use super::{Reader, Slot};
use crate::explain::fields::Field;
use std::collections::BTreeMap;
use std::ops::Range;

impl Reader<'_> {
    /// The slots of a stack. What lies in a structure is its field, whatever else it may be.
    pub(super) fn slots(
        &self,
        structures: &[Placed],
        named: &BTreeMap<u32, String>,
        stack: Range<u32>,
    ) -> Vec<Slot> {
        let laid: Vec<(&Placed, &[Field])> =
            structures.iter().map(|one| (one, self.names.fields(one.layout).unwrap_or_default())).collect();
        let mut slots: Vec<Slot> = Vec::new();
        for at in (stack.start & !3..stack.end).step_by(4) {
            let Some(value) = self.word(at) else { break };
            let name = field(&laid, at).or_else(|| named.get(&at).cloned()).unwrap_or_default();
            let slot = Slot { at, value, count: 1, name, meaning: self.names.meaning(value) };
            match slots.last_mut() {
                Some(last) if repeats(last, &slot) => last.count += 1,
                _ => slots.push(slot),
            }
        }
        slots
    }
}

/// The field of a structure that lies at an address: `KTRAP_FRAME.Eip`, or `KTRAP_FRAME+6A` in the midst of
/// one and where none is declared.
fn field(laid: &[(&Placed, &[Field])], at: u32) -> Option<String> {
    let holds = |(one, _): &&(&Placed, &[Field])| (one.at..one.at + one.size).contains(&at);
    // The end of a frame may not be there: then what lies in its place begins behind the frame.
    let (one, fields) = laid.iter().filter(holds).max_by_key(|(one, _)| one.at)?;
    let offset = at - one.at;
    let inside = |field: &&Field| (field.offset..field.offset + field.size.max(4)).contains(&offset);
    Some(match fields.iter().find(inside) {
        Some(field) if field.offset == offset => format!("{}.{}", one.layout, field.path),
        _ => format!("{}+{offset:X}", one.layout),
    })
}

/// Whether a slot is folded into the one below: both hold the same, which means nothing, and neither has a
/// name of its own.
fn repeats(last: &Slot, slot: &Slot) -> bool {
    let own = |slot: &Slot| !slot.name.is_empty() && !slot.name.contains('+');
    last.value == slot.value
        && slot.meaning.is_none()
        && !own(last)
        && !own(slot)
        && last.name.is_empty() == slot.name.is_empty()
}
