//! Pages that no memory has any more, kept to be copied into.
//!
//! Every snapshot copies the pages that are written behind it, and lets go of as many when it is dropped.
//! The system's allocator puts together what it gets back and cuts it up again, which takes longer than
//! the copies themselves.

use crate::memory::{BLANK, Leaf};
use std::cell::RefCell;
use triomphe::Arc;

/// Pages that a thread keeps at most: 4 MiB.
const KEPT: usize = 1024;

thread_local! {
    static SPARE: RefCell<Vec<Arc<Leaf>>> = const { RefCell::new(Vec::new()) };
}

/// A copy of a page and of its marks, which nobody shares.
#[cold]
pub(crate) fn copy(page: &Leaf) -> Arc<Leaf> {
    // A thread that is ending keeps nothing. Zeroes are put straight to where they will lie; a page that
    // is given would go over the stack.
    let kept = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
    let mut copy = kept.unwrap_or_else(|| Arc::new(BLANK));
    if let Some(leaf) = Arc::get_mut(&mut copy) {
        leaf.marks = page.marks;
        leaf.bytes.copy_from_slice(&page.bytes);
    }
    copy
}

/// Lets go of pages. Those that nobody else has are kept.
pub(crate) fn keep(pages: impl Iterator<Item = Arc<Leaf>>) {
    // Whatever is not taken out of `pages` here, whoever calls lets go of.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        for page in pages {
            if page.is_unique() && spare.len() < KEPT {
                spare.push(page);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_page_is_copied_over_whole_and_a_shared_one_is_not_kept() {
        let full = |byte| Leaf { marks: u64::from(byte), bytes: [byte; 4096] };
        let held = |leaf: &Leaf| (leaf.marks, leaf.bytes);
        let (ones, twos) = (copy(&full(1)), copy(&full(2)));
        let place = Arc::as_ptr(&ones);
        let shared = twos.clone();
        keep([ones, twos].into_iter());
        let next = copy(&full(3));
        assert_eq!(Arc::as_ptr(&next), place, "it is kept");
        assert_eq!((held(&next), held(&shared)), ((3, [3; 4096]), (2, [2; 4096])));
        let another = copy(&full(4));
        assert_eq!(
            (held(&shared), held(&another)),
            ((2, [2; 4096]), (4, [4; 4096])),
            "what is shared is left alone"
        );
    }

    #[test]
    fn no_more_are_kept_than_so_many() {
        keep((0..2 * KEPT).map(|_| Arc::new(BLANK)));
        assert_eq!(SPARE.with_borrow(Vec::len), KEPT);
    }
}
