//! The review loop as its user walks it, with the real cargo-insta, in a copy of the workspace: a new
//! case becomes an accepted golden, and a changed kernel moves twenty of them.
//!
//! Where there is no cargo-insta the tests say `skipped: no cargo-insta`. It is looked for at
//! `TANDEM_CARGO_INSTA`, on the path and where `cargo install` puts it.
//!
//! The loop's `cargo test -p tests --test corpus` is this program itself, which holds the same test: in
//! the copy cargo would build everything again.

#[path = "corpus.rs"]
mod corpus;

use libtest_mimic::{Arguments, Failed, Trial};
use recorder::kernels;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;
use tests::{read, root, tandem};

/// Set in the processes that stand for the corpus test.
const CORPUS: &str = "TANDEM_AS_CORPUS";
/// Goldens that the changed kernel moves.
const MOVED: usize = 20;

type Tested = Result<(), Failed>;

fn main() {
    if std::env::var_os(CORPUS).is_some() {
        return corpus::main();
    }
    let args = Arguments::from_args();
    let trials = vec![
        Trial::test("a new case becomes an accepted golden", || with_insta(new_case)),
        Trial::test("a changed kernel moves twenty goldens", || with_insta(changed_kernel)),
        Trial::test("what the build server kept is reviewed at home", || with_insta(from_the_server)),
    ];
    libtest_mimic::run(&args, trials).exit()
}

fn with_insta(test: fn(&Copy) -> Tested) -> Tested {
    let Some(insta) = insta() else {
        writeln!(std::io::stderr(), "skipped: no cargo-insta")?;
        return Ok(());
    };
    test(&Copy::new(insta)?)
}

/// The folder in which cargo-insta lies.
fn insta() -> Option<PathBuf> {
    let named = std::env::var_os("TANDEM_CARGO_INSTA").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    let installed = std::env::var_os("CARGO_HOME").map(PathBuf::from).or(home).map(|home| home.join("bin"));
    let name = format!("cargo-insta{}", std::env::consts::EXE_SUFFIX);
    let known = std::env::split_paths(&path).chain(installed).map(|folder| folder.join(&name));
    let runs = |program: &PathBuf| {
        let ran = Command::new(program).arg("--version").output();
        ran.is_ok_and(|output| output.status.success())
    };
    let found = named.into_iter().chain(known).find(runs)?;
    Some(found.parent()?.to_owned())
}

/// What a program printed on both streams, and whether it was content.
struct Said {
    content: bool,
    text: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        let text = [output.stdout, output.stderr].concat();
        Said { content: output.status.success(), text: String::from_utf8_lossy(&text).into_owned() }
    }
}

impl Said {
    fn is(&self, content: bool) -> Result<&Said, Failed> {
        if self.content == content { Ok(self) } else { Err(format!("not {content}:\n{}", self.text).into()) }
    }

    fn has(&self, parts: &[&str]) -> Result<&Said, Failed> {
        match parts.iter().find(|part| !self.text.contains(**part)) {
            None => Ok(self),
            Some(part) => Err(format!("`{part}` is missing in:\n{}", self.text).into()),
        }
    }

    /// The tests that failed, as the harness lists them at its end.
    fn failures(&self) -> BTreeSet<String> {
        let list = self.text.rsplit_once("\nfailures:\n").map_or("", |(_, list)| list);
        list.lines().map_while(|line| line.strip_prefix("    ")).map(str::to_owned).collect()
    }
}

/// A copy of the workspace without what was built in it and what waits to be reviewed.
struct Copy {
    folder: TempDir,
    path: OsString,
}

