//! The rules of the house that the compiler does not know: which crate may see which, where a
//! library may be named, and that the kernels keep nothing outside the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::{files, read, root};

/// The arrows between the workspace's crates. They point down only: what is not here is forbidden.
const ARROWS: &[(&str, &[&str])] = &[
    ("machine", &[]),
    ("guest", &["machine"]),
    ("contract", &["guest", "machine"]),
    ("nt", &["contract", "guest", "machine"]),
    ("reactos", &["contract", "guest", "machine"]),
    ("recorder", &["contract", "guest", "machine", "nt", "reactos"]),
    ("golden", &["contract"]),
    ("replayer", &["contract", "golden", "guest", "machine", "recorder"]),
    ("oracle", &["contract", "machine", "recorder"]),
    ("tests", &["contract", "golden", "guest", "machine", "nt", "reactos", "recorder", "replayer"]),
];

/// What lies at the top: the rooms, and what cargo, git, the workflow and the licences need.
const TOP: &[&str] = &[
    ".ci",
    ".github",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "corpus",
    "deny.toml",
    "golden",
    "recorder",
    "replayer",
    "rustfmt.toml",
    "tests",
];

/// Libraries that may be named only in these files, or below these folders, so that replacing one
/// touches them and no other.
const CONFINED: &[(&str, &[&str])] = &[
    ("bincode", &["recorder/src/codec.rs"]),
    (
        "iced_x86",
        &[
            "recorder/machine/src/lower.rs",
            "recorder/machine/src/lower",
            "recorder/machine/src/listing.rs",
            "recorder/machine/src/image.rs",
            "tests/oracle/src",
        ],
    ),
];

/// What would let a kernel remember something outside the machine.
const MEMORIES: &[&str] =
    &["Cell", "RefCell", "UnsafeCell", "OnceCell", "Mutex", "RwLock", "thread_local", "static mut"];

/// A crate of the workspace.
struct Member {
    name: String,
    folder: PathBuf,
    manifest: toml::Table,
}

fn workspace() -> toml::Table {
    read(&root().join("Cargo.toml")).parse().expect("Cargo.toml is TOML")
}

fn members() -> Vec<Member> {
    let workspace = workspace();
    let listed = workspace["workspace"]["members"].as_array().expect("members is a list");
    let member = |path: &toml::Value| {
        let folder = root().join(path.as_str().expect("a member is a path"));
        let manifest: toml::Table = read(&folder.join("Cargo.toml")).parse().expect("a manifest is TOML");
        let name = manifest["package"]["name"].as_str().expect("a package has a name").to_owned();
        Member { name, folder, manifest }
    };
    listed.iter().map(member).collect()
}

/// Every package that a manifest depends on: for building, for tests, for one target, renamed or not.
fn dependencies(table: &toml::Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in table {
        let Some(inner) = value.as_table() else { continue };
        if key.ends_with("dependencies") {
            for (name, wanted) in inner {
                let package = wanted.get("package").and_then(toml::Value::as_str);
                found.insert(package.unwrap_or(name).to_owned());
            }
        } else if key != "package" {
            found.extend(dependencies(inner));
        }
    }
    found
}

/// A source file's code, line by line, without comments. (`//` in a string cuts too much, never too
/// little.)
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = read(path);
    let lines = text.lines().enumerate();
    lines.map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default().to_owned())).collect()
}

