//! Numbers as bytes, most of them one, and bytes that are taken one after the other.

/// The first byte of a number that has two bytes behind it.
const SHORT: u8 = 254;
/// The first byte of a number that has eight bytes behind it.
const LONG: u8 = 255;

/// Appends a number that is mostly small.
#[inline]
pub(super) fn put(number: u64, out: &mut Vec<u8>) {
    if number < SHORT.into() { out.push(number as u8) } else { put_large(number, out) }
}

#[cold]
fn put_large(number: u64, out: &mut Vec<u8>) {
    match u16::try_from(number) {
        Ok(number) => {
            out.push(SHORT);
            out.extend(number.to_le_bytes());
        }
        Err(_) => {
            out.push(LONG);
            out.extend(number.to_le_bytes());
        }
    }
}

/// Bytes that are taken one after the other.
pub(super) struct Told<'b> {
    bytes: &'b [u8],
    /// What they are, for the message when they end early.
    what: &'static str,
}

impl<'b> Told<'b> {
    pub(super) fn new(bytes: &'b [u8], what: &'static str) -> Told<'b> {
        Told { bytes, what }
    }

    /// Whether all have been taken.
    pub(super) fn is_over(&self) -> bool {
        self.bytes.is_empty()
    }

    /// As many bytes.
    pub(super) fn slice(&mut self, length: usize) -> Result<&'b [u8], String> {
        let (bytes, rest) = self.bytes.split_at_checked(length).ok_or_else(|| self.short())?;
        self.bytes = rest;
        Ok(bytes)
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (bytes, rest) = self.bytes.split_first_chunk().ok_or_else(|| self.short())?;
        self.bytes = rest;
        Ok(*bytes)
    }

    fn short(&self) -> String {
        format!("{} ends too early", self.what)
    }

    pub(super) fn byte(&mut self) -> Result<u8, String> {
        self.bytes().map(|[byte]| byte)
    }

    pub(super) fn word(&mut self) -> Result<u32, String> {
        self.bytes().map(u32::from_le_bytes)
    }

    /// What [`put`] appended, in the one way in which it does.
    pub(super) fn number(&mut self) -> Result<u64, String> {
        let (number, least) = match self.byte()? {
            SHORT => (u16::from_le_bytes(self.bytes()?).into(), SHORT.into()),
            LONG => (u64::from_le_bytes(self.bytes()?), 0x1_0000),
            small => return Ok(small.into()),
        };
        if number < least {
            Err(format!("a number is longer than it has to be: {number}"))
        } else {
            Ok(number)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_lengths_come_back_and_no_other_bytes_do() {
        for (number, length) in
            [(0, 1), (253, 1), (254, 3), (255, 3), (0xFFFF, 3), (0x1_0000, 9), (u64::MAX, 9)]
        {
            let mut bytes = Vec::new();
            put(number, &mut bytes);
            assert_eq!(bytes.len(), length, "{number}");
            let mut told = Told::new(&bytes, "it");
            assert_eq!((told.number(), told.is_over()), (Ok(number), true));
            let early = Told::new(&bytes[..length - 1], "it").number();
            assert_eq!(early, Err("it ends too early".to_owned()), "{number}");
        }
        for bytes in [&[SHORT, 253, 0][..], &[LONG, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0]] {
            let longer = Told::new(bytes, "it").number().unwrap_err();
            assert!(longer.starts_with("a number is longer than it has to be"), "{longer}");
        }
    }
}
