//! Recordings as files: a magic and a version, then chunks.
//!
//! Of a torn file everything up to the tear is read, of a damaged one nothing.

use super::changed::Changed;
use super::chunk::{self, END, EVENT, FRAME, FULL, Front, HEAD, damaged};
use super::outgoing::{Difference, Gap};
use super::wire::{CHANGED_MAX, WireEnd, WireEvent, WireFull, WireHeader};
use super::write::Writer;
use super::{EventRecord, Header, Recording, TraceStep};
use crate::pack::{Unpacker, unpacked_length};
use crate::{codec, deflate};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The first eight bytes of a recording's file.
pub const MAGIC: [u8; 8] = *b"TANDEMRC";
/// The version of the format that is written and read.
pub const VERSION: u32 = 8;

/// A recording that was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What could be read.
    pub recording: Recording,
    /// Where the file ends too early, if it does.
    pub torn: Option<Torn>,
}

/// A file that ends too early: what stands before that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The offset of the first byte of the chunk that is not whole.
    pub at: u64,
    /// How many events were read.
    pub events: usize,
    /// How many events the recording had when it was written.
    pub of: usize,
}

/// Why a recording could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read or written.
    #[error("{path}: {cause}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The file does not start as a recording does.
    #[error("this is not a recording: it does not start with TANDEMRC")]
    NotARecording,
    /// The recording is of another version.
    #[error(
        "the recording has format version {found}; this program reads version {VERSION}: record the case again"
    )]
    Version {
        /// Its version.
        found: u32,
    },
    /// The file's bytes have changed since it was written.
    #[error("the recording is damaged at byte {at}: {what}")]
    Damaged {
        /// The offset of the chunk in which it was found.
        at: u64,
        /// What was found.
        what: String,
    },
    /// The file ends before its header does.
    #[error(
        "the recording is torn before its first event was whole, at byte {at}: nothing can be read from it"
    )]
    TornHeader {
        /// The offset of the chunk that is not whole.
        at: u64,
    },
}

/// Bytes that a recording's file has at most to be read as a whole; [`super::Archive`] opens longer ones.
const FILE_MAX: u64 = 256 << 20;
/// Bytes that a recording has at most to be read as a whole: unpacked, and with what each event's trace and
/// machine take, the latter even where nothing has changed. Few bytes that are all alike are packed into next
/// to nothing, and so are steps that can be foretold.
const WHOLE_MAX: u64 = 1 << 30;
/// After how many events a full copy of the machine stands in the file: what a seek may cost.
pub(super) const FULL_EVERY: usize = 32;

impl Recording {
    /// The recording as bytes: the same for the same run, whenever and wherever it took place.
    ///
    /// `TANDEMRC`, the version, then chunks, each packed: a header, booting, each event as what changed
    /// since the one before, every thirty-two events what changed since booting, and an end. They are linked
    /// blocks of LZ4, but for booting, which is deflated by itself, and for what changed since booting, which
    /// is linked to nothing before it. A page table that maps memory as it lies stands with booting as its first entry
    /// and the step between two. Numbers are little-endian.
    ///
    /// # Panics
    /// Never: memory takes every byte.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.write_to(Vec::new()).expect("memory takes every byte")
    }

    fn write_to<W: std::io::Write>(&self, out: W) -> std::io::Result<W> {
        let routines = &self.header.routines;
        let mut writer = Writer::start(out, &self.header, self.events.len() as u32, &self.boot)?;
        for event in &self.events {
            writer.event(event.clone(), routines)?;
        }
        writer.finish(routines)
    }

    /// Writes the recording through a temporary file beside `path`, so that there is never half of it
    /// under that name.
    ///
    /// # Errors
    /// [`ReadError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), ReadError> {
        write_beside(path, |file| self.write_to(file).map(drop))
    }

    /// Reads a recording's file.
    ///
    /// # Errors
    /// [`ReadError`]; a file that is merely torn is no error.
    pub fn read(path: &Path) -> Result<Loaded, ReadError> {
        let io = |cause| ReadError::Io { path: path.to_owned(), cause };
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes))
            .map_err(io)?;
        Recording::from_bytes(&bytes)
    }

    /// Reads a recording.
    ///
    /// # Errors
    /// [`ReadError`]; bytes that merely end too early are no error.
    pub fn from_bytes(bytes: &[u8]) -> Result<Loaded, ReadError> {
        Recording::read_within(bytes, WHOLE_MAX, CHANGED_MAX)
    }

    /// Reads a recording of at most so many bytes, unpacked, and so many changed pages.
    fn read_within(bytes: &[u8], whole: u64, pages: usize) -> Result<Loaded, ReadError> {
        let mut file = Chunks::open(bytes)?;
        let torn_header = |at| ReadError::TornHeader { at };
        let (at, front, content) = file.next(HEAD)?.map_err(torn_header)?;
        let mut unpacker = Unpacker::new();
        let WireHeader { kernel, case, digest, text, detail, events: of } =
            front.value(at, content, unpacker.behind())?;
        let mut header = Header { kernel, case, digest, text, detail, routines: Vec::new() };
        let (at, front, content) = file.next(EVENT)?.map_err(torn_header)?;
        let wire: WireEvent = front.value(at, content, deflate::unpack)?;
        let mut changed = wire.changed();
        let boot = wire.read(&mut header.routines, None).map_err(|what| damaged(at, what))?;
        let mut recording = Recording { header, boot, events: Vec::new() };
        let torn = file.events(&mut recording, of as usize, (&mut changed, pages), whole, unpacker)?;
        Ok(Loaded { recording, torn })
    }
}

