//! The README tells the truth: its example is a case of the corpus with its golden, and its commands
//! are those that are run before every change.

use golden::accepted;
use std::path::Path;
use tests::{read, root};

/// The blocks between fences, with the word behind the opening one.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(word), None) => open = Some((word.trim().to_owned(), String::new())),
            (None, Some((_, body))) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "every fence is closed");
    blocks
}

#[test]
fn the_example_is_a_case_of_the_corpus_and_its_golden() {
    let text = read(&root().join("README.md"));
    let blocks = blocks(&text);
    let (at, case) = blocks
        .iter()
        .enumerate()
        .find_map(|(at, (word, body))| (word == "case").then_some((at, body)))
        .expect("the README has a case, in a block marked `case`");
    let path = text.split('`').find(|word| word.starts_with("corpus/") && word.ends_with(".case"));
    let path = path.expect("the README says where its case lies");
    assert_eq!(case, &read(&root().join(path)), "{path}");

    let name = path.trim_start_matches("corpus/").trim_end_matches(".case");
    let golden = accepted::read(&root().join("golden"), name).expect("a golden can be read");
    let golden = golden.expect("the README's case has a golden");
    let (_, output) = blocks.get(at + 1).expect("the case's output stands below it");
    assert_eq!(output.trim_end(), golden.trim_end(), "the output is golden/{name}.snap");
}

#[test]
fn the_commands_are_those_of_the_checks() {
    let blocks = blocks(&read(&root().join("README.md")));
    let (_, commands) = blocks.iter().find(|(word, _)| word == "sh").expect("the README has commands");
    let commands: Vec<&str> =
        commands.lines().map(|line| line.split('#').next().unwrap_or(line).trim()).collect();
    assert_eq!(commands.len(), 2, "two commands do everything");
    let checks = read(&root().join(".ci/run"));
    for command in commands {
        let run = checks.lines().any(|line| line.trim_start().starts_with(command));
        assert!(run, ".ci/run runs `{command}`");
    }
}

#[test]
fn the_folders_it_names_are_there() {
    let text = read(&root().join("README.md"));
    let inside: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    let folders: Vec<&&str> =
        inside.iter().filter(|word| word.ends_with('/') && !word.contains(' ')).collect();
    assert!(folders.len() >= 5, "the README has a map of the folders: {folders:?}");
    for folder in folders {
        assert!(root().join(Path::new(folder)).is_dir(), "{folder}");
    }
}
