//! Recordings as files.

use super::Recording;
use std::path::{Path, PathBuf};

/// The first eight bytes of a recording's file.
pub const MAGIC: [u8; 8] = *b"TANDEMRC";
/// The version of the format that is written and read.
pub const VERSION: u32 = 1;

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

impl Recording {
    /// The recording as bytes: the same for the same run, whenever and wherever it took place.
    pub fn to_bytes(&self) -> Vec<u8> {
        unimplemented!()
    }

    /// Writes the recording through a temporary file beside `path`.
    ///
    /// # Errors
    /// [`ReadError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), ReadError> {
        let _ = path;
        unimplemented!()
    }

    /// Reads a recording's file.
    ///
    /// # Errors
    /// [`ReadError`]; a file that is merely torn is no error.
    pub fn read(path: &Path) -> Result<Loaded, ReadError> {
        let _ = path;
        unimplemented!()
    }

    /// Reads a recording.
    ///
    /// # Errors
    /// [`ReadError`]; bytes that merely end too early are no error.
    pub fn from_bytes(bytes: &[u8]) -> Result<Loaded, ReadError> {
        let _ = bytes;
        unimplemented!()
    }
}
