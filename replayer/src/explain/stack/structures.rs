//! The structures that lie on a stack: those that the kernel says lie there, and the CONTEXTs of APCs.

use super::Reader;
use contract::{Resume, context};
use machine::Va;
use machine::registers::flags;
use std::ops::Range;

/// How far behind the entry of KiUserApcDispatcher, or behind a return to it, a pointer to the CONTEXT lies
/// at most.
const POINTER_WITHIN: u32 = 0x30;

/// A structure on a stack.
pub(super) struct Placed {
    /// Where it begins.
    pub(super) at: u32,
    /// Bytes of it that are there: the end of a frame may not be.
    pub(super) size: u32,
    /// The NT name of its layout.
    pub(super) layout: &'static str,
}

impl Reader<'_> {
    /// Those that the kernel knows of.
    pub(super) fn known(&self) -> Vec<Placed> {
        let kernel = self.names.kernel();
        let known = if self.ring == 0 { kernel.frames(self.m, self.thread) } else { Vec::new() };
        let placed = |(Va(at), layout)| {
            let whole = kernel.image().layouts.iter().find(|info| info.name == layout)?.size;
            // Of who was interrupted in ring 0 the processor pushes no ESP and SS: there its own stack goes on.
            let size = self.interrupted(at, layout).map_or(whole, |interrupted| interrupted.esp - at);
            Some(Placed { at, size, layout })
        };
        known.into_iter().filter_map(placed).collect()
    }

    /// Where a trap frame that was made in ring 0 leads back to.
    pub(super) fn interrupted(&self, at: u32, layout: &str) -> Option<Resume> {
        let fields = self.names.fields(layout).filter(|_| layout == "KTRAP_FRAME")?;
        let eip = fields.iter().find(|field| field.path == "Eip")?;
        let pushed = |index: u32| self.word(at + eip.offset + 4 * index);
        let [eip_then, cs, eflags] = [pushed(0)?, pushed(1)?, pushed(2)?];
        let in_ring_0 = cs & 3 == 0 && eflags & flags::VM == 0;
        let esp = at + eip.offset + 12;
        in_ring_0.then_some(Resume { eip: eip_then, esp, ebp: self.word(at)?, user: false })
    }

    /// The CONTEXTs that lie behind returns to KiUserApcDispatcher, or that it has just been given: several
    /// where one APC came while another was at work.
    pub(super) fn contexts(&self, stack: Range<u32>) -> Vec<Placed> {
        if self.ring != 3 {
            return Vec::new();
        }
        let inside = |value: u32| {
            recorder::symbol(self.names.kernel(), Va(value))
                .is_some_and(|symbol| symbol.starts_with("KiUserApcDispatcher"))
        };
        let resume = self.thread.user.or(self.thread.resume.filter(|resume| resume.user));
        let entered = resume.is_some_and(|resume| inside(resume.eip)).then_some(stack.start);
        let returns = stack.clone().step_by(4).filter(|at| self.word(*at).is_some_and(inside));
        let placed = |at: u32| {
            // In line behind the routine and its three arguments; or where a pointer shortly before leads.
            let is_one = |at: u32| self.word(at).is_some_and(|flags| flags & context::I386 != 0);
            let leads = |slot: u32| {
                self.word(slot).filter(|to| (4..=8).contains(&to.wrapping_sub(slot)) && is_one(*to))
            };
            let at = (at..at.saturating_add(POINTER_WITHIN))
                .step_by(4)
                .find_map(leads)
                .unwrap_or(at.saturating_add(0x10));
            let whole = is_one(at) && at + context::SIZE <= stack.end;
            whole.then_some(Placed { at, size: context::SIZE, layout: "CONTEXT" })
        };
        entered.into_iter().chain(returns).filter_map(placed).collect()
    }
}
