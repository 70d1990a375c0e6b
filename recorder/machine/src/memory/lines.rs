//! Which lines of memory were written, for whoever follows a memory as it runs.
//!
//! A line is 64 bytes of a page. Every write marks where it begins, always: that is cheaper than asking
//! whether anybody wants to know. Marks count only between a memory and the one that
//! [catches up](Memory::catch_up) with it, which both remember. What they promise is one thing: where
//! the two differ, the line or the one before is marked in one of them, or all lines of the page count
//! as marked. So a line that is marked may be the same, and neither copies of pages nor marks that could
//! not be taken away, because somebody shares the page, do any harm.

use super::{Arc, BLANK, GROUP, Group, Leaf, Memory, Page, page_of, same};
use crate::PAGE;

/// The marks of so many bytes that are written from an offset in a page on. Most are few: then it is the
/// line of the first one, and whether another line is touched is not asked.
#[inline(always)]
pub(super) fn marks(start: usize, len: usize) -> u64 {
    let first = 1 << (start / Apart::LINE % 64);
    if len <= Apart::LINE {
        return first;
    }
    let last = 1 << ((start + len - 1) / Apart::LINE % 64);
    last | (last - first)
}

/// The lines that may have been written where these marks are.
fn marked(marks: u64) -> u64 {
    marks | marks << 1
}

/// A page that two memories do not share.
#[derive(Clone, Copy, Debug)]
pub struct Apart<'m> {
    /// Its frame.
    pub frame: u32,
    /// The lines in which it may differ: bit n stands for the n-th [`Apart::LINE`] bytes.
    pub lines: u64,
    /// What the newer memory holds.
    pub new: &'m Page,
    /// What the older memory holds.
    pub old: &'m Page,
}

impl Apart<'_> {
    /// Bytes of a line.
    pub const LINE: usize = PAGE as usize / 64;
    /// All lines of a page.
    pub const ALL: u64 = u64::MAX;
}

impl Memory {
    /// The pages that this memory does not share with an older one, in ascending order of their frames.
    /// Their contents may be the same. Of a memory that has [caught up](Memory::catch_up) with this one it
    /// is known which lines were written since; of any other not.
    pub fn apart<'m>(&'m self, older: &'m Memory) -> impl Iterator<Item = Apart<'m>> {
        let paired = self.follows(older);
        let groups = self.groups.iter().zip(&older.groups).enumerate();
        let apart = groups.filter(|(_, (new, old))| !same(new.as_ref(), old.as_ref()));
        apart.flat_map(move |(index, (new, old))| {
            (0..GROUP).filter_map(move |slot| {
                let (new, old) = (page_of(new, slot), page_of(old, slot));
                if same(new, old) {
                    return None;
                }
                let leaf = |page: Option<&'m Arc<Leaf>>| page.map_or(&BLANK, |leaf| &**leaf);
                let (new, old) = (leaf(new), leaf(old));
                let lines = if paired { marked(new.marks | old.marks) } else { Apart::ALL };
                let frame = (index * GROUP + slot) as u32;
                (lines != 0).then_some(Apart { frame, lines, new: &new.bytes, old: &old.bytes })
            })
        })
    }

    /// Makes this memory hold what a newer one holds. Done again and again while that one runs, it costs
    /// what is written there between; meanwhile [`Memory::apart`] tells the lines that were.
    pub fn catch_up(&mut self, newer: &mut Memory) {
        if newer.follows(self) {
            let frames: Vec<u32> = newer.apart(self).map(|page| page.frame).collect();
            self.catch_up_on(newer, &frames);
        } else {
            newer.forget_writes();
            *self = newer.clone();
            newer.pair = Some(Arc::new(()));
            self.pair.clone_from(&newer.pair);
        }
    }

    /// As [`Memory::catch_up`], for whoever knows the frames that [`Memory::apart`] gives.
    pub fn catch_up_on(&mut self, newer: &mut Memory, frames: &[u32]) {
        if !newer.follows(self) {
            return self.catch_up(newer);
        }
        self.cache = self.cache.clone();
        for &frame in frames {
            let (index, slot) = (frame as usize / GROUP, frame as usize % GROUP);
            let (Some(mine), Some(theirs)) = (self.groups.get_mut(index), newer.groups.get_mut(index)) else {
                continue;
            };
            match theirs {
                Some(theirs) => catch_up(Arc::make_mut(mine.get_or_insert_default()), theirs, slot),
                None => *mine = None,
            }
        }
        debug_assert!(self == newer, "a line was written without a mark");
    }

    /// Forgets which lines were written up to now, on pages that nobody shares: whoever follows a copy of
    /// this memory has less to look at then.
    pub fn forget_writes(&mut self) {
        self.pair = None;
        for group in self.groups.iter_mut().flatten() {
            (0..GROUP).for_each(|slot| forget(group, slot));
        }
    }

    /// Whether an older memory has caught up with this one, and neither was put back since.
    fn follows(&self, older: &Memory) -> bool {
        self.pair.is_some() && same(self.pair.as_ref(), older.pair.as_ref())
    }
}

/// Does so for one page.
fn catch_up(mine: &mut Group, theirs: &mut Arc<Group>, slot: usize) {
    let Some(new) = &theirs.0[slot] else {
        mine.0[slot] = None;
        return;
    };
    let old = mine.0[slot].as_ref();
    if same(Some(new), old) {
        return;
    }
    let lines = marked(new.marks | old.map_or(0, |old| old.marks));
    match mine.0[slot].as_mut().and_then(Arc::get_mut) {
        Some(own) => {
            copy(&mut own.bytes, &new.bytes, lines);
            own.marks = 0;
            forget(theirs, slot);
        }
        // It is copied when it is written again, if it ever is.
        None => {
            forget(theirs, slot);
            mine.0[slot].clone_from(&theirs.0[slot]);
        }
    }
}

fn copy(to: &mut Page, from: &Page, mut lines: u64) {
    let (to, from) = (to.as_chunks_mut::<{ Apart::LINE }>().0, from.as_chunks::<{ Apart::LINE }>().0);
    while lines != 0 {
        let line = lines.trailing_zeros() as usize;
        to[line] = from[line];
        lines &= lines - 1;
    }
}

/// Takes away the marks of a page that nobody shares.
fn forget(group: &mut Arc<Group>, slot: usize) {
    let page = Arc::get_mut(group).and_then(|group| group.0[slot].as_mut());
    if let Some(leaf) = page.and_then(Arc::get_mut) {
        leaf.marks = 0;
    }
}
