//! Any machine, with a counter.

use super::{Counter, Counts, Machine};

/// A machine that counts the operations it runs.
#[derive(Debug)]
pub struct Counted<M> {
    machine: M,
    counter: Counter,
}

impl<M> Counted<M> {
    /// Counts the operations of `machine`.
    pub fn new(machine: M) -> Self {
        Self { machine, counter: Counter::default() }
    }

    /// The machine.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The operations since the last call.
    pub fn take_counts(&self) -> Counts {
        self.counter.take()
    }

    fn counting(&self, counts: Counts) -> &M {
        self.counter.add(counts);
        &self.machine
    }
}

fn additions(n: usize) -> Counts {
    Counts { additions: n as u64, ..Counts::default() }
}

fn sum_of_products(n: usize) -> Counts {
    Counts { plain_products: n as u64, ..additions(n.saturating_sub(1)) }
}

impl<M: Machine> Machine for Counted<M> {
    type Cipher = M::Cipher;
    type Plain = M::Plain;
    type Error = M::Error;

    fn slots(&self) -> usize {
        self.machine.slots()
    }

    fn prime(&self, level: usize) -> f64 {
        self.machine.prime(level)
    }

    fn level(&self, x: &M::Cipher) -> usize {
        self.machine.level(x)
    }

    fn scale(&self, x: &M::Cipher) -> f64 {
        self.machine.scale(x)
    }

    fn encode(&self, values: &[f64], level: usize, scale: f64) -> Result<M::Plain, M::Error> {
        self.machine.encode(values, level, scale)
    }

    fn reduce(&self, x: &mut M::Cipher, level: usize) -> Result<(), M::Error> {
        self.machine.reduce(x, level)
    }

    fn add(&self, sum: &mut M::Cipher, x: &M::Cipher) -> Result<(), M::Error> {
        self.counting(additions(1)).add(sum, x)
    }

    fn add_plain(&self, sum: &mut M::Cipher, x: &M::Plain) -> Result<(), M::Error> {
        self.counting(additions(1)).add_plain(sum, x)
    }

    fn add_constant(&self, sum: &mut M::Cipher, x: f64) -> Result<(), M::Error> {
        self.counting(additions(1)).add_constant(sum, x)
    }

    fn sum_of_products(&self, terms: &[(&M::Cipher, &M::Plain)]) -> Result<M::Cipher, M::Error> {
        self.counting(sum_of_products(terms.len())).sum_of_products(terms)
    }

    fn sum_of_multiples(
        &self,
        terms: &[(&M::Cipher, f64)],
        scale: f64,
    ) -> Result<M::Cipher, M::Error> {
        self.counting(sum_of_products(terms.len())).sum_of_multiples(terms, scale)
    }

    fn multiply(&self, x: &M::Cipher, y: &M::Cipher) -> Result<M::Cipher, M::Error> {
        self.counting(Counts { products: 1, ..Counts::default() }).multiply(x, y)
    }

    fn square(&self, x: &M::Cipher) -> Result<M::Cipher, M::Error> {
        self.counting(Counts { products: 1, ..Counts::default() }).square(x)
    }

    fn rescale(&self, x: &mut M::Cipher) -> Result<(), M::Error> {
        self.counting(Counts { rescalings: 1, ..Counts::default() }).rescale(x)
    }

    fn rotate(&self, x: &M::Cipher, steps: usize) -> Result<M::Cipher, M::Error> {
        self.counting(Counts { rotations: 1, ..Counts::default() }).rotate(x, steps)
    }

    fn rotate_each(&self, x: &M::Cipher, steps: &[usize]) -> Result<Vec<M::Cipher>, M::Error> {
        let rotations = steps.len() as u64;
        self.counting(Counts { rotations, ..Counts::default() }).rotate_each(x, steps)
    }

    fn sum_of_rotations(
        &self,
        terms: Vec<(M::Cipher, usize)>,
    ) -> Result<Option<M::Cipher>, M::Error> {
        let rotations = terms.iter().filter(|(_, steps)| *steps != 0).count() as u64;
        let counts = Counts { rotations, ..additions(terms.len().saturating_sub(1)) };
        self.counting(counts).sum_of_rotations(terms)
    }

    fn cipher_bytes(&self, x: &M::Cipher) -> usize {
        self.machine.cipher_bytes(x)
    }

    fn plain_bytes(&self, x: &M::Plain) -> usize {
        self.machine.plain_bytes(x)
    }
}
