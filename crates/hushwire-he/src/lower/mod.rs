//! From a matrix and two layouts to rotations and products.
//!
//! Every linear layer is computed in the same way, as a sum of rotated inputs times encoded
//! *diagonals* (Halevi and Shoup), then folded. What makes one layout cheap and another expensive is
//! only how many different rotations the entries of the matrix need. Rotations are split into baby
//! steps of the inputs, shared by everything and hoisted, and giant steps of partial sums.

mod orbits;
mod split;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::Sparse;
use crate::layout::{Places, Table};

use orbits::orbits;
pub use orbits::{Mixed, Orbit, aligned, remains};
pub use split::{Split, Weights};

/// A matrix with the layout of what it is applied to.
pub struct Operand<'a> {
    /// The matrix; nothing is the identity.
    pub matrix: Option<&'a Sparse>,
    /// Where the elements lie that it is applied to.
    pub table: &'a Table,
}

/// An entry of an operand's matrix in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The slot of the partial sum that it contributes to.
    pub slot: u32,
    /// The operand.
    pub operand: u32,
    /// The entry of its matrix; of the identity, the element.
    pub entry: u32,
}

/// An input ciphertext, counted through all operands, and how far it is rotated.
pub type Rotation = (usize, usize);

/// For each output ciphertext the diagonals it is the sum of.
pub type Diagonals<T> = Vec<BTreeMap<Rotation, T>>;

/// The orbits of a layer's result, counted modulo the number of slots after which the layer repeats:
/// inputs, result and folds all do, and so do the diagonals and the rotations.
///
/// # Errors
/// If the folds mix elements.
pub fn periodic_orbits<'a>(
    inputs: impl Iterator<Item = &'a Table>,
    result: &Table,
    folds: &[usize],
) -> Result<(usize, Vec<Orbit>), Mixed> {
    let mut period = inputs.map(Table::period).fold(result.period(), usize::max);
    loop {
        match orbits(&result.truncated(period), folds) {
            Err(_) if period < result.slots => period *= 2,
            found => return found.map(|orbits| (period, orbits)),
        }
    }
}

/// Which of several rotations to take where copies leave a choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Prefer {
    /// The least.
    Least,
    /// A multiple of as high a power of two as possible: with copies side by side, those that are
    /// multiples of the number of copies.
    Coarsest,
}

const PREFERENCES: [Prefer; 2] = [Prefer::Least, Prefer::Coarsest];

