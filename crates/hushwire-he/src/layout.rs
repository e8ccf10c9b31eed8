//! Tensor layouts: where the elements of a tensor lie in the slots of ciphertexts.
//!
//! A slot's number is read as digits in mixed radix, and each digit says something: part of an index
//! of the tensor, which of several copies, or which of several partial sums. All layouts of the field
//! are of this kind; see [`Layout`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// No element in a slot.
pub const NONE: u32 = u32::MAX;

/// Most slots of all ciphertexts of a layout together.
const MAX_TABLE: usize = 1 << 28;

/// A layout, written as its digits: `x:16@1 y:16@16 c:4@256 copy:2@1024 c:2@ct` has 16 columns at
/// distance 1, 16 rows at distance 16, the lower digit of the channel at distance 256, all of it
/// twice, and the upper digit of the channel in two ciphertexts.
///
/// Digits of the same index stand in order, the lowest first. Indices may be padded: positions beyond
/// the tensor's extent hold zero. In these terms
///
/// - *dense* is `i:845@1`, the elements in order;
/// - *stacked* is `i:845@1 copy:4@1024`, several copies one after the other;
/// - *interleaved* is `copy:4@1 i:845@4`, or `i:8@1024 i:13@1`: neighbours far apart;
/// - the *convolution* layout is `x:13@1 y:13@13 c:5@ct`, one ciphertext per channel;
/// - *multiplexed channels* are `c:2@1 c:2@16 x:8@2 y:8@32 c:8@256`, channels in the gaps that a
///   stride has left;
/// - *one element per ciphertext*, batched over images, is `batch:4096@1 i:845@ct`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Layout {
    digits: Vec<Digit>,
}

/// One digit of a slot's number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Digit {
    /// What it counts.
    pub axis: Axis,
    /// How far it counts.
    pub extent: usize,
    /// Distance of neighbours in slots; nothing if they lie in different ciphertexts.
    pub stride: Option<usize>,
}

/// What a digit counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Axis {
    /// Part of the index along an axis of a `[C, H, W]` tensor.
    Index(usize),
    /// Part of the index of the flattened tensor.
    Flat,
    /// Equal copies.
    Copy,
    /// Partial sums and other remains; the value itself lies where the digit is 0.
    Rest,
    /// Images of a batch.
    Batch,
}

/// Why a layout does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the layout `{layout}` does not fit: {reason}")]
pub struct LayoutError {
    /// The layout.
    pub layout: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Axis {
    const NAMES: [(Self, &'static str); 7] = [
        (Self::Index(0), "c"),
        (Self::Index(1), "y"),
        (Self::Index(2), "x"),
        (Self::Flat, "i"),
        (Self::Copy, "copy"),
        (Self::Rest, "rest"),
        (Self::Batch, "batch"),
    ];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(axis, _)| *axis == self).map_or("i", |(_, name)| name)
    }
}

impl Digit {
    /// A digit in slots.
    pub fn slot(axis: Axis, extent: usize, stride: usize) -> Self {
        Self { axis, extent, stride: Some(stride) }
    }

    /// A digit over ciphertexts.
    pub fn ciphertext(axis: Axis, extent: usize) -> Self {
        Self { axis, extent, stride: None }
    }
}

impl Layout {
    /// A layout of these digits; those of extent 1 are left out.
    pub fn new(digits: impl IntoIterator<Item = Digit>) -> Self {
        Self { digits: digits.into_iter().filter(|d| d.extent > 1).collect() }
    }

    /// The digits.
    pub fn digits(&self) -> &[Digit] {
        &self.digits
    }