impl Copy {
    fn new(insta: PathBuf) -> Result<Copy, Failed> {
        let folder = tempfile::tempdir()?;
        let left_out =
            |name: &str| ["target", ".git", "pending"].contains(&name) || name.ends_with(".snap.new");
        let all = walkdir::WalkDir::new(root()).min_depth(1).into_iter();
        for entry in all.filter_entry(|entry| !entry.file_name().to_str().is_some_and(left_out)) {
            let entry = entry?;
            let to = folder.path().join(entry.path().strip_prefix(root())?);
            if entry.file_type().is_dir() {
                std::fs::create_dir(to)?;
            } else if entry.file_type().is_file() {
                std::fs::copy(entry.path(), to)?;
            }
        }
        let old = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(insta).chain(std::env::split_paths(&old)))?;
        Ok(Copy { folder, path })
    }

    fn top(&self) -> &Path {
        self.folder.path()
    }

    /// A command in the copy, of a user who has set none of insta's variables.
    fn command(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new(program.into());
        let own = |name: &str| name.starts_with("INSTA_") || ["CI", "TF_BUILD", "NO_COLOR"].contains(&name);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(own) {
                command.env_remove(name);
            }
        }
        command.current_dir(self.top()).env("PATH", &self.path).stdin(Stdio::null());
        command
    }

    /// `cargo test -p tests --test corpus FILTER`.
    fn corpus(&self, filter: &str, more: &[(&str, &str)]) -> Result<Said, Failed> {
        let mut command = self.command(std::env::current_exe()?);
        let crate_folder = self.top().join("tests");
        command.env("CARGO_MANIFEST_DIR", &crate_folder).current_dir(crate_folder);
        command.env(CORPUS, "1").env("INSTA_WORKSPACE_ROOT", self.top()).envs(more.iter().copied());
        Ok(command.args(["--color", "never", filter]).output()?.into())
    }

    /// `cargo insta ARGS`.
    fn insta(&self, args: &[&str], more: &[(&str, &str)]) -> Result<Said, Failed> {
        let mut command = self.command("cargo");
        Ok(command.arg("insta").args(args).envs(more.iter().copied()).output()?.into())
    }

    /// `cargo insta review` at a terminal at which these keys are pressed; none where util-linux's
    /// program `script`, which makes terminals, is missing.
    fn review(&self, keys: &str) -> Result<Option<Said>, Failed> {
        let version = Command::new("script").arg("--version").output();
        if !version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("util-linux")) {
            return Ok(None);
        }
        let mut command = self.command("script");
        command.args(["-qec", "cargo insta review", "/dev/null"]).env("TERM", "xterm").stdin(Stdio::piped());
        let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        running.stdin.take().ok_or("a terminal has keys")?.write_all(keys.as_bytes())?;
        Ok(Some(running.wait_with_output()?.into()))
    }

    /// The goldens that wait for a decision, from the copy's top, as cargo-insta lists them.
    fn pending(&self, more: &[(&str, &str)]) -> Result<BTreeSet<String>, Failed> {
        let said = self.insta(&["pending-snapshots", "--as-json"], more)?;
        let top = self.top().canonicalize()?;
        let mut found = BTreeSet::new();
        for line in said.is(true)?.text.lines().filter(|line| line.starts_with('{')) {
            let pending: serde_json::Value = serde_json::from_str(line)?;
            let path = Path::new(pending["path"].as_str().ok_or("a pending golden has a path")?);
            let inside = path.strip_prefix(&top).or_else(|_| path.strip_prefix(self.top()))?;
            found.insert(inside.display().to_string());
        }
        Ok(found)
    }

    fn golden(&self, name: &str) -> PathBuf {
        self.top().join("golden").join(format!("{name}.snap"))
    }
}

/// Fails unless both are the same.
fn same<T: PartialEq + std::fmt::Debug>(found: T, wanted: T) -> Tested {
    if found == wanted { Ok(()) } else { Err(format!("{found:#?}\nis not\n{wanted:#?}").into()) }
}

const HEAD: &str = "# A NULL process handle ends the other thread.\n";
const REASON: &str = "# differs: ReactOS has no NULL case; the handle lookup fails.\n";
const EVENTS: &str = "\nprocess app\nthread  main   in=app\nthread  worker in=app\n\
                      main NtTerminateProcess process=NULL status=7\n";

fn new_case(copy: &Copy) -> Tested {
    let name = "reviewing/null_handle";
    let case = copy.top().join("corpus/reviewing/null_handle.case");
    let ran = tandem(copy.top(), &["new", name]);
    same((ran.status, ran.err.as_str()), (0, ""))?;
    let told = Said { content: true, text: ran.out };
    told.has(&[
        "corpus/reviewing/null_handle.case is written",
        &format!("cargo test -p tests --test corpus {name}"),
        "cargo insta review",
    ])?;

    // Without a reason a difference is no golden yet.
    std::fs::write(&case, format!("{HEAD}{EVENTS}"))?;
    copy.corpus(name, &[])?.is(false)?.has(&[
        "corpus/reviewing/null_handle.case:6: outcome: nt returned STATUS_SUCCESS, \
         reactos returned STATUS_INVALID_HANDLE",
        "  nt       thread    worker  running -> terminated, exit status 00000007\n",
        "say why they differ in a line `# differs: ...`",
    ])?;
    same(copy.pending(&[])?, BTreeSet::new())?;

    std::fs::write(&case, format!("{HEAD}{REASON}{EVENTS}"))?;
    let commands = format!("cargo test -p tests --test corpus {name}, then cargo insta review");
    copy.corpus(name, &[])?.is(false)?.has(&[
        "corpus/reviewing/null_handle.case:4: the case has no golden",
        "main NtTerminateProcess process=NULL status=7\n  nt       returned  STATUS_SUCCESS\n",
        &commands,
    ])?;
    same(copy.pending(&[])?, BTreeSet::from([format!("golden/{name}.snap")]))?;
    accept(copy, "a", &["null_handle", "STATUS_INVALID_HANDLE"])?;
    same(copy.pending(&[])?, BTreeSet::new())?;
    copy.corpus(name, &[])?.is(true)?;
    let golden = read(&copy.golden(name));
    if !golden.contains("input_file: corpus/reviewing/null_handle.case\n") {
        return Err(golden.into());
    }

    // What is rejected stays as it was accepted.
    std::fs::write(&case, format!("{HEAD}{REASON}{}", EVENTS.replace("status=7", "status=8")))?;
    copy.corpus(name, &[])?.is(false)?.has(&[
        "corpus/reviewing/null_handle.case:7: the golden differs",
        "-main NtTerminateProcess process=NULL status=7\n",
        "+main NtTerminateProcess process=NULL status=8\n",
        "exit status 00000007\n+",
        &commands,
    ])?;
    match copy.review("r")? {
        Some(said) => said.is(true)?,
        None => copy.insta(&["reject"], &[])?.is(true)?,
    };
    same(copy.pending(&[])?, BTreeSet::new())?;
    same(read(&copy.golden(name)), golden)?;
    std::fs::write(&case, format!("{HEAD}{REASON}{EVENTS}"))?;
    copy.corpus(name, &[])?.is(true).map(drop)
}

