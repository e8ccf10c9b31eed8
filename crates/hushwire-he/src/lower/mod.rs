//! From a matrix and two layouts to rotations and products.
//!
//! Every linear layer is computed in the same way, as a sum of rotated inputs times encoded
//! *diagonals* (Halevi and Shoup), then folded. What makes one layout cheap and another expensive is
//! only how many different rotations the entries of the matrix need. Rotations are split into baby
//! steps of the inputs, shared by everything and hoisted, and giant steps of partial sums.

mod orbits;
mod split;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use crate::Sparse;
use crate::layout::Table;

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
    let rows = orbits.iter().map(|orbit| orbit.element + 1).max().unwrap_or(0);
    let orbit_shapes = shapes(orbits.iter().map(|orbit| orbit.slots.iter().map(|s| (0, *s))));
    let mut first = 0;
    for (i, operand) in operands.iter().enumerate() {
        let slots = operand.table.slots;
        let columns = operand.matrix.map_or(rows, Sparse::columns);
        let places = operand.table.places(columns);
        let place_shapes = shapes((0..columns).map(|column| places.of(column).iter().copied()));
        let mut ways = Ways { slots, prefer, known: HashMap::new() };
        for (orbit, orbit_shape) in orbits.iter().zip(&orbit_shapes) {
            let entries = match operand.matrix {
                Some(matrix) => matrix.row(orbit.element),
                None => orbit.element..orbit.element + 1,
            };
            for entry in entries {
                let column = operand.matrix.map_or(entry, |matrix| matrix.column(entry));
                let pair = (*orbit_shape, place_shapes[column]);
                let way = ways.find(&orbit.slots, places.of(column), pair);
                let Some((input, steps, slot)) = way else { continue };
                let cell = Cell { slot, operand: i as u32, entry: entry as u32 };
                found(orbit.ciphertext, (first + input, steps), cell);
            }
        }
        first += operand.table.ciphertexts.len();
    }
}

/// Numbers for sets of places, equal for those that differ by a shift of all slots.
fn shapes<P: Iterator<Item = (u32, u32)>>(sets: impl Iterator<Item = P>) -> Vec<u32> {
    let mut known: HashMap<Vec<(u32, u32)>, u32> = HashMap::new();
    let number = |set: P| {
        let mut set = set.peekable();
        let first = set.peek().map_or(0, |(_, slot)| *slot);
        let shape = set.map(|(input, slot)| (input, slot.wrapping_sub(first))).collect();
        let next = known.len() as u32;
        *known.entry(shape).or_insert(next)
    };
    sets.map(number).collect()
}

/// An input ciphertext, the rotation that brings an element of it into a slot, and the slot.
type Way = (usize, usize, u32);

/// Ways from places to orbits. They depend on no more than the shapes of both and the distance of their
/// first slots, and layouts are regular, so few are different.
struct Ways {
    slots: usize,
    prefer: Prefer,
    /// By both shapes and the distance; the slot less the orbit's first one.
    known: HashMap<((u32, u32), u32), Way>,
}

impl Ways {
    /// The preferred way from one of the places into one of the orbit's slots, whose shapes have the
    /// numbers `pair`.
    fn find(&mut self, orbit: &[u32], places: &[(u32, u32)], pair: (u32, u32)) -> Option<Way> {
        let (origin, (_, place)) = (*orbit.first()?, *places.first()?);
        if let ([slot], [(input, place)]) = (orbit, places) {
            return Some((*input as usize, self.steps(*slot, *place), *slot));
        }
        let distance = self.steps(origin, place) as u32;
        if let Some((input, steps, slot)) = self.known.get(&(pair, distance)) {
            return Some((*input, *steps, slot + origin));
        }
        let (input, steps, slot) = self.choose(orbit, places)?;
        self.known.insert((pair, distance), (input, steps, slot - origin));
        Some((input, steps, slot))
    }

    fn steps(&self, slot: u32, place: u32) -> usize {
        (place as usize + self.slots - slot as usize) % self.slots
    }

    fn choose(&self, orbit: &[u32], places: &[(u32, u32)]) -> Option<Way> {
        let ways = places.iter().map(|(input, place)| {
            // The last slot at or before the place, counted around.
            let at = orbit.partition_point(|slot| slot <= place);
            let slot = orbit[at.checked_sub(1).unwrap_or(orbit.len() - 1)];
            (*input as usize, self.steps(slot, *place), slot)
        });
        match self.prefer {
            Prefer::Least => ways.min_by_key(|(_, steps, _)| *steps),
            Prefer::Coarsest => ways.min_by_key(|(_, steps, _)| {
                (Reverse((steps | self.slots).trailing_zeros()), *steps)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is known of one pair of sets holds for the pair shifted, also around the end.
        #[test]
        fn ways_follow_shifts(
            orbit in prop::collection::btree_set(0..16_u32, 1..6),
            places in prop::collection::btree_set((0..3_u32, 0..64_u32), 1..20),
            moves in prop::collection::vec((0..64_u32, 0..64_u32), 1..8),
        ) {
            for prefer in PREFERENCES {
                let mut ways = Ways { slots: 64, prefer, known: HashMap::new() };
                let mut sets = Vec::new();
                for (a, b) in &moves {
                    let mut orbit: Vec<u32> = orbit.iter().map(|s| (s + a) % 64).collect();
                    let mut places: Vec<(u32, u32)> =
                        places.iter().map(|(i, s)| (*i, (s + b) % 64)).collect();
                    orbit.sort_unstable();
                    places.sort_unstable();
                    sets.push((orbit, places));
                }
                let orbit_shapes = shapes(sets.iter().map(|(o, _)| o.iter().map(|s| (0, *s))));
                let place_shapes = shapes(sets.iter().map(|(_, p)| p.iter().copied()));
                for ((orbit, places), pair) in
                    sets.iter().zip(orbit_shapes.into_iter().zip(place_shapes))
                {
                    let found = ways.find(orbit, places, pair).unwrap();
                    let chosen = ways.choose(orbit, places).unwrap();
                    // Of several equal ways any will do.
                    prop_assert_eq!(found.1, chosen.1);
                    let (input, steps, slot) = found;
                    prop_assert!(orbit.contains(&slot));
                    let place = (slot + steps as u32) % 64;
                    prop_assert!(places.contains(&(input as u32, place)));
                }
            }
        }
    }
}
