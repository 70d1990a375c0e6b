//! Two call traces side by side.

use super::{Interrupts, Names, Row, rows, told_calls};
use crate::PairError;
use recorder::{RecordError, Recording, Replay};
use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::collections::BTreeMap;

/// A call on the left takes at most this many columns.
const COLUMN: usize = 64;
/// This many equal rows in a row are folded into one line.
const FOLD: usize = 4;

/// The native routines that each kernel called in an event (counted from 1), side by side. Routines of
/// the same name stand in one row; where both did the same for several rows, that is told in one.
///
/// # Errors
/// [`PairError::Left`], [`PairError::Right`]: a recording's machines are none that its kernel can look at.
pub fn traces(left: &Recording, right: &Recording, event: usize) -> Result<String, PairError> {
    let of = |recording: &Recording| -> Result<Vec<Row>, RecordError> {
        let Some((kernel, record)) =
            recorder::kernels::by_name(&recording.header.kernel).zip(recording.event(event))
        else {
            return Ok(Vec::new());
        };
        let look = || {
            let interrupts = Interrupts::of(recording, kernel, event..=event);
            let names = Names::new(kernel, &record.machine, &record.named);
            let (names, calls) = told_calls(recording, kernel, event, names);
            rows(&names, &calls, &interrupts)
        };
        Replay::start(recording, kernel).look(event.checked_sub(1), look)
    };
    let (ours, theirs) = (of(left).map_err(PairError::Left)?, of(right).map_err(PairError::Right)?);
    Ok(side_by_side((&left.header.kernel, &right.header.kernel), &ours, &theirs))
}

/// Rows with depths that count from each thread's outermost call: what a thread has called before, and how
/// much of that is native, is each kernel's own.
fn levelled(rows: &[Row]) -> Vec<Row> {
    // The thread of each row: the last one that was told.
    let threads = rows.iter().scan("", |thread, row| {
        *thread = row.thread.as_deref().unwrap_or(thread);
        Some(*thread)
    });
    let mut outermost: BTreeMap<&str, usize> = BTreeMap::new();
    for (thread, row) in threads.clone().zip(rows).filter(|(_, row)| row.thread.is_none()) {
        let least = outermost.entry(thread).or_insert(row.depth);
        *least = row.depth.min(*least);
    }
    let level = |(thread, row): (&str, &Row)| {
        let base = outermost.get(thread).filter(|_| row.thread.is_none()).copied().unwrap_or(0);
        Row { depth: row.depth - base, ..row.clone() }
    };
    threads.zip(rows).map(level).collect()
}

/// Two traces side by side, aligned by the routines' names.
pub fn side_by_side(heads: (&str, &str), ours: &[Row], theirs: &[Row]) -> String {
    let (ours, theirs) = (&levelled(ours)[..], &levelled(theirs)[..]);
    let keys = |rows: &[Row]| rows.iter().map(|row| (row.depth, row.key.clone())).collect::<Vec<_>>();
    let mut both: Vec<(String, String)> = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, &keys(ours), &keys(theirs)) {
        let (old, new) = (op.old_range(), op.new_range());
        if let DiffOp::Equal { .. } = op {
            both.extend(old.zip(new).map(|(old, new)| (text(&ours[old]), text(&theirs[new]))));
        } else {
            both.extend(old.map(|old| (text(&ours[old]), String::new())));
            both.extend(new.map(|new| (String::new(), text(&theirs[new]))));
        }
    }
    layout(heads, &folded(both))
}

fn text(row: &Row) -> String {
    let depth = if row.thread.is_some() { 0 } else { 2 + 2 * row.depth.min(16) };
    let times = if row.times > 1 { format!("  ×{}", row.times) } else { String::new() };
    format!("{:depth$}{}{times}", "", row.text)
}

/// Rows that are equal on both sides, several in a row, told in one.
fn folded(rows: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < rows.len() {
        let equal = rows[at..].iter().take_while(|(left, right)| left == right).count();
        if equal >= FOLD {
            let note = format!("… {equal} equal lines");
            out.push((note.clone(), note));
            at += equal;
        } else {
            let to = at + equal.max(1);
            out.extend_from_slice(&rows[at..to]);
            at = to;
        }
    }
    out
}

