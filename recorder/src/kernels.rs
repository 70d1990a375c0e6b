//! The kernels that exist, by name.

use contract::Kernel;

/// The names by which users choose a kernel, in the order of DESIGN.md's table.
pub const NAMES: [&str; 4] = ["nt", "reactos", "reactos-r13089", "reactos-msvc6"];

/// The names by which users choose a kernel.
pub fn names() -> &'static [&'static str] {
    &NAMES
}

/// The kernel of that name.
pub fn by_name(name: &str) -> Option<&'static dyn Kernel> {
    let _ = name;
    None
}
