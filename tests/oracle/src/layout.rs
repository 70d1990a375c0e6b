//! Where things lie while an instruction is judged: the same linear addresses and the same
//! descriptors in the process on the real processor and on the machine.

/// The page with the instruction: readable and executable. The page behind it is not mapped.
pub const CODE: u32 = 0x1000_0000;
/// What the code page holds where no instruction was put: NOP.
pub const NOTHING: u8 = 0x90;
/// Two pages of data, readable and writable; the pages around them are not mapped.
pub const DATA: u32 = 0x1001_0000;
/// Bytes of data.
pub const DATA_SIZE: u32 = 0x2000;
/// A page of data that may only be read.
pub const CONSTANT: u32 = 0x1001_3000;
/// Bytes of constant data.
pub const CONSTANT_SIZE: u32 = 0x1000;
/// Where the process on the real processor has the frames of its signals. No access is judged there.
pub const SIGNALS: u32 = 0x5A00_0000;
/// Bytes of them.
pub const SIGNALS_SIZE: u32 = 0x4000;
/// Whether the process on the real processor has the frames of its signals there: an access is not judged,
/// and a stack pointer leaves no room for the frame that tells of a fault.
pub const fn in_signals(at: u32) -> bool {
    at.wrapping_sub(SIGNALS) < SIGNALS_SIZE
}
/// From here up no access is judged: the machine keeps its own tables there.
pub const SYSTEM: u32 = 0xFFC0_0000;

/// Linux's flat code segment for 32-bit programs.
pub const FLAT_CODE: u16 = 0x23;
/// Linux's flat data segment.
pub const FLAT_DATA: u16 = 0x2B;

/// A descriptor of the LDT, in the terms of Linux's `user_desc`.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Linear address of offset 0.
    pub base: u32,
    /// The limit's 20 bits.
    pub limit: u32,
    /// Data, expand-down data, code, conforming code.
    pub contents: u8,
    /// D or B.
    pub wide: bool,
    /// Data: not writable. Code: not readable.
    pub locked: bool,
    /// The limit counts pages.
    pub pages: bool,
    /// The present bit.
    pub present: bool,
}

/// What [`Entry::contents`] says.
pub const UP: u8 = 0;
/// Expand-down data.
pub const DOWN: u8 = 1;
/// Code that is not conforming.
pub const EXECUTABLE: u8 = 2;
/// Conforming code.
pub const CONFORMING: u8 = 3;

impl Entry {
    const fn new(base: u32, limit: u32, contents: u8, wide: bool) -> Entry {
        Entry { base, limit, contents, wide, locked: false, pages: false, present: true }
    }
    const fn locked(self) -> Entry {
        Entry { locked: true, ..self }
    }
    const fn pages(self) -> Entry {
        Entry { pages: true, ..self }
    }
    const fn absent(self) -> Entry {
        Entry { present: false, ..self }
    }
    /// Whether it is a code segment.
    pub const fn is_code(&self) -> bool {
        self.contents >= EXECUTABLE
    }
    /// The highest offset that is valid (below which none is, if it expands down).
    pub const fn last(&self) -> u32 {
        if self.pages { self.limit << 12 | 0xFFF } else { self.limit }
    }
    /// The descriptor's eight bytes, DPL 3 and accessed, as Linux makes them.
    pub const fn raw(&self) -> u64 {
        let kind = 1
            | if self.locked { 0 } else { 2 }
            | (self.contents as u64) << 2
            | 0x10
            | 0x60
            | if self.present { 0x80 } else { 0 };
        let size = if self.pages { 0x80 } else { 0 } | if self.wide { 0x40 } else { 0 };
        (self.limit & 0xFFFF) as u64
            | (self.base as u64 & 0xFF_FFFF) << 16
            | kind << 40
            | (size | self.limit as u64 >> 16 & 0xF) << 48
            | (self.base as u64 >> 24) << 56
    }
}

/// The LDT, with at least one descriptor of every kind that ring 3 can use. None: an empty descriptor.
pub const LDT: [Option<Entry>; 21] = [
    Some(Entry::new(DATA, 0x1FFF, UP, true)),
    Some(Entry::new(DATA + 0x800, 0xFFF, UP, true)),
    Some(Entry::new(DATA, 0x1FFF, UP, false)),
    Some(Entry::new(DATA, 0x7FF, DOWN, false)),
    Some(Entry::new(DATA, 0xFFF, DOWN, true)),
    Some(Entry::new(CONSTANT, 0xFFF, UP, true).locked()),
    Some(Entry::new(DATA, 0x1FFF, UP, true).absent()),
    Some(Entry::new(CODE, 0xFFF, EXECUTABLE, true)),
    Some(Entry::new(CODE, 0xFFF, EXECUTABLE, true).locked()),
    Some(Entry::new(CODE, 0xFFF, EXECUTABLE, false)),
    Some(Entry::new(0, 0xF_FFFF, EXECUTABLE, true).pages()),
    Some(Entry::new(0, 0xF_FFFF, UP, true).pages()),
    Some(Entry::new(DATA, 0xFFF, DOWN, true).locked()),
    Some(Entry::new(DATA + 0x10, 0, UP, true)),
    Some(Entry::new(CODE, 0xFFF, EXECUTABLE, true).absent()),
    Some(Entry::new(DATA, 0, UP, true).pages()),
    None,
    Some(Entry::new(CODE, 0x83F, EXECUTABLE, false)),
    Some(Entry::new(DATA, 0xF_FFFF, DOWN, true).pages()),
    Some(Entry::new(DATA, 0xFFFF, UP, false)),
    // Linux allows no conforming code that is present.
    Some(Entry::new(CODE, 0xFFF, CONFORMING, true).absent()),
];

/// The selector of an entry of the LDT, with RPL 3.
pub const fn local(index: u16) -> u16 {
    index << 3 | 7
}

/// The entry that a selector names, flat ones included; none where there is nothing to use.
pub fn entry(selector: u16) -> Option<Entry> {
    match selector {
        FLAT_CODE => Some(Entry::new(0, 0xF_FFFF, EXECUTABLE, true).pages()),
        FLAT_DATA => Some(Entry::new(0, 0xF_FFFF, UP, true).pages()),
        _ if selector & 4 != 0 => LDT.get(usize::from(selector >> 3)).copied().flatten(),
        _ => None,
    }
}
