//! Random scripts of forty lines on both kernels, and on a variant of one: none panics, none runs without
//! end, every recording survives its file and replays to the byte; and on the NT-style kernel nothing runs
//! that has ended, user code runs at PASSIVE_LEVEL, and when the scene is cleared away everything has been
//! given back.
//!
//! ```text
//! cargo test -p tests --test random                          some scripts
//! TANDEM_SCRIPTS=1000 cargo test -p tests --test random      a thousand of them
//! TANDEM_SEED=17 TANDEM_SCRIPTS=1 cargo test …               the one that a failure names, and its text
//! ```

use contract::{Activity, Kernel, ObjectId, Outcome, ThreadStatus};
use machine::{Machine, Va};
use recorder::{Case, EventRecord, Recording, kernels, record};
use std::cell::Cell;
use std::collections::BTreeSet;
use tests::script::{clearing, script};

/// Scripts on each kernel when nothing else is asked for.
const SCRIPTS: u64 = 15;
/// Lines of a script, besides its scene and what clears it away.
const LINES: usize = 40;

/// nt52.md 2.7 and 2.5: ETHREAD.CrossThreadFlags and its bit TERMINATED, KTHREAD.CombinedApcDisable and
/// ApcState.KernelApcInProgress; 2.10: KPCR.Irql.
const CROSS_THREAD_FLAGS: u32 = 0x240;
const TERMINATED: u32 = 1;
const COMBINED_APC_DISABLE: u32 = 0x70;
const KERNEL_APC_IN_PROGRESS: u32 = 0x3C;
const IRQL: Va = Va(0xFFDF_F024);

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
        Err(_) => default,
    }
}

/// Runs the scripts on a kernel, `check` on each recording; the failures, each with its seed.
fn run(name: &str, check: impl Fn(&Recording, &dyn Kernel, usize) -> Result<(), String>) {
    let kernel = kernels::by_name(name).expect("a kernel that is listed exists");
    let first = number("TANDEM_SEED", 1);
    let mut failures = Vec::new();
    for seed in first..first + number("TANDEM_SCRIPTS", SCRIPTS) {
        let text = script(seed, LINES);
        let told = one(&text, kernel).and_then(|recording| check(&recording, kernel, clearing(&text)));
        if let Err(why) = told {
            // The script of one that is asked for by its seed; of many, their seeds.
            let shown =
                if number("TANDEM_SCRIPTS", SCRIPTS) == 1 { format!("\n{text}") } else { String::new() };
            failures.push(format!("seed {seed} on {name}: {why}{shown}"));
        }
    }
    let shown: Vec<String> = failures.iter().take(20).cloned().collect();
    assert!(failures.is_empty(), "{} scripts failed:\n{}", failures.len(), shown.join("\n"));
}

