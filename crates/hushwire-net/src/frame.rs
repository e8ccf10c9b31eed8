//! Frames: the unit on the wire.
//!
//! A message is one or more frames with the same label; all but the last carry the `more` flag. The
//! header has a fixed size, so the cost of a message is known before it is sent:
//!
//! ```text
//! offset 0      1        2      3      4..8       8..12       12..16
//!        magic  version  phase  flags  step       length      sequence     (little endian)
//! ```
//!
//! The sequence number counts the frames of one direction from zero and wraps; a repeated, lost or
//! reordered frame is refused. Hostile bytes give a [`FrameError`], never a panic, and never an
//! allocation above the decoder's frame limit.

use std::io::{self, Read};

use crate::{Label, Phase};

/// Bytes of a frame before its payload.
pub const FRAME_HEADER_LEN: usize = 16;

/// Payload bytes a frame carries at most, unless the options say otherwise.
pub const DEFAULT_MAX_FRAME: usize = 1 << 20;

/// The version of the framing that this crate speaks.
pub const FRAME_VERSION: u8 = 1;

const MAGIC: u8 = 0xb7;
const FLAG_MORE: u8 = 1;

/// Bytes on the wire, headers included, of a message with `payload_len` bytes when frames carry at
/// most [`DEFAULT_MAX_FRAME`].
pub fn framed_len(payload_len: usize) -> u64 {
    framed_len_with(payload_len, DEFAULT_MAX_FRAME)
}

/// [`framed_len`] for another frame limit (zero counts as one).
pub fn framed_len_with(payload_len: usize, max_frame: usize) -> u64 {
    let frames = payload_len.div_ceil(max_frame.max(1)).max(1);
    payload_len as u64 + frames as u64 * FRAME_HEADER_LEN as u64
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the message is.
    pub label: Label,
    /// Whether another frame of the same message follows.
    pub more: bool,
    /// Payload bytes of this frame.
    pub len: u32,
    /// Position of the frame in its direction, modulo 2^32.
    pub sequence: u32,
}

impl Header {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; FRAME_HEADER_LEN] {
        let mut bytes = [0; FRAME_HEADER_LEN];
        bytes[0] = MAGIC;
        bytes[1] = FRAME_VERSION;
        bytes[2] = self.label.phase.to_byte();
        bytes[3] = if self.more { FLAG_MORE } else { 0 };
        bytes[4..8].copy_from_slice(&self.label.step.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes
    }
}

/// Reads a header from the start of `bytes`, checking everything that does not depend on the frames
/// before it.
///
/// # Errors
/// [`FrameError`] if the bytes are too few or are not a header of this version.
pub fn decode_header(bytes: &[u8]) -> Result<Header, FrameError> {
    let Some(bytes) = bytes.first_chunk::<FRAME_HEADER_LEN>() else {
        return Err(FrameError::Truncated { needed: FRAME_HEADER_LEN, got: bytes.len() });
    };
    let [magic, version, phase, flags, s0, s1, s2, s3, l0, l1, l2, l3, q0, q1, q2, q3] = *bytes;
    if magic != MAGIC {
        return Err(FrameError::Magic { got: magic });
    }
    if version != FRAME_VERSION {
        return Err(FrameError::Version { expected: FRAME_VERSION, got: version });
    }
    let phase = Phase::from_byte(phase).ok_or(FrameError::Phase { got: phase })?;
    if flags & !FLAG_MORE != 0 {
        return Err(FrameError::Flags { got: flags });
    }
    let header = Header {
        label: Label { phase, step: u32::from_le_bytes([s0, s1, s2, s3]) },
        more: flags & FLAG_MORE != 0,
        len: u32::from_le_bytes([l0, l1, l2, l3]),
        sequence: u32::from_le_bytes([q0, q1, q2, q3]),
    };
    if header.more && header.len == 0 {
        return Err(FrameError::Empty { label: header.label });
    }
    Ok(header)
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its header.
    pub header: Header,
    /// Its payload, `header.len` bytes.
    pub payload: Vec<u8>,
}

