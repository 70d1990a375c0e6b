//! What lies behind a difference: private detail of the kernels, shown and never compared.

use contract::{Kernel, Resume, ThreadStatus};
use machine::{Machine, PAGE, Va};
use recorder::Recording;
use similar::{Algorithm, DiffOp, capture_diff_slices};

/// At most this many rows of a trace are shown.
const ROWS: usize = 80;
/// At most this many frames of a stack are walked.
const FRAMES: usize = 48;
/// User addresses end at 2 GiB.
const USER_END: u32 = 0x8000_0000;
/// A call on the left takes at most this many columns.
const COLUMN: usize = 56;

/// The native routines that each kernel called in an event, side by side. Routines of the same name
/// stand in one row.
pub fn traces(left: &Recording, right: &Recording, event: usize) -> String {
    let (ours, theirs) = (calls(left, event), calls(right, event));
    let name = |(name, _): &(String, String)| name.clone();
    let names = (ours.iter().map(name).collect::<Vec<_>>(), theirs.iter().map(name).collect::<Vec<_>>());
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, &names.0, &names.1) {
        let (old, new) = (op.old_range(), op.new_range());
        let left = |index: usize| ours.get(index).map_or("", |(_, call)| call.as_str());
        let right = |index: usize| theirs.get(index).map_or("", |(_, call)| call.as_str());
        if let DiffOp::Equal { .. } = op {
            rows.extend(old.zip(new).map(|(old, new)| (left(old), right(new))));
        } else {
            rows.extend(old.map(|old| (left(old), "")));
            rows.extend(new.map(|new| ("", right(new))));
        }
    }
    side_by_side((&left.header.kernel, &right.header.kernel), &rows)
}

/// The calls of an event: each routine's name, and its line with its depth and arguments. Where
/// another thread goes on, its name stands in between.
fn calls(recording: &Recording, event: usize) -> Vec<(String, String)> {
    let Some(event) = recording.events.get(event) else { return Vec::new() };
    let mut rows = Vec::new();
    let mut running = None;
    for step in event.trace.iter().filter(|step| step.stage == 0) {
        if running != Some(step.thread) {
            running = Some(step.thread);
            let named = step.thread.and_then(|index| event.named.get(usize::from(index)));
            let head = named.map_or_else(|| "(no name)".to_owned(), |named| format!("({})", named.name));
            rows.push((head.clone(), head));
        }
        let name = recording.routine(step);
        let args: Vec<String> = step.args.iter().map(|arg| format!("{arg:08X}")).collect();
        let depth = usize::from(step.depth).min(12);
        rows.push((name.to_owned(), format!("{:depth$}{name}({})", "", args.join(", "))));
    }
    rows
}

fn side_by_side(heads: (&str, &str), rows: &[(&str, &str)]) -> String {
    let longest = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    let width = longest.max(heads.0.len()).min(COLUMN);
    let mut text = String::new();
    for (left, right) in std::iter::once(&heads).chain(rows.iter().take(ROWS)) {
        let left: String = if left.chars().count() > width {
            left.chars().take(width - 1).chain(['…']).collect()
        } else {
            (*left).to_owned()
        };
        text.push_str(format!("  {left:width$} | {right}").trim_end());
        text.push('\n');
    }
    if rows.len() > ROWS {
        text.push_str(&format!("  … and {} more\n", rows.len() - ROWS));
    }
    text
}

/// An address as a person reads it: by its symbol, or by its digits where there is none.
pub fn symbol(kernel: &dyn Kernel, at: Va) -> String {
    recorder::symbol(kernel, at).unwrap_or_else(|| at.to_string())
}

/// A thread's stack, innermost first: a line for each frame, first those of ring 0.
pub fn stack(kernel: &dyn Kernel, m: &Machine, thread: &ThreadStatus) -> String {
    let Some(resume) = thread.resume else { return "    no stack: it has ended\n".to_owned() };
    let mut text = String::new();
    if !resume.user {
        let inside = |ebp: u32| (thread.stack.0.0..thread.stack.1.0.saturating_sub(7)).contains(&ebp);
        walk(kernel, m, thread.cr3, resume, inside, &mut text);
    }
    let user = if resume.user { Some(resume) } else { thread.user };
    if let Some(user) = user {
        // The first page is never mapped.
        let inside = |ebp: u32| (PAGE..USER_END - 8).contains(&ebp);
        walk(kernel, m, thread.cr3, user, inside, &mut text);
    }
    text
}

/// Follows the chain of frame pointers as long as it climbs and stays inside.
fn walk(
    kernel: &dyn Kernel,
    m: &Machine,
    cr3: u32,
    from: Resume,
    inside: impl Fn(u32) -> bool,
    text: &mut String,
) {
    let ring = if from.user { 3 } else { 0 };
    let mut line = |eip: u32, ebp: u32| {
        text.push_str(&format!("    ring {ring}  ebp {ebp:08X}  {eip:08X}  {}\n", symbol(kernel, Va(eip))));
    };
    let (mut eip, mut ebp) = (from.eip, from.ebp);
    for _ in 0..FRAMES {
        line(eip, ebp);
        let mut frame = [0; 8];
        if !inside(ebp) || m.peek(cr3, Va(ebp), &mut frame).is_err() {
            return;
        }
        let word = |at: usize| u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]);
        let (next, back) = (word(0), word(4));
        // Where the kernel was entered from ring 3; the user's part of the story goes on there.
        let entered = !from.user && back < USER_END;
        if back == 0 || entered {
            return;
        }
        eip = back;
        if next <= ebp {
            line(eip, next);
            return;
        }
        ebp = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_columns_stand_side_by_side() {
        let rows = [("NtClose(00000004)", "NtClose(00000004)"), ("  ObClose()", ""), ("", "  ObpClose()")];
        let expected = [
            "  nt                | reactos",
            "  NtClose(00000004) | NtClose(00000004)",
            "    ObClose()       |",
            "                    |   ObpClose()",
            "",
        ]
        .join("\n");
        assert_eq!(side_by_side(("nt", "reactos"), &rows), expected);
    }

    #[test]
    fn a_long_trace_is_cut_and_says_so() {
        let rows = vec![("a", "b"); ROWS + 3];
        let text = side_by_side(("nt", "reactos"), &rows);
        assert!(text.ends_with("  a  | b\n  … and 3 more\n"), "{text}");
    }
}
