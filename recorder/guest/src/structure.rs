//! The macros that declare guest structures and enumerations.

/// One row of a structure's layout, for dumps and differences.
#[derive(Clone, Copy, Debug)]
pub struct FieldInfo {
    /// The field's name in code: `cross_thread_flags`.
    pub name: &'static str,
    /// The name that NT gives it, where that is not the one in code in NT's spelling: `ApcListHead[0]`.
    pub nt: Option<&'static str>,
    /// Its offset in bytes.
    pub offset: u32,
    /// Its size in bytes.
    pub size: u32,
    /// The fields of a structure held in place; empty for a value.
    pub inner: &'static [FieldInfo],
    /// The names of its values, where it holds an enumeration.
    pub names: &'static [(u32, &'static str)],
}

/// Checks a layout at compile time: rows are (offset, size, alignment).
///
/// # Panics
/// When fields overlap, are out of order or misaligned, or run past `size`: the declaration does not
/// compile then.
pub const fn check(fields: &[(u32, u32, u32)], size: u32) {
    let mut end = 0;
    let mut i = 0;
    while i < fields.len() {
        let (offset, len, align) = fields[i];
        assert!(offset >= end, "fields overlap or are out of order");
        assert!(offset.is_multiple_of(align), "field is misaligned");
        end = offset + len;
        i += 1;
    }
    assert!(end <= size, "fields run past the structure's size");
}