/// Checks the frames of one direction against each other.
#[derive(Clone, Debug)]
pub struct FrameDecoder {
    max_frame: usize,
    next_sequence: u32,
    open: Option<Label>,
}

impl FrameDecoder {
    /// A decoder at the start of a direction that refuses payloads above `max_frame` bytes.
    pub fn new(max_frame: usize) -> FrameDecoder {
        FrameDecoder { max_frame, next_sequence: 0, open: None }
    }

    /// Takes the next header.
    ///
    /// # Errors
    /// [`FrameError`] if it is no header, too large, out of order, or interrupts a message. The
    /// decoder is unchanged then.
    pub fn accept(&mut self, bytes: &[u8]) -> Result<Header, FrameError> {
        let header = decode_header(bytes)?;
        if header.len as usize > self.max_frame {
            return Err(FrameError::TooLarge { len: header.len, max: self.max_frame });
        }
        if header.sequence != self.next_sequence {
            return Err(FrameError::Sequence {
                expected: self.next_sequence,
                got: header.sequence,
            });
        }
        if let Some(open) = self.open
            && open != header.label
        {
            return Err(FrameError::Interrupted { open, got: header.label });
        }
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.open = header.more.then_some(header.label);
        Ok(header)
    }

    /// Reads one frame; `None` if the stream ends where a message may end.
    ///
    /// # Errors
    /// [`ReadError::Frame`] if the bytes are refused or end early, [`ReadError::Io`] if the reader
    /// fails.
    pub fn read_frame(&mut self, reader: &mut impl Read) -> Result<Option<Frame>, ReadError> {
        let mut bytes = [0; FRAME_HEADER_LEN];
        let got = read_full(reader, &mut bytes)?;
        if got == 0 && self.open.is_none() {
            return Ok(None);
        }
        let header = self.accept(bytes.get(..got).unwrap_or_default())?;
        let mut payload = vec![0; header.len as usize];
        let got = read_full(reader, &mut payload)?;
        if got < payload.len() {
            return Err(FrameError::Truncated { needed: payload.len(), got }.into());
        }
        Ok(Some(Frame { header, payload }))
    }
}

/// Reads until `buffer` is full or the stream ends; the bytes read.
fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..)
        && !rest.is_empty()
    {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Bytes that are not the frame expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The first byte is not the magic number.
    #[error("not a hushwire frame: it starts with {got:#04x}, not {MAGIC:#04x}")]
    Magic {
        /// The byte found.
        got: u8,
    },
    /// The frame has another version.
    #[error("frame version {got}, expected {expected}: use the same release on both sides")]
    Version {
        /// The version this crate speaks.
        expected: u8,
        /// The version found.
        got: u8,
    },
    /// The phase byte names no phase.
    #[error("unknown phase {got}")]
    Phase {
        /// The byte found.
        got: u8,
    },
    /// Flags that this version does not know.
    #[error("unknown flags {got:#04x}")]
    Flags {
        /// The flags found.
        got: u8,
    },
    /// A frame that announces more and carries nothing.
    #[error("an empty frame of {label} announces another: it would never end")]
    Empty {
        /// Its label.
        label: Label,
    },
    /// A payload above the limit.
    #[error("frame of {len} bytes, at most {max} are allowed")]
    TooLarge {
        /// The length announced.
        len: u32,
        /// The limit.
        max: usize,
    },
    /// A frame out of order.
    #[error("frame number {got}, expected {expected}: lost, repeated or reordered")]
    Sequence {
        /// The number expected.
        expected: u32,
        /// The number found.
        got: u32,
    },
    /// A message that starts inside another.
    #[error("frame of {got} inside the message {open}")]
    Interrupted {
        /// The unfinished message.
        open: Label,
        /// The label found.
        got: Label,
    },
    /// The stream ended inside a frame or between the frames of a message.
    #[error("the stream ends inside a message: {got} of {needed} bytes")]
    Truncated {
        /// Bytes that were due.
        needed: usize,
        /// Bytes that came.
        got: usize,
    },
}

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The bytes are refused.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The transport failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}
