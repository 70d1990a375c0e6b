//! Decoded blocks and remembered translations change nothing but the speed: a case recorded with them and
//! one recorded without are the same, event by event, to the last byte of the machine.
//!
//! ```text
//! cargo test -p tests --test blocks                        some cases on each kernel
//! TANDEM_BLOCKS=all cargo test -p tests --test blocks      every case on every kernel
//! ```

use contract::{
    BootError, Flow, Frame, Heap, Image, Kernel, Named, ObjectId, ObjectKind, Owner, Scene, ThreadStatus,
    View,
};
use machine::{Fault, Machine, Va};
use recorder::{Case, RecordError, Recording, kernels, record};
use replayer::corpus;
use tests::root;

/// One case in so many, when not all of them are asked for.
const ONE_IN: usize = 8;

/// A kernel on a machine that remembers nothing: every instruction is decoded, and every address
/// translated, each time. It has a name of its own, because a kernel is booted once for each name.
struct Plain {
    kernel: &'static dyn Kernel,
    name: &'static str,
}

impl Plain {
    /// Lives as long as the test, as kernels do.
    fn new(kernel: &'static dyn Kernel) -> &'static Plain {
        let name = format!("{} without blocks", kernel.name());
        Box::leak(Box::new(Plain { kernel, name: Box::leak(name.into_boxed_str()) }))
    }

    /// Records a case, under the kernel's own name.
    fn record(&'static self, case: &Case) -> Result<Recording, RecordError> {
        let mut recording = record(case, self)?;
        recording.header.kernel = self.kernel.name().to_owned();
        Ok(recording)
    }
}

impl Kernel for Plain {
    fn name(&self) -> &'static str {
        self.name
    }
    fn boot(&self) -> Result<Machine, BootError> {
        let mut m = self.kernel.boot()?;
        m.set_caching(false);
        Ok(m)
    }
    fn image(&self) -> &Image {
        self.kernel.image()
    }
    fn native(&self, frame: &mut Frame) -> Result<Flow, Fault> {
        self.kernel.native(frame)
    }
    fn view(&self, m: &Machine, named: &[Named]) -> View {
        self.kernel.view(m, named)
    }
    fn scene(&self, m: &Machine) -> Scene {
        self.kernel.scene(m)
    }
    fn threads(&self, m: &Machine) -> Vec<ThreadStatus> {
        self.kernel.threads(m)
    }
    fn current(&self, m: &Machine) -> ObjectId {
        self.kernel.current(m)
    }
    fn object(&self, m: &Machine, owner: Owner, handle: u32) -> Option<(ObjectId, ObjectKind)> {
        self.kernel.object(m, owner, handle)
    }
    fn client_id(&self, m: &Machine, object: ObjectId) -> Option<(u32, u32)> {
        self.kernel.client_id(m, object)
    }
    fn address_space(&self, m: &Machine, process: ObjectId) -> Option<u32> {
        self.kernel.address_space(m, process)
    }
    fn structures(&self, m: &Machine) -> Vec<(ObjectId, &'static str)> {
        self.kernel.structures(m)
    }
    fn frames(&self, m: &Machine, thread: &ThreadStatus) -> Vec<(Va, &'static str)> {
        self.kernel.frames(m, thread)
    }
    fn heap(&self, m: &Machine) -> Heap {
        self.kernel.heap(m)
    }
    fn inventory(&self, m: &Machine) -> Vec<(String, u32)> {
        self.kernel.inventory(m)
    }
}

/// The first event after which two recordings of a case differ, and in what.
fn difference(with: &Recording, without: &Recording) -> Option<String> {
    let events = |recording: &Recording| -> Vec<_> {
        std::iter::once(&recording.boot).chain(&recording.events).cloned().collect()
    };
    for (with, without) in events(with).iter().zip(&events(without)) {
        let place = format!("line {} (`{}`)", with.line, with.text);
        if with.machine.cpu != without.machine.cpu {
            return Some(format!("{place}: {:X?}\nwithout {:X?}", with.machine.cpu, without.machine.cpu));
        }
        let frames = with.machine.memory.changed(&without.machine.memory);
        if !frames.is_empty() {
            return Some(format!("{place}: frames {frames:X?}"));
        }
        if with.machine.retired != without.machine.retired || with != without {
            return Some(format!(
                "{place}: {} instructions, {}",
                with.machine.retired, without.machine.retired
            ));
        }
    }
    // What the events do not hold is in the file: the header, and the checksums.
    (with.to_bytes() != without.to_bytes()).then(|| "the files differ".to_owned())
}

#[test]
fn every_case_is_the_same_with_and_without_blocks() {
    let all = std::env::var("TANDEM_BLOCKS").is_ok_and(|asked| asked == "all");
    let sources = corpus::find(&["corpus".into()], &root()).unwrap_or_else(|error| panic!("{error}"));
    let (mut compared, mut events, mut instructions, mut failures) = (0, 0, 0, Vec::new());
    for (number, name) in kernels::names().iter().enumerate() {
        let kernel = kernels::by_name(name).expect("a kernel that is listed exists");
        let plain = Plain::new(kernel);
        for (_, source) in sources.iter().enumerate().filter(|(at, _)| all || at % ONE_IN == number % ONE_IN)
        {
            let case: Case = source.read().unwrap_or_else(|error| panic!("{}: {error}", source.name));
            let (with, without) = match (record(&case, kernel), plain.record(&case)) {
                (Ok(with), Ok(without)) => (with, without),
                // A case that a kernel cannot be taken through cannot be in the same words.
                (Err(with), Err(without))
                    if with.to_string() == without.to_string().replace(plain.name, name) =>
                {
                    continue;
                }
                (with, without) => {
                    failures.push(format!(
                        "{} on {name}: {:?}, {:?}",
                        source.name,
                        with.err(),
                        without.err()
                    ));
                    continue;
                }
            };
            compared += 1;
            events += with.events.len() + 1;
            instructions += with.events.last().unwrap_or(&with.boot).machine.retired;
            if let Some(what) = difference(&with, &without) {
                failures.push(format!("{} on {name}: {what}", source.name));
            }
        }
    }
    println!("{compared} recordings with and without blocks: {events} events, {instructions} instructions");
    assert!(failures.is_empty(), "{} recordings differ:\n{}", failures.len(), failures.join("\n"));
    assert!(compared >= sources.len() / ONE_IN, "only {compared} recordings compared");
}
