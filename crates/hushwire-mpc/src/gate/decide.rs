//! From opened forms to masked decisions: the part of a gate that client and server do alike.

use super::Sections;
use crate::MpcError;
use crate::job::Comparison;
use crate::thresholds::Thresholds;
use hushwire_fss::{FssError, Stream, dcf, digits};
use hushwire_ring::{Bits, packed_len};

/// Deals comparisons with the secrets n, given by their compared bits: tables for the server alone, or
/// keys for both. Streams are those shared with client and server.
pub(crate) fn deal(
    thresholds: &Thresholds,
    p0: &mut Stream,
    p1: &mut Stream,
    below: &[u64],
    tables: &mut Vec<u8>,
    keys: &mut Vec<u8>,
) {
    if thresholds.is_empty() {
        return;
    }
    // Both widths were checked when the job's gates were.
    match thresholds.comparison {
        Comparison::Digits => {
            if let Ok(shape) = thresholds.digits() {
                tables.extend(digits::deal(shape, p0, p1, below));
            }
        }
        Comparison::Dcf => {
            if let Ok(message) = dcf::deal(thresholds.compared(), p0, p1, below) {
                keys.extend(message);
            }
        }
    }
}

/// A party's comparison material. Consumed by use.
pub(crate) enum Material {
    None,
    Keys(dcf::Keys),
    Tables(digits::Tables),
}

impl Material {
    /// The client's, from its stream and the helper's keys.
    pub(crate) fn client(
        thresholds: &Thresholds,
        p0: &mut Stream,
        keys: &[u8],
    ) -> Result<Material, FssError> {
        let (width, count) = (thresholds.compared(), thresholds.count);
        Ok(match thresholds.comparison {
            _ if thresholds.is_empty() => Material::None,
            Comparison::Digits => {
                Material::Tables(digits::Tables::client(thresholds.digits()?, count, p0))
            }
            Comparison::Dcf => Material::Keys(dcf::Keys::client(width, count, p0, keys)?),
        })
    }

    /// The server's, from its stream and the helper's tables or keys.
    pub(crate) fn server(
        thresholds: &Thresholds,
        p1: &mut Stream,
        tables: &[u8],
        keys: &[u8],
    ) -> Result<Material, FssError> {
        let (width, count) = (thresholds.compared(), thresholds.count);
        Ok(match thresholds.comparison {
            _ if thresholds.is_empty() => Material::None,
            Comparison::Digits => {
                Material::Tables(digits::Tables::server(thresholds.digits()?, count, p1, tables)?)
            }
            Comparison::Dcf => Material::Keys(dcf::Keys::server(width, count, p1, keys)?),
        })
    }
}

/// Comparisons under way.
#[derive(Default)]
enum Comparing {
    #[default]
    None,
    Done(Vec<Bits>),
    Opening(digits::Opening),
}

/// The decisions of a gate under way at one party.
#[derive(Default)]
pub(crate) struct Deciding {
    /// msb(V) of each knot: public.
    signs: Vec<Bits>,
    comparing: Comparing,
}

impl Deciding {
    /// Looks up every knot's public value V = form - threshold (mod 2^w).
    pub(crate) fn start(thresholds: &Thresholds, forms: &[u64], material: Material) -> Self {
        let shifted = thresholds.shifted(forms);
        let (signs, below): (Vec<Bits>, Vec<Vec<u64>>) =
            shifted.iter().map(|forms| thresholds.split(forms)).unzip();
        let knots: Vec<&[u64]> = below.iter().map(Vec::as_slice).collect();
        let comparing = match material {
            Material::None => Comparing::None,
            Material::Keys(keys) => Comparing::Done(keys.eval_at(&knots)),
            Material::Tables(tables) => {
                let opening = tables.look_up_at(&knots);
                if thresholds.at_once() {
                    // A single digit needs no opening: there is nothing to exchange.
                    Comparing::Done(opening.combine_at(&[]).unwrap_or_default())
                } else {
                    Comparing::Opening(opening)
                }
            }
        };
        Deciding { signs, comparing }
    }

    /// Appends this party's shares of what must be opened, if anything.
    pub(crate) fn write_openings(&self, out: &mut Vec<u8>) {
        if let Comparing::Opening(opening) = &self.comparing {
            out.extend(opening.message());
        }
    }

    /// This party's shares of the decisions 1{form >= knot}. `openings` is the peer's answer to
    /// [`Deciding::write_openings`]; `signs` the party's shares of msb(n). The client adds what is
    /// public.
    pub(crate) fn finish(
        self,
        layer: &str,
        openings: &[u8],
        mask_signs: &Bits,
        client: bool,
    ) -> Result<Vec<Bits>, MpcError> {
        let compared = match self.comparing {
            Comparing::None => Vec::new(),
            Comparing::Done(bits) => bits,
            Comparing::Opening(opening) => opening
                .combine_at(openings)
                .map_err(|source| MpcError::Comparison { layer: layer.to_owned(), source })?,
        };
        let share = |(mut share, sign): (Bits, Bits)| {
            share.xor_assign(mask_signs);
            if client {
                share.xor_assign(&sign.not());
            }
            share
        };
        Ok(compared.into_iter().zip(self.signs).map(share).collect())
    }
}

/// Masks decision shares with a party's halves of the masks c and appends them.
pub(crate) fn masked(shares: &[Bits], masks: &[Bits], out: &mut Vec<u8>) -> Vec<Bits> {
    let own: Vec<Bits> = shares.iter().zip(masks).map(|(d, c)| d.xor(c)).collect();
    own.iter().for_each(|bits| bits.to_bytes(out));
    own
}

/// e = own share ^ the peer's.
pub(crate) fn opened(own: Vec<Bits>, peer: &[u8], layer: &str) -> Result<Vec<Bits>, MpcError> {
    let mut peer = Sections(peer);
    own.into_iter()
        .map(|mut bits| {
            let other = Bits::from_bytes(bits.len(), peer.take(packed_len(bits.len(), 1)));
            bits.xor_assign(&other.map_err(|source| MpcError::Message {
                what: "the masked decisions",
                layer: layer.to_owned(),
                source,
            })?);
            Ok(bits)
        })
        .collect()
}
