//! The sheets' rules as a reader wants them: who does what, in words instead of columns.

use recorder::sheets;

/// What a sheet says under `ROS-60` or `nt52.md 8.13`; nothing where no sheet has it.
pub(super) fn told(covered: &str) -> Option<String> {
    let text = sheets::says(covered)?;
    Some(if covered.starts_with("ROS-") { differences(text) } else { text.replace(" -> ", " → ") })
}

/// How sure the sheet of ReactOS is of what it says about NT 5.2, as it writes that and in words.
const SURE: [(&str, &str); 3] =
    [("N-hi", "sure of NT 5.2"), ("N-med", "fairly sure of NT 5.2"), ("N-lo", "not sure of NT 5.2")];

/// Sentences of the form `trigger -> ReactOS -> NT 5.2 -> how sure`; others keep their arrows.
fn differences(text: &str) -> String {
    let mut told = String::new();
    let mut rest = text;
    let first = |rest: &str| {
        SURE.iter()
            .filter_map(|(mark, words)| Some((rest.find(&format!(" -> {mark}"))?, *mark, *words)))
            .min()
    };
    while let Some((end, mark, words)) = first(rest) {
        let parts: Vec<&str> = rest[..end].split(" -> ").collect();
        told.push_str(&match parts[..] {
            [trigger, reactos, nt] => format!("{trigger} → ReactOS: {reactos}; NT 5.2: {nt}"),
            _ => parts.join(" → "),
        });
        told.push_str(&format!(" [{words}]"));
        rest = &rest[end + " -> ".len() + mark.len()..];
    }
    told.push_str(&rest.replace(" -> ", " → "));
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_says_who_does_what() {
        for (text, expected) in [
            ("A -> B, C -> D -> N-hi.", "A → ReactOS: B, C; NT 5.2: D [sure of NT 5.2]."),
            (
                "A -> B -> C -> N-med; D -> E -> F -> N-lo (so G).",
                "A → ReactOS: B; NT 5.2: C [fairly sure of NT 5.2]; D → ReactOS: E; NT 5.2: F [not sure of NT 5.2] \
                 (so G).",
            ),
            ("A -> B; C -> D -> E -> N-hi.", "A → B; C → D → E [sure of NT 5.2]."),
            ("A: B -> C.", "A: B → C."),
        ] {
            assert_eq!(differences(text), expected);
        }
    }

    #[test]
    fn no_rule_of_the_sheets_keeps_its_marks() {
        let rules = sheets::SHEETS.iter().flat_map(sheets::Sheet::rules);
        let told: Vec<String> = rules.map(|(number, _)| told(&number).expect("a sheet has it")).collect();
        assert!(told.len() > 200, "{}", told.len());
        for text in told {
            assert!(!text.contains("->") && !text.contains("N-hi") && !text.contains("N-med"), "{text}");
        }
    }
}