/// Reviews at a terminal, where there can be one, and accepts with these keys.
fn accept(copy: &Copy, keys: &str, shown: &[&str]) -> Tested {
    match copy.review(keys)? {
        Some(said) => said.is(true)?.has(shown).map(drop),
        None => copy.insta(&["accept"], &[])?.is(true).map(drop),
    }
}

/// Gives `count` cases the goldens that they would have if ReactOS were still the one of January 2005:
/// to them, the kernel of today is a changed one. Gives each case's name and today's golden, as bytes.
fn of_an_older_kernel(copy: &Copy, count: usize) -> Result<Vec<(String, Vec<u8>)>, Failed> {
    let kernel = |name: &str| kernels::by_name(name).ok_or("the kernel is there");
    let (nt, today, older) = (kernel("nt")?, kernel("reactos")?, kernel("reactos-r13089")?);
    let mut moved = Vec::new();
    for source in replayer::corpus::find(&["corpus".into()], copy.top())? {
        let case = source.read()?;
        if (case.kernels.0.as_str(), case.kernels.1.as_str()) != (nt.name(), today.name()) {
            continue;
        }
        let mut then = replayer::compare(&case, nt, older)?.comparison;
        then.right = today.name().to_owned();
        let golden = copy.golden(&source.name);
        let (now, text) = (read(&golden), then.text());
        let (head, body) = now.split_once("\n---\n").ok_or("a golden has a header")?;
        if body.trim_end() != text.trim_end() {
            std::fs::write(&golden, format!("{head}\n---\n{text}"))?;
            moved.push((source.name, now.into_bytes()));
        }
        if moved.len() == count {
            return Ok(moved);
        }
    }
    Err(format!("only {} goldens would be others", moved.len()).into())
}

fn changed_kernel(copy: &Copy) -> Tested {
    let moved = of_an_older_kernel(copy, MOVED)?;
    let names: BTreeSet<String> = moved.iter().map(|(name, _)| name.clone()).collect();
    let said = copy.corpus("", &[])?;
    same(said.is(false)?.failures(), names.clone())?;
    for name in &names {
        said.has(&[
            &format!("corpus/{name}.case:"),
            &format!("cargo test -p tests --test corpus {name}, then cargo insta review"),
        ])?;
    }
    same(said.text.matches(": the golden differs\n").count(), MOVED)?;
    same(copy.pending(&[])?, names.iter().map(|name| format!("golden/{name}.snap")).collect())?;
    accept(copy, &"a".repeat(MOVED), &["insta review finished"])?;
    as_they_were(copy, &moved)?;
    copy.corpus("", &[])?.is(true).map(drop)
}

fn as_they_were(copy: &Copy, moved: &[(String, Vec<u8>)]) -> Tested {
    same(copy.pending(&[])?, BTreeSet::new())?;
    for (name, before) in moved {
        let now = std::fs::read(copy.golden(name))?;
        same(String::from_utf8_lossy(&now), String::from_utf8_lossy(before))?;
    }
    Ok(())
}

/// The build server keeps what is pending in a folder of its own, and leaves the tree alone.
fn from_the_server(copy: &Copy) -> Tested {
    let moved = of_an_older_kernel(copy, 1)?;
    let (name, _) = &moved[0];
    let then = read(&copy.golden(name));
    let pending = copy.top().join("pending").display().to_string();
    let there = ("INSTA_PENDING_DIR", pending.as_str());
    copy.corpus(name, &[("CI", "true"), ("INSTA_UPDATE", "new"), there])?.is(false)?;
    same(read(&copy.golden(name)), then)?;
    same(copy.pending(&[])?, BTreeSet::new())?;
    let kept = Path::new(&pending).join(format!("golden/{name}.snap.new"));
    same(kept.is_file(), true)?;
    same(copy.pending(&[there])?.len(), 1)?;
    copy.insta(&["accept"], &[there])?.is(true)?;
    as_they_were(copy, &moved)?;
    copy.corpus(name, &[])?.is(true).map(drop)
}
