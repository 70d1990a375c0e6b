//! How deep a native routine lies: from how many others on its thread's stacks it was called.

use contract::ObjectId;
use machine::{Machine, Reg};

/// The stack pointers at which the native routines that are at work were entered.
#[derive(Default)]
pub(super) struct Nesting {
    threads: Vec<(ObjectId, Stacks)>,
    /// The index of the one that was met last.
    last: usize,
}

/// A thread's: in ring 3, and in ring 0, where it came from ring 3.
#[derive(Default)]
struct Stacks {
    user: Vec<u32>,
    kernel: Vec<u32>,
}

/// A routine that is at work.
#[derive(Clone, Copy)]
pub(super) struct Entered {
    /// Its thread's index.
    thread: usize,
    user: bool,
    /// Where the stack pointer was at its entry: at its return address.
    pub(super) esp: u32,
    /// How many are below it.
    pub(super) depth: u16,
}

impl Nesting {
    fn index(&mut self, thread: ObjectId) -> usize {
        let is = |(known, _): &(ObjectId, Stacks)| *known == thread;
        if !self.threads.get(self.last).is_some_and(is) {
            self.last = self.threads.iter().position(is).unwrap_or_else(|| {
                self.threads.push((thread, Stacks::default()));
                self.threads.len() - 1
            });
        }
        self.last
    }

    /// The machine stands at a stage of a routine, in a thread.
    pub(super) fn enter(&mut self, m: &Machine, thread: ObjectId, stage: u8) -> Entered {
        let user = m.cpu.cpl() == 3;
        // Where ESP was at the routine's entry; at a later stage it is found above the saved EBP.
        let esp = if stage == 0 { m.cpu.esp() } else { m.cpu.reg(Reg::Ebp).wrapping_add(4) };
        let thread = self.index(thread);
        let stacks = &mut self.threads[thread].1;
        let outer = if user { 0 } else { stacks.user.len() };
        if user {
            // Whoever is in ring 3 has left ring 0.
            stacks.kernel.clear();
        }
        let stack = if user { &mut stacks.user } else { &mut stacks.kernel };
        // Stacks grow down: who was entered at or below this is not at work any more.
        unwind(stack, esp);
        let depth = (outer + stack.len()).min(usize::from(u16::MAX)) as u16;
        stack.push(esp);
        Entered { thread, user, esp, depth }
    }

    /// The routine has returned, or given up its frame.
    pub(super) fn leave(&mut self, entered: Entered) {
        let stacks = &mut self.threads[entered.thread].1;
        let stack = if entered.user { &mut stacks.user } else { &mut stacks.kernel };
        unwind(stack, entered.esp);
    }
}

/// Takes off what lies at or below `esp`. Whoever is put on lies below all others, so that they are the
/// last ones.
fn unwind(stack: &mut Vec<u32>, esp: u32) {
    while stack.pop_if(|entered| *entered <= esp).is_some() {}
}
