//! The behaviour sheets, built in: which rules they number, and which sections they have.
//!
//! A case says in `# covers:` what it shows of them. What a sheet does not have is therefore an error
//! of the case, with its line and column, wherever the case lies.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A sheet, and where its rules stand in it.
#[derive(Debug)]
pub struct Sheet {
    /// The file's name, by which a case names its sections: `nt52.md`.
    pub name: &'static str,
    /// The file, from the top of the workspace.
    pub path: &'static str,
    /// What the numbers of its rules start with: `NT-`.
    pub prefix: &'static str,
    /// The section that holds the rules.
    pub section: &'static str,
    /// What it says.
    pub text: &'static str,
}

/// The sheets.
pub static SHEETS: [Sheet; 2] = [
    Sheet {
        name: "nt52.md",
        path: "corpus/behaviour/nt52.md",
        prefix: "NT-",
        section: "13",
        text: include_str!("../../corpus/behaviour/nt52.md"),
    },
    Sheet {
        name: "reactos.md",
        path: "corpus/behaviour/reactos.md",
        prefix: "ROS-",
        section: "12",
        text: include_str!("../../corpus/behaviour/reactos.md"),
    },
];

/// Everything that a case can cover, and its text.
static KNOWN: LazyLock<BTreeMap<String, String>> =
    LazyLock::new(|| SHEETS.iter().flat_map(|sheet| sheet.rules().chain(sheet.sections())).collect());

/// What the sheets say under `NT-2` or `nt52.md 8.13`, on one line: the rule, or the section's heading.
pub fn says(covered: &str) -> Option<&'static str> {
    KNOWN.get(covered).map(String::as_str)
}

impl Sheet {
    /// The numbered rules, in their order: number (`ROS-30b`) and text, on one line.
    pub fn rules(&self) -> impl Iterator<Item = (String, String)> + use<'_> {
        let inside = self.text.lines().skip_while(|line| heading(line) != Some(self.section)).skip(1);
        let inside = inside.take_while(|line| !line.starts_with("## "));
        inside.filter_map(|line| {
            let (number, text) = line.split_once(". ")?;
            let digits = number.trim_end_matches(|c: char| c.is_ascii_lowercase());
            let good = is_section(digits) && !digits.contains('.') && number.len() - digits.len() <= 1;
            good.then(|| (format!("{}{number}", self.prefix), text.trim().to_owned()))
        })
    }

    /// The sections, in their order: sheet and number as a case names them (`nt52.md 8.13`), and heading.
    pub fn sections(&self) -> impl Iterator<Item = (String, String)> + use<'_> {
        self.text.lines().filter_map(|line| {
            let number = heading(line)?;
            let text = line.trim_start_matches('#').trim_start()[number.len()..].trim_start_matches('.');
            Some((format!("{} {number}", self.name), text.trim().to_owned()))
        })
    }
}

/// The number of the section that a line begins: `8.13` of `### 8.13 Wait services`.
fn heading(line: &str) -> Option<&str> {
    let text = line.strip_prefix("### ").or_else(|| line.strip_prefix("## "))?;
    let number = text.split(' ').next()?.trim_end_matches('.');
    is_section(number).then_some(number)
}

/// Whether it is digits, or digits with single full stops between them.
fn is_section(number: &str) -> bool {
    number.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        let text = "# A sheet\n\n## 1. First\n\n1. No rule of section 13.\n\n### 1.10.2 Deeper. And more\n\n\
            ### 1 a\n#### 1.1 Too deep\n## Rest\n## 13. Rules\n\nFormat: trigger.\n\n### 13.1 Some\n\n\
            1. A -> B. [S]\n2. C -> D.\n2b. E -> F.\n2bc. no\nee. no\n1.5. no\n\n## 14. Rest\n\n3. no\n";
        Sheet { name: "nt52.md", path: "x", prefix: "NT-", section: "13", text }
    }

    #[test]
    fn rules_are_the_numbered_lines_of_their_section_letters_and_all() {
        let found: Vec<(String, String)> = sheet().rules().collect();
        let numbers: Vec<&str> = found.iter().map(|(number, _)| number.as_str()).collect();
        assert_eq!(numbers, ["NT-1", "NT-2", "NT-2b"]);
        assert_eq!(found[0].1, "A -> B. [S]");
    }

    #[test]
    fn sections_are_the_numbered_headings() {
        let found: Vec<(String, String)> = sheet().sections().collect();
        let expected = [
            ("nt52.md 1", "First"),
            ("nt52.md 1.10.2", "Deeper. And more"),
            ("nt52.md 1", "a"),
            ("nt52.md 13", "Rules"),
            ("nt52.md 13.1", "Some"),
            ("nt52.md 14", "Rest"),
        ];
        assert_eq!(found, expected.map(|(number, text)| (number.to_owned(), text.to_owned())));
    }

    #[test]
    fn what_the_sheets_have_is_known_and_nothing_else() {
        assert_eq!(says("nt52.md 8.13"), Some("Wait services and signal semantics [R/W, H]"));
        assert!(says("reactos.md 9.4.1").is_some_and(|text| text.starts_with("PRE-JAN-5 form")));
        assert!(says("ROS-30b").is_some_and(|text| text.starts_with("(P5 only)")));
        for absent in ["nt52.md 8.14", "reactos.md 8.13", "NT-118", "ROS-30c", "NT-2b", "nt52.md", "8.13", ""]
        {
            assert_eq!(says(absent), None, "{absent}");
        }
    }
}
