//! A linear layer as homomorphic operations.

use std::collections::BTreeSet;

use crate::Counts;
use crate::lower::{Diagonals, Split};

/// A linear layer: `fold(sum over giants g of rotate(sum of diagonal * rotate(input, baby), g))` for
/// every output ciphertext.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Linear {
    /// For each input ciphertext the baby steps that are needed, in ascending order.
    pub babies: Vec<Vec<usize>>,
    /// For each output ciphertext its giant steps.
    pub outputs: Vec<Vec<Giant>>,
    /// Rotations by which the result is added to itself, one after the other.
    pub folds: Vec<usize>,
}

/// The products that are rotated together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Giant {
    /// The giant step.
    pub steps: usize,
    /// Products, at least one.
    pub products: Vec<Product>,
}

/// A diagonal times a rotated input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Product {
    /// The input ciphertext.
    pub input: usize,
    /// Position of its rotation in [`Linear::babies`].
    pub baby: usize,
    /// Number of the diagonal.
    pub diagonal: usize,
}

impl Linear {
    /// Splits the rotations of a layer with that many input ciphertexts; also gives what each
    /// diagonal is made of, by its number.
    pub fn new<T>(
        diagonals: Diagonals<T>,
        inputs: usize,
        split: Split,
        slots: usize,
        folds: &[usize],
    ) -> (Self, Vec<T>) {
        let mut babies = vec![BTreeSet::new(); inputs];
        for ((input, steps), _) in diagonals.iter().flatten() {
            babies[*input].insert(split.of(*steps, slots).1);
        }
        let babies: Vec<Vec<usize>> = babies.into_iter().map(|b| b.into_iter().collect()).collect();
        let mut contents = Vec::new();
        let mut outputs = Vec::new();
        for all in diagonals {
            let mut giants: Vec<Giant> = Vec::new();
            for ((input, steps), content) in all {
                let (giant, baby) = split.of(steps, slots);
                let baby = babies[input].partition_point(|b| *b < baby);
                let product = Product { input, baby, diagonal: contents.len() };
                contents.push(content);
                match giants.iter_mut().find(|g| g.steps == giant) {
                    Some(known) => known.products.push(product),
                    None => giants.push(Giant { steps: giant, products: vec![product] }),
                }
            }
            outputs.push(giants);
        }
        (Self { babies, outputs, folds: folds.to_vec() }, contents)
    }

    /// Products with diagonals.
    pub fn diagonals(&self) -> usize {
        self.outputs.iter().flatten().map(|giant| giant.products.len()).sum()
    }

    /// Baby steps other than 0 of an input.
    pub fn hoisted(&self, input: usize) -> usize {
        self.babies[input].iter().filter(|steps| **steps != 0).count()
    }

    /// Giant steps other than 0 of all outputs.
    pub fn giants(&self) -> usize {
        self.outputs.iter().flatten().filter(|giant| giant.steps != 0).count()
    }

    /// The operations.
    pub fn counts(&self) -> Counts {
        let folds = self.folds.len() * self.outputs.len();
        let hoisted: usize = (0..self.babies.len()).map(|input| self.hoisted(input)).sum();
        // Each diagonal but the first of an output is added to something.
        let sums = self.diagonals() - self.outputs.len();
        Counts {
            additions: (sums + folds) as u64,
            plain_products: self.diagonals() as u64,
            rotations: (hoisted + self.giants() + folds) as u64,
            ..Counts::default()
        }
    }

    /// All rotations that occur.
    pub fn rotations(&self) -> impl Iterator<Item = usize> + '_ {
        let giants = self.outputs.iter().flatten().map(|giant| giant.steps);
        let all = self.babies.iter().flatten().copied().chain(giants);
        all.chain(self.folds.iter().copied()).filter(|steps| *steps != 0)
    }
}
