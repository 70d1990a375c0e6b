//! The values that a slot can hold, and how they lie in memory.

use crate::Va;

/// A value that fits one slot: an integer, an address, an enumeration, a pointer.
pub trait Scalar: Copy {
    /// Bytes in guest memory, at most 32.
    const SIZE: u32;
    /// The value of `SIZE` little-endian bytes.
    fn decode(raw: &[u8]) -> Self;
    /// Writes the value as `SIZE` little-endian bytes.
    fn encode(self, raw: &mut [u8]);
}

/// Anything with a size and an alignment in guest memory.
pub trait Layout {
    /// Bytes.
    const SIZE: u32;
    /// Bytes; offsets in a structure are multiples of it.
    const ALIGN: u32;
    /// The names of its values, where it is an enumeration.
    const NAMES: &'static [(u32, &'static str)] = &[];
}

/// A pointer to a structure: a handle made of nothing but its address.
pub trait Pointer: Copy {
    /// The structure's size in bytes.
    const EXTENT: u32;
    /// The structure's name.
    const NAME: &'static str;
    /// The handle for the structure at `va`.
    fn at(va: Va) -> Self;
    /// The structure's address.
    fn va(self) -> Va;
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl Scalar for $t {
            const SIZE: u32 = size_of::<$t>() as u32;
            #[inline]
            fn decode(raw: &[u8]) -> Self {
                let mut bytes = [0; size_of::<$t>()];
                bytes.copy_from_slice(raw);
                <$t>::from_le_bytes(bytes)
            }
            fn encode(self, raw: &mut [u8]) {
                raw.copy_from_slice(&self.to_le_bytes())
            }
        }
        impl Layout for $t {
            const SIZE: u32 = size_of::<$t>() as u32;
            // NT packs 64-bit fields on four bytes in several structures of these kernels.
            const ALIGN: u32 = if size_of::<$t>() > 4 { 4 } else { size_of::<$t>() as u32 };
        }
    )*};
}
integers!(u8, u16, u32, u64, i8, i16, i32, i64);

impl Scalar for Va {
    const SIZE: u32 = 4;
    #[inline]
    fn decode(raw: &[u8]) -> Self {
        Va(u32::decode(raw))
    }
    fn encode(self, raw: &mut [u8]) {
        self.0.encode(raw)
    }
}
impl Layout for Va {
    const SIZE: u32 = 4;
    const ALIGN: u32 = 4;
}

impl<const N: usize> Scalar for [u8; N] {
    const SIZE: u32 = N as u32;
    fn decode(raw: &[u8]) -> Self {
        let mut bytes = [0; N];
        bytes.copy_from_slice(raw);
        bytes
    }
    fn encode(self, raw: &mut [u8]) {
        raw.copy_from_slice(&self)
    }
}
impl<const N: usize> Layout for [u8; N] {
    const SIZE: u32 = N as u32;
    const ALIGN: u32 = 1;
}

/// A guest pointer that may be null.
impl<P: Pointer> Scalar for Option<P> {
    const SIZE: u32 = 4;
    fn decode(raw: &[u8]) -> Self {
        match u32::decode(raw) {
            0 => None,
            va => Some(P::at(Va(va))),
        }
    }
    fn encode(self, raw: &mut [u8]) {
        self.map_or(0, |p| p.va().0).encode(raw)
    }
}
impl<P: Pointer> Layout for Option<P> {
    const SIZE: u32 = 4;
    const ALIGN: u32 = 4;
}
