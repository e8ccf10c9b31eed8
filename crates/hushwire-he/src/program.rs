//! What is computed, operation by operation: public, and the same for every machine.

use crate::linear::Linear;
use crate::lower::Cell;
use crate::{Counts, Table};

/// The homomorphic program of a network.
#[derive(Clone, Debug)]
pub struct Program {
    /// Slots of a ciphertext.
    pub slots: usize,
    /// Values in the network's order; the first is the input, the last one the result.
    pub values: Vec<ProgramValue>,
}

/// A value of the network.
#[derive(Clone, Debug)]
pub struct ProgramValue {
    /// Its name in the network.
    pub name: String,
    /// Elements per sample.
    pub elements: usize,
    /// Where its elements lie.
    pub place: Place,
    /// Its level.
    pub level: usize,
    /// log2 of the scale it should have.
    pub log_scale: f64,
    /// How it is computed; nothing for the input.
    pub stage: Option<ProgramStage>,
}

/// Where the elements of a value lie.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum Place {
    /// In the slots of few ciphertexts.
    Packed(Table),
    /// One element in each ciphertext; slots are the images of a batch.
    Batched,
}

/// An affine map and the product that follows.
#[derive(Clone, Debug)]
pub struct ProgramStage {
    /// The level at which both are computed.
    pub level: usize,
    /// The affine map.
    pub affine: Affine,
    /// What each term is multiplied with, by the position of the source.
    pub sources: Vec<usize>,
    /// Whether something is added to the sum.
    pub bias: bool,
    /// The product.
    pub product: crate::network::Product,
}

/// How an affine map is computed.
#[derive(Clone, Debug)]
pub enum Affine {
    /// It is the source unchanged.
    Plain,
    /// Rotations and products with diagonals.
    Packed {
        /// The operations.
        linear: Linear,
        /// What each diagonal is made of.
        cells: Vec<Vec<Cell>>,
        /// Slots after which the diagonals repeat.
        period: usize,
    },
    /// Products with numbers.
    Batched {
        /// Entries of all matrices.
        entries: usize,
    },
}

impl Place {
    /// Ciphertexts of a value with that many elements.
    pub fn ciphertexts(&self, elements: usize) -> usize {
        match self {
            Self::Packed(table) => table.ciphertexts.len(),
            Self::Batched => elements,
        }
    }
}

impl ProgramValue {
    /// Ciphertexts that it takes.
    pub fn ciphertexts(&self) -> usize {
        self.place.ciphertexts(self.elements)
    }

    /// The operations that compute it.
    pub fn counts(&self) -> Counts {
        let Some(stage) = &self.stage else { return Counts::default() };
        let ciphertexts = self.ciphertexts() as u64;
        let mut counts = match &stage.affine {
            Affine::Plain => Counts::default(),
            Affine::Packed { linear, .. } => linear.counts(),
            Affine::Batched { entries } => Counts {
                plain_products: *entries as u64,
                additions: (entries - self.elements) as u64,
                ..Counts::default()
            },
        };
        if stage.bias {
            counts.additions += ciphertexts;
        }
        if stage.product != crate::network::Product::None {
            counts.products += ciphertexts;
        }
        counts.rescalings += ciphertexts * (stage.level - self.level) as u64;
        counts
    }
}

impl Program {
    /// The operations of the whole program.
    pub fn counts(&self) -> Counts {
        self.values.iter().fold(Counts::default(), |sum, value| sum + value.counts())
    }

    /// All rotations that occur, each once, with the highest level at which it does.
    pub fn rotations(&self) -> std::collections::BTreeMap<usize, usize> {
        let mut levels = std::collections::BTreeMap::new();
        for stage in self.values.iter().filter_map(|value| value.stage.as_ref()) {
            if let Affine::Packed { linear, .. } = &stage.affine {
                for steps in linear.rotations() {
                    let level: &mut usize = levels.entry(steps).or_default();
                    *level = (*level).max(stage.level);
                }
            }
        }
        levels
    }

    /// The highest level at which ciphertexts are multiplied with each other, if they are.
    pub fn product_level(&self) -> Option<usize> {
        let stages = self.values.iter().filter_map(|value| value.stage.as_ref());
        let multiplying = stages.filter(|s| s.product != crate::network::Product::None);
        multiplying.map(|stage| stage.level).max()
    }

    /// Bytes of the encrypted values that are there at once, at most: those of a layer, its rotated
    /// inputs, its partial sums, and all values that later layers read.
    pub fn memory(&self) -> u64 {
        let ciphertexts =
            |count: usize, level: usize| (2 * 8 * count * (level + 1) * self.slots) as u64;
        let stored: u64 = self.values.iter().map(|v| ciphertexts(v.ciphertexts(), v.level)).sum();
        let working = |value: &ProgramValue| {
            let Some(stage) = &value.stage else { return 0 };
            let outputs = value.ciphertexts();
            let count = match &stage.affine {
                Affine::Packed { linear, .. } => {
                    let babies: usize = linear.babies.iter().map(Vec::len).sum();
                    let partial: usize = linear.outputs.iter().map(Vec::len).sum();
                    babies + partial + 2 * outputs
                }
                Affine::Plain | Affine::Batched { .. } => 2 * outputs,
            };
            ciphertexts(count, stage.level)
        };
        stored + self.values.iter().map(working).max().unwrap_or(0)
    }

    /// Images of a batch.
    pub fn batch(&self) -> usize {
        match self.values[0].place {
            Place::Packed(_) => 1,
            Place::Batched => self.slots,
        }
    }
}
