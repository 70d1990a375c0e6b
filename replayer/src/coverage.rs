//! Which numbered rules of the behaviour sheets the corpus covers.
//!
//! The rules are those of `nt52.md` section 13 (`NT-2`) and `reactos.md` section 12 (`ROS-30b`). A case
//! says in `# covers:` which of them it shows; what no case can show stands in
//! `corpus/behaviour/uncovered.toml`, each with its reason.

use crate::corpus::{CorpusError, find};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// How many rules of a sheet may be listed as uncovered.
pub const UNCOVERED_MAX: usize = 10;

/// Where the rules that no case covers stand, from the top of the workspace.
pub const UNCOVERED: &str = "corpus/behaviour/uncovered.toml";

/// A sheet and where its rules stand in it.
#[derive(Debug)]
pub struct Sheet {
    /// Its file, from the top of the workspace.
    pub path: &'static str,
    /// What its rules' numbers start with: `NT-`.
    pub prefix: &'static str,
    /// The section that holds them.
    pub section: u32,
}

/// The sheets.
pub static SHEETS: [Sheet; 2] = [
    Sheet { path: "corpus/behaviour/nt52.md", prefix: "NT-", section: 13 },
    Sheet { path: "corpus/behaviour/reactos.md", prefix: "ROS-", section: 12 },
];

/// A rule and what covers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its number: `NT-2`, `ROS-30b`.
    pub rule: String,
    /// What the sheet says, on one line.
    pub text: String,
    /// The cases that cover it, by name, in order.
    pub cases: Vec<String>,
    /// Why none covers it, where `uncovered.toml` says so.
    pub uncovered: Option<String>,
}

/// The rules of a sheet, in its order.
#[derive(Debug)]
pub struct Covered {
    /// The sheet.
    pub sheet: &'static Sheet,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// What the corpus covers, and what is wrong with what is written about it.
#[derive(Debug)]
pub struct Coverage {
    /// By sheet.
    pub sheets: Vec<Covered>,
    /// Rules that are neither covered nor listed, by number.
    pub open: Vec<String>,
    /// What contradicts itself, each a sentence: a case that covers a rule which does not exist, a
    /// listed rule that is covered or does not exist, a list that is too long.
    pub wrong: Vec<String>,
}

/// Why the coverage could not be told.
#[derive(Debug, thiserror::Error)]
pub enum CoverageError {
    /// The cases cannot be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// A sheet or the list cannot be read.
    #[error("{path}: {cause}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        cause: std::io::Error,
    },
    /// The list is not what it should be.
    #[error("{path}: {cause}")]
    List {
        /// The file.
        path: String,
        /// Why.
        cause: toml::de::Error,
    },
    /// A sheet has no rules where they should stand.
    #[error("{path} has no numbered rules in its section {section}")]
    NoRules {
        /// The sheet.
        path: &'static str,
        /// The section.
        section: u32,
    },
}

impl Covered {
    /// How many rules have a case.
    pub fn covered(&self) -> usize {
        self.rules.iter().filter(|rule| !rule.cases.is_empty()).count()
    }

    /// How many are listed with a reason.
    pub fn listed(&self) -> usize {
        self.rules.iter().filter(|rule| rule.uncovered.is_some()).count()
    }
}

/// The coverage of the corpus below `top`, the top of a workspace.
///
/// # Errors
/// [`CoverageError`].
pub fn coverage(top: &Path) -> Result<Coverage, CoverageError> {
    let sources = find(&[PathBuf::from("corpus")], top)?;
    let mut covers = Vec::new();
    for source in &sources {
        covers.push((source.name.clone(), source.read().map(|case| case.covers)?));
    }
    let mut sheets = Vec::new();
    for sheet in &SHEETS {
        let rules = rules(&read(top, sheet.path)?, sheet);
        if rules.is_empty() {
            return Err(CoverageError::NoRules { path: sheet.path, section: sheet.section });
        }
        sheets.push((sheet, rules));
    }
    let list = toml::from_str(&read(top, UNCOVERED)?)
        .map_err(|cause| CoverageError::List { path: UNCOVERED.to_owned(), cause })?;
    Ok(measured(sheets, &covers, &list))
}

fn read(top: &Path, path: &str) -> Result<String, CoverageError> {
    std::fs::read_to_string(top.join(path))
        .map_err(|cause| CoverageError::Read { path: path.to_owned(), cause })
}

/// The numbered rules of a sheet: number and text.
fn rules(text: &str, sheet: &Sheet) -> Vec<(String, String)> {
    let heading = |line: &str| line.strip_prefix("## ").map(|rest| rest.to_owned());
    let number = format!("{}.", sheet.section);
    let lines = text.lines().skip_while(|line| !heading(line).is_some_and(|rest| rest.starts_with(&number)));
    let inside = lines.skip(1).take_while(|line| heading(line).is_none());
    inside
        .filter_map(|line| {
            let (number, text) = line.split_once(". ")?;
            let digits = number.trim_end_matches(|c: char| c.is_ascii_lowercase());
            let good = !digits.is_empty()
                && digits.chars().all(|c| c.is_ascii_digit())
                && number.len() - digits.len() <= 1;
            good.then(|| (format!("{}{number}", sheet.prefix), text.trim().to_owned()))
        })
        .collect()
}

