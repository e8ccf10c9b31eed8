//! The patch sizes among which a channel may choose.

use hushwire_plan::ChannelGate;

/// The longest side of a patch that is not a square.
const RECTANGLE: usize = 16;

/// Choices for a channel whose map is `height` x `width`: each element for itself first, then
/// patches of rising size, identity and zero.
pub fn candidates([height, width]: [usize; 2]) -> Vec<ChannelGate> {
    let mut sizes: Vec<[usize; 2]> = Vec::new();
    for h in sides(height) {
        for w in sides(width) {
            let (long, short) = (h.max(w), h.min(w));
            let whole = h == height && w == width;
            if whole || h == w || (long <= RECTANGLE && long <= 2 * short) {
                sizes.push([h, w]);
            }
        }
    }
    sizes.sort_by_key(|[h, w]| (h * w, *h));
    let patch = |[h, w]: [usize; 2]| match (u16::try_from(h), u16::try_from(w)) {
        (Ok(h), Ok(w)) => Some(ChannelGate::Patch(h, w)),
        _ => None,
    };
    let patches = sizes.into_iter().filter_map(patch);
    patches.chain([ChannelGate::Identity, ChannelGate::Zero]).collect()
}

/// Decisions that a choice takes on a map.
pub fn decisions(gate: ChannelGate, [height, width]: [usize; 2]) -> usize {
    match gate {
        ChannelGate::Patch(h, w) => height.div_ceil(h.into()) * width.div_ceil(w.into()),
        ChannelGate::Identity | ChannelGate::Zero => 0,
    }
}

/// Useful lengths of a patch's side: small ones, and equal parts of the whole; of those that cut
/// the side into the same number of parts the shortest.
fn sides(side: usize) -> Vec<usize> {
    let parts = (1..=4).map(|parts| side.div_ceil(parts));
    let mut sides: Vec<usize> = [1, 2, 3, 4, 6, 8, 12, RECTANGLE]
        .into_iter()
        .filter(|s| *s < side)
        .chain(parts)
        .map(|s| side.div_ceil(side.div_ceil(s)))
        .collect();
    sides.sort_unstable();
    sides.dedup();
    sides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_begin_with_each_element_and_differ_in_what_they_do() {
        for map in [[1, 1], [7, 7], [32, 32], [5, 9], [112, 112], [513, 513]] {
            let all = candidates(map);
            assert_eq!(all[0], ChannelGate::Patch(1, 1));
            assert!(all.len() < 64, "{} choices on {map:?}", all.len());
            for (i, gate) in all.iter().enumerate() {
                assert!(!all[..i].contains(gate), "{gate} twice on {map:?}");
                if let ChannelGate::Patch(h, w) = gate {
                    assert!(usize::from(*h) <= map[0] && usize::from(*w) <= map[1]);
                }
            }
            let whole = ChannelGate::Patch(map[0] as u16, map[1] as u16);
            assert!(all.contains(&whole), "{map:?}");
            assert_eq!(decisions(whole, map), 1);
        }
        assert_eq!(candidates([1, 1]).len(), 3);
        assert_eq!(sides(7), [1, 2, 3, 4, 7]);
        assert_eq!(sides(32), [1, 2, 3, 4, 6, 8, 11, 16, 32]);
    }
}
