//! Words that everything said to people has in common.

use std::fmt::Display;

/// So many of a thing: `1 case`, `2 cases`, `0 cases`. For things whose plural has an `s` and nothing else.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(count: N, thing: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_thing_is_told_in_the_singular() {
        let told = [0_usize, 1, 2, 21].map(|count| counted(count, "case"));
        assert_eq!(told, ["0 cases", "1 case", "2 cases", "21 cases"]);
    }
}