    /// The strides and extents of digits of an axis that lie in slots.
    pub fn strides(&self, axis: Axis) -> impl Iterator<Item = (usize, usize)> + '_ {
        let of_axis = self.digits.iter().filter(move |d| d.axis == axis);
        of_axis.filter_map(|d| d.stride.map(|stride| (stride, d.extent)))
    }

    /// Ciphertexts of a tensor in this layout.
    pub fn ciphertexts(&self) -> usize {
        self.digits.iter().filter(|d| d.stride.is_none()).map(|d| d.extent).product()
    }

    /// Images of a batch in one ciphertext.
    pub fn batch(&self) -> usize {
        self.strides(Axis::Batch).map(|(_, extent)| extent).product()
    }

    /// Which element each slot holds.
    ///
    /// # Errors
    /// If the layout does not hold every element of a tensor of this shape in that many slots, or has
    /// two in one slot.
    pub fn table(&self, shape: &[usize], slots: usize) -> Result<Table, LayoutError> {
        let fail = |reason: String| LayoutError { layout: self.to_string(), reason };
        let count = self.ciphertexts();
        if count.saturating_mul(slots) > MAX_TABLE {
            return Err(fail(format!("{count} ciphertexts are too many")));
        }
        let reach = self.digits.iter().filter_map(|d| Some((d.extent - 1) * d.stride?));
        if reach.sum::<usize>() >= slots {
            return Err(fail(format!("it needs more than {slots} slots")));
        }
        let len: usize = shape.iter().product();
        let mut fill = Fill {
            digits: self.weighted(shape),
            shape: self.indexed(shape).unwrap_or([len, 1, 1]),
            table: Table { slots, ciphertexts: vec![vec![NONE; slots]; count] },
            found: vec![false; len],
        };
        fill.digit(0, Position::default())
            .map_err(|slot| fail(format!("two elements in slot {slot}")))?;
        match fill.found.iter().position(|found| !found) {
            Some(element) => Err(fail(format!("element {element} of {len} is nowhere"))),
            None => Ok(fill.table),
        }
    }

    /// The extents that the layout's indices run over, if it does not flatten the tensor.
    fn indexed(&self, shape: &[usize]) -> Option<[usize; 3]> {
        let flat = self.digits.iter().any(|d| d.axis == Axis::Flat);
        shape.try_into().ok().filter(|_| !flat)
    }

    /// Each digit with its weight in the index that it is part of, and among ciphertexts.
    fn weighted(&self, shape: &[usize]) -> Vec<Weighted> {
        let flattened = self.indexed(shape).is_none();
        let mut weights = [1; 3];
        let mut ciphertexts = 1;
        let mut weighted = Vec::with_capacity(self.digits.len());
        for digit in &self.digits {
            let axis = match digit.axis {
                Axis::Flat => Some(0),
                Axis::Index(axis) if !flattened => Some(axis),
                _ => None,
            };
            let index = axis.map(|axis| (axis, weights[axis]));
            if let Some(axis) = axis {
                weights[axis] *= digit.extent;
            }
            let (slot, ciphertext) = match digit.stride {
                Some(stride) => (stride, 0),
                None => (0, ciphertexts),
            };
            if digit.stride.is_none() {
                ciphertexts *= digit.extent;
            }
            weighted.push(Weighted { digit: *digit, index, slot, ciphertext });
        }
        weighted
    }
}

/// A digit and what one more of it adds to.
struct Weighted {
    digit: Digit,
    /// An index, by its axis, and how much.
    index: Option<(usize, usize)>,
    slot: usize,
    ciphertext: usize,
}

#[derive(Clone, Copy, Default)]
struct Position {
    index: [usize; 3],
    slot: usize,
    ciphertext: usize,
}

/// A table that is being filled.
struct Fill {
    digits: Vec<Weighted>,
    shape: [usize; 3],
    table: Table,
    found: Vec<bool>,
}

impl Fill {
    /// Runs through a digit and all after it; fails with a slot that two elements claim.
    fn digit(&mut self, d: usize, mut at: Position) -> Result<(), usize> {
        let Some(weighted) = self.digits.get(d) else { return self.place(at) };
        let Weighted { digit: Digit { axis, extent, .. }, index, slot, ciphertext } = *weighted;
        // Where partial sums are, no value is.
        let extent = if axis == Axis::Rest { 1 } else { extent };
        for _ in 0..extent {
            self.digit(d + 1, at)?;
            at.slot += slot;
            at.ciphertext += ciphertext;
            if let Some((axis, weight)) = index {
                at.index[axis] += weight;
                if at.index[axis] >= self.shape[axis] {
                    // Digits after this one only make the index larger.
                    break;
                }
            }
        }
        Ok(())
    }

