//! Simulated annealing over the lattice of fits, as Compact searches it.

use fastrand::Rng;

/// A point of the lattice: how a fit is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Point {
    /// Pieces on the range.
    pub pieces: usize,
    /// Their degree.
    pub degree: usize,
    /// Fractional bits of the input.
    pub input_bits: i32,
    /// Fractional bits of the highest coefficient, which with the others decide the ring.
    pub coefficient_bits: i32,
}

/// Least and greatest of each coordinate.
#[derive(Clone, Copy, Debug)]
pub struct Lattice {
    /// Least.
    pub least: Point,
    /// Greatest.
    pub greatest: Point,
}

impl Lattice {
    /// All points, for enumeration.
    pub fn points(self) -> impl Iterator<Item = Point> {
        let Self { least: a, greatest: b } = self;
        (a.pieces..=b.pieces).flat_map(move |pieces| {
            (a.degree..=b.degree).flat_map(move |degree| {
                (a.input_bits..=b.input_bits).flat_map(move |input_bits| {
                    (a.coefficient_bits..=b.coefficient_bits).map(move |coefficient_bits| Point {
                        pieces,
                        degree,
                        input_bits,
                        coefficient_bits,
                    })
                })
            })
        })
    }

    /// A point beside another: one coordinate, one step, within the bounds.
    fn beside(self, point: Point, random: &mut Rng) -> Point {
        loop {
            let mut next = point;
            let up = random.bool();
            let size = |x: &mut usize, [a, b]: [usize; 2]| {
                *x = if up { *x + 1 } else { x.saturating_sub(1) }.clamp(a, b);
            };
            let bits =
                |x: &mut i32, [a, b]: [i32; 2]| *x = (*x + if up { 1 } else { -1 }).clamp(a, b);
            let (a, b) = (self.least, self.greatest);
            match random.u8(..4) {
                0 => size(&mut next.pieces, [a.pieces, b.pieces]),
                1 => size(&mut next.degree, [a.degree, b.degree]),
                2 => bits(&mut next.input_bits, [a.input_bits, b.input_bits]),
                _ => bits(&mut next.coefficient_bits, [a.coefficient_bits, b.coefficient_bits]),
            }
            if next != point || a == b {
                return next;
            }
        }
    }
}

/// The point with the least energy that a walk finds which begins at `start`. A step to a point beside
/// the present one is taken if its energy is no higher, and otherwise with probability
/// exp(-difference / temperature) (Metropolis and others, 1953); the temperature falls geometrically
/// from `hot` to a thousandth of it. Energies may be infinite where a point is out of the question.
pub fn anneal(
    lattice: Lattice,
    start: Point,
    steps: usize,
    hot: f64,
    seed: u64,
    mut energy: impl FnMut(Point) -> f64,
) -> (Point, f64) {
    let mut random = Rng::with_seed(seed);
    let mut present = (start, energy(start));
    let mut best = present;
    for step in 0..steps {
        let temperature = hot * 1e-3f64.powf(step as f64 / steps as f64);
        let next = lattice.beside(present.0, &mut random);
        let next = (next, energy(next));
        let worse = next.1 - present.1;
        // Between two infinities nothing speaks against walking on.
        if worse.is_nan() || worse <= 0.0 || random.f64() < (-worse / temperature).exp() {
            present = next;
        }
        if present.1 < best.1 {
            best = present;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATTICE: Lattice = Lattice {
        least: Point { pieces: 1, degree: 1, input_bits: 2, coefficient_bits: 0 },
        greatest: Point { pieces: 16, degree: 5, input_bits: 9, coefficient_bits: 8 },
    };

    #[test]
    fn walks_go_one_step_at_a_time_and_stay_inside() {
        let mut random = Rng::with_seed(1);
        let mut point = LATTICE.greatest;
        let mut seen = std::collections::HashSet::new();
        for _ in 0..20_000 {
            let next = LATTICE.beside(point, &mut random);
            let moved = next.pieces.abs_diff(point.pieces)
                + next.degree.abs_diff(point.degree)
                + (next.input_bits.abs_diff(point.input_bits)
                    + next.coefficient_bits.abs_diff(point.coefficient_bits))
                    as usize;
            assert_eq!(moved, 1, "{point:?} {next:?}");
            assert!(LATTICE.points().any(|p| p == next));
            point = next;
            seen.insert(point);
        }
        assert!(seen.len() > 2000, "{}", seen.len());
    }

    /// A hilly energy: the walk leaves valleys, which descent alone does not.
    #[test]
    fn valleys_are_left() {
        let energy = |p: Point| {
            let far = |x: i32, at: i32| f64::from((x - at).abs());
            let hills = if p.pieces.is_multiple_of(2) { 0.0 } else { 2.0 };
            far(p.pieces as i32, 4)
                + far(p.degree as i32, 2)
                + far(p.input_bits, 5)
                + far(p.coefficient_bits, 3)
                + hills
        };
        let (best, least) = anneal(LATTICE, LATTICE.greatest, 4000, 4.0, 1, energy);
        assert_eq!((best.pieces, best.degree, best.input_bits, least), (4, 2, 5, 0.0));
        let (cold, _) = anneal(LATTICE, LATTICE.greatest, 4000, 1e-9, 1, energy);
        assert_eq!(cold.pieces, 16, "descent is caught beside where it began");
    }

    /// Steps up are taken as often as the rule says.
    #[test]
    fn metropolis() {
        let two = Lattice {
            least: Point { pieces: 1, ..LATTICE.least },
            greatest: Point { pieces: 2, ..LATTICE.least },
        };
        // Temperature all but constant over one step: T = 1, difference 1.
        let mut taken = 0;
        for seed in 0..20_000 {
            let mut visits = 0;
            let walk = |p: Point| {
                visits += 1;
                // The third energy asked for is of the point after the second step.
                if p.pieces == 1 { 0.0 } else { 1.0 }
            };
            let mut places = Vec::new();
            let mut walk = walk;
            anneal(two, two.least, 2, 1.0, seed, |p| {
                places.push(p.pieces);
                walk(p)
            });
            // From 1 the first step asks about 2; the second asks about 1 if 2 was taken.
            taken += usize::from(places[2] == 1);
        }
        let share = taken as f64 / 20_000.0;
        assert!((share - (-1f64).exp()).abs() < 0.015, "{share}");
    }
}
