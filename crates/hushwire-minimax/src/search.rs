//! Which degrees are worth their depth and multiplications.
//!
//! For a given left end, the error of a uniform composite depends on its last stage and on the
//! error before it alone, and grows with the latter. So the best composite of a given depth and
//! number of multiplications is found stage by stage (Lee, Lee, No, Kim, IEEE TDSC 2021). The left
//! end that suits ReLU best is not known beforehand; the search runs for many, and candidates are
//! then compared at their own best ones.

use std::collections::{BTreeMap, BTreeSet};

use crate::composite::{COARSE, best_left, uniform};
use crate::{Circuit, Construction, DegreeSet, Error, MAX_DEGREE};

/// Left ends for which the search runs, each this factor from the next.
const STEP: f64 = 1.35;

/// The largest left end.
const FIRST: f64 = 0.5;

/// A degree set and what it reaches.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The degrees, with their depth and multiplications.
    pub degrees: DegreeSet,
    /// Largest error of ReLU on [-1, 1], found by sampling.
    pub error: f64,
}

/// The degree sets of at most this depth and number of multiplications that no other one beats in
/// depth, multiplications and error at once; in order of depth, then of multiplications.
/// `progress` is told the share that is done.
///
/// # Errors
/// The exchange algorithm does not settle.
pub fn search(
    construction: Construction,
    depth: u32,
    multiplications: u32,
    progress: &mut dyn FnMut(f64),
) -> Result<Vec<Candidate>, Error> {
    let limits = Cost { depth, multiplications };
    let complete = candidates(construction, limits)?;
    let mut best: BTreeMap<Cost, Candidate> = BTreeMap::new();
    let count = complete.len();
    for (i, degrees) in complete.into_iter().enumerate() {
        progress(i as f64 / count as f64);
        let (_, error) = best_left(&degrees, construction, COARSE, REFINEMENTS)?;
        let degrees = DegreeSet::new(&degrees)?;
        let cost = Cost { depth: degrees.depth(), multiplications: degrees.multiplications() };
        if best.get(&cost).is_none_or(|known| error < known.error) {
            best.insert(cost, Candidate { degrees, error });
        }
    }
    let beaten = |cost: &Cost, candidate: &Candidate| {
        best.iter().any(|(c, other)| c != cost && c.fits(*cost) && other.error <= candidate.error)
    };
    Ok(best.iter().filter(|(c, it)| !beaten(c, it)).map(|(_, it)| it.clone()).collect())
}

/// Composites this accurate get no further stage.
const NEGLIGIBLE: f64 = 1e-9;

/// Golden sections for a candidate's left end.
const REFINEMENTS: usize = 12;

/// What a composite costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    depth: u32,
    multiplications: u32,
}

impl Cost {
    /// With one more stage.
    fn and(self, stage: &Circuit) -> Cost {
        Cost {
            depth: self.depth + stage.depth(),
            multiplications: self.multiplications + stage.multiplications(),
        }
    }

    fn fits(self, limits: Cost) -> bool {
        self.depth <= limits.depth && self.multiplications <= limits.multiplications
    }
}

/// The product of x and its sign.
const PRODUCT: Cost = Cost { depth: 1, multiplications: 1 };

/// Degrees that may be the best ones of their cost.
fn candidates(construction: Construction, limits: Cost) -> Result<BTreeSet<Vec<u32>>, Error> {
    let mut found = BTreeSet::from([vec![]]);
    // About where uniform composites of this depth have their best left ends.
    let last = 0.25f64.powi(limits.depth as i32 / 2 + 1);
    let mut left = FIRST;
    while left > last {
        found.extend(best_for(left, limits)?.into_values().map(|state| state.degrees));
        left /= STEP;
    }
    let stages = stages()?;
    let cost = |degrees: &[u32]| {
        degrees.iter().try_fold(PRODUCT, |c, d| Ok::<_, Error>(c.and(Circuit::new(*d)?)))
    };
    let mut complete = BTreeSet::new();
    for degrees in found {
        match construction {
            Construction::Uniform if degrees.is_empty() => {}
            Construction::Uniform => drop(complete.insert(degrees)),
            Construction::Weighted => {
                for last in &stages {
                    let longer: Vec<u32> = degrees.iter().copied().chain([last.degree()]).collect();
                    if cost(&longer)?.fits(limits) {
                        complete.insert(longer);
                    }
                }
            }
        }
    }
    Ok(complete)
}

fn stages() -> Result<Vec<&'static Circuit>, Error> {
    (3..=MAX_DEGREE).step_by(2).map(Circuit::new).collect()
}

/// The best composite of some cost.
struct State {
    degrees: Vec<u32>,
    /// Largest distance from 1.
    error: f64,
}

/// The uniform composite of least error of every cost, for one left end.
fn best_for(left: f64, limits: Cost) -> Result<BTreeMap<Cost, State>, Error> {
    let mut best: BTreeMap<Cost, State> = BTreeMap::new();
    let mut open = BTreeMap::from([(PRODUCT, (vec![], (left, 1.0)))]);
    // A stage only adds, so costs in order are final.
    while let Some((cost, (degrees, range))) = open.pop_first() {
        for stage in stages()? {
            let longer = cost.and(stage);
            if !longer.fits(limits) {
                continue;
            }
            let error = match uniform::<f64>(&range, COARSE.interval, stage.degree()) {
                Ok(fit) => fit.error,
                // More accurate than doubles can tell, and than anyone needs.
                Err(Error::Exchange { level, .. }) if level < NEGLIGIBLE => NEGLIGIBLE,
                Err(e) => return Err(e),
            };
            if best.get(&longer).is_some_and(|known| known.error <= error) {
                continue;
            }
            let degrees: Vec<u32> = degrees.iter().copied().chain([stage.degree()]).collect();
            if error > NEGLIGIBLE {
                open.insert(longer, (degrees.clone(), (1.0 - error, 1.0 + error)));
            }
            best.insert(longer, State { degrees, error });
        }
    }
    Ok(best)
}
