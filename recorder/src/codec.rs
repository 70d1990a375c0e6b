//! The only file that names bincode.
