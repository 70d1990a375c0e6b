//! The kernels that exist, by name.

use contract::Kernel;
use nt::Nt;
use reactos::{ReactOs, Variant};
use std::sync::LazyLock;

static NT: LazyLock<Nt> = LazyLock::new(Nt::new);
static REACTOS: LazyLock<ReactOs> = LazyLock::new(|| ReactOs::new(Variant::Article));
static REACTOS_R13089: LazyLock<ReactOs> = LazyLock::new(|| ReactOs::new(Variant::R13089));
static REACTOS_MSVC6: LazyLock<ReactOs> = LazyLock::new(|| ReactOs::new(Variant::Msvc6));

/// The names by which users choose a kernel.
pub fn names() -> &'static [&'static str] {
    &["nt", "reactos", "reactos-r13089", "reactos-msvc6"]
}

/// The kernel of that name.
pub fn by_name(name: &str) -> Option<&'static dyn Kernel> {
    Some(match name {
        "nt" => &*NT,
        "reactos" => &*REACTOS,
        "reactos-r13089" => &*REACTOS_R13089,
        "reactos-msvc6" => &*REACTOS_MSVC6,
        _ => return None,
    })
}
