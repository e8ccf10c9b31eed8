//! What a circuit of products costs on its own, without a network around it.

use crate::CostTable;
use crate::planner::DEGREES;

/// Bits of the primes that products are rescaled by.
const SCALE: f64 = 40.0;
/// Bits of the prime that is left at the end.
const LAST: f64 = 50.0;
/// Bits of the special primes of key switching.
const SPECIAL: f64 = 150.0;

/// A ciphertext on its way through a circuit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// log2 of the ring's degree, the least that is secure with so many primes. A ciphertext has as
    /// many slots for real numbers.
    pub log_degree: u32,
    /// Primes at the beginning: one for each level, and one that is left.
    pub primes: usize,
    /// Seconds for a ciphertext, in one thread.
    pub seconds: f64,
}

impl Evaluation {
    /// Stages in sequence, each of a depth and with a number of products of ciphertexts. A stage's
    /// products are counted at the level at which it begins, so the time is an upper bound; products
    /// with coefficients and sums are left out, which take hundredths of it.
    ///
    /// Nothing if no secure ring has room for the levels.
    pub fn new(costs: &CostTable, stages: &[[u32; 2]]) -> Option<Evaluation> {
        let depth: u32 = stages.iter().map(|[depth, _]| depth).sum();
        let bits = f64::from(depth) * SCALE + LAST + SPECIAL;
        let (log_degree, _) = DEGREES.into_iter().find(|(_, limit)| bits <= *limit)?;
        let primes = depth as usize + 1;
        let mut left = primes;
        let mut seconds = 0.0;
        for [depth, products] in stages {
            let at = costs.at(log_degree, left);
            seconds += f64::from(*products) * (at.product + at.rescaling);
            left -= *depth as usize;
        }
        Some(Evaluation { log_degree, primes, seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_decides_about_the_ring_and_both_about_the_time() {
        let costs = CostTable::built_in();
        let new = |stages: &[[u32; 2]]| Evaluation::new(&costs, stages);
        let (one, two) = (new(&[[5, 4]]).unwrap(), new(&[[5, 8]]).unwrap());
        assert_eq!((one.log_degree, one.primes), (14, 6));
        assert!((two.seconds / one.seconds - 2.0).abs() < 1e-9);
        // Later products are cheaper.
        let parts = new(&[[3, 4], [2, 4]]).unwrap();
        assert!(parts.seconds < two.seconds && parts.seconds > one.seconds);
        assert_eq!(new(&[[10, 17]]).unwrap().log_degree, 15);
        assert_eq!(new(&[[50, 1]]), None);
    }
}