/// Declares a guest structure.
///
/// `offset name: Type,` is a value; `offset name: in Type,` a structure held in place;
/// `offset name: over Type,` a value that shares its bytes with others (a union), which is not
/// checked for order and overlap. `offset name as "Type": …,` gives a field the name that people know it by,
/// where that cannot be told from `name` or is none in Rust. Offsets and the size in brackets are in bytes.
/// A structure that is `packed` keeps its offsets as they are, whatever the alignment of its fields.
#[macro_export]
macro_rules! guest_struct {
    ($(#[$meta:meta])* $vis:vis packed struct $name:ident [$size:literal] { $($body:tt)* }) => {
        $crate::guest_struct! { @handle [$(#[$meta])*] $vis $name $size }
        $crate::guest_fields! { $name $size 1 [] [] $($body)* }
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident [$size:literal] { $($body:tt)* }) => {
        $crate::guest_struct! { @handle [$(#[$meta])*] $vis $name $size }
        $crate::guest_fields! { $name $size 4 [] [] $($body)* }
    };
    (@handle [$(#[$meta:meta])*] $vis:vis $name:ident $size:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name(pub $crate::Va);

        impl $crate::Pointer for $name {
            const EXTENT: u32 = $size;
            const NAME: &'static str = stringify!($name);
            fn at(va: $crate::Va) -> Self { $name(va) }
            fn va(self) -> $crate::Va { self.0 }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "@{:?}"), self.0)
            }
        }
        // A handle stands for its address wherever a pointer is stored.
        impl $crate::Scalar for $name {
            const SIZE: u32 = 4;
            #[inline]
            fn decode(raw: &[u8]) -> Self { $name(<$crate::Va as $crate::Scalar>::decode(raw)) }
            fn encode(self, raw: &mut [u8]) { $crate::Scalar::encode(self.0, raw) }
        }
        impl $crate::Layout for $name {
            const SIZE: u32 = 4;
            const ALIGN: u32 = 4;
        }
    };
}

/// The fields of [`guest_struct!`], taken one by one.
#[doc(hidden)]
#[macro_export]
macro_rules! guest_fields {
    ($name:ident $size:literal $align:literal [$($done:tt)*] [$($over:tt)*]
     $(#[$m:meta])* $offset:literal $field:ident $(as $nt:literal)? : in $ty:ty, $($rest:tt)*) => {
        impl $name {
            $(#[$m])*
            #[doc = concat!("`", stringify!($field), "` at offset ", stringify!($offset), ", in place.")]
            pub fn $field(self) -> $ty { <$ty as $crate::Pointer>::at(self.0.add($offset)) }
        }
        $crate::guest_fields! { $name $size $align
            [$($done)* ($field [$($nt)?], $offset, <$ty as $crate::Pointer>::EXTENT, $align, <$ty>::FIELDS, &[])] [$($over)*] $($rest)* }
    };
    ($name:ident $size:literal $align:literal [$($done:tt)*] [$($over:tt)*]
     $(#[$m:meta])* $offset:literal $field:ident $(as $nt:literal)? : over $ty:ty, $($rest:tt)*) => {
        impl $name {
            $(#[$m])*
            #[doc = concat!("`", stringify!($field), "` at offset ", stringify!($offset), ", in a union.")]
            pub fn $field(self) -> $crate::Slot<$ty> { $crate::Slot::new(self.0.add($offset)) }
        }
        $crate::guest_fields! { $name $size $align [$($done)*]
            [$($over)* ($field [$($nt)?], $offset, <$ty as $crate::Layout>::SIZE)] $($rest)* }
    };
    ($name:ident $size:literal $align:literal [$($done:tt)*] [$($over:tt)*]
     $(#[$m:meta])* $offset:literal $field:ident $(as $nt:literal)? : $ty:ty, $($rest:tt)*) => {
        impl $name {
            $(#[$m])*
            #[doc = concat!("`", stringify!($field), "` at offset ", stringify!($offset), ".")]
            pub fn $field(self) -> $crate::Slot<$ty> { $crate::Slot::new(self.0.add($offset)) }
        }
        $crate::guest_fields! { $name $size $align
            [$($done)* ($field [$($nt)?], $offset, <$ty as $crate::Layout>::SIZE,
                if $align < <$ty as $crate::Layout>::ALIGN { $align } else { <$ty as $crate::Layout>::ALIGN }, &[],
                <$ty as $crate::Layout>::NAMES)]
            [$($over)*] $($rest)* }
    };
    ($name:ident $size:literal $align:literal
     [$(($field:ident [$($nt:literal)?], $offset:expr, $len:expr, $falign:expr, $inner:expr, $names:expr))*]
     [$(($ofield:ident [$($ont:literal)?], $ooffset:expr, $olen:expr))*]) => {
        impl $name {
            /// The fields by name, offset and size; those that share bytes come last.
            pub const FIELDS: &'static [$crate::FieldInfo] = &[
                $($crate::FieldInfo { name: stringify!($field), nt: $crate::nt_name!($($nt)?), offset: $offset, size: $len, inner: $inner, names: $names },)*
                $($crate::FieldInfo { name: stringify!($ofield), nt: $crate::nt_name!($($ont)?), offset: $ooffset, size: $olen, inner: &[], names: &[] },)*
            ];
        }
        const _: () = $crate::check(&[$(($offset, $len, $falign)),*], $size);
        $(const _: () = assert!($ooffset + $olen <= $size, "a field in a union runs past the structure's size");)*
    };
}

/// The name that a field of [`guest_struct!`] was given behind `as`.
#[doc(hidden)]
#[macro_export]
macro_rules! nt_name {
    () => {
        None
    };
    ($nt:literal) => {
        Some($nt)
    };
}

/// Declares a guest enumeration of a given width. A value that has no name survives as `Unknown`:
/// guest memory may hold anything.
#[macro_export]
macro_rules! guest_enum {
    ($(#[$m:meta])* $vis:vis enum $name:ident: $repr:ty { $($(#[$vm:meta])* $variant:ident = $value:literal),* $(,)? }) => {
        $(#[$m])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        $vis enum $name {
            $($(#[$vm])* #[doc = concat!(stringify!($value), ".")] $variant,)*
            /// A value without a name.
            Unknown($repr),
        }
        impl $crate::Scalar for $name {
            const SIZE: u32 = size_of::<$repr>() as u32;
            fn decode(raw: &[u8]) -> Self {
                match <$repr as $crate::Scalar>::decode(raw) {
                    $($value => $name::$variant,)*
                    other => $name::Unknown(other),
                }
            }
            fn encode(self, raw: &mut [u8]) {
                let value: $repr = match self {
                    $($name::$variant => $value,)*
                    $name::Unknown(value) => value,
                };
                $crate::Scalar::encode(value, raw)
            }
        }
        impl $crate::Layout for $name {
            const SIZE: u32 = size_of::<$repr>() as u32;
            const ALIGN: u32 = size_of::<$repr>() as u32;
            const NAMES: &'static [(u32, &'static str)] = &[$(($value as u32, stringify!($variant))),*];
        }
    };
}
