//! Recordings as files: a magic and a version, then chunks, each with its length and checksums in front.
//!
//! The length has a checksum of its own, so that a damaged length is told from a file that ends too
//! early: of a torn file everything up to the tear is read, of a damaged one nothing.

use super::wire::{CHANGED_MAX, WireEvent, WireHeader, WireMachine};
use super::{EventRecord, Header, Recording};
use crate::codec;
use machine::Memory;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The first eight bytes of a recording's file.
pub const MAGIC: [u8; 8] = *b"TANDEMRC";
/// The version of the format that is written and read.
pub const VERSION: u32 = 2;

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

/// Bytes that a recording's file has at most.
const FILE_MAX: u64 = 256 << 20;
/// After how many events a full copy of the machine stands in the file.
const FULL_EVERY: usize = 16;
/// Bytes in front of a chunk's content: tag, length, checksum of these two, checksum of the content.
const FRAME: usize = 16;

const HEAD: [u8; 4] = *b"HEAD";
const EVENT: [u8; 4] = *b"EVNT";
const FULL: [u8; 4] = *b"FULL";
const END: [u8; 4] = *b"END.";

fn chunk(out: &mut Vec<u8>, tag: [u8; 4], content: &[u8]) {
    let mut front = tag.to_vec();
    front.extend((content.len() as u32).to_le_bytes());
    let check = crc32fast::hash(&front);
    out.extend(front);
    out.extend(check.to_le_bytes());
    out.extend(crc32fast::hash(content).to_le_bytes());
    out.extend(content);
}

impl Recording {
    /// The recording as bytes: the same for the same run, whenever and wherever it took place.
    ///
    /// `TANDEMRC`, the version, then chunks: a header, booting, each event, every sixteen events a full
    /// copy of the machine, and an end. Numbers are little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(VERSION.to_le_bytes());
        let header = WireHeader { header: self.header.clone(), events: self.events.len() as u32 };
        chunk(&mut out, HEAD, &codec::encode(&header));
        chunk(&mut out, EVENT, &codec::encode(&WireEvent::new(&self.boot, None)));
        let mut older = &self.boot.machine.memory;
        for (index, event) in self.events.iter().enumerate() {
            chunk(&mut out, EVENT, &codec::encode(&WireEvent::new(event, Some(older))));
            older = &event.machine.memory;
            if (index + 1) % FULL_EVERY == 0 {
                chunk(&mut out, FULL, &codec::encode(&WireMachine::new(&event.machine, None)));
            }
        }
        chunk(&mut out, END, &[]);
        out
    }

    /// Writes the recording through a temporary file beside `path`, so that there is never half of it.
    ///
    /// # Errors
    /// [`ReadError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), ReadError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(name);
        let written = std::fs::write(&part, self.to_bytes()).and_then(|()| std::fs::rename(&part, path));
        written.map_err(|cause| {
            // Whatever of it there is must not stay; that there is none is as good.
            let _ = std::fs::remove_file(&part);
            ReadError::Io { path: path.to_owned(), cause }
        })
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
        let mut file = Chunks::open(bytes)?;
        let torn_header = |at| ReadError::TornHeader { at };
        let (at, content) = file.next(HEAD)?.map_err(torn_header)?;
        let WireHeader { header, events: of } = decode(at, content)?;
        let (at, content) = file.next(EVENT)?.map_err(torn_header)?;
        let mut changed = 0;
        let boot = event(at, content, &header, None, &mut changed)?;
        let mut recording = Recording { header, boot, events: Vec::new() };
        let torn = file.events(&mut recording, of as usize, &mut changed)?;
        Ok(Loaded { recording, torn })
    }
}

/// A file's chunks, one after the other.
struct Chunks<'b> {
    bytes: &'b [u8],
    at: usize,
}

/// A chunk's offset and content; the offset alone of one that is not whole.
type Chunk<'b> = Result<(u64, &'b [u8]), u64>;

