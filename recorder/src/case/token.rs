//! Lines and words, and the nearest word to one that is not known.

use std::ops::Range;

/// A word and where it stands in the text.
#[derive(Clone, Debug)]
pub(super) struct Word<'t> {
    pub(super) text: &'t str,
    pub(super) span: Range<usize>,
}

/// The lines of a text: number, byte offset and content without the line's end.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (u32, usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').enumerate().map(move |(index, line)| {
        let start = at;
        at += line.len();
        (index as u32 + 1, start, line.trim_end_matches(['\n', '\r']))
    })
}

/// The part of a line before its comment.
pub(super) fn code(line: &str) -> &str {
    let hash =
        line.char_indices().find(|(at, c)| *c == '#' && line[..*at].chars().next_back().is_none_or(space));
    &line[..hash.map_or(line.len(), |(at, _)| at)]
}

/// The words of a piece of text that starts at byte `start`.
pub(super) fn words(piece: &str, start: usize) -> Vec<Word<'_>> {
    piece
        .split(space)
        .filter(|word| !word.is_empty())
        .map(|word| {
            let at = start + (word.as_ptr() as usize - piece.as_ptr() as usize);
            Word { text: word, span: at..at + word.len() }
        })
        .collect()
}

fn space(c: char) -> bool {
    c.is_whitespace() || c == '\u{FEFF}'
}

/// The candidate that is nearest to a word, if one is near enough to be meant.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (distance(&lower, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(word.len()).div_ceil(3).min(4))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters must be put in, left out, changed or swapped to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let best = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best.min(rows[i - 2][j - 2] + 1)
                } else {
                    best
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_one_that_could_be_meant() {
        let known = ["worker", "main", "NtTerminateProcess", "NtTerminateThread"];
        let near = |word| nearest(word, known);
        assert_eq!(near("workr"), Some("worker"));
        assert_eq!(near("mian"), Some("main"));
        assert_eq!(near("ntterminateproces"), Some("NtTerminateProcess"));
        assert_eq!(near("NtTerminateThred"), Some("NtTerminateThread"));
        assert_eq!(near("xyz"), None);
    }

    #[test]
    fn a_comment_starts_at_a_hash_behind_a_space() {
        assert_eq!(code("a b#c # d"), "a b#c ");
        assert_eq!(code("# d"), "");
        let texts: Vec<_> =
            words(code("  a\tb=1  # d"), 10).into_iter().map(|w| (w.text, w.span.start)).collect();
        assert_eq!(texts, [("a", 12), ("b=1", 14)]);
    }
}
