//! Baby steps and giant steps.

use serde::{Deserialize, Serialize};

use super::Diagonals;

/// How rotations are split: `steps = giant + baby` with a giant step that is a multiple of `giant`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Distance of giant steps.
    pub giant: usize,
    /// Whether baby steps go both ways, half of `giant` each, instead of forward only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub centred: bool,
}

/// What operations cost, in any unit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Weights {
    /// Making a ciphertext ready for hoisted rotations.
    pub hoist: f64,
    /// A hoisted rotation.
    pub hoisted: f64,
    /// A rotation on its own.
    pub rotation: f64,
}

impl Split {
    /// The giant step and the baby step of a rotation.
    pub fn of(self, steps: usize, slots: usize) -> (usize, usize) {
        let half = if self.centred { self.giant / 2 } else { 0 };
        let giant = (steps + half) / self.giant * self.giant;
        (giant % slots, (steps + slots - giant % slots) % slots)
    }

    /// The cheapest split for the rotations of a layer.
    pub fn cheapest<T>(diagonals: &Diagonals<T>, slots: usize, weights: &Weights) -> Self {
        let mut search = Search::new(diagonals, slots);
        let mut best = (f64::INFINITY, Self { giant: 1, centred: false });
        for giant in search.giants() {
            for centred in [false, true] {
                let split = Self { giant, centred };
                let cost = search.cost(split, weights, best.0);
                if cost < best.0 {
                    best = (cost, split);
                }
            }
        }
        best.1
    }
}

/// Largest odd factor of a giant step.
const MULTIPLES: usize = 15;

struct Search {
    slots: usize,
    /// Output, input and steps of each diagonal.
    rotations: Vec<(usize, usize, usize)>,
    inputs: usize,
    outputs: usize,
    /// When each baby step of each input and each giant step of each output was last seen.
    babies: Vec<u32>,
    giants: Vec<u32>,
    time: u32,
}

impl Search {
    fn new<T>(diagonals: &Diagonals<T>, slots: usize) -> Self {
        let rotations: Vec<(usize, usize, usize)> = diagonals
            .iter()
            .enumerate()
            .flat_map(|(output, all)| all.keys().map(move |(input, s)| (output, *input, *s)))
            .collect();
        let inputs = rotations.iter().map(|(_, input, _)| input + 1).max().unwrap_or(0);
        let outputs = diagonals.len();
        let (babies, giants) = (vec![0; inputs * slots], vec![0; outputs * slots]);
        Self { slots, rotations, inputs, outputs, babies, giants, time: 0 }
    }

    /// Giant steps worth trying: small multiples of powers of two, of which strides are made.
    fn giants(&self) -> impl Iterator<Item = usize> + use<> {
        let slots = self.slots;
        let powers = (0..usize::BITS).map(|k| 1 << k).take_while(move |power| *power <= slots);
        let multiples = (1..=MULTIPLES).step_by(2);
        let giants = multiples.flat_map(move |m| powers.clone().map(move |power| m * power));
        giants.filter(move |giant| *giant <= slots)
    }

    /// What the rotations of a split cost; anything at least `bound` where it is not less.
    fn cost(&mut self, split: Split, weights: &Weights, bound: f64) -> f64 {
        self.time += 1;
        let mut cost = 0.0;
        let mut hoisted = vec![false; self.inputs];
        debug_assert!(self.giants.len() == self.outputs * self.slots);
        for (output, input, steps) in &self.rotations {
            let (giant, baby) = split.of(*steps, self.slots);
            if baby != 0 {
                let seen = &mut self.babies[input * self.slots + baby];
                if std::mem::replace(seen, self.time) != self.time {
                    cost += weights.hoisted;
                }
                if !std::mem::replace(&mut hoisted[*input], true) {
                    cost += weights.hoist;
                }
            }
            if giant != 0 {
                let seen = &mut self.giants[output * self.slots + giant];
                if std::mem::replace(seen, self.time) != self.time {
                    cost += weights.rotation;
                }
            }
            if cost >= bound {
                break;
            }
        }
        cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EQUAL: Weights = Weights { hoist: 0.0, hoisted: 1.0, rotation: 1.0 };

    fn dense(steps: impl IntoIterator<Item = usize>) -> Diagonals<()> {
        vec![steps.into_iter().map(|s| ((0, s), ())).collect()]
    }

    #[test]
    fn every_rotation_is_the_sum_of_its_parts() {
        for giant in [1, 3, 8, 16, 64] {
            for centred in [false, true] {
                for steps in 0..64 {
                    let (g, b) = Split { giant, centred }.of(steps, 64);
                    assert_eq!((g + b) % 64, steps);
                    let reach = if centred { giant / 2 } else { 0 };
                    assert!(b < giant || 64 - b <= reach, "{steps} = {g} + {b}");
                }
            }
        }
    }

    #[test]
    fn runs_of_steps_take_about_two_square_roots() {
        let mut search = Search::new(&dense(0..64), 1024);
        let best = Split::cheapest(&dense(0..64), 1024, &EQUAL);
        assert_eq!(search.cost(best, &EQUAL, f64::INFINITY), 14.0);
        // Offsets of a 3 x 3 kernel around multiples of 64.
        let offsets = [-17, -16, -15, -1, 0, 1, 15, 16, 17];
        let steps = (0..8).flat_map(|c| offsets.map(|o| (c * 64 + o + 1024) as usize % 1024));
        let diagonals = dense(steps);
        let best = Split::cheapest(&diagonals, 1024, &EQUAL);
        let mut search = Search::new(&diagonals, 1024);
        assert!(search.cost(best, &EQUAL, f64::INFINITY) <= 15.0, "{best:?}");
    }
}