/// Which rotations a layer needs, without its entries.
pub fn rotations(orbits: &[Orbit], operands: &[Operand<'_>], outputs: usize) -> Diagonals<()> {
    best_rotations(orbits, operands, outputs).1
}

/// The diagonals of a layer with their entries.
pub fn diagonals(
    orbits: &[Orbit],
    operands: &[Operand<'_>],
    outputs: usize,
) -> Diagonals<Vec<Cell>> {
    let (prefer, _) = best_rotations(orbits, operands, outputs);
    let mut diagonals: Diagonals<Vec<Cell>> = vec![BTreeMap::new(); outputs];
    visit(orbits, operands, prefer, |output, rotation, cell| {
        diagonals[output].entry(rotation).or_default().push(cell);
    });
    diagonals
}

/// The preference that leaves fewest diagonals, and these.
fn best_rotations(
    orbits: &[Orbit],
    operands: &[Operand<'_>],
    outputs: usize,
) -> (Prefer, Diagonals<()>) {
    let of = |prefer| (prefer, rotations_by(orbits, operands, outputs, prefer));
    let count = |(_, diagonals): &(Prefer, Diagonals<()>)| {
        diagonals.iter().map(BTreeMap::len).sum::<usize>()
    };
    let [least, coarsest] = PREFERENCES.map(of);
    if count(&coarsest) < count(&least) { coarsest } else { least }
}

fn rotations_by(
    orbits: &[Orbit],
    operands: &[Operand<'_>],
    outputs: usize,
    prefer: Prefer,
) -> Diagonals<()> {
    let slots = operands.first().map_or(1, |operand| operand.table.slots);
    let inputs: usize = operands.iter().map(|o| o.table.ciphertexts.len()).sum();
    let mut seen = vec![false; outputs * inputs * slots];
    visit(orbits, operands, prefer, |output, (input, steps), _| {
        seen[(output * inputs + input) * slots + steps] = true;
    });
    let of = |output: usize| {
        let all = (0..inputs).flat_map(|input| (0..slots).map(move |steps| (input, steps)));
        let needed = all.zip(&seen[output * inputs * slots..]).filter(|(_, seen)| **seen);
        needed.map(|(rotation, _)| (rotation, ())).collect()
    };
    (0..outputs).map(of).collect()
}

/// Chooses for every entry of the matrices a slot of its element's orbit and a copy of the input
/// element.
fn visit(
    orbits: &[Orbit],
    operands: &[Operand<'_>],
    prefer: Prefer,
    mut found: impl FnMut(usize, Rotation, Cell),
) {
    let mut first = 0;
    for (i, operand) in operands.iter().enumerate() {
        let slots = operand.table.slots;
        let rows = orbits.iter().map(|orbit| orbit.element + 1).max().unwrap_or(0);
        let columns = operand.matrix.map_or(rows, Sparse::columns);
        let places = operand.table.places(columns);
        for orbit in orbits {
            let entries = match operand.matrix {
                Some(matrix) => matrix.row(orbit.element),
                None => orbit.element..orbit.element + 1,
            };
            for entry in entries {
                let column = operand.matrix.map_or(entry, |matrix| matrix.column(entry));
                let way = choose(&orbit.slots, &places, column, slots, prefer);
                let Some((input, steps, slot)) = way else { continue };
                let cell = Cell { slot, operand: i as u32, entry: entry as u32 };
                found(orbit.ciphertext, (first + input, steps), cell);
            }
        }
        first += operand.table.ciphertexts.len();
    }
}

/// The input ciphertext and the rotation that brings an element into one of the slots, and the slot.
fn choose(
    orbit: &[u32],
    places: &Places,
    element: usize,
    slots: usize,
    prefer: Prefer,
) -> Option<(usize, usize, u32)> {
    let places = places.of(element);
    // Layouts with thousands of copies have as many orbits, of one slot each.
    if let [slot] = *orbit {
        let nearest = nearest(slot, places, slots);
        if prefer == Prefer::Least || nearest.is_some_and(|(_, steps, _)| steps == 0) {
            return nearest;
        }
    }
    let ways = places.iter().map(|(input, place)| {
        // The last slot at or before the place, counted around.
        let at = orbit.partition_point(|slot| slot <= place);
        let slot = orbit[at.checked_sub(1).unwrap_or(orbit.len() - 1)];
        let steps = (*place as usize + slots - slot as usize) % slots;
        (*input as usize, steps, slot)
    });
    match prefer {
        Prefer::Least => ways.min_by_key(|(_, steps, _)| *steps),
        Prefer::Coarsest => {
            ways.min_by_key(|(_, steps, _)| (Reverse((steps | slots).trailing_zeros()), *steps))
        }
    }
}

/// The way to a slot with the least rotation, from places in ascending order.
fn nearest(slot: u32, places: &[(u32, u32)], slots: usize) -> Option<(usize, usize, u32)> {
    let of_input = places.chunk_by(|(a, _), (b, _)| a == b).filter_map(|places| {
        // The first place at or behind the slot, counted around.
        let at = places.partition_point(|(_, place)| *place < slot);
        let (input, place) = *places.get(at).or_else(|| places.first())?;
        Some((input as usize, (place as usize + slots - slot as usize) % slots, slot))
    });
    of_input.min_by_key(|(_, steps, _)| *steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_nearest_place_is_that_of_least_rotation(
            places in prop::collection::btree_set((0..3_u32, 0..64_u32), 0..20),
            slot in 0..64_u32,
        ) {
            let places: Vec<(u32, u32)> = places.into_iter().collect();
            let way = |(input, place): &(u32, u32)| {
                (*input as usize, (*place as usize + 64 - slot as usize) % 64, slot)
            };
            let least = places.iter().map(way).min_by_key(|(_, steps, _)| *steps);
            prop_assert_eq!(nearest(slot, &places, 64), least);
        }
    }
}
