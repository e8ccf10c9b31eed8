//! Aligned memory for residues, taken from and returned to a pool.
//!
//! An operation writes a few hundred kilobytes; asking the system for fresh pages each time would
//! cost as much as the arithmetic.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroize;

/// Words of a cache line, and of the widest vector.
const LINE: usize = 8;
/// Most words that a pool keeps (256 MiB).
const KEEP: usize = 1 << 25;

/// Free memory of one parameter set.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Free>);

#[derive(Default)]
struct Free {
    buffers: Vec<Vec<u64>>,
    words: usize,
}

impl Pool {
    /// `len` words that start on a cache line, with whatever was in them.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> Buffer {
        let need = len + LINE - 1;
        let words = {
            let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let found = free.buffers.iter().rposition(|b| b.len() == need);
            found.map(|at| {
                free.words -= need;
                free.buffers.swap_remove(at)
            })
        };
        Buffer::new(words.unwrap_or_else(|| vec![0; need]), len, Some(Arc::clone(self)))
    }

    fn give_back(&self, words: Vec<u64>) {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.words + words.len() <= KEEP {
            free.words += words.len();
            free.buffers.push(words);
        }
    }
}

/// Words that start on a cache line. Those of secrets are wiped when dropped, others go back to
/// their pool.
pub(crate) struct Buffer {
    words: Vec<u64>,
    start: usize,
    len: usize,
    pool: Option<Arc<Pool>>,
}

impl Buffer {
    fn new(words: Vec<u64>, len: usize, pool: Option<Arc<Pool>>) -> Self {
        // The vector never grows, so it stays where it is.
        let start = words.as_ptr().align_offset(LINE * size_of::<u64>()).min(LINE - 1);
        Self { words, start, len, pool }
    }

    /// `len` zeros that are wiped when dropped.
    pub(crate) fn secret(len: usize) -> Self {
        Self::new(vec![0; len + LINE - 1], len, None)
    }
}

impl Deref for Buffer {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        &self.words[self.start..][..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u64] {
        &mut self.words[self.start..][..self.len]
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = match &self.pool {
            Some(pool) => pool.take(self.len),
            None => Self::secret(self.len),
        };
        copy.copy_from_slice(self);
        copy
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        match self.pool.take() {
            Some(pool) => pool.give_back(std::mem::take(&mut self.words)),
            None => self.words.zeroize(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_come_back() {
        let pool = Arc::new(Pool::default());
        let first = pool.take(100);
        let place = first.as_ptr();
        assert_eq!((place as usize % 64, first.len()), (0, 100));
        drop(first);
        assert_eq!(pool.take(100).as_ptr(), place);
        assert_eq!(Buffer::secret(9).as_ptr() as usize % 64, 0);
    }
}
