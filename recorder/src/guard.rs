//! What a kernel gives up on, caught.
//!
//! A kernel expects of a machine what holds of each that it made itself: that its KPCR is mapped, that the
//! current thread is there. A recording's file can hold any machine, and so can one that was made by another
//! version of the kernel: whoever lets a kernel run such a machine, or look at it, does so in here.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, Location, PanicHookInfo};
use std::sync::Once;

thread_local! {
    /// How many calls of [`caught`] this thread is in, and where the last panic in one of them was.
    static WITHIN: RefCell<(usize, String)> = const { RefCell::new((0, String::new())) };
}

/// Does something that may panic. Nothing is written to the standard error then: the text says what was
/// expected, and where in the source. What the panic left half done must not be used again.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !noted(info) {
                others(info);
            }
        }));
    });
    WITHIN.with_borrow_mut(|(depth, _)| *depth += 1);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    let place = WITHIN.with_borrow_mut(|(depth, place)| {
        *depth -= 1;
        std::mem::take(place)
    });
    done.map_err(|payload| format!("{} ({place})", said(payload.as_ref())))
}

/// Notes where a panic was, if this thread is to be caught.
fn noted(info: &PanicHookInfo) -> bool {
    WITHIN.with_borrow_mut(|(depth, place)| {
        if *depth > 0 {
            *place = info.location().map(Location::to_string).unwrap_or_default();
        }
        *depth > 0
    })
}

fn said(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("it does not say why")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_is_told_with_its_place_in_the_source() {
        assert_eq!(caught(|| 7), Ok(7));
        let why = caught(|| caught(|| "none".parse::<u32>().expect("a KPCR")).unwrap_err()).unwrap();
        assert!(why.starts_with("a KPCR: ") && why.contains("guard.rs:"), "{why}");
        let why = caught(|| assert_eq!(why.len(), 0, "of {}", 2)).unwrap_err();
        assert!(why.contains("of 2"), "{why}");
    }
}
