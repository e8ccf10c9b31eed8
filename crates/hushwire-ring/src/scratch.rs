//! Working memory that threads keep between calls.
//!
//! Kernels need a few hundred kilobytes each time they run. Fresh memory of that size costs a page
//! fault for every four kilobytes, which is as long as the kernel takes to fill it.

use core::cell::RefCell;
use core::ops::{Deref, DerefMut};

use bytemuck::{cast_slice, cast_slice_mut};

use crate::Word;

/// Buffers kept by a thread, at most.
const KEPT: usize = 8;

/// Words of 64 bits of a buffer that is kept, at most.
const KEPT_LEN: usize = 1 << 19;

/// Bytes of a cache line.
const LINE: usize = 64;

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u64>>> = const { RefCell::new(Vec::new()) };
}

/// Words from the start of a cache line on, of any content at first.
pub(crate) struct Scratch<P> {
    buffer: Vec<u64>,
    start: usize,
    len: usize,
    words: core::marker::PhantomData<P>,
}

impl<P: Word> Scratch<P> {
    pub(crate) fn new(len: usize) -> Self {
        let needed = (len * size_of::<P>() + LINE).div_ceil(8);
        let mut buffer = BUFFERS.with_borrow_mut(|buffers| {
            // The smallest that is large enough, or else the largest.
            let fits = |buffer: &Vec<u64>| (buffer.len() < needed, buffer.len().abs_diff(needed));
            let best = (0..buffers.len()).min_by_key(|&i| fits(&buffers[i]));
            best.map(|i| buffers.swap_remove(i)).unwrap_or_default()
        });
        if buffer.len() < needed {
            buffer = vec![0; needed];
        }
        let start = buffer.as_ptr().align_offset(LINE).min(LINE / 8) * 8 / size_of::<P>();
        Self { buffer, start, len, words: core::marker::PhantomData }
    }
}

impl<P: Word> Deref for Scratch<P> {
    type Target = [P];

    fn deref(&self) -> &[P] {
        &cast_slice(&self.buffer)[self.start..][..self.len]
    }
}

impl<P: Word> DerefMut for Scratch<P> {
    fn deref_mut(&mut self) -> &mut [P] {
        &mut cast_slice_mut(&mut self.buffer)[self.start..][..self.len]
    }
}

impl<P> Drop for Scratch<P> {
    fn drop(&mut self) {
        let buffer = core::mem::take(&mut self.buffer);
        if buffer.len() <= KEPT_LEN {
            // Not while the thread's storage is being torn down.
            let _ = BUFFERS.try_with(|buffers| {
                let mut buffers = buffers.borrow_mut();
                if buffers.len() < KEPT {
                    buffers.push(buffer);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_long_enough_and_kept() {
        for len in [0, 1, 1000, 3, 5000, 1000] {
            let mut words = Scratch::<u32>::new(len);
            let mut more = Scratch::<u64>::new(len);
            assert_eq!((words.len(), more.len()), (len, len));
            words.fill(1);
            more.fill(2);
            assert!(words.iter().all(|&w| w == 1) && more.iter().all(|&w| w == 2));
            assert!(
                words.as_ptr().align_offset(LINE) == 0 && more.as_ptr().align_offset(LINE) == 0
            );
        }
        let kept = BUFFERS.with_borrow(|buffers| buffers.iter().map(Vec::len).max());
        assert_eq!(kept, Some((5000 * 8 + LINE) / 8));
    }
}
