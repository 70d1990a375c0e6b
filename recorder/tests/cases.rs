//! What a case is: the words of the verbs' table and the corpus are, and any other text is one or an error.

use proptest::prelude::*;
use recorder::{Case, verbs};

const HEAD: &str = "# A sentence.\n";

#[test]
fn a_case_says_what_its_header_says() {
    let text = "# A sentence that\n#   goes on.\n# differs: one way\n#   and another\n# covers: NT-2 nt52.md 8.13 ROS-30b reactos.md 9.4.1\n\
                # kernels: reactos reactos-msvc6\n# A remark: nothing.\n\nprocess  app   # with a remark\n";
    let case = Case::parse("x", "topic/name", text).unwrap();
    assert_eq!(case.title, "A sentence that goes on.");
    assert_eq!(case.differs.as_deref(), Some("one way and another"));
    assert_eq!(case.covers, ["NT-2", "nt52.md 8.13", "ROS-30b", "reactos.md 9.4.1"]);
    assert_eq!(case.kernels, ("reactos".to_owned(), "reactos-msvc6".to_owned()));
    assert_eq!((case.lines[0].number, case.lines[0].text.as_str()), (9, "process app"));
}

#[test]
fn every_default_of_the_table_is_a_value() {
    for verb in verbs::table() {
        let mut line = match verb.by {
            verbs::By::Thread => format!("main {}", verb.name),
            _ => verb.name.to_owned(),
        };
        for argument in verb.args {
            if argument.default == verbs::Default::Required {
                line += &match argument.kind {
                    verbs::Kind::NewName => " fresh".to_owned(),
                    verbs::Kind::Thread => format!(" {}=main", argument.key),
                    verbs::Kind::Process => format!(" {}=app", argument.key),
                    verbs::Kind::Times => format!(" {}=2", argument.key),
                    verbs::Kind::Bool => format!(" {}=yes", argument.key),
                    verbs::Kind::Routine => format!(" {}=NtTestAlert", argument.key),
                    verbs::Kind::Time | verbs::Kind::Ticks => format!(" {}=10ms", argument.key),
                    verbs::Kind::Word(choices) | verbs::Kind::Choice(choices) => {
                        format!(" {}={}", argument.key, choices.words[0].0)
                    }
                    _ => format!(" {}=0", argument.key),
                };
            }
        }
        let text = format!("{HEAD}process app\nthread main in=app\n{line}\n");
        if let Err(error) = Case::parse("table", "table", &text) {
            panic!("{error}");
        }
    }
}

#[test]
fn every_case_of_the_corpus_parses() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let mut found = 0;
    for topic in std::fs::read_dir(corpus).unwrap().flatten() {
        for file in std::fs::read_dir(topic.path()).into_iter().flatten().flatten() {
            if file.path().extension().is_some_and(|extension| extension == "case") {
                let text = std::fs::read_to_string(file.path()).unwrap();
                let path = file.path().display().to_string();
                if let Err(error) = Case::parse(&path, "topic/name", &text) {
                    panic!("{error}");
                }
                found += 1;
            }
        }
    }
    assert!(found > 10, "the corpus has {found} cases");
}

/// A line made of the words that cases are made of.
fn line() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "process",
        "thread",
        "main",
        "app",
        "in=app",
        "suspended",
        "=",
        "h",
        "pool",
        "fail",
        "driver",
        "wait",
        "look",
        "registers",
        "thread=main",
        "clock",
        "advance=10ms",
        "NtOpenProcess",
        "NtClose",
        "handle=h",
        "process=app",
        "access=1|2",
        "tag=a,b",
        "#",
        "x=",
        "=x",
        "handles=h,NULL,bad",
        "init",
        "\t",
        "ä",
        "NtWaitForMultipleObjects",
        "status=0x",
        "interval=99999999999s",
        "eip=entry+0x10",
        "run",
    ]);
    prop::collection::vec(words, 0..8).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_case_or_an_error(text in "\\PC*|(?s).{0,200}") {
        if let Err(error) = Case::parse("any", "any", &text) {
            prop_assert!(!error.to_string().is_empty());
            prop_assert!(!error.coloured().is_empty());
        }
    }

    #[test]
    fn any_words_are_a_case_or_an_error(lines in prop::collection::vec(line(), 0..12), ends in any::<bool>()) {
        let end = if ends { "\r\n" } else { "\n" };
        let text = format!("{HEAD}process app{end}thread main in=app{end}{}", lines.join(end));
        if let Err(error) = Case::parse("any", "any", &text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
