//! Two machines of one kernel, compared by the names of fields: `worker ETHREAD.Tcb.State 5 -> 4`.
//!
//! Only structures that live in both machines are compared; what a kernel keeps beside them, and its
//! stacks, are told by traces and stack walks.

use contract::{Kernel, Named, ObjectId};
use guest::FieldInfo;
use machine::{Machine, Va};

/// The fields that differ, one a line: of what, which field, its value here and there.
pub fn differing(kernel: &dyn Kernel, named: &[Named], here: &Machine, there: &Machine) -> Vec<String> {
    let also = kernel.structures(there);
    let both = kernel.structures(here).into_iter().filter(|structure| also.contains(structure));
    let mut lines = Vec::new();
    for (id, layout) in both {
        let Some(info) = kernel.image().layouts.iter().find(|info| info.name == layout) else { continue };
        for (path, offset, size) in leaves(info.fields) {
            let at = id.at.add(offset);
            let (old, new) = (value(here, at, size), value(there, at, size));
            if old != new {
                let subject = subject(named, id, layout);
                lines.push(format!("{subject}.{path} {} -> {}", shown(old), shown(new)));
            }
        }
    }
    lines
}

fn subject(named: &[Named], id: ObjectId, layout: &str) -> String {
    match named.iter().find(|named| named.id == id) {
        Some(named) => format!("{} {layout}", named.name),
        None => format!("{} {layout}", id.at),
    }
}

/// The fields that hold values, with their path, offset and size.
fn leaves(fields: &[FieldInfo]) -> Vec<(String, u32, u32)> {
    let mut found = Vec::new();
    for field in fields {
        if field.inner.is_empty() {
            found.push((field.name.to_owned(), field.offset, field.size));
        } else {
            let inner = leaves(field.inner).into_iter();
            let inside =
                |(path, offset, size)| (format!("{}.{path}", field.name), field.offset + offset, size);
            found.extend(inner.map(inside));
        }
    }
    found
}

fn value(m: &Machine, at: Va, size: u32) -> Option<Vec<u8>> {
    let mut bytes = vec![0; size as usize];
    m.peek(m.cpu.cr3, at, &mut bytes).ok()?;
    Some(bytes)
}

/// Up to eight bytes as a number, its digits as many as it has; more as bytes.
fn shown(value: Option<Vec<u8>>) -> String {
    let hex = |bytes: &mut dyn Iterator<Item = &u8>| bytes.map(|byte| format!("{byte:02X}")).collect();
    match value {
        None => "not mapped".to_owned(),
        Some(bytes) if bytes.len() <= 8 => hex(&mut bytes.iter().rev()),
        Some(bytes) => hex(&mut bytes.iter()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[FieldInfo] = &[
        FieldInfo { name: "kind", offset: 0, size: 1, inner: &[], names: &[] },
        FieldInfo { name: "signal_state", offset: 4, size: 4, inner: &[], names: &[] },
    ];
    const THREAD: &[FieldInfo] = &[
        FieldInfo { name: "header", offset: 0x10, size: 8, inner: HEADER, names: &[] },
        FieldInfo { name: "state", offset: 0x20, size: 1, inner: &[], names: &[] },
    ];

    #[test]
    fn fields_held_in_place_have_a_path() {
        let expected = [("header.kind", 0x10, 1), ("header.signal_state", 0x14, 4), ("state", 0x20, 1)];
        assert_eq!(leaves(THREAD), expected.map(|(path, offset, size)| (path.to_owned(), offset, size)));
    }

    #[test]
    fn values_are_numbers_with_all_their_digits() {
        assert_eq!(shown(Some(vec![0x34, 0x12, 0, 0])), "00001234");
        assert_eq!(shown(Some(vec![5])), "05");
        assert_eq!(shown(None), "not mapped");
    }
}
