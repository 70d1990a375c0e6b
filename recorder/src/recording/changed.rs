//! What changed in memory, as bytes: pages in ascending order of their frames, of each the changed bytes
//! in runs.
//!
//! Of a page: how many frames lie between it and the one before, how many runs follow its first, and the
//! runs. Of a run: how many bytes lie between it and the one before, but for the one that must; how many
//! follow its first; and its bytes. So there is little that could be told and not be.

use super::told::{Told, put};
use machine::{Apart, Memory, PAGE, Pa};

/// Equal bytes between two changed ones that are cheaper written down than left out.
pub(super) const GAP: usize = 4;
/// The same where the other memory is empty: zeroes that are written down pack well, and keep what lies
/// around them in its place.
pub(super) const EMPTY_GAP: usize = 256;

/// Changed bytes of a page: the first one's offset, and what lies behind the last one.
type Run = (u16, u16);

/// What changed, and where it is put together. Whoever writes many keeps one.
#[derive(Default)]
pub(super) struct Changed {
    /// How many pages.
    pub(super) pages: u32,
    pub(super) bytes: Vec<u8>,
    /// The frames of all pages that were looked at.
    pub(super) looked_at: Vec<u32>,
    /// The frame behind the last one.
    next: u32,
    runs: Vec<Run>,
}

impl Changed {
    /// Begins anew.
    pub(super) fn clear(&mut self) {
        (self.pages, self.next) = (0, 0);
        self.bytes.clear();
        self.looked_at.clear();
    }

    /// Adds a page that lies behind the last one, if anything changed in it.
    pub(super) fn add(&mut self, page: &Apart, gap: usize) {
        self.looked_at.push(page.frame);
        self.runs.clear();
        runs(page, gap, &mut self.runs);
        debug_assert_eq!(self.runs, whole(page, gap), "page frame {}", page.frame);
        let Some(others) = self.runs.len().checked_sub(1) else { return };
        let out = &mut self.bytes;
        put((page.frame - self.next).into(), out);
        put(others as u64, out);
        let mut free = 0;
        for &(start, end) in &self.runs {
            put((start - free).into(), out);
            put((end - start - 1).into(), out);
            out.extend_from_slice(&page.new[usize::from(start)..usize::from(end)]);
            free = end + 1;
        }
        self.pages += 1;
        self.next = page.frame + 1;
    }
}

/// Writes into a memory what changed in so many of its pages; the text says what is wrong.
pub(super) fn apply(pages: u32, bytes: &[u8], memory: &mut Memory) -> Result<(), String> {
    let mut told = Told::new(bytes, "what changed in memory");
    let mut next = 0u64;
    for _ in 0..pages {
        let frame = next.saturating_add(told.number()?);
        if frame >= memory.pages().into() {
            return Err(format!("page frame {frame} of {}", memory.pages()));
        }
        next = frame + 1;
        let mut free = 0u64;
        for _ in 0..=told.number()? {
            let start = free.saturating_add(told.number()?);
            let end = start.saturating_add(told.number()?).saturating_add(1);
            if end > PAGE.into() {
                return Err(format!("page frame {frame}: bytes {start} to {end}"));
            }
            free = end + 1;
            memory.write(Pa(frame as u32 * PAGE + start as u32), told.slice((end - start) as usize)?);
        }
    }
    if told.is_over() { Ok(()) } else { Err(format!("more than {pages} changed pages")) }
}

/// What [`runs`] gives for a page of which nothing is known.
fn whole(page: &Apart, gap: usize) -> Vec<Run> {
    let mut all = Vec::new();
    runs(&Apart { lines: Apart::ALL, ..*page }, gap, &mut all);
    all
}

/// Appends the bytes of a page that differ, in runs.
fn runs(page: &Apart, gap: usize, runs: &mut Vec<Run>) {
    const LINE: usize = Apart::LINE;
    let mut lines = page.lines;
    if lines == Apart::ALL {
        // Most of a page is as it was: what is large is compared with one call, what is small without any.
        const LARGE: usize = 512;
        let large = page.new.as_chunks::<LARGE>().0.iter().zip(page.old.as_chunks::<LARGE>().0).enumerate();
        let within = |(block, (new, old))| if new == old { 0 } else { 0xFFu64 << (block * LARGE / LINE) };
        lines = large.fold(0, |lines, block| lines | within(block));
    }
    let (new, old) = (page.new.as_chunks::<LINE>().0, page.old.as_chunks::<LINE>().0);
    while lines != 0 {
        let line = lines.trailing_zeros() as usize;
        lines &= lines - 1;
        // Most of those that may have been written were not.
        if new[line] == old[line] {
            continue;
        }
        let mut bytes = differing(&new[line], &old[line]);
        while bytes != 0 {
            let first = bytes.trailing_zeros();
            let length = (!(bytes >> first)).trailing_zeros();
            // The carry goes through all of the run.
            bytes &= bytes.wrapping_add(1 << first);
            let start = line * LINE + first as usize;
            let end = (start + length as usize) as u16;
            match runs.last_mut() {
                Some((_, last)) if start - usize::from(*last) <= gap => *last = end,
                _ => runs.push((start as u16, end)),
            }
        }
    }
}

