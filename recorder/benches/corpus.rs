//! How fast cases run: cases a second, and instructions of the machine a second.
//!
//! `cargo bench -p recorder` measures the corpus, `cargo bench -p recorder -- FOLDER` another folder.
//! A case counts once when both of its kernels have run it, on one core; native routines count as
//! instructions. Booting is done once a kernel and is measured by itself.

use contract::Kernel;
use recorder::{Case, kernels, record};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// For how long the cases are run over and over.
const LASTING: Duration = Duration::from_secs(3);

fn main() {
    // Cargo adds `--bench`.
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = folder.map_or(Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus"), PathBuf::from);
    let mut files = Vec::new();
    find(&folder, &mut files);
    files.sort();
    let cases: Vec<Case> = files.iter().filter_map(|path| read(path)).collect();
    let pairs: Vec<(&Case, &'static dyn Kernel)> = cases
        .iter()
        .flat_map(|case| [(case, case.kernels.0.as_str()), (case, case.kernels.1.as_str())])
        .filter_map(|(case, name)| Some((case, kernels::by_name(name)?)))
        .collect();
    if pairs.is_empty() {
        println!("no cases in {}", folder.display());
        return;
    }
    for name in kernels::names() {
        let Some(kernel) = kernels::by_name(name) else { continue };
        let Some((case, _)) = pairs.iter().find(|(_, other)| other.name() == *name) else { continue };
        let start = Instant::now();
        let recording = record(case, kernel);
        let boot = recording.map_or(0, |recording| recording.boot.end());
        println!(
            "{name}: {boot} instructions to boot, {:.1} ms with its first case",
            milliseconds(start.elapsed())
        );
    }
    let start = Instant::now();
    let (mut rounds, mut instructions) = (0u32, 0u64);
    while start.elapsed() < LASTING {
        for (case, kernel) in &pairs {
            match record(case, *kernel) {
                Ok(recording) => {
                    let last = recording.events.last().unwrap_or(&recording.boot);
                    instructions += last.end() - recording.boot.end();
                }
                Err(error) if rounds == 0 => println!("{}: {error}", case.name),
                Err(_) => {}
            }
        }
        rounds += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    let cases = f64::from(rounds) * cases.len() as f64;
    println!("{} cases, {rounds} rounds in {seconds:.2} s", files.len());
    println!(
        "{:.0} cases a second, {:.1} ms for all of them",
        cases / seconds,
        seconds * 1000.0 / f64::from(rounds)
    );
    println!("{:.1} million instructions a second", instructions as f64 / seconds / 1e6);
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The case files below a folder.
fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "case") {
            files.push(path);
        }
    }
}

fn read(path: &Path) -> Option<Case> {
    let text = std::fs::read_to_string(path).ok()?;
    let name = path.file_stem()?.to_string_lossy();
    match Case::parse(&path.display().to_string(), &name, &text) {
        Ok(case) => Some(case),
        Err(error) => {
            println!("{error}");
            None
        }
    }
}
