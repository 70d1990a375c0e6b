//! What the corpus says about the rules of the behaviour sheets is true, and `tandem coverage` tells it.

use replayer::coverage::coverage;
use serde_json::Value;
use tests::{root, tandem};

#[test]
fn no_case_covers_a_rule_that_is_not_there_and_no_listed_rule_is_covered() {
    let told = coverage(&root()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(told.wrong, Vec::<String>::new());
}

#[test]
fn every_rule_has_a_case_or_a_reason_for_having_none() {
    let told = coverage(&root()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(told.open, Vec::<String>::new());
}

#[test]
fn the_sheets_have_the_rules_that_they_have() {
    let told = coverage(&root()).unwrap_or_else(|error| panic!("{error}"));
    let numbers = |index: usize| -> Vec<&str> {
        told.sheets[index].rules.iter().map(|rule| rule.rule.as_str()).collect()
    };
    let nt: Vec<String> = (1..=117).map(|number| format!("NT-{number}")).collect();
    assert_eq!(numbers(0), nt);
    let reactos = numbers(1);
    assert_eq!(reactos.len(), 100 + 7, "a hundred numbers and seven with a letter");
    for lettered in ["29b", "30b", "40b", "51b", "69b", "86b", "96b"] {
        assert!(reactos.contains(&format!("ROS-{lettered}").as_str()), "{lettered}");
    }
}

#[test]
fn the_program_tells_every_rule_once_in_either_format() {
    let text = tandem(&root(), &["coverage"]);
    let json = tandem(&root(), &["coverage", "--format", "json"]);
    assert_eq!(text.status, json.status);
    let told = json.out.lines().map(|line| serde_json::from_str(line).expect("a line is JSON"));
    let (sections, rules): (Vec<Value>, Vec<Value>) = told.partition(|told: &Value| told["rule"].is_null());
    assert_eq!(rules.len(), 117 + 107);
    for rule in &rules {
        let number = rule["rule"].as_str().expect("a rule has a number");
        let line = text.out.lines().find(|line| line.split(' ').next() == Some(number));
        let line = line.unwrap_or_else(|| panic!("{number} is told"));
        let cases = rule["cases"].as_array().expect("cases are a list");
        for case in cases {
            assert!(line.contains(case.as_str().expect("a case is a name")), "{line}");
        }
        assert!(rule["text"].as_str().is_some_and(|text| !text.is_empty()), "{number} says something");
    }
    for section in &sections {
        let named = section["section"].as_str().expect("what is no rule is a section");
        let line = text.out.lines().find(|line| line.starts_with(&format!("{named} ")));
        let line = line.unwrap_or_else(|| panic!("{named} is told"));
        let cases = section["cases"].as_array().expect("cases are a list");
        assert!(!cases.is_empty(), "{named} is told because a case names it");
        for case in cases {
            assert!(line.contains(case.as_str().expect("a case is a name")), "{line}");
        }
        assert_eq!(section["text"].as_str(), recorder::sheets::says(named));
    }
    let wait = sections.iter().find(|section| section["section"] == "nt52.md 8.13").expect("nt52.md 8.13");
    assert!(wait["cases"].to_string().contains("wait/one_of_five"));
    let second = rules.iter().find(|rule| rule["rule"] == "NT-2").expect("NT-2");
    assert!(second["cases"].to_string().contains("termination/null_handle_ends_the_others"));
}

#[test]
fn a_case_that_covers_what_no_sheet_has_is_bad_input() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["golden", "corpus/topic"] {
        std::fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let case = "# A title.\n# covers: nt52.md 8.13 ROS-101\n\nprocess app\n";
    std::fs::write(folder.path().join("corpus/topic/x.case"), case).unwrap();
    for command in ["coverage", "run"] {
        let ran = tandem(folder.path(), &[command]);
        assert_eq!(ran.status, 2, "{ran:?}");
        assert!(ran.err.starts_with("error: reactos.md has no rule ROS-101\n"), "{ran:?}");
        assert!(ran.err.contains("--> corpus/topic/x.case:2:24"), "{ran:?}");
    }
}
