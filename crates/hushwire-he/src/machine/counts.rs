//! Counting homomorphic operations.

use std::fmt;
use std::ops::{Add, AddAssign, Mul};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Numbers of homomorphic operations.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Sums of two ciphertexts, or of a ciphertext and a plaintext.
    pub additions: u64,
    /// Products of a ciphertext and a plaintext.
    pub plain_products: u64,
    /// Products of two ciphertexts, with relinearisation.
    pub products: u64,
    /// Rotations, hoisted ones included.
    pub rotations: u64,
    /// Rescalings by one prime.
    pub rescalings: u64,
}

impl Counts {
    /// All operations together.
    pub fn total(&self) -> u64 {
        self.additions + self.plain_products + self.products + self.rotations + self.rescalings
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.additions += other.additions;
        self.plain_products += other.plain_products;
        self.products += other.products;
        self.rotations += other.rotations;
        self.rescalings += other.rescalings;
    }
}

impl Mul<u64> for Counts {
    type Output = Self;

    fn mul(self, times: u64) -> Self {
        Self {
            additions: self.additions * times,
            plain_products: self.plain_products * times,
            products: self.products * times,
            rotations: self.rotations * times,
            rescalings: self.rescalings * times,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} additions, {} plain products, {} products, {} rotations, {} rescalings",
            self.additions, self.plain_products, self.products, self.rotations, self.rescalings
        )
    }
}

/// Counts operations from several threads.
#[derive(Default, Debug)]
pub struct Counter {
    additions: AtomicU64,
    plain_products: AtomicU64,
    products: AtomicU64,
    rotations: AtomicU64,
    rescalings: AtomicU64,
}

impl Counter {
    /// Adds operations.
    pub fn add(&self, counts: Counts) {
        let add = |counter: &AtomicU64, n| counter.fetch_add(n, Ordering::Relaxed);
        add(&self.additions, counts.additions);
        add(&self.plain_products, counts.plain_products);
        add(&self.products, counts.products);
        add(&self.rotations, counts.rotations);
        add(&self.rescalings, counts.rescalings);
    }

    /// What was counted since the last call.
    pub fn take(&self) -> Counts {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        Counts {
            additions: take(&self.additions),
            plain_products: take(&self.plain_products),
            products: take(&self.products),
            rotations: take(&self.rotations),
            rescalings: take(&self.rescalings),
        }
    }
}
