//! OBJECT_ATTRIBUTES, as ObCreateObject and the services that open by name take them from their caller.
//!
//! nt52.md says of the services that create something which parameters are probed first and gives
//! ObCreateObject as a step with a status of its own (3.1 step 5, 4.2 step 3), but not where the
//! OBJECT_ATTRIBUTES are read. It is taken to be there: the service's own probes come first, then the
//! handles that the sheet's tables put before the object, then the pointer, and only then is memory taken
//! for the object. 12.3 says outright that the services that open probe it.
//!
//! The Length is not checked and a name is not followed: the sheet has neither.

use crate::error::Res;
use crate::mm::access::{probe, read};
use guest::Va;
use machine::Machine;

/// Bytes in OBJECT_ATTRIBUTES, its alignment, and ObjectName and Attributes in it.
const SIZE: u32 = 0x18;
const ALIGN: u32 = 4;
const OBJECT_NAME: u32 = 8;
const ATTRIBUTES: u32 = 12;

/// What of an OBJECT_ATTRIBUTES means something here.
pub(crate) struct ObjectAttributes {
    /// Pointer to the UNICODE_STRING, 0 for none.
    pub(crate) name: u32,
    pub(crate) attributes: u32,
}

/// Probes and captures the OBJECT_ATTRIBUTES of a service that cannot do without them: a pointer that is
/// not a multiple of 4 is STATUS_DATATYPE_MISALIGNMENT; one of the kernel's, or one that leads nowhere, NULL
/// among them, is STATUS_ACCESS_VIOLATION.
pub(crate) fn capture_attributes(m: &mut Machine, at: u32) -> Res<ObjectAttributes> {
    let at = Va(at);
    probe(m, at, SIZE, ALIGN)?;
    // The first and the last doubleword too: the structure may lie across two pages.
    for offset in [0, SIZE - 4] {
        read::<u32>(m, at.add(offset))?;
    }
    Ok(ObjectAttributes { name: read(m, at.add(OBJECT_NAME))?, attributes: read(m, at.add(ATTRIBUTES))? })
}

/// The same for a service that creates an object, where NULL stands for no name and no attributes.
pub(crate) fn check_attributes(m: &mut Machine, at: u32) -> Res<()> {
    if at == 0 { Ok(()) } else { capture_attributes(m, at).map(|_| ()) }
}
