//! Access masks: the generic mappings of processes and threads (reactos.md 2.14, 4.8).
//!
//! No access that a handle grants is ever looked at (11.2 step 6); what is mapped here is only carried
//! along, into duplicates with the same access.

use crate::layout::Type;

const GENERIC_ALL: u32 = 0x1000_0000;
const GENERIC_EXECUTE: u32 = 0x2000_0000;
const GENERIC_WRITE: u32 = 0x4000_0000;
const GENERIC_READ: u32 = 0x8000_0000;
/// STANDARD_RIGHTS_READ, _WRITE and _EXECUTE: READ_CONTROL, all three.
const STANDARD: u32 = 0x2_0000;
const SYNCHRONIZE: u32 = 0x10_0000;

/// What the generic rights of a type stand for: read, write, execute, all.
fn mapping(kind: Type) -> Option<[u32; 4]> {
    Some(match kind {
        // QUERY_INFORMATION | VM_READ; all of what changes a process; SYNCHRONIZE.
        Type::Process => [STANDARD | 0x410, STANDARD | 0xBEB, STANDARD | SYNCHRONIZE, 0x1F_0FFF],
        // GET_CONTEXT | QUERY_INFORMATION; all of what changes a thread; SYNCHRONIZE.
        Type::Thread => [STANDARD | 0x48, STANDARD | 0x37, STANDARD | SYNCHRONIZE, 0x1F_03FF],
        _ => return None,
    })
}

/// The access of a new handle: DesiredAccess with its generic bits replaced. The sheet has mappings for
/// processes and threads only; other types keep the bits.
pub(crate) fn map_generic(kind: Type, desired: u32) -> u32 {
    let Some(mapped) = mapping(kind) else { return desired };
    let bits = [GENERIC_READ, GENERIC_WRITE, GENERIC_EXECUTE, GENERIC_ALL];
    let mut access = desired & !(GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE | GENERIC_ALL);
    for (bit, rights) in bits.into_iter().zip(mapped) {
        if desired & bit != 0 {
            access |= rights;
        }
    }
    access
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generic_rights_are_replaced_by_the_types_own() {
        for (kind, desired, granted) in [
            (Type::Thread, GENERIC_READ, 0x2_0048),
            (Type::Thread, GENERIC_WRITE | 0x100, 0x2_0137),
            (Type::Thread, GENERIC_EXECUTE, 0x12_0000),
            (Type::Thread, GENERIC_ALL, 0x1F_03FF),
            (Type::Process, GENERIC_READ, 0x2_0410),
            // CREATE_PROCESS, CREATE_THREAD, VM_OPERATION, VM_WRITE, DUP_HANDLE, TERMINATE, SET_QUOTA,
            // SET_INFORMATION, SET_PORT.
            (Type::Process, GENERIC_WRITE, 0x2_0BEB),
            (Type::Process, 0x1F_0FFF, 0x1F_0FFF),
            (Type::Event, GENERIC_READ, GENERIC_READ),
        ] {
            assert_eq!(map_generic(kind, desired), granted, "{kind:?} {desired:08X}");
        }
    }
}
