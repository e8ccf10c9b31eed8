//! Pseudorandom streams of a bundle of preprocessing, and the masks of a model's weights.
//!
//! Every pair of parties has a key for each bundle, derived from the key the session agreed on and
//! the bundle's number, so no stream is ever read twice. A stream is named by the operation it
//! belongs to and what it is for.

use crate::job::Job;
use hushwire_fixed::Weights;
use hushwire_fixed::program::Op;
use hushwire_fss::{Prf, Stream};
use hushwire_ring::{PackError, Word, pack, packed_len, unpack};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A key of 128 bits. Not printed, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; 16]);

impl Key {
    /// Takes the bytes as a key.
    pub fn new(bytes: [u8; 16]) -> Key {
        Key(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The pseudorandom function under this key.
    pub(crate) fn prf(&self) -> Prf {
        Prf::new(self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(withheld)")
    }
}

/// What a stream is for. Each is read once under each bundle's key.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum Purpose {
    /// r, the mask of the client's input.
    Input,
    /// s, P0's share of (W - b) r.
    LinearShare,
    /// m0 or m1, the half of a gate's opening mask.
    Opening,
    /// m of identity elements, known to P0 and P2.
    IdentityMask,
    /// High part of the next wire's mask where the low part is m.
    IdentityWire,
    /// P0's share of t c of identity elements, from which their carry t g is made.
    IdentityCarry,
    /// c of identity elements.
    IdentityBit,
    /// Shares of the mask's sign.
    MaskSign,
    /// c0 or c1, masks of the decisions.
    DecisionBit,
    /// P0's share of c as a ring element.
    DecisionShare,
    /// Same for the second knot.
    SecondBit,
    /// Same for the second knot.
    SecondShare,
    /// P0's share of c m.
    DecisionMask,
    /// P0's shares of the wrap of m0 + m1, of t, of c t.
    Wrap,
    /// See `Wrap`.
    Carry,
    /// See `Wrap`.
    DecisionCarry,
    /// r', the mask of the gate's output wire.
    Wire,
    /// Comparison material.
    Comparison,
    /// P0's shares of the powers of a piecewise polynomial's mask, from the second on.
    MaskPower,
    /// P0's shares of c m^i of a piecewise polynomial, selector by selector, power by power.
    Selected,
    /// b, the mask of a weight. Under the model's key, not a bundle's.
    Weight,
}

/// The stream of `purpose` at part `part` of operation `op`.
pub(crate) fn stream(prf: &Prf, op: usize, part: usize, purpose: Purpose) -> Stream {
    prf.stream((part as u64) << 40 | (op as u64) << 8 | purpose as u64)
}

/// Words of the stream of `purpose` at `op`, which has no parts.
pub(crate) fn words<W: Word>(prf: &Prf, op: usize, purpose: Purpose, count: usize) -> Vec<W> {
    stream(prf, op, 0, purpose).words(count)
}

/// The masks b of a model's weights, by operation. Known to client and server.
pub struct WeightMasks<W: Word>(Vec<Vec<W>>);

impl<W: Word> WeightMasks<W> {
    /// Derives the masks from the model's key.
    pub fn new(job: &Job, key: &Key) -> Self {
        let prf = key.prf();
        let masks = job.program.ops.iter().enumerate().map(|(i, op)| match op {
            Op::Linear(l) => words(&prf, i, Purpose::Weight, l.shape.weight_len()),
            _ => Vec::new(),
        });
        WeightMasks(masks.collect())
    }

    pub(crate) fn of(&self, op: usize) -> &[W] {
        &self.0[op]
    }
}

impl<W: Word> Drop for WeightMasks<W> {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}

/// The masked weights W - b, by operation. Known to helper and server.
pub struct MaskedWeights<W: Word>(Vec<Vec<W>>);

impl<W: Word> MaskedWeights<W> {
    /// Masks a server's weights.
    pub fn mask(job: &Job, weights: &Weights<W>, masks: &WeightMasks<W>) -> Self {
        let masked = job.program.ops.iter().enumerate().map(|(i, op)| match op {
            Op::Linear(_) => {
                let pairs = weights.values(i).iter().zip(masks.of(i));
                pairs.map(|(w, b)| w.wrapping_sub(*b)).collect()
            }
            _ => Vec::new(),
        });
        MaskedWeights(masked.collect())
    }

    /// Length of the upload in bytes.
    pub fn message_len(job: &Job) -> usize {
        let lens =
            job.program.linears().map(|(_, l)| packed_len(l.shape.weight_len(), job.program.ring));
        lens.sum()
    }

    /// The upload, packed at the ring's width.
    pub fn to_bytes(&self, job: &Job) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::message_len(job));
        for (op, _) in job.program.linears() {
            pack(&self.0[op], job.program.ring, &mut out);
        }
        out
    }

    /// Reads an upload.
    ///
    /// # Errors
    /// If the bytes are not as many as the program's weights take, or their padding is not zero.
    pub fn from_bytes(job: &Job, mut bytes: &[u8]) -> Result<Self, PackError> {
        let mut masked = vec![Vec::new(); job.program.ops.len()];
        for (op, linear) in job.program.linears() {
            let count = linear.shape.weight_len();
            let (own, rest) = bytes.split_at(packed_len(count, job.program.ring).min(bytes.len()));
            masked[op] = vec![W::ZERO; count];
            unpack(own, job.program.ring, &mut masked[op])?;
            bytes = rest;
        }
        Ok(MaskedWeights(masked))
    }

    pub(crate) fn of(&self, op: usize) -> &[W] {
        &self.0[op]
    }
}
