//! Decisions that later gates copy.
//!
//! A decision d is opened once, as e = d ^ c. A gate that copies it opens values of its own under
//! masks of their own; all it needs of the decision is e, which client and server have, and fresh
//! shares of products with c, which the helper knows. So nothing is compared again, and no message
//! says anything of d that e did not.

use super::decision_purposes;
use crate::keys::stream;
use hushwire_fss::Prf;
use hushwire_ring::Bits;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Where a decision is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The gate.
    pub op: usize,
    /// Its part.
    pub part: usize,
    /// Decisions of the part.
    pub count: usize,
    /// Which of them.
    pub decision: usize,
}

/// Opened decisions e by operation and part. Both parties know them, masked as they are.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<HashMap<(usize, usize), Bits>>);

impl Ledger {
    /// Notes the decisions of a part.
    pub(crate) fn note(&self, op: usize, part: usize, opened: &Bits) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((op, part), opened.clone());
    }

    /// `own` decisions followed by those at some places. Gates run in the order of the program, which
    /// has those that decide before those that copy.
    pub(crate) fn extended(&self, own: &Bits, places: &[Place]) -> Bits {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |p: &Place| {
            let bits = known.get(&(p.op, p.part));
            bits.unwrap_or_else(|| unreachable!("gate {} is copied before it decides", p.op))
                .get(p.decision)
        };
        Bits::from_fn(own.len() + places.len(), |i| match i.checked_sub(own.len()) {
            None => own.get(i),
            Some(copy) => at(&places[copy]),
        })
    }
}

/// The masks c of `own` decisions followed by those at some places, at the helper.
pub(super) fn masks(own: &Bits, places: &[Place], [p0, p1]: [&Prf; 2]) -> Bits {
    let mut parts: HashMap<(usize, usize), Bits> = HashMap::new();
    let purpose = decision_purposes(0).0;
    for place in places {
        parts.entry((place.op, place.part)).or_insert_with(|| {
            let half = |prf| stream(prf, place.op, place.part, purpose).bits(place.count);
            half(p0).xor(&half(p1))
        });
    }
    Bits::from_fn(own.len() + places.len(), |i| match i.checked_sub(own.len()) {
        None => own.get(i),
        Some(copy) => {
            let place = &places[copy];
            parts[&(place.op, place.part)].get(place.decision)
        }
    })
}
