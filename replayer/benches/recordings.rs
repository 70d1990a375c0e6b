//! What recordings cost: time, bytes, and finding one's way in them.
//!
//! `cargo bench -p replayer` measures
//! - how much longer a corpus run takes when every event is recorded (trace, inputs, machine, and all of
//!   it packed and written) than when only outcomes and views are kept: in memory, written to memory, and
//!   to a file a case as `tandem record` does; each run counts with the least time of several rounds, in
//!   which all of these follow each other;
//! - the same of whole processes, booting included: what whoever types `tandem record` waits for;
//! - the bytes of a recording for each of its events, the median over the corpus, booting included;
//! - a seek to an event, and into it, in a recording of 100,000 events: each sought event counts with
//!   the least time of several rounds, between which lie all the others;
//! - explaining the first difference of each case that differs.
//!
//! All is timed by the clock, on an idle machine.
//!
//! `cargo bench -p replayer -- explain` only explains; `-- drive` only runs the corpus once without recording,
//! `-- record` recording, `-- write` writing what is recorded to memory as well, `-- disk` to files, for
//! whoever times or profiles the whole process; with a case's path and a kernel behind it only that one,
//! and behind these the file for `disk`.

use contract::Kernel;
use recorder::{Archive, Case, Player, Writer, kernels};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often each run is made of each kind.
const ROUNDS: usize = 12;
/// Events of the long recording.
const LONG: usize = 100_000;
/// How many of its events are sought.
const SEEKS: usize = 1000;
/// How often each is; what the rest of the system did meanwhile is in some of them only.
const SEEK_ROUNDS: usize = 5;
/// How often each process is started.
const PROCESS_ROUNDS: usize = 5;
/// Of so many runs one is also timed as a process.
const PROCESS_STEP: usize = 5;
/// How often each case is explained.
const EXPLAIN_ROUNDS: usize = 3;

type Pair<'a> = (&'a Case, &'static dyn Kernel);

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let of = |name: &str| WORKS.into_iter().find(|(known, _)| *known == name).map(|(_, work)| work);
    if let [name, case, kernel, file @ ..] = &arguments[..] {
        let work = of(name).expect("drive, record, write or disk");
        let cases = read(Path::new(case));
        let file = file.first().map_or_else(written, PathBuf::from);
        return work(&cases[0], kernels::by_name(kernel).expect("a kernel"), &file);
    }
    let cases = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus"));
    let names = |case: &Case| [case.kernels.0.clone(), case.kernels.1.clone()];
    let pairs: Vec<Pair> = cases
        .iter()
        .flat_map(|case| names(case).map(|name| (case, kernels::by_name(&name).expect("a kernel"))))
        .collect();
    if let Some(name) = arguments.first() {
        if name == "explain" {
            return explain(&cases);
        }
        let work = of(name).expect("drive, record, write, disk or explain");
        for (case, kernel) in &pairs {
            work(case, *kernel, &written());
            clear();
        }
        return;
    }
    cost(&pairs);
    processes(&pairs);
    size(&pairs);
    seek(&pairs);
    explain(&cases);
}

/// The cases at or below a path.
fn read(path: &Path) -> Vec<Case> {
    let sources = replayer::corpus::find(&[path.to_owned()], Path::new("/")).expect("cases are there");
    sources.iter().map(|source| source.read().expect("a case")).collect()
}