/// Writes a file through a temporary one beside it: whoever is killed meanwhile leaves that one, and
/// nothing under the file's own name.
///
/// # Errors
/// [`ReadError::Io`].
pub fn write_beside(
    path: &Path,
    write: impl FnOnce(std::io::BufWriter<std::fs::File>) -> std::io::Result<()>,
) -> Result<(), ReadError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let written = std::fs::File::create(&part)
        .and_then(|file| write(std::io::BufWriter::new(file)))
        .and_then(|()| std::fs::rename(&part, path));
    written.map_err(|cause| {
        // Whatever of it there is must not stay; that there is none is as good.
        let _ = std::fs::remove_file(&part);
        ReadError::Io { path: path.to_owned(), cause }
    })
}

/// Checks the first bytes of a file.
pub(super) fn check_start(bytes: &[u8]) -> Result<(), ReadError> {
    let magic = &bytes[..bytes.len().min(MAGIC.len())];
    if bytes.is_empty() || !MAGIC.starts_with(magic) {
        return Err(ReadError::NotARecording);
    }
    let Some(version) = bytes.get(8..12) else { return Err(ReadError::TornHeader { at: 0 }) };
    match u32::from_le_bytes([version[0], version[1], version[2], version[3]]) {
        VERSION => Ok(()),
        found => Err(ReadError::Version { found }),
    }
}

/// A file's chunks, one after the other.
struct Chunks<'b> {
    bytes: &'b [u8],
    at: usize,
}

/// A chunk's offset, front and content; the offset alone of one that is not whole.
type Chunk<'b> = Result<(u64, Front, &'b [u8]), u64>;

impl<'b> Chunks<'b> {
    fn open(bytes: &'b [u8]) -> Result<Chunks<'b>, ReadError> {
        check_start(bytes)?;
        if bytes.len() as u64 > FILE_MAX {
            return Err(damaged(FILE_MAX, format!("more than {FILE_MAX} bytes")));
        }
        Ok(Chunks { bytes, at: 12 })
    }

    fn next(&mut self, expected: [u8; 4]) -> Result<Chunk<'b>, ReadError> {
        let at = self.at;
        let Some(front) = self.bytes.get(at..at + FRAME) else { return Ok(Err(at as u64)) };
        let front = chunk::front(at as u64, front.try_into().expect("so many bytes"))?;
        front.expect(at as u64, expected)?;
        let start = at + FRAME;
        let Some(content) = self.bytes.get(start..start + front.length) else { return Ok(Err(at as u64)) };
        self.at = start + front.length;
        Ok(Ok((at as u64, front, content)))
    }

    /// Reads events up to the end of the recording or of the file.
    fn events(
        &mut self,
        recording: &mut Recording,
        of: usize,
        (changed, pages): (&mut usize, usize),
        whole: u64,
        mut unpacker: Unpacker,
    ) -> Result<Option<Torn>, ReadError> {
        let mut copied = 0;
        let mut unpacked = 0;
        let least = size_of::<EventRecord>() as u64 + recording.boot.machine.memory.least_bytes();
        loop {
            let events = recording.events.len();
            let expected = if events / FULL_EVERY > copied {
                FULL
            } else if events == of {
                END
            } else {
                EVENT
            };
            let (at, front, content) = match self.next(expected)? {
                Ok(whole) => whole,
                Err(at) => return Ok(Some(Torn { at, events, of })),
            };
            unpacked += least + unpacked_length(content);
            if unpacked > whole {
                return Err(damaged(at, format!("more than {whole} bytes to be read as a whole")));
            }
            let machine = &recording.events.last().unwrap_or(&recording.boot).machine;
            match expected {
                END => {
                    let end: WireEnd = front.value(at, content, unpacker.behind())?;
                    recording.header.routines.extend(end.routines);
                    if self.at != self.bytes.len() {
                        return Err(damaged(self.at as u64, "bytes stand behind the end"));
                    }
                    return Ok(None);
                }
                FULL => {
                    unpacker = Unpacker::new();
                    let full: WireFull = front.value(at, content, unpacker.behind())?;
                    let (boot, mut changed) = (&recording.boot.machine.memory, Changed::default());
                    let expected = Difference::new(machine, boot, Gap::Short, &mut changed);
                    if codec::encode(&full.machine) != codec::encode(&expected)
                        || full.routines != recording.header.routines
                    {
                        return Err(damaged(at, "a full copy is not the machine that the events lead to"));
                    }
                    copied += 1;
                }
                _ => {
                    let wire: WireEvent = front.value(at, content, unpacker.behind())?;
                    *changed += wire.changed();
                    if *changed > pages {
                        return Err(damaged(at, format!("more than {pages} changed pages")));
                    }
                    let routines = &mut recording.header.routines;
                    let event = wire.read(routines, Some(machine)).map_err(|what| damaged(at, what))?;
                    unpacked += traced(&event);
                    recording.events.push(event);
                }
            }
        }
    }
}