    fn place(
        &mut self,
        Position { index: [c, y, x], slot, ciphertext }: Position,
    ) -> Result<(), usize> {
        let [_, height, width] = self.shape;
        let element = (c * height + y) * width + x;
        let held = &mut self.table.ciphertexts[ciphertext][slot];
        if *held != NONE && *held != element as u32 {
            return Err(slot);
        }
        *held = element as u32;
        self.found[element] = true;
        Ok(())
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("i:1@1");
        }
        for (i, digit) in self.digits.iter().enumerate() {
            let gap = if i == 0 { "" } else { " " };
            write!(f, "{gap}{}:{}@", digit.axis.name(), digit.extent)?;
            match digit.stride {
                Some(stride) => write!(f, "{stride}")?,
                None => f.write_str("ct")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Layout {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, LayoutError> {
        let digit = |word: &str| {
            let (axis, rest) = word.split_once(':')?;
            let (extent, place) = rest.split_once('@')?;
            let axis = Axis::NAMES.iter().find(|(_, name)| *name == axis)?.0;
            let bounded = |text: &str| text.parse().ok().filter(|n| (1..=MAX_TABLE).contains(n));
            let stride = if place == "ct" { None } else { Some(bounded(place)?) };
            Some(Digit { axis, extent: bounded(extent)?, stride })
        };
        let digits: Result<Vec<Digit>, LayoutError> = text
            .split_whitespace()
            .map(|word| {
                digit(word).ok_or_else(|| LayoutError {
                    layout: text.to_owned(),
                    reason: format!("`{word}` is no digit; digits look like c:4@256 or c:2@ct"),
                })
            })
            .collect();
        let layout = Self::new(digits?);
        let too_large = |strided: bool| {
            let sizes = layout.digits.iter().filter(|d| d.stride.is_some() == strided);
            sizes.fold(1_usize, |size, d| size.saturating_mul(d.extent)) > MAX_TABLE
        };
        if too_large(true) || too_large(false) {
            let (layout, reason) = (text.to_owned(), "it is too large".to_owned());
            return Err(LayoutError { layout, reason });
        }
        Ok(layout)
    }
}

impl Serialize for Layout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Layout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Which element each slot of each ciphertext holds.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Table {
    /// Slots of a ciphertext.
    pub slots: usize,
    /// For each ciphertext and slot the element, or [`NONE`].
    pub ciphertexts: Vec<Vec<u32>>,
}

impl Table {
    /// Where each of `elements` elements lies, by ciphertext and slot.
    pub fn places(&self, elements: usize) -> Places {
        let mut starts = vec![0; elements + 1];
        let held = || self.ciphertexts.iter().flatten().filter(|e| **e != NONE);
        held().for_each(|e| starts[*e as usize + 1] += 1);
        (1..=elements).for_each(|i| starts[i] += starts[i - 1]);
        let mut next = starts.clone();
        let mut places = vec![(0, 0); starts[elements]];
        for (c, ciphertext) in self.ciphertexts.iter().enumerate() {
            for (slot, element) in ciphertext.iter().enumerate().filter(|(_, e)| **e != NONE) {
                let next = &mut next[*element as usize];
                places[*next] = (c as u32, slot as u32);
                *next += 1;
            }
        }
        Places { starts, places }
    }

    /// The least power of two after which slots repeat in every ciphertext.
    pub fn period(&self) -> usize {
        let repeats = |period: usize| {
            self.ciphertexts.iter().all(|c| c[period..].iter().zip(c).all(|(a, b)| a == b))
        };
        let mut period = self.slots;
        while period.is_multiple_of(2) && repeats(period / 2) {
            period /= 2;
        }
        period
    }

    /// The first slots of every ciphertext.
    #[must_use]
    pub fn truncated(&self, slots: usize) -> Self {
        let ciphertexts = self.ciphertexts.iter().map(|c| c[..slots].to_vec()).collect();
        Self { slots, ciphertexts }
    }

    /// As many repetitions as fill `slots` slots.
    #[must_use]
    pub fn repeated(&self, slots: usize) -> Self {
        let ciphertexts = self.ciphertexts.iter().map(|c| c.repeat(slots / self.slots)).collect();
        Self { slots, ciphertexts }
    }

    /// Puts the elements of a tensor into slots, zeros where there are none.
    pub fn pack(&self, values: &[f64]) -> Vec<Vec<f64>> {
        let value = |e: &u32| if *e == NONE { 0.0 } else { values[*e as usize] };
        self.ciphertexts.iter().map(|c| c.iter().map(value).collect()).collect()
    }

    /// Takes the elements of a tensor out of slots, from the first place of each.
    pub fn unpack(&self, slots: &[Vec<f64>], elements: usize) -> Vec<f64> {
        let mut values = vec![0.0; elements];
        for (table, slots) in self.ciphertexts.iter().zip(slots).rev() {
            for (element, value) in table.iter().zip(slots).rev().filter(|(e, _)| **e != NONE) {
                values[*element as usize] = *value;
            }
        }
        values
    }
}

/// Where elements lie.
pub struct Places {
    starts: Vec<usize>,
    places: Vec<(u32, u32)>,
}

impl Places {
    /// The places of an element: ciphertext and slot.
    pub fn of(&self, element: usize) -> &[(u32, u32)] {
        &self.places[self.starts[element]..self.starts[element + 1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str, shape: &[usize], slots: usize) -> Vec<Vec<u32>> {
        let layout: Layout = text.parse().unwrap();
        assert_eq!(layout.to_string(), text);
        layout.table(shape, slots).unwrap().ciphertexts
    }

    const N: u32 = NONE;

    #[test]
    fn layouts_of_the_field() {
        assert_eq!(table("i:3@1 copy:2@4", &[3], 8), [[0, 1, 2, N, 0, 1, 2, N]]);
        assert_eq!(table("copy:2@1 i:3@2", &[3], 8), [[0, 0, 1, 1, 2, 2, N, N]]);
        assert_eq!(table("i:2@4 i:2@1", &[3], 8), [[0, 2, N, N, 1, N, N, N]]);
        assert_eq!(table("x:2@1 c:2@ct", &[2, 1, 2], 2), [[0, 1], [2, 3]]);
        assert_eq!(table("rest:4@1 i:2@4", &[2], 8), [[0, N, N, N, 1, N, N, N]]);
        // Two channels of 2 x 2 in the gaps of a 2 x 4 grid.
        assert_eq!(table("c:2@1 x:2@2 y:2@4", &[2, 2, 2], 8), [[0, 4, 1, 5, 2, 6, 3, 7]]);
        assert_eq!(table("i:1@1", &[1], 2), [[0, N]]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |text: &str, shape: &[usize], slots| {
            text.parse::<Layout>().and_then(|l| l.table(shape, slots)).unwrap_err().reason
        };
        assert!(refused("i:3@1 copy:2@2", &[3], 8).contains("two elements in slot 2"));
        assert!(refused("i:3@1", &[4], 8).contains("element 3 of 4 is nowhere"));
        assert!(refused("i:4@4", &[4], 8).contains("more than 8 slots"));
        assert!(refused("i:4@0", &[4], 8).contains("is no digit"));
        assert!(refused("i:4", &[4], 8).contains("is no digit"));
        assert!(refused("i:99999999@1 i:99@1", &[4], 8).contains("too large"));
    }

    #[test]
    fn packing_and_unpacking() {
        let table =
            "copy:2@1 x:2@2 c:2@ct".parse::<Layout>().unwrap().table(&[2, 1, 2], 4).unwrap();
        let packed = table.pack(&[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(packed, [[1.0, 1.0, 2.0, 2.0], [3.0, 3.0, 4.0, 4.0]]);
        assert_eq!(table.unpack(&packed, 4), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(table.places(4).of(2), [(1, 0), (1, 1)]);
        assert_eq!(table.period(), 4);
        let copies = "i:2@1 copy:4@2".parse::<Layout>().unwrap().table(&[2], 8).unwrap();
        assert_eq!(copies.period(), 2);
        assert_eq!(copies.truncated(4).repeated(8), copies);
    }
}