/// The bytes of a line that differ: bit n stands for the n-th.
fn differing(new: &[u8; Apart::LINE], old: &[u8; Apart::LINE]) -> u64 {
    /// All bits of each byte but its highest.
    const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    let words = new.as_chunks::<8>().0.iter().zip(old.as_chunks::<8>().0).enumerate();
    words.fold(0, |bytes, (index, (new, old))| {
        let differing = u64::from_le_bytes(*new) ^ u64::from_le_bytes(*old);
        // The highest bit of each byte that is not zero, gathered in the highest byte.
        let highest = (((differing & LOW) + LOW) | differing) & !LOW;
        bytes | (highest >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56 << (index * 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::Page;
    use proptest::prelude::*;

    /// What changed in a page, a byte after the other.
    fn plain(new: &Page, old: &Page, gap: usize) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for at in (0..new.len() as u16).filter(|at| new[usize::from(*at)] != old[usize::from(*at)]) {
            match runs.last_mut() {
                Some(run) if usize::from(at - run.1) <= gap => run.1 = at + 1,
                _ => runs.push((at, at + 1)),
            }
        }
        runs
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn lines_that_were_written_give_the_runs_of_the_whole(
            writes in prop::collection::vec((0u32..3 * PAGE, 1usize..90, any::<u8>()), 0..40),
            places in 0u32..PAGE,
        ) {
            let mut new = Memory::new(3);
            let mut old = Memory::new(3);
            old.catch_up(&mut new);
            for (at, length, byte) in writes {
                // Near each other in one case, all over the page in another.
                let at = Pa(at & (places | 0x7F | !(PAGE - 1)));
                new.write(at, &vec![byte; length.min((PAGE - at.offset()) as usize)]);
            }
            for gap in [GAP, EMPTY_GAP] {
                let mut changed = Changed::default();
                for page in new.apart(&old) {
                    let mut found = Vec::new();
                    runs(&page, gap, &mut found);
                    let expected = plain(page.new, page.old, gap);
                    prop_assert_eq!(&found, &expected);
                    prop_assert_eq!(whole(&page, gap), expected);
                    changed.add(&page, gap);
                }
                let mut again = old.clone();
                prop_assert_eq!(apply(changed.pages, &changed.bytes, &mut again), Ok(()));
                prop_assert!(again == new);
            }
        }

        /// There is one way to write what changed.
        #[test]
        fn bytes_that_are_read_are_those_that_are_written(
            pages in 0u32..4,
            bytes in prop::collection::vec(prop_oneof![3 => Just(0), 4 => 0..9u8, 1 => any::<u8>()], 0..80),
        ) {
            // What no run holds.
            const OTHER: u8 = 0xEE;
            prop_assume!(!bytes.contains(&OTHER));
            let mut old = Memory::new(3);
            (0..3).for_each(|frame| old.write(Pa(frame * PAGE), &[OTHER; PAGE as usize]));
            let mut new = old.clone();
            // As much of them as there is of so many pages.
            let is_read = |length: &usize| apply(pages, &bytes[..*length], &mut old.clone()).is_ok();
            if let Some(length) = (0..=bytes.len()).find(is_read) {
                prop_assert_eq!(apply(pages, &bytes[..length], &mut new), Ok(()));
                let mut changed = Changed::default();
                new.apart(&old).for_each(|page| changed.add(&page, 0));
                prop_assert_eq!((changed.pages, &changed.bytes[..]), (pages, &bytes[..length]));
            }
        }
    }

    #[test]
    fn what_cannot_have_changed_is_refused() {
        let refused = |pages: u32, bytes: &[u8]| apply(pages, bytes, &mut Memory::new(3)).unwrap_err();
        assert_eq!(apply(0, &[], &mut Memory::new(0)), Ok(()));
        assert_eq!(apply(2, &[0, 0, 5, 1, 7, 7, 1, 0, 0, 0, 7], &mut Memory::new(3)), Ok(()));
        let early = "what changed in memory ends too early";
        assert_eq!(refused(1, &[]), early);
        assert_eq!(refused(1, &[0, 0, 5, 1, 7]), early);
        assert_eq!(refused(2, &[0, 0, 5, 0, 7]), early);
        assert_eq!(refused(1, &[0, 0, 5, 0, 7, 0]), "more than 1 changed pages");
        assert_eq!(refused(1, &[3]), "page frame 3 of 3");
        assert_eq!(refused(2, &[2, 0, 5, 0, 7, 0]), "page frame 3 of 3");
        let far = [&[255][..], &[0xFF; 8]].concat();
        assert_eq!(refused(1, &far), format!("page frame {} of 3", u64::MAX));
        assert_eq!(
            refused(2, &[&[2, 0, 5, 0, 7][..], &far].concat()),
            format!("page frame {} of 3", u64::MAX)
        );
        let beyond = [1, 0, 254, 0xFF, 0x0F, 1, 7, 7];
        assert_eq!(refused(1, &beyond), "page frame 1: bytes 4095 to 4097");
        let second = [1, 1, 254, 0xFE, 0x0F, 0, 7, 0, 0, 7];
        assert_eq!(refused(1, &second), "page frame 1: bytes 4096 to 4097");
        let end = format!("page frame 1: bytes 2 to {}", u64::MAX);
        assert_eq!(refused(1, &[&[1, 0, 2][..], &far].concat()), end);
        let start = format!("page frame 1: bytes {0} to {0}", u64::MAX);
        assert_eq!(refused(1, &[&[1, 0][..], &far, &[0]].concat()), start);
        // However many runs are told, what there is of them ends.
        assert_eq!(refused(1, &[&[1][..], &far, &[0, 0, 7]].concat()), early);
    }
}