type Work = fn(&Case, &'static dyn Kernel, &Path);

const WORKS: [(&str, Work); 4] = [("drive", drive), ("record", record), ("write", write), ("disk", disk)];

fn drive(case: &Case, kernel: &'static dyn Kernel, _: &Path) {
    recorder::drive(case, kernel).expect("it runs");
}

fn record(case: &Case, kernel: &'static dyn Kernel, _: &Path) {
    recorder::record(case, kernel).expect("it runs");
}

fn write(case: &Case, kernel: &'static dyn Kernel, _: &Path) {
    recorder::record_into(case, kernel, false, Vec::new()).expect("it runs");
}

/// Through a temporary file beside the recording's, as the program does it.
fn disk(case: &Case, kernel: &'static dyn Kernel, path: &Path) {
    let write =
        |file| recorder::record_into(case, kernel, false, file).map(drop).map_err(std::io::Error::other);
    recorder::recording::write_beside(path, write).expect("it is written");
}

/// The file that [`disk`] is given.
fn written() -> PathBuf {
    std::env::temp_dir().join(format!("tandem-bench-{}.rec", std::process::id()))
}

/// Takes away what was written to disk, if anything was: nobody who records does.
fn clear() {
    let _ = std::fs::remove_file(written());
}

fn cost(pairs: &[Pair]) {
    let mut best = [Duration::ZERO; WORKS.len()];
    for (case, kernel) in pairs {
        // A run counts with the least time of several, and each work comes behind each other as often.
        let mut least = [Duration::MAX; WORKS.len()];
        for round in 0..ROUNDS {
            for turn in 0..WORKS.len() {
                let index = (round + turn) % WORKS.len();
                let start = Instant::now();
                WORKS[index].1(case, *kernel, &written());
                least[index] = least[index].min(start.elapsed());
                clear();
            }
        }
        best.iter_mut().zip(least).for_each(|(best, least)| *best += least);
    }
    let more = |time: Duration| 100.0 * (time.as_secs_f64() / best[0].as_secs_f64() - 1.0);
    println!("{} runs without recording: {:.1?}", pairs.len(), best[0]);
    println!(
        "recorded: {:.1?}, {:+.1} %; and written to memory: {:.1?}, {:+.1} %; to files: {:.1?}, {:+.1} %",
        best[1],
        more(best[1]),
        best[2],
        more(best[2]),
        best[3],
        more(best[3])
    );
}

/// What a process takes that records a case into a file, against one that only runs it.
fn processes(pairs: &[Pair]) {
    let program = std::env::current_exe().expect("it runs");
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let mut best = [Duration::ZERO; 2];
    let some = pairs.iter().step_by(PROCESS_STEP);
    let count = some.len();
    for (case, kernel) in some {
        let path = corpus.join(&case.name).with_extension("case");
        let mut least = [Duration::MAX; 2];
        for round in 0..PROCESS_ROUNDS {
            for turn in 0..2 {
                let index = (round + turn) % 2;
                let mut command = std::process::Command::new(&program);
                command.arg(["drive", "disk"][index]).arg(&path).arg(kernel.name()).arg(written());
                let start = Instant::now();
                assert!(command.status().expect("it starts").success());
                least[index] = least[index].min(start.elapsed());
                clear();
            }
        }
        best.iter_mut().zip(least).for_each(|(best, least)| *best += least);
    }
    let [run, recorded] = best.map(|time| time.as_secs_f64());
    println!(
        "{count} processes without recording: {:.1?}; recorded to files: {:.1?}, {:+.1} %",
        best[0],
        best[1],
        100.0 * (recorded / run - 1.0)
    );
}

fn size(pairs: &[Pair]) {
    for (title, detail) in [("", false), (" in detail", true)] {
        let bytes = |(case, kernel): &Pair| {
            let (bytes, _) = recorder::record_into(case, *kernel, detail, Vec::new()).expect("it runs");
            bytes.len() / case.lines.len()
        };
        let mut sizes: Vec<usize> = pairs.iter().map(bytes).collect();
        sizes.sort_unstable();
        let at = |percent: usize| sizes[(sizes.len() - 1) * percent / 100];
        println!("bytes an event{title}: median {}, 90th percentile {}, most {}", at(50), at(90), at(100));
    }
}

/// What `tandem explain` does for each case that differs: what the user waits for, the best of several rounds.
fn explain(cases: &[Case]) {
    let mut times: Vec<(Duration, &str)> = Vec::new();
    for case in cases {
        let kernel = |name: &str| kernels::by_name(name).expect("a kernel");
        let both = (kernel(&case.kernels.0), kernel(&case.kernels.1));
        let round = || {
            let start = Instant::now();
            let compared = replayer::compare(case, both.0, both.1).expect("it runs");
            let parting = replayer::explain::facts::first(&compared.comparison)?;
            replayer::explain::stories(&compared, both, &[parting], true).expect("it goes the same way");
            Some(start.elapsed())
        };
        let best = std::iter::repeat_with(round).take(EXPLAIN_ROUNDS).min().flatten();
        times.extend(best.map(|best| (best, &*case.name)));
    }
    times.sort_unstable();
    let (Some(most), Some(median)) = (times.last(), times.get(times.len() / 2)) else { return };
    println!("explaining {} cases: median {:.1?}, most {:.1?} ({})", times.len(), median.0, most.0, most.1);
}

/// A recording of 100,000 events: those of a case, over and over.
fn long(pair: &Pair, path: &Path) {
    let recording = recorder::record(pair.0, pair.1).expect("it runs");
    let file = std::io::BufWriter::new(std::fs::File::create(path).expect("a file"));
    let routines = &recording.header.routines;
    let mut writer =
        Writer::start(file, &recording.header, LONG as u32, &recording.boot).expect("it is written");
    for event in recording.events.iter().cycle().take(LONG) {
        writer.event(event.clone(), routines).expect("it is written");
    }
    writer.finish(routines).expect("it is written");
}

fn seek(pairs: &[Pair]) {
    let folder = std::env::temp_dir().join(format!("tandem-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path: PathBuf = folder.join("long.rec");
    let longest = pairs.iter().max_by_key(|(case, _)| case.lines.len()).expect("cases");
    long(longest, &path);
    let start = Instant::now();
    let mut archive = Archive::open(&path).expect("it was written whole");
    let opened = start.elapsed();
    let events = longest.0.lines.len();
    let mut state = 12345usize;
    let sought: Vec<usize> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1 + (state >> 33) % LONG
    })
    // Not the first of a round: what lies before it in the file is not what it began from.
    .filter(|event| event % events != 1)
    .take(SEEKS)
    .collect();
    let (mut to_event, mut into) = (vec![Duration::MAX; SEEKS], vec![Duration::MAX; SEEKS]);
    for _ in 0..SEEK_ROUNDS {
        for (index, &event) in sought.iter().enumerate() {
            let start = Instant::now();
            let before = archive.machine_after(event - 1).expect("it is whole").expect("it is there");
            to_event[index] = to_event[index].min(start.elapsed());
            let record = archive.event(event).expect("it is whole").expect("it is there");
            let half = record.end().saturating_sub(before.retired) / 2;
            let mut player = Player::new(longest.1, event, before, &record);
            player.forward(half).expect("it goes the same way");
            into[index] = into[index].min(start.elapsed());
        }
    }
    to_event.sort_unstable();
    into.sort_unstable();
    println!(
        "{LONG} events, {:.1} MiB, opened in {opened:.1?}; {SEEKS} seeks to an event, the best of {SEEK_ROUNDS}: median {:.1?}, 99th percentile \
         {:.1?}, most {:.1?}; into its middle: median {:.1?}, 99th percentile {:.1?}, most {:.1?}",
        std::fs::metadata(&path).map_or(0.0, |data| data.len() as f64 / f64::from(1 << 20)),
        to_event[SEEKS / 2],
        to_event[SEEKS * 99 / 100],
        to_event[SEEKS - 1],
        into[SEEKS / 2],
        into[SEEKS * 99 / 100],
        into[SEEKS - 1],
    );
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}
