//! Measuring what homomorphic operations cost on this machine.

use std::hint::black_box;
use std::time::{Duration, Instant};

use hushwire_ckks::{CkksError, Evaluator, max_modulus_bits};

use crate::ckks::{CkksOwner, parameters};
use crate::costs::{CostTable, Costs};
use crate::keys::KeyNeeds;
use crate::machine::KeyHolder;
use crate::plan::Parameters;

/// Degrees, as log2, and numbers of primes that are measured; what lies between is interpolated.
const POINTS: [(u32, &[usize]); 3] = [(13, &[2, 3, 4, 5]), (14, &[2, 4, 6, 8]), (15, &[4, 8, 12])];
/// Bits of a special prime, and how many there are where they fit.
const SPECIAL: (u32, usize) = (50, 3);
/// How long each operation is repeated.
const PATIENCE: Duration = Duration::from_millis(200);
/// Terms of the sums of products whose share per term is measured.
const TERMS: usize = 8;
/// Rotations that share a decomposition.
const SHARED: usize = 4;

impl CostTable {
    /// Measures this machine, in one thread; `progress` hears of every point, of how many.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn measure(
        machine: String,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Self, CkksError> {
        let count = POINTS.iter().map(|(_, primes)| primes.len()).sum();
        let mut rows = Vec::with_capacity(count);
        for (log_degree, primes) in POINTS {
            for primes in primes {
                rows.push(point(log_degree, *primes)?);
                progress(rows.len(), count);
            }
        }
        Ok(Self { machine, rows })
    }
}

fn point(log_degree: u32, primes: usize) -> Result<Costs, CkksError> {
    let limit = max_modulus_bits(log_degree).unwrap_or(0) - SPECIAL.0;
    let bits = (limit / primes as u32).min(45);
    let spec = Parameters {
        log_degree,
        data_bits: vec![bits; primes],
        special_bits: vec![SPECIAL.0; SPECIAL.1],
    };
    let parameters = parameters(&spec)?;
    let level = primes - 1;
    let owner = CkksOwner::generate(&parameters)?;
    let rotations = (1..=SHARED).map(|steps| (steps, level)).collect();
    let keys = owner.keys(&KeyNeeds { product: Some(level), rotations }, || ())?;
    let evaluator = Evaluator::new(keys.evaluation);
    let values: Vec<f64> = (0..parameters.slots()).map(|i| (i % 7) as f64 / 7.0).collect();
    // The scale of a product must stay below the modulus.
    let small = f64::from(bits / 2 - 4).exp2();
    let plain = parameters.encode(&values, level, small)?;
    let x = owner.encrypt(&values, level, small)?;
    // What is left after rescaling must be a scale.
    let large = owner.encrypt(&values, level, f64::from(bits + 10).exp2())?;
    let terms = [&x; TERMS];
    let plains = [&plain; TERMS];
    let factors = [0.5; TERMS];
    let steps: Vec<i64> = (1..=SHARED as i64).collect();
    let mut sum = x.clone();
    let rotation = fastest(|| evaluator.rotate(&x, 1))?;
    let shared = fastest(|| evaluator.rotate_many(&x, &steps))?;
    // n rotations together take hoist + n hoisted, one alone takes both.
    let hoisted = ((shared - rotation) / (SHARED - 1) as f64).max(0.0);
    Ok(Costs {
        log_degree,
        primes,
        encrypt: fastest(|| owner.encrypt(&values, level, small))?,
        decrypt: fastest(|| owner.decrypt(&x))?,
        addition: fastest(|| evaluator.add_assign(&mut sum, &x))?,
        plain_product: fastest(|| evaluator.dot_plain(&terms, &plains))? / TERMS as f64,
        multiple: fastest(|| evaluator.dot_constants(&terms, &factors, small))? / TERMS as f64,
        product: fastest(|| evaluator.mul(&x, &x))?,
        rescaling: fastest(|| evaluator.rescale(&large))?,
        rotation,
        hoist: (rotation - hoisted).max(0.0),
        hoisted,
    })
}

/// Seconds of the fastest of several repetitions: other processes only ever make them slower.
fn fastest<T>(mut run: impl FnMut() -> Result<T, CkksError>) -> Result<f64, CkksError> {
    let (start, mut best, mut repetitions) = (Instant::now(), f64::INFINITY, 0);
    while repetitions < 3 || start.elapsed() < PATIENCE {
        let start = Instant::now();
        black_box(run()?);
        best = best.min(start.elapsed().as_secs_f64());
        repetitions += 1;
    }
    Ok(best)
}