/// Bytes that the trace of an event takes.
fn traced(event: &EventRecord) -> u64 {
    let elsewhere = |step: &TraceStep| if step.args.spilled() { size_of_val(&step.args[..]) } else { 0 };
    event.trace.iter().map(|step| (size_of::<TraceStep>() + elsewhere(step)) as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Went;
    use contract::ObjectId;
    use machine::{Machine, Pa};

    fn recording(events: Vec<EventRecord>, boot: EventRecord) -> Recording {
        let header = Header {
            kernel: "nt".to_owned(),
            case: "case".to_owned(),
            digest: 0,
            text: String::new(),
            detail: false,
            routines: Vec::new(),
        };
        Recording { header, boot, events }
    }

    #[test]
    fn what_is_packed_into_next_to_nothing_is_counted_before_it_is_unpacked() {
        let event = EventRecord { text: "-".repeat(100_000), ..EventRecord::nothing() };
        let recording = recording(vec![event; 5], EventRecord::nothing());
        let bytes = recording.to_bytes();
        assert!(bytes.len() < 10_000, "{}", bytes.len());
        assert_eq!(Recording::read_within(&bytes, 600_000, 0).unwrap().recording, recording);
        let error = Recording::read_within(&bytes, 400_000, 0).unwrap_err();
        assert!(error.to_string().ends_with("more than 400000 bytes to be read as a whole"), "{error}");
    }

    #[test]
    fn what_traces_take_is_counted() {
        let at_work = |args: usize| {
            let (args, went) = (std::iter::repeat_n(7, args).collect(), Went::Direct);
            let step = TraceStep { at: 0, depth: 0, thread: 0, routine: 0, stage: 0, args, went };
            let threads = vec![ObjectId { at: machine::Va(0), serial: 0 }];
            EventRecord { trace: vec![step; 4000], threads, ..EventRecord::nothing() }
        };
        for (args, bytes) in [(0, 192_000), (12, 384_000)] {
            let mut recording = recording(vec![at_work(args); 5], EventRecord::nothing());
            recording.header.routines.push("KiIdleLoop".to_owned());
            let written = recording.to_bytes();
            assert!(written.len() < 2000, "{}", written.len());
            // The last one is only looked at when something follows it.
            assert_eq!(Recording::read_within(&written, 5 * bytes + 50_000, 0).unwrap().recording, recording);
            let error = Recording::read_within(&written, 4 * bytes, 0).unwrap_err();
            assert!(error.to_string().ends_with("bytes to be read as a whole"), "{error}");
        }
    }

    #[test]
    fn the_pages_that_events_change_are_counted() {
        let mut machine = Machine::new(4);
        let mut event = || {
            machine.retired += 1;
            machine.memory.write(Pa(0), &machine.retired.to_le_bytes());
            machine.memory.write(Pa(0x2000), &machine.retired.to_le_bytes());
            EventRecord { machine: machine.clone(), ..EventRecord::nothing() }
        };
        let boot = event();
        let recording = recording(vec![event(), event()], boot);
        let bytes = recording.to_bytes();
        assert_eq!(Recording::read_within(&bytes, WHOLE_MAX, 6).unwrap().recording, recording);
        let error = Recording::read_within(&bytes, WHOLE_MAX, 5).unwrap_err();
        assert!(error.to_string().ends_with("more than 5 changed pages"), "{error}");
    }

    #[test]
    fn a_file_that_is_too_long_is_refused_before_it_is_looked_at() {
        let mut bytes = vec![0; FILE_MAX as usize + 1];
        let start = recording(Vec::new(), EventRecord::nothing()).to_bytes();
        bytes[..12].copy_from_slice(&start[..12]);
        let error = Recording::from_bytes(&bytes).map(drop).unwrap_err();
        assert!(error.to_string().ends_with("more than 268435456 bytes"), "{error}");
    }
}