/// A call of at most that width: what is too long loses the end of its arguments, and keeps its result while there
/// is room for that and for the routine's name.
fn shortened(call: &str, width: usize) -> String {
    let length = call.chars().count();
    if length <= width {
        return call.to_owned();
    }
    let end = call.rfind(')').map_or("", |at| &call[at..]);
    let name = call.find('(').map_or(0, |at| call[..=at].chars().count());
    let end = if name + 1 + end.chars().count() > width { "" } else { end };
    let kept = call.chars().take(width - 1 - end.chars().count());
    kept.chain(['…']).chain(end.chars()).collect()
}

fn layout(heads: (&str, &str), rows: &[(String, String)]) -> String {
    let longest = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    let width = longest.max(heads.0.len()).min(COLUMN);
    let mut text = String::new();
    let head = (heads.0.to_owned(), heads.1.to_owned());
    for (left, right) in std::iter::once(&head).chain(rows) {
        let left = shortened(left, width);
        text.push_str(format!("  {left:width$} | {right}").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(depth: usize, text: &str) -> Row {
        let key = text.split('(').next().unwrap_or_default().to_owned();
        Row::new(depth, text.to_owned(), key, Some(0))
    }

    #[test]
    fn two_columns_stand_side_by_side() {
        let ours = [row(0, "NtClose(4) = 0"), row(1, "ObClose()")];
        let theirs = [row(0, "NtClose(4) = 1"), row(1, "ObpClose()")];
        let expected = [
            "  nt               | reactos",
            "    NtClose(4) = 0 |   NtClose(4) = 1",
            "      ObClose()    |",
            "                   |     ObpClose()",
            "",
        ]
        .join("\n");
        assert_eq!(side_by_side(("nt", "reactos"), &ours, &theirs), expected);
    }

    #[test]
    fn a_long_call_loses_arguments_and_keeps_its_result() {
        let told = |name: &str| {
            let long = format!("{name}({}) = STATUS_INSUFFICIENT_RESOURCES", "00000000, ".repeat(9));
            let text = side_by_side(("nt", "reactos"), &[row(0, &long)], &[]);
            let line = text.lines().nth(1).unwrap().trim_end_matches(" |").trim().to_owned();
            assert_eq!(line.chars().count(), COLUMN - 2, "{text}");
            line
        };
        let end = "…) = STATUS_INSUFFICIENT_RESOURCES";
        assert_eq!(told("NtCreateThread"), format!("NtCreateThread(00000000, 000{end}"));
        // As long a name as there is room for, and one that leaves none.
        assert_eq!(told(&"N".repeat(27)), format!("{}({end}", "N".repeat(27)));
        assert_eq!(told(&"N".repeat(28)), format!("{}(00000000, 00000000, 00000000, 00…", "N".repeat(28)));
    }

    #[test]
    fn depths_count_from_each_threads_outermost_call() {
        let thread = |name: &str| Row { thread: Some(name.to_owned()), ..row(0, &format!("({name})")) };
        let ours =
            [thread("main"), row(2, "NtClose()"), row(3, "ObClose()"), thread("init"), row(0, "Idle()")];
        let theirs =
            [thread("main"), row(1, "NtClose()"), row(2, "ObpClose()"), thread("init"), row(3, "Idle()")];
        let expected = [
            "  nt            | reactos",
            "  (main)        | (main)",
            "    NtClose()   |   NtClose()",
            "      ObClose() |",
            "                |     ObpClose()",
            "  (init)        | (init)",
            "    Idle()      |   Idle()",
            "",
        ];
        assert_eq!(side_by_side(("nt", "reactos"), &ours, &theirs), expected.join("\n"));
        // The outermost call need not be the first.
        let returns = [thread("main"), row(3, "ObClose()"), row(2, "NtClose()"), row(3, "ObOpen()")];
        let depths: Vec<usize> = levelled(&returns).iter().map(|row| row.depth).collect();
        assert_eq!(depths, [0, 1, 0, 1]);
    }

    #[test]
    fn what_is_equal_for_long_is_folded() {
        let rows: Vec<Row> = (0..5).map(|n| row(0, &format!("R{n}()"))).collect();
        let mut other = rows.clone();
        other.push(row(0, "Last()"));
        let text = side_by_side(("nt", "reactos"), &rows, &other);
        assert!(text.contains("… 5 equal lines | … 5 equal lines\n"), "{text}");
        assert!(text.ends_with("|   Last()\n"), "{text}");
    }
}
