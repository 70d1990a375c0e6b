//! Typed handles to structures in guest memory.
//!
//! A structure is declared once with [`guest_struct!`] and is then a handle that holds nothing but an
//! address. Each field is a method that gives a [`Slot`]; reading or writing a slot is one guest
//! access with one possible [`Fault`]. The same declaration gives the field table for dumps and
//! named differences, and is checked at compile time for overlap, order, alignment and size.
//!
//! What is here decides nothing: each kernel declares its own layouts.

mod access;
mod list;
mod scalar;
mod structure;

pub use access::{Peek, Read, Slot, Survey, Write};
pub use list::{Broken, LIST_MAX, ListEntry, walk};
pub use machine::{Fault, Va};
pub use scalar::{Layout, Pointer, Scalar};
pub use structure::{FieldInfo, check};
