//! From opened forms to masked decisions: the part of a gate that client and server do alike.

use super::split_window;
use crate::MpcError;
use crate::layout::GateLayout;
use hushwire_fss::{dcf, digits};
use hushwire_ring::Bits;

/// A party's comparison material for one knot. Consumed by use.
pub(super) enum Material {
    Keys(dcf::Keys),
    Tables(digits::Tables),
}

/// A comparison under way.
enum Comparing {
    Done(Bits),
    Opening(digits::Opening),
}

/// The decisions of a gate under way at one party.
#[derive(Default)]
pub(super) struct Deciding {
    /// msb(V) of each knot: public.
    signs: Vec<Bits>,
    comparing: Vec<Comparing>,
}

impl Deciding {
    /// Looks up every knot's public value V = form - threshold (mod 2^w).
    pub(super) fn start(layout: &GateLayout<'_>, forms: &[u64], material: Vec<Material>) -> Self {
        let mask = crate::job::ring(layout.width()).mask();
        let mut deciding = Deciding { signs: Vec::new(), comparing: Vec::new() };
        for (knot, material) in layout.knots().zip(material) {
            let shifted: Vec<u64>;
            let public = if knot == 0 {
                forms
            } else {
                shifted = forms.iter().map(|v| v.wrapping_sub(knot as u64) & mask).collect();
                &shifted
            };
            let (sign, below) = split_window(layout, public);
            deciding.signs.push(sign);
            deciding.comparing.push(match material {
                Material::Keys(keys) => Comparing::Done(keys.eval(&below)),
                Material::Tables(tables) => {
                    let opening = tables.look_up(&below);
                    if layout.at_once() {
                        // A single digit needs no opening: there is nothing to exchange.
                        Comparing::Done(opening.combine(&[]).unwrap_or_default())
                    } else {
                        Comparing::Opening(opening)
                    }
                }
            });
        }
        deciding
    }

    /// Appends this party's shares of what must be opened, if anything.
    pub(super) fn write_openings(&self, out: &mut Vec<u8>) {
        for comparing in &self.comparing {
            if let Comparing::Opening(opening) = comparing {
                out.extend(opening.message());
            }
        }
    }

    /// This party's shares of the decisions to open: the selecting one, then for a clip the upper
    /// knot's. `openings` is the peer's answer to [`Deciding::write_openings`]; `signs` the party's
    /// shares of msb(n). The client adds what is public.
    pub(super) fn finish(
        self,
        layout: &GateLayout<'_>,
        layer: &str,
        openings: &[u8],
        mask_signs: &Bits,
        client: bool,
    ) -> Result<Vec<Bits>, MpcError> {
        let mut openings = super::Sections(openings);
        let mut shares = Vec::with_capacity(self.signs.len());
        for (comparing, sign) in self.comparing.into_iter().zip(self.signs) {
            let mut share = match comparing {
                Comparing::Done(bits) => bits,
                Comparing::Opening(opening) => {
                    let peer = openings.take(layout.opening_len());
                    opening.combine(peer).map_err(|source| MpcError::Comparison {
                        layer: layer.to_owned(),
                        source,
                    })?
                }
            };
            share.xor_assign(mask_signs);
            if client {
                share.xor_assign(&sign.not());
            }
            shares.push(share);
        }
        // A clip selects where exactly the lower knot is passed.
        if let [select, upper] = shares.as_mut_slice() {
            select.xor_assign(upper);
        }
        Ok(shares)
    }
}

/// Masks decision shares with a party's halves of the masks c and appends them.
pub(super) fn masked(shares: &[Bits], masks: &[Bits], out: &mut Vec<u8>) -> Vec<Bits> {
    let own: Vec<Bits> = shares.iter().zip(masks).map(|(d, c)| d.xor(c)).collect();
    own.iter().for_each(|bits| bits.to_bytes(out));
    own
}

/// e = own share ^ the peer's.
pub(super) fn opened(
    own: Vec<Bits>,
    peer: &[u8],
    layout: &GateLayout<'_>,
    layer: &str,
) -> Result<Vec<Bits>, MpcError> {
    let mut peer = super::Sections(peer);
    let per_knot = layout.decided_len() / layout.knots().len();
    own.into_iter()
        .map(|mut bits| {
            let other = Bits::from_bytes(bits.len(), peer.take(per_knot));
            bits.xor_assign(&other.map_err(|source| MpcError::Message {
                what: "the masked decisions",
                layer: layer.to_owned(),
                source,
            })?);
            Ok(bits)
        })
        .collect()
}