impl<'b> Chunks<'b> {
    fn open(bytes: &'b [u8]) -> Result<Chunks<'b>, ReadError> {
        let magic = &bytes[..bytes.len().min(MAGIC.len())];
        if bytes.is_empty() || !MAGIC.starts_with(magic) {
            return Err(ReadError::NotARecording);
        }
        let Some(version) = bytes.get(8..12) else { return Err(ReadError::TornHeader { at: 0 }) };
        let found = u32::from_le_bytes([version[0], version[1], version[2], version[3]]);
        if found != VERSION {
            return Err(ReadError::Version { found });
        }
        if bytes.len() as u64 > FILE_MAX {
            return Err(damaged(FILE_MAX, format!("more than {FILE_MAX} bytes")));
        }
        Ok(Chunks { bytes, at: 12 })
    }

    fn next(&mut self, expected: [u8; 4]) -> Result<Chunk<'b>, ReadError> {
        let at = self.at;
        let Some(front) = self.bytes.get(at..at + FRAME) else { return Ok(Err(at as u64)) };
        let word = |offset: usize| u32::from_le_bytes(std::array::from_fn(|index| front[offset + index]));
        if crc32fast::hash(&front[..8]) != word(8) {
            return Err(damaged(at as u64, "the checksum of a chunk's length is wrong"));
        }
        if front[..4] != expected {
            let tag = String::from_utf8_lossy(&front[..4]).into_owned();
            return Err(damaged(at as u64, format!("a chunk `{tag}` where it cannot be")));
        }
        let length = word(4) as usize;
        if length > codec::LENGTH_MAX {
            return Err(damaged(at as u64, format!("a chunk of {length} bytes")));
        }
        let start = at + FRAME;
        let Some(content) = self.bytes.get(start..start + length) else { return Ok(Err(at as u64)) };
        if crc32fast::hash(content) != word(12) {
            return Err(damaged(at as u64, "the checksum of a chunk is wrong"));
        }
        self.at = start + length;
        Ok(Ok((at as u64, content)))
    }

    /// Reads events up to the end of the recording or of the file.
    fn events(
        &mut self,
        recording: &mut Recording,
        of: usize,
        changed: &mut usize,
    ) -> Result<Option<Torn>, ReadError> {
        let mut copied = 0;
        loop {
            let events = recording.events.len();
            let expected = if events / FULL_EVERY > copied {
                FULL
            } else if events == of {
                END
            } else {
                EVENT
            };
            let (at, content) = match self.next(expected)? {
                Ok(whole) => whole,
                Err(at) => return Ok(Some(Torn { at, events, of })),
            };
            let machine = &recording.events.last().unwrap_or(&recording.boot).machine;
            match expected {
                END if content.is_empty() && self.at == self.bytes.len() => return Ok(None),
                END => return Err(damaged(at, "bytes stand behind the end")),
                FULL => {
                    let full: WireMachine = decode(at, content)?;
                    if full != WireMachine::new(machine, None) {
                        return Err(damaged(at, "a full copy is not the machine that the events lead to"));
                    }
                    copied += 1;
                }
                _ => {
                    let event = event(at, content, &recording.header, Some(&machine.memory), changed)?;
                    recording.events.push(event);
                }
            }
        }
    }
}

fn event(
    at: u64,
    content: &[u8],
    header: &Header,
    older: Option<&Memory>,
    changed: &mut usize,
) -> Result<EventRecord, ReadError> {
    let wire: WireEvent = decode(at, content)?;
    *changed += wire.changed();
    if *changed > CHANGED_MAX {
        return Err(damaged(at, format!("more than {CHANGED_MAX} changed pages")));
    }
    wire.read(header, older).map_err(|what| damaged(at, what))
}

fn decode<T: serde::de::DeserializeOwned + serde::Serialize>(
    at: u64,
    content: &[u8],
) -> Result<T, ReadError> {
    codec::decode(content).map_err(|error| damaged(at, error.to_string()))
}

fn damaged(at: u64, what: impl Into<String>) -> ReadError {
    ReadError::Damaged { at, what: what.into() }
}