/// Whether `text` has `word` in it, not as a part of a longer name.
fn names(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

fn place(path: &Path, line: usize) -> String {
    format!("{}:{line}", path.strip_prefix(root()).unwrap_or(path).display())
}

#[test]
fn every_arrow_between_crates_is_a_drawn_one() {
    let members = members();
    let drawn: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let known: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(known, drawn.keys().copied().collect(), "the crates and the table of arrows name the same");
    for member in &members {
        let arrows = dependencies(&member.manifest);
        for arrow in arrows.iter().filter(|name| known.contains(name.as_str())) {
            let allowed = drawn[member.name.as_str()].contains(&arrow.as_str());
            assert!(allowed, "{} may not depend on {arrow}: no such arrow is drawn", member.name);
        }
    }
}

#[test]
fn the_kernels_never_name_each_other() {
    for path in files(&root().join("recorder/nt"), "rs") {
        for (number, line) in read(&path).lines().enumerate() {
            let named = line.to_lowercase().contains("reactos");
            assert!(!named, "{}: nt knows nothing of the other kernel", place(&path, number + 1));
        }
    }
    for path in files(&root().join("recorder/reactos"), "rs") {
        for (number, line) in read(&path).lines().enumerate() {
            let crate_named = ["nt::", "use nt;", "extern crate nt"];
            let named = crate_named.iter().any(|word| line.contains(word) && names(line, "nt"));
            let sheet = line.contains("nt52.md");
            assert!(
                !named && !sheet,
                "{}: reactos knows nothing of the other kernel",
                place(&path, number + 1)
            );
        }
    }
}

#[test]
fn the_kernels_keep_nothing_outside_the_machine() {
    for kernel in ["recorder/nt", "recorder/reactos"] {
        for path in files(&root().join(kernel).join("src"), "rs") {
            for (number, line) in code(&path) {
                let found = MEMORIES.iter().find(|word| names(&line, word));
                assert_eq!(found, None, "{}: all state lives in the machine", place(&path, number));
                assert!(!line.contains("Atomic"), "{}: all state lives in the machine", place(&path, number));
            }
        }
    }
}

#[test]
fn confined_libraries_are_named_in_their_files_only() {
    for member in members() {
        for path in files(&member.folder.join("src"), "rs") {
            for (library, allowed) in CONFINED {
                if allowed.iter().any(|place| path.starts_with(root().join(place))) {
                    continue;
                }
                for (number, line) in code(&path) {
                    assert!(
                        !names(&line, library),
                        "{}: {library} is confined to {allowed:?}",
                        place(&path, number)
                    );
                }
            }
        }
    }
}

#[test]
fn every_crate_shares_the_lints_that_forbid_unsafe_code() {
    let workspace = workspace();
    assert_eq!(workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for member in members() {
        let shares = member.manifest.get("lints").and_then(|lints| lints.get("workspace"));
        assert_eq!(shares.and_then(toml::Value::as_bool), Some(true), "{}: [lints] workspace", member.name);
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            let shared = member.manifest["package"].get(key).and_then(|value| value.get("workspace"));
            assert!(shared.is_some(), "{}: {key}.workspace = true", member.name);
        }
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, wanted) in
                member.manifest.get(table).and_then(toml::Value::as_table).into_iter().flatten()
            {
                let shared = wanted.get("workspace").is_some();
                assert!(shared, "{}: the version of {name} belongs into the workspace", member.name);
            }
        }
    }
}

#[test]
fn the_top_level_holds_the_rooms_and_what_the_tools_need() {
    for name in top_level() {
        assert!(TOP.contains(&name.as_str()), "{name} does not belong at the top level");
    }
    for name in TOP {
        assert!(root().join(name).exists(), "{name} is missing at the top level");
    }
}

/// What git tracks at the top level; in a copy without git, what lies there, but for what is built.
fn top_level() -> BTreeSet<String> {
    let listed = Command::new("git").arg("-C").arg(root()).args(["ls-files", "-z"]).output();
    if let Ok(output) = listed {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let tops = text.split('\0').filter_map(|path| path.split('/').next());
        let tops: BTreeSet<String> = tops.filter(|top| !top.is_empty()).map(str::to_owned).collect();
        if output.status.success() && tops.contains("Cargo.toml") {
            return tops;
        }
    }
    let entries = std::fs::read_dir(root()).expect("the workspace can be listed");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| !["target", "pending", ".git"].contains(&name.as_str())).collect()
}
