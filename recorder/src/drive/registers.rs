//! Where the registers that a case can give or see lie in a CONTEXT, by their names in a case.

use contract::context::Context;
use guest::Slot;

type Named = (&'static str, Slot<u32>);

/// The integer registers.
pub(super) fn integer(at: Context) -> [Named; 6] {
    [
        ("eax", at.eax()),
        ("ebx", at.ebx()),
        ("ecx", at.ecx()),
        ("edx", at.edx()),
        ("esi", at.esi()),
        ("edi", at.edi()),
    ]
}

/// The debug registers.
pub(super) fn debug(at: Context) -> [Named; 6] {
    [
        ("dr0", at.dr0()),
        ("dr1", at.dr1()),
        ("dr2", at.dr2()),
        ("dr3", at.dr3()),
        ("dr6", at.dr6()),
        ("dr7", at.dr7()),
    ]
}

/// Every register but those of the floating-point groups.
pub(super) fn all(at: Context) -> impl Iterator<Item = Named> {
    let control = [("eflags", at.e_flags()), ("eip", at.eip()), ("esp", at.esp()), ("ebp", at.ebp())];
    let segments = [
        ("segcs", at.seg_cs()),
        ("segds", at.seg_ds()),
        ("seges", at.seg_es()),
        ("segfs", at.seg_fs()),
        ("seggs", at.seg_gs()),
        ("segss", at.seg_ss()),
    ];
    control.into_iter().chain(integer(at)).chain(segments).chain(debug(at))
}