fn measured(
    sheets: Vec<(&'static Sheet, Vec<(String, String)>)>,
    covers: &[(String, Vec<String>)],
    list: &BTreeMap<String, String>,
) -> Coverage {
    let known: BTreeSet<&str> =
        sheets.iter().flat_map(|(_, rules)| rules).map(|(number, _)| number.as_str()).collect();
    let mut wrong = Vec::new();
    let mut cases: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, rules) in covers {
        for rule in rules {
            if !known.contains(rule.as_str()) {
                wrong.push(format!("{name} covers {rule}, which is no rule of a sheet"));
            }
            cases.entry(rule).or_default().push(name.clone());
        }
    }
    for rule in list.keys() {
        match cases.get(rule.as_str()) {
            _ if !known.contains(rule.as_str()) => {
                wrong.push(format!("{UNCOVERED} lists {rule}, which is no rule of a sheet"));
            }
            Some(cases) => wrong.push(format!("{UNCOVERED} lists {rule}, which {} covers", cases[0])),
            None => {}
        }
    }
    let mut open = Vec::new();
    let mut found = Vec::new();
    for (sheet, rules) in &sheets {
        let rules = rules.iter().map(|(rule, text)| Rule {
            rule: rule.clone(),
            text: text.clone(),
            cases: cases.get(rule.as_str()).cloned().unwrap_or_default(),
            uncovered: list.get(rule).cloned(),
        });
        let covered = Covered { sheet, rules: rules.collect() };
        let neither = |rule: &&Rule| rule.cases.is_empty() && rule.uncovered.is_none();
        open.extend(covered.rules.iter().filter(neither).map(|rule| rule.rule.clone()));
        if covered.listed() > UNCOVERED_MAX {
            let most = format!("a sheet may have {UNCOVERED_MAX}");
            wrong.push(format!("{UNCOVERED} lists {} rules of {}; {most}", covered.listed(), sheet.path));
        }
        found.push(covered);
    }
    Coverage { sheets: found, open, wrong }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHEET: &str = "# A sheet\n\n## 1. First\n\n1. No rule of section 13.\n\n## 13. Rules\n\n\
        Format: trigger.\n\n### 13.1 Some\n\n1. A -> B. [S]\n2. C -> D.\n2b. E -> F.\nee. no\n\n## 14. Rest\n\n3. no\n";

    fn sheet() -> Vec<(&'static Sheet, Vec<(String, String)>)> {
        vec![(&SHEETS[0], rules(SHEET, &SHEETS[0]))]
    }

    fn covering(rules: &[&str]) -> Vec<(String, Vec<String>)> {
        vec![("topic/x".to_owned(), rules.iter().map(|rule| (*rule).to_owned()).collect())]
    }

    fn listing(rules: &[&str]) -> BTreeMap<String, String> {
        rules.iter().map(|rule| ((*rule).to_owned(), "a reason".to_owned())).collect()
    }

    #[test]
    fn rules_are_the_numbered_lines_of_their_section_letters_and_all() {
        let found: Vec<(String, String)> = sheet().remove(0).1;
        let numbers: Vec<&str> = found.iter().map(|(number, _)| number.as_str()).collect();
        assert_eq!(numbers, ["NT-1", "NT-2", "NT-2b"]);
        assert_eq!(found[0].1, "A -> B. [S]");
    }

    #[test]
    fn a_rule_is_covered_or_listed_or_open() {
        let told = measured(sheet(), &covering(&["NT-1"]), &listing(&["NT-2b"]));
        assert_eq!(told.open, ["NT-2"]);
        assert_eq!(told.wrong, Vec::<String>::new());
        let rules = &told.sheets[0].rules;
        assert_eq!(rules[0].cases, ["topic/x"]);
        assert_eq!(rules[2].uncovered.as_deref(), Some("a reason"));
        assert_eq!((told.sheets[0].covered(), told.sheets[0].listed()), (1, 1));
    }

    #[test]
    fn what_contradicts_itself_is_told() {
        let told = measured(sheet(), &covering(&["NT-1", "NT-9"]), &listing(&["NT-1", "NT-8"]));
        let expected = [
            "topic/x covers NT-9, which is no rule of a sheet",
            "corpus/behaviour/uncovered.toml lists NT-1, which topic/x covers",
            "corpus/behaviour/uncovered.toml lists NT-8, which is no rule of a sheet",
        ];
        assert_eq!(told.wrong, expected);
    }

    #[test]
    fn a_list_that_is_too_long_is_told() {
        let numbers: Vec<String> = (1..=UNCOVERED_MAX + 1).map(|number| format!("NT-{number}")).collect();
        let rules = numbers.iter().map(|number| (number.clone(), String::new())).collect();
        let list = numbers.iter().map(|number| (number.clone(), String::new())).collect();
        let told = measured(vec![(&SHEETS[0], rules)], &[], &list);
        let expected =
            "corpus/behaviour/uncovered.toml lists 11 rules of corpus/behaviour/nt52.md; a sheet may have 10";
        assert_eq!(told.wrong, [expected]);
    }
}
