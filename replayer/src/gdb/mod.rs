//! `tandem gdb`: the debugger gdb on a recorded run, forwards and backwards.

mod registers;
pub mod timeline;
