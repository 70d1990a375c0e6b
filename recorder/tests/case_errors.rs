//! What a person reads when a case is wrong: the whole message, as it appears.

use recorder::Case;

const HEAD: &str = "# A sentence.\n\n";

/// The message for a case of these lines under a title.
fn message(lines: &str) -> String {
    let text = format!("{HEAD}{lines}");
    Case::parse("corpus/topic/name.case", "topic/name", &text).expect_err("the case is wrong").to_string()
}

#[track_caller]
fn check(lines: &str, expected: &str) {
    let found = message(lines);
    assert_eq!(found.trim_end(), expected.trim_matches('\n'), "\n{found}");
}

#[test]
fn a_misspelt_name() {
    println!("{}", message("process app\nthread main in=app\nmian NtTestAlert\n"));
    println!("{}", message("process app\nthread main in=ap\n"));
    println!("{}", message("process app\nthread main in=app\nmain NtTerminateThread thread=worker\nthread worker in=app\n"));
    println!("{}", message("process app\nthread main in=app\nmain NtTerminateThred thread=thread\n"));
    println!("{}", message("process app\nthread main in=app\nmain NtTerminateThread thred=thread\n"));
    println!("{}", message("process app\nthread main in=app\nmain NtTerminateThread\n"));
    println!("{}", message("process app\nthread main in=app\nmain NtTerminateThread thread=thread status=STATUS_SUCESS\n"));
    println!("{}", message("process app\nthread main in=app\nmain NtTerminateThread thread=thread status=0x1FFFFFFFF\n"));
    println!("{}", message("process app\nprocess app\n"));
    println!("{}", message("process app\nthread main in=app\npool fial count=1\n"));
    println!("{}", message("process app\nthread main in=app\napp NtTestAlert\n"));
    println!("{}", message("process app\nthread main in=app\nh = main NtTestAlert\n"));
    println!("{}", message("process app\nprocess other\nthread main in=app\nthread o in=other\nh = main NtOpenProcess process=other\no NtClose handle=h\n"));
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
