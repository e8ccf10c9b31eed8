//! Aligned memory for residues, taken from and returned to a pool.
//!
//! An operation writes a few hundred kilobytes; asking the system for fresh pages each time would
//! cost as much as the arithmetic.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroize;

/// Words of a cache line, and of the widest vector.
const LINE: usize = 8;
/// Cache lines of a page. Large allocations all start at the same place of a page, and a load from
/// the place of one page waits for a store to the same place of another: buffers start at different
/// lines, so that operations on two of them do not meet.
const PAGE: usize = 64;
/// Lines from the start of one buffer to that of the next; odd, so that all places are used.
const STEP: usize = 23;
/// Most words that a pool keeps (256 MiB).
const KEEP: usize = 1 << 25;

/// Words to allocate so that `len` can start at any line of a page.
fn with_room(len: usize) -> usize {
    len + PAGE * LINE
}

/// Free memory of one parameter set.
#[derive(Default)]
pub(crate) struct Pool {
    free: Mutex<Free>,
    /// Where in a page the next buffer starts, in lines.
    next: AtomicUsize,
}

#[derive(Default)]
struct Free {
    buffers: Vec<Vec<u64>>,
    words: usize,
}

impl Pool {
    /// `len` words that start on a cache line, with whatever was in them.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> Buffer {
        let need = with_room(len);
        let words = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            let found = free.buffers.iter().rposition(|b| b.len() == need);
            found.map(|at| {
                free.words -= need;
                free.buffers.swap_remove(at)
            })
        };
        let words = words.unwrap_or_else(|| vec![0; need]);
        let line = self.next.fetch_add(STEP, Ordering::Relaxed) % PAGE;
        Buffer::new(words, line, len, Some(Arc::clone(self)))
    }

    fn give_back(&self, words: Vec<u64>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
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
    /// From the first line of `words` at `line` of a page or later.
    fn new(words: Vec<u64>, line: usize, len: usize, pool: Option<Arc<Pool>>) -> Self {
        // The vector never grows, so it stays where it is.
        let aligned = words.as_ptr().align_offset(LINE * size_of::<u64>()).min(LINE - 1);
        let place = words.as_ptr().addr() / (LINE * size_of::<u64>()) + usize::from(aligned > 0);
        let start = aligned + (line + PAGE - place % PAGE) % PAGE * LINE;
        Self { words, start, len, pool }
    }

    /// `len` zeros that are wiped when dropped.
    pub(crate) fn secret(len: usize) -> Self {
        Self::new(vec![0; with_room(len)], 0, len, None)
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
        for len in [1, 100, 4096] {
            let lines: Vec<_> = (0..PAGE)
                .map(|_| {
                    let buffer = pool.take(len);
                    assert_eq!((buffer.as_ptr().addr() % 64, buffer.len()), (0, len));
                    buffer.as_ptr().addr() / 64 % PAGE
                })
                .collect();
            assert!((0..PAGE).all(|line| lines.contains(&line)));
            assert_eq!(Buffer::secret(len).as_ptr().addr() % 64, 0);
        }
        let free = pool.free.lock().unwrap();
        assert_eq!((free.buffers.len(), free.words), (3, 4197 + 3 * PAGE * LINE));
    }
}
