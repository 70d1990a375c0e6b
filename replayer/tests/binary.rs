//! The binary is the library's program with the process's arguments, streams and status. (It is tested
//! here because cargo tells the path of a binary only to the tests of its own package.)

use std::process::Command;

#[test]
fn the_binary_passes_its_status_and_streams_on() {
    let run =
        |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_tandem")).args(args).output().expect("it runs");
    let refused = run(&["run", "nowhere"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert_eq!(String::from_utf8_lossy(&refused.stderr).trim(), "error: nothing lies at nowhere");
    assert_eq!(refused.stdout, b"");
    let helped = run(&["--help"]);
    assert_eq!(helped.status.code(), Some(0), "{helped:?}");
    assert!(String::from_utf8_lossy(&helped.stdout).contains("Usage: tandem"));
}
