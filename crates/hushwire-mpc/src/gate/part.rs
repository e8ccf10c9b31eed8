//! Sharing gates as the schedule sees them.

use super::schedule::{Dealt, Messages, Next, Part, Prepared, Received};
use super::{Wire, client, deal, server};
use crate::MpcError;
use crate::layout::GateLayout;
use hushwire_fss::Prf;
use hushwire_ring::Word;
use zeroize::Zeroizing;

/// A client's state between two messages.
pub(crate) enum Asking<W> {
    /// What it prepared, and its keys.
    Fresh(Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>),
    /// Decisions that the server has yet to answer.
    Asked(client::Asked<W>),
}

/// A server's state between two messages.
pub(crate) enum Serving<W> {
    Opened(server::Opened<W>),
    Decided(server::Decided<W>),
}

impl Messages for GateLayout<'_> {
    fn op(&self) -> usize {
        self.op
    }

    fn dealt_len(&self) -> usize {
        self.dealt_len()
    }

    fn keys_len(&self) -> usize {
        self.thresholds.keys_len()
    }

    fn masked_len(&self) -> usize {
        self.masked_len()
    }

    fn online_len(&self, number: usize) -> Option<usize> {
        self.online_len(number)
    }
}

impl<W: Word> Part<W> for GateLayout<'_> {
    type Asking = Asking<W>;
    type Serving = Box<Serving<W>>;
    type Wire = Wire<W>;

    fn deal(&self, p0: &Prf, p1: &Prf) -> Dealt<Wire<W>> {
        deal::deal(self, p0, p1)
    }

    fn prepare(&self, p0: &Prf, v0: &[W]) -> Prepared<Wire<W>> {
        client::prepare(self, p0, v0)
    }

    fn place(&self, wire: &Wire<W>, out: &mut [W]) {
        wire.place(self, out);
    }

    fn begin(&self, prepared: Zeroizing<Vec<u8>>, keys: Zeroizing<Vec<u8>>) -> Asking<W> {
        Asking::Fresh(prepared, keys)
    }

    fn answer(
        &self,
        layer: &str,
        p0: &Prf,
        state: Asking<W>,
        message: &[u8],
    ) -> Result<(Vec<u8>, Option<Asking<W>>), MpcError> {
        match state {
            Asking::Fresh(prepared, keys) => {
                let (answer, asked) = client::answer(self, layer, p0, &prepared, &keys, message)?;
                Ok((answer, asked.map(Asking::Asked)))
            }
            Asking::Asked(asked) => Ok((asked.finish(self, layer, p0, message)?, None)),
        }
    }

    fn open(
        &self,
        layer: &str,
        p1: &Prf,
        received: &Received<'_>,
        v1: &[W],
    ) -> Result<(Vec<u8>, Box<Serving<W>>), MpcError> {
        let (message, opened) = server::open(self, layer, p1, received, v1)?;
        Ok((message, Box::new(Serving::Opened(opened))))
    }

    fn hear(
        &self,
        layer: &str,
        state: Box<Serving<W>>,
        message: &[u8],
    ) -> Result<Next<Box<Serving<W>>, Wire<W>>, MpcError> {
        Ok(match *state {
            Serving::Opened(opened) => match opened.decide(self, layer, message)? {
                Next::Done(wire) => Next::Done(wire),
                Next::Say(third, decided) => Next::Say(third, Box::new(Serving::Decided(decided))),
            },
            Serving::Decided(decided) => Next::Done(decided.finish(self, layer, message)?),
        })
    }
}