/// Records a script, and takes the recording through its file and a replay.
fn one(text: &str, kernel: &'static dyn Kernel) -> Result<Recording, String> {
    let case = Case::parse("random.case", "random", text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let recording = record(&case, kernel).map_err(|error| error.to_string())?;
    let read = Recording::from_bytes(&recording.to_bytes()).map_err(|error| error.to_string())?.recording;
    match replayer::verify(&read, kernel).map_err(|error| error.to_string())? {
        Some(deviation) => Err(format!("its replay goes another way: {deviation}")),
        None => Ok(recording),
    }
}

#[test]
fn scripts_parse_and_differ_by_their_seeds() {
    let scripts: BTreeSet<String> = (0..200).map(|seed| script(seed, LINES)).collect();
    assert_eq!(scripts.len(), 200);
    for text in &scripts {
        let case = Case::parse("x", "x", text).unwrap_or_else(|error| panic!("{text}\n{error}"));
        let random = clearing(text) - 5;
        assert!((LINES..=LINES + 1).contains(&random), "{random} lines");
        assert!(case.lines.len() > clearing(text), "something clears the scene away");
    }
    let verbs: BTreeSet<&str> = scripts
        .iter()
        .flat_map(|text| Case::parse("x", "x", text).expect("it has parsed before").lines)
        .map(|line| line.event.verb.name)
        .collect();
    let missing: Vec<&str> =
        recorder::verbs::table().map(|verb| verb.name).filter(|name| !verbs.contains(name)).collect();
    assert!(missing.is_empty(), "no script says {missing:?}");
}

#[test]
fn scripts_on_reactos_end_and_replay() {
    run("reactos", |_, _, _| Ok(()));
}

#[test]
fn scripts_on_reactos_as_it_was_on_one_day_end_and_replay() {
    run("reactos-r13089", |_, _, _| Ok(()));
}

#[test]
fn scripts_on_nt_end_and_replay_and_hold_what_must_hold() {
    let counted = Cell::new(0);
    run("nt", |recording, kernel, clearing| {
        let mut before: Option<Seen> = None;
        for (index, event) in recording.events.iter().enumerate() {
            let told = |why: String| format!("event {} (`{}`): {why}", index + 1, event.text);
            if let Some(stop) = &event.view.bugcheck {
                return stopped_for_a_reason(stop.code, &recording.header.text).map_err(told);
            }
            let seen = Seen::at(event, kernel);
            seen.holds(event, before.as_ref()).map_err(told)?;
            before = Some(seen);
        }
        counted.set(counted.get() + u64::from(accounted(recording, kernel, clearing)?));
        Ok(())
    });
    let scripts = number("TANDEM_SCRIPTS", SCRIPTS);
    let counted = counted.get();
    assert!(counted * 10 >= scripts || scripts < SCRIPTS, "only {counted} scripts come to be accounted for");
}

/// Whether a script may stop the system like that: by a critical process or thread, or by a thread that
/// ends where a driver must not let it end.
fn stopped_for_a_reason(code: u32, text: &str) -> Result<(), String> {
    let good = match code {
        0xF4 | 0xEF => text.contains("BreakOnTermination"),
        0x05 => text.contains("with=exit"),
        // KERNEL_APC_PENDING_DURING_EXIT: the thread was in a critical region.
        0x20 => text.contains("enter-critical-region") || text.contains("driver leave"),
        _ => false,
    };
    if good { Ok(()) } else { Err(format!("bugcheck {code:X}")) }
}

/// What an event left behind, as far as later events must respect it.
struct Seen {
    threads: Vec<ThreadStatus>,
    /// Threads that are signaled.
    ended: BTreeSet<ObjectId>,
    /// Threads that are marked as TERMINATED and may be killed at once.
    marked: BTreeSet<ObjectId>,
}

fn peek(m: &Machine, at: Va, bytes: &mut [u8]) -> Option<()> {
    m.peek(m.cpu.cr3, at, bytes).ok()
}

fn dword(m: &Machine, at: Va) -> u32 {
    let mut raw = [0; 4];
    peek(m, at, &mut raw).map_or(0, |()| u32::from_le_bytes(raw))
}

impl Seen {
    fn at(event: &EventRecord, kernel: &dyn Kernel) -> Seen {
        let m = &event.machine;
        let threads = kernel.threads(m);
        let of = |fits: &dyn Fn(&ThreadStatus) -> bool| -> BTreeSet<ObjectId> {
            threads.iter().filter(|status| fits(status)).map(|status| status.id).collect()
        };
        let killable = |at: Va| {
            dword(m, at.add(CROSS_THREAD_FLAGS)) & TERMINATED != 0
                && dword(m, at.add(COMBINED_APC_DISABLE)) == 0
                && dword(m, at.add(KERNEL_APC_IN_PROGRESS)) & 0xFF == 0
        };
        let ended = of(&|status| status.activity == Activity::Terminated);
        let marked = of(&|status| status.activity != Activity::Terminated && killable(status.id.at));
        Seen { threads, ended, marked }
    }

    /// What must hold after an event; `before` is what the event before it left.
    fn holds(&self, event: &EventRecord, before: Option<&Seen>) -> Result<(), String> {
        let m = &event.machine;
        let user = m.cpu.cpl() == 3;
        let mut irql = [0];
        if user && peek(m, IRQL, &mut irql).is_some() && irql[0] != 0 {
            return Err(format!("user code runs at IRQL {}", irql[0]));
        }
        for status in self.threads.iter().filter(|status| status.activity != Activity::Terminated) {
            let of_ended = event.named.iter().any(|named| {
                named.id == status.process
                    && event.view.processes.iter().any(|p| p.name == named.name && p.terminated)
            });
            if of_ended {
                return Err("a process is signaled and has a thread that is not".to_owned());
            }
        }
        let Some(before) = before else { return Ok(()) };
        for status in &self.threads {
            if before.ended.contains(&status.id) && status.activity != Activity::Terminated {
                return Err(format!("a signaled thread is {:?}", status.activity));
            }
            // A clock interrupt has come since it was marked: it has entered the kernel.
            if status.current && user && before.marked.contains(&status.id) {
                return Err("a thread that is marked as terminated runs user code".to_owned());
            }
        }
        match event.threads.iter().find(|thread| before.ended.contains(thread)) {
            Some(thread) => {
                let named = event.named.iter().find(|named| named.id == *thread);
                Err(format!("{} is signaled and runs", named.map_or("a thread", |named| &named.name)))
            }
            None => Ok(()),
        }
    }
}

/// Whether everything has been given back once the scene is cleared away: where every process has ended
/// and `init` could do what it was asked, what is in use is what was in use when the system had booted.
/// Gives whether it came to that.
fn accounted(recording: &Recording, kernel: &dyn Kernel, clearing: usize) -> Result<bool, String> {
    let Some(last) = recording.events.last() else { return Ok(false) };
    let refused = |event: &&EventRecord| match &event.outcome {
        Outcome::Unavailable { why } => why != "never created",
        _ => false,
    };
    let ended = last.view.processes.iter().filter(|p| p.name != "System").all(|p| p.terminated);
    if !ended || recording.events[clearing..].iter().any(|event| refused(&event)) {
        return Ok(false);
    }
    let (boot, now) = (kernel.inventory(&recording.boot.machine), kernel.inventory(&last.machine));
    if boot == now { Ok(true) } else { Err(format!("left behind: {}", difference(&boot, &now))) }
}

fn difference(boot: &[(String, u32)], now: &[(String, u32)]) -> String {
    let was = |kind: &str| boot.iter().find(|(known, _)| known == kind).map_or(0, |(_, count)| *count);
    let changed = now.iter().filter(|(kind, count)| was(kind) != *count);
    let gone = boot.iter().filter(|(kind, _)| !now.iter().any(|(known, _)| known == kind));
    let changed = changed.map(|(kind, count)| format!("{kind} {} -> {count}", was(kind)));
    let gone = gone.map(|(kind, count)| format!("{kind} {count} -> 0"));
    changed.chain(gone).collect::<Vec<_>>().join(", ")
}
