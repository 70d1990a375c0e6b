//! Which numbered rules of the behaviour sheets the corpus covers, and which of their sections besides.
//!
//! The rules are those of `nt52.md` section 13 (`NT-2`) and `reactos.md` section 12 (`ROS-30b`). A case
//! says in `# covers:` which of them it shows, and where it shows none, or more than they say, which
//! sections (`nt52.md 8.13`). Every rule must have a case; what no case can show stands in
//! `corpus/behaviour/uncovered.toml`, each with its reason. A section needs none.

use crate::corpus::{CorpusError, find};
use recorder::sheets::{SHEETS, Sheet};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// How many rules of a sheet may be listed as uncovered.
pub const UNCOVERED_MAX: usize = 10;

/// Where the rules that no case covers stand, from the top of the workspace.
pub const UNCOVERED: &str = "corpus/behaviour/uncovered.toml";

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

/// A section that cases name, and these cases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Its sheet and number: `nt52.md 8.13`.
    pub section: String,
    /// Its heading.
    pub text: String,
    /// The cases that cover it, by name, in order.
    pub cases: Vec<String>,
}

/// The rules of a sheet, in its order.
#[derive(Debug)]
pub struct Covered {
    /// The sheet.
    pub sheet: &'static Sheet,
    /// Its rules.
    pub rules: Vec<Rule>,
    /// Those of its sections that a case names.
    pub sections: Vec<Section>,
}

/// What the corpus covers, and what is wrong with what is written about it.
#[derive(Debug)]
pub struct Coverage {
    /// By sheet.
    pub sheets: Vec<Covered>,
    /// Rules that are neither covered nor listed, by number.
    pub open: Vec<String>,
    /// What contradicts itself, each a sentence: a listed rule that is covered or does not exist, a list
    /// that is too long.
    pub wrong: Vec<String>,
}

/// Why the coverage could not be told.
#[derive(Debug, thiserror::Error)]
pub enum CoverageError {
    /// The cases cannot be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The list cannot be read.
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
    let path = top.join(UNCOVERED);
    let list = std::fs::read_to_string(path)
        .map_err(|cause| CoverageError::Read { path: UNCOVERED.to_owned(), cause })?;
    let list =
        toml::from_str(&list).map_err(|cause| CoverageError::List { path: UNCOVERED.to_owned(), cause })?;
    Ok(measured(&SHEETS, &covers, &list))
}

fn measured(
    sheets: &'static [Sheet],
    covers: &[(String, Vec<String>)],
    list: &BTreeMap<String, String>,
) -> Coverage {
    let mut cases: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, covered) in covers {
        for covered in covered {
            cases.entry(covered).or_default().push(name.clone());
        }
    }
    let of = |covered: &str| cases.get(covered).cloned().unwrap_or_default();
    let sheets: Vec<Covered> = sheets
        .iter()
        .map(|sheet| {
            let rules = sheet.rules().map(|(rule, text)| Rule {
                cases: of(&rule),
                uncovered: list.get(&rule).cloned(),
                rule,
                text,
            });
            let sections =
                sheet.sections().map(|(section, text)| Section { cases: of(&section), section, text });
            let sections = sections.filter(|section| !section.cases.is_empty()).collect();
            Covered { sheet, rules: rules.collect(), sections }
        })
        .collect();
    let known: BTreeSet<&str> =
        sheets.iter().flat_map(|sheet| &sheet.rules).map(|rule| rule.rule.as_str()).collect();
    let mut wrong = Vec::new();
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
    for covered in &sheets {
        let neither = |rule: &&Rule| rule.cases.is_empty() && rule.uncovered.is_none();
        open.extend(covered.rules.iter().filter(neither).map(|rule| rule.rule.clone()));
        if covered.listed() > UNCOVERED_MAX {
            let most = format!("a sheet may have {UNCOVERED_MAX}");
            wrong.push(format!(
                "{UNCOVERED} lists {} rules of {}; {most}",
                covered.listed(),
                covered.sheet.path
            ));
        }
    }
    Coverage { sheets, open, wrong }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SHEET: [Sheet; 1] = [Sheet {
        name: "nt52.md",
        path: "corpus/behaviour/nt52.md",
        prefix: "NT-",
        section: "13",
        text: "# A sheet\n\n## 1. First\n\n### 1.1 Part\n\n## 13. Rules\n\n1. A -> B. [S]\n2. C -> D.\n2b. E -> F.\n",
    }];

    fn covering(rules: &[&str]) -> Vec<(String, Vec<String>)> {
        vec![("topic/x".to_owned(), rules.iter().map(|rule| (*rule).to_owned()).collect())]
    }

    fn listing(rules: &[&str]) -> BTreeMap<String, String> {
        rules.iter().map(|rule| ((*rule).to_owned(), "a reason".to_owned())).collect()
    }

    #[test]
    fn a_rule_is_covered_or_listed_or_open() {
        let told = measured(&SHEET, &covering(&["NT-1"]), &listing(&["NT-2b"]));
        assert_eq!(told.open, ["NT-2"]);
        assert_eq!(told.wrong, Vec::<String>::new());
        let rules = &told.sheets[0].rules;
        assert_eq!(rules[0].cases, ["topic/x"]);
        assert_eq!(rules[0].text, "A -> B. [S]");
        assert_eq!(rules[2].uncovered.as_deref(), Some("a reason"));
        assert_eq!((told.sheets[0].covered(), told.sheets[0].listed()), (1, 1));
        assert_eq!(told.sheets[0].sections, []);
    }

    #[test]
    fn a_section_is_told_when_a_case_names_it_and_makes_up_for_no_rule() {
        let told = measured(&SHEET, &covering(&["nt52.md 1.1", "nt52.md 13"]), &listing(&[]));
        let section = |section: &str, text: &str| Section {
            section: section.to_owned(),
            text: text.to_owned(),
            cases: vec!["topic/x".to_owned()],
        };
        assert_eq!(told.sheets[0].sections, [section("nt52.md 1.1", "Part"), section("nt52.md 13", "Rules")]);
        assert_eq!(told.open, ["NT-1", "NT-2", "NT-2b"]);
    }

    #[test]
    fn what_contradicts_itself_is_told() {
        let told = measured(&SHEET, &covering(&["NT-1"]), &listing(&["NT-1", "NT-8"]));
        let expected = [
            "corpus/behaviour/uncovered.toml lists NT-1, which topic/x covers",
            "corpus/behaviour/uncovered.toml lists NT-8, which is no rule of a sheet",
        ];
        assert_eq!(told.wrong, expected);
    }

    #[test]
    fn a_list_that_is_too_long_is_told() {
        let numbers: Vec<String> =
            SHEETS[0].rules().take(UNCOVERED_MAX + 1).map(|(number, _)| number).collect();
        let list = numbers.iter().map(|number| (number.clone(), String::new())).collect();
        let told = measured(&SHEETS[..1], &[], &list);
        let expected =
            "corpus/behaviour/uncovered.toml lists 11 rules of corpus/behaviour/nt52.md; a sheet may have 10";
        assert_eq!(told.wrong, [expected]);
    }
}
