//! Which slots may contribute to which element of a layer's result.
//!
//! A layer ends with *folds*: the sum of the vector and itself rotated, once per fold. So an element
//! that the layout wants in slot s is the sum of the slots s + f over all sums f of some of the folds,
//! and each of the element's products may be computed in any one of these: they are its *orbit*.

use crate::layout::{NONE, Table};

/// Slots that are summed up to the same copies of one element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orbit {
    /// The ciphertext.
    pub ciphertext: usize,
    /// The element.
    pub element: usize,
    /// The slots, in ascending order.
    pub slots: Vec<u32>,
}

/// The folds do not lead to the layout: they mix elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("folding mixes elements in slot {slot}")]
pub struct Mixed {
    /// A slot that two elements claim.
    pub slot: usize,
}

const UNSEEN: u32 = u32::MAX;

/// The orbits of all elements in a layout after folding.
///
/// # Errors
/// If the folds mix elements.
pub fn orbits(layout: &Table, folds: &[usize]) -> Result<Vec<Orbit>, Mixed> {
    let n = layout.slots;
    let mut sums = vec![0];
    for fold in folds {
        let shifted: Vec<usize> = sums.iter().map(|sum| (sum + fold) % n).collect();
        sums.extend(shifted);
    }
    sums.sort_unstable();
    if let Some(pair) = sums.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Mixed { slot: pair[0] });
    }
    let mut orbits: Vec<Orbit> = Vec::new();
    for (ciphertext, held) in layout.ciphertexts.iter().enumerate() {
        let mut orbit_of = vec![UNSEEN; n];
        for (slot, element) in held.iter().enumerate().filter(|(_, e)| **e != NONE) {
            let label = orbit_of[slot];
            if label == UNSEEN {
                let new = orbits.len() as u32;
                let mut slots = Vec::with_capacity(sums.len());
                for at in sums.iter().map(|sum| (slot + sum) % n) {
                    if orbit_of[at] != UNSEEN {
                        return Err(Mixed { slot: at });
                    }
                    orbit_of[at] = new;
                    slots.push(at as u32);
                }
                slots.sort_unstable();
                orbits.push(Orbit { ciphertext, element: *element as usize, slots });
                continue;
            }
            // Another copy of an element must be the sum of the very same slots.
            let same = sums.iter().all(|sum| orbit_of[(slot + sum) % n] == label);
            if !same || orbits[label as usize].element != *element as usize {
                return Err(Mixed { slot });
            }
        }
    }
    Ok(orbits)
}

/// A slot that folding leaves a partial sum in: beside the elements of the layout, where a sum of some
/// but not all slots of an orbit ends up. Whoever decrypts the vector sees it.
pub fn remains(layout: &Table, folds: &[usize]) -> Option<usize> {
    let n = layout.slots;
    // Folds come one after the other, so the sums that reach a slot are those of all subsets.
    let reaches = |slot: usize| {
        folds.iter().fold(vec![slot], |reached, fold| {
            let moved = reached.iter().map(|s| (s + n - fold % n) % n);
            moved.chain(reached.iter().copied()).collect()
        })
    };
    let orbits = orbits(layout, folds).ok()?;
    orbits.iter().find_map(|orbit| {
        let held = &layout.ciphertexts[orbit.ciphertext];
        let stray = |slot: &u32| reaches(*slot as usize).into_iter().find(|s| held[*s] == NONE);
        orbit.slots.iter().find_map(stray)
    })
}

/// A layout of the input for which a layer needs no rotations but its folds: whoever encrypts puts
/// each input element into the slots where it is multiplied.
///
/// `row` gives the columns of a row of the layer's matrix.
pub fn aligned<I: Iterator<Item = usize>>(
    orbits: &[Orbit],
    slots: usize,
    row: impl Fn(usize) -> I,
) -> Table {
    let mut ciphertexts: Vec<Vec<u32>> = Vec::new();
    let mut start = 0;
    while start < orbits.len() {
        let output = orbits[start].ciphertext;
        let end = orbits[start..].iter().position(|o| o.ciphertext != output);
        let end = end.map_or(orbits.len(), |len| start + len);
        let mut own: Vec<Vec<u32>> = Vec::new();
        for orbit in &orbits[start..end] {
            for (j, column) in row(orbit.element).enumerate() {
                let (k, at) = (j / orbit.slots.len(), j % orbit.slots.len());
                if own.len() <= k {
                    own.push(vec![NONE; slots]);
                }
                own[k][orbit.slots[at] as usize] = column as u32;
            }
        }
        for ciphertext in own {
            if !ciphertexts.contains(&ciphertext) {
                ciphertexts.push(ciphertext);
            }
        }
        start = end;
    }
    Table { slots, ciphertexts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;

    fn find(
        layout: &str,
        shape: &[usize],
        slots: usize,
        folds: &[usize],
    ) -> Result<Vec<Orbit>, Mixed> {
        let layout: Layout = layout.parse().unwrap();
        orbits(&layout.table(shape, slots).unwrap(), folds)
    }

    #[test]
    fn folds_over_all_of_a_period_leave_copies() {
        let orbits = find("i:2@1 copy:4@2", &[2], 8, &[4, 2]).unwrap();
        assert_eq!(orbits.len(), 2);
        assert_eq!(orbits[1].slots, [1, 3, 5, 7]);
        // Without folds each copy is computed on its own.
        assert_eq!(find("i:2@1 copy:4@2", &[2], 8, &[]).unwrap().len(), 8);
    }

    #[test]
    fn remains_beside_elements_are_found() {
        let remains = |layout: &str, folds: &[usize]| {
            let layout: Layout = layout.parse().unwrap();
            remains(&layout.table(&[2], 8).unwrap(), folds)
        };
        assert_eq!(remains("i:2@1 copy:4@2", &[4, 2]), None);
        assert_eq!(remains("i:2@1", &[]), None);
        // Slot 3 holds the sum of the slots 3 to 6, of two elements.
        assert!(remains("rest:4@1 i:2@4", &[1, 2]).is_some());
        // The second half is the sum of one copy of each.
        assert!(remains("i:2@1 copy:2@2", &[4, 2]).is_some());
    }

    #[test]
    fn folds_within_blocks_leave_remains() {
        let orbits = find("rest:4@1 i:2@4", &[2], 8, &[1, 2]).unwrap();
        assert_eq!(orbits[1].slots, [4, 5, 6, 7]);
        // Copies within a block would need sums over the block's end.
        assert!(find("copy:4@1 i:2@4", &[2], 8, &[1, 2]).is_err());
        assert!(find("i:2@1", &[2], 8, &[1]).is_err());
        assert!(find("i:2@1 rest:2@4", &[2], 8, &[4, 4]).is_err());
    }
}
