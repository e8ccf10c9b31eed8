//! Layouts worth trying.

use crate::layout::{Axis, Digit, Layout};

/// Most copies side by side.
const SIDE_BY_SIDE: usize = 16;

/// A value that others are computed from, in one of its layouts.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) shape: &'a [usize],
    pub(super) layout: &'a Layout,
}

/// Layouts of a value of some shape, given one of what it is computed from.
pub(super) fn candidates(shape: &[usize], source: Option<Source<'_>>, slots: usize) -> Vec<Layout> {
    let len = shape.iter().product();
    let mut found = flat(len, slots);
    if let [channels, height, width] = *shape {
        found.extend(images([channels, height, width], source, slots));
    }
    let mut unique: Vec<Layout> = Vec::new();
    for layout in found {
        if !unique.contains(&layout) {
            unique.push(layout);
        }
    }
    unique
}

/// The elements in order, with copies side by side and one after the other.
fn flat(len: usize, slots: usize) -> Vec<Layout> {
    let padded = len.next_power_of_two();
    if padded > slots {
        let whole = Digit::slot(Axis::Flat, slots, 1);
        return vec![Layout::new([whole, Digit::ciphertext(Axis::Flat, len.div_ceil(slots))])];
    }
    let copies = slots / padded;
    let with = |beside| {
        Layout::new([
            Digit::slot(Axis::Copy, beside, 1),
            Digit::slot(Axis::Flat, len, beside),
            Digit::slot(Axis::Copy, copies / beside, beside * padded),
        ])
    };
    powers(copies.min(SIDE_BY_SIDE)).map(with).collect()
}

/// Channels of images on the grid of what they are computed from, whose strides leave gaps for them.
fn images(shape: [usize; 3], source: Option<Source<'_>>, slots: usize) -> Vec<Layout> {
    let [channels, height, width] = shape;
    let mut found = Vec::new();
    for grid in Grid::all(shape, source) {
        let area = grid.area(height);
        if grid.x * width <= grid.line && area <= slots {
            found.extend(on_grid([channels, height, width], &grid, area, slots));
        }
    }
    found
}

fn on_grid(
    [channels, height, width]: [usize; 3],
    grid: &Grid,
    area: usize,
    slots: usize,
) -> Vec<Layout> {
    let (above, padded) = (slots / area, channels.next_power_of_two());
    let mut found = Vec::new();
    for in_gaps in powers(grid.gaps().min(padded)) {
        let blocks = channels.div_ceil(in_gaps);
        let inside = blocks.next_power_of_two().min(above);
        for beside in powers((above / inside).min(SIDE_BY_SIDE)) {
            let [columns, lines] = grid.gap_digits(in_gaps);
            found.push(Layout::new([
                columns,
                lines,
                Digit::slot(Axis::Index(2), width, grid.x),
                Digit::slot(Axis::Index(1), height, grid.y),
                Digit::slot(Axis::Copy, beside, area),
                Digit::slot(Axis::Index(0), blocks.min(inside), area * beside),
                Digit::slot(Axis::Copy, above / (inside * beside), area * beside * inside),
                Digit::ciphertext(Axis::Index(0), blocks.div_ceil(inside)),
            ]));
        }
    }
    found
}

/// Distances of the elements of an image.
struct Grid {
    x: usize,
    y: usize,
    /// Slots from one line to the next of the image that the grid began with.
    line: usize,
}

impl Grid {
    /// The image's own grid, or that of the source, as much coarser as the image has fewer elements;
    /// where borders leave that open, both ways.
    fn all([_, height, width]: [usize; 3], source: Option<Source<'_>>) -> Vec<Self> {
        let line = width.next_power_of_two();
        let own = vec![Self { x: 1, y: line, line }];
        let Some(Source { shape: &[_, from_height, from_width], layout, .. }) = source else {
            return own;
        };
        let stride = |axis| layout.strides(Axis::Index(axis)).next().map(|(stride, _)| stride);
        let (Some(x), Some(y)) = (stride(2), stride(1)) else { return own };
        if from_height < height || from_width < width {
            return own;
        }
        let line = x * from_width.next_power_of_two();
        let coarser = |from: usize, to: usize| 1 << (from / to).ilog2();
        let (across, down) = (coarser(from_width, width), coarser(from_height, height));
        let mut grids = vec![Self { x: x * across, y: y * down, line }];
        if from_height % height != 0 || from_width % width != 0 {
            grids.push(Self { x: x * across * 2, y: y * down * 2, line });
        }
        grids
    }

    /// Slots of an image, gaps included.
    fn area(&self, height: usize) -> usize {
        self.y * height.next_power_of_two()
    }

    /// Channels that fit where one element is.
    fn gaps(&self) -> usize {
        self.x * (self.y / self.line).max(1)
    }

    /// The lower digits of the channel in the gaps: between columns first, then between lines.
    fn gap_digits(&self, channels: usize) -> [Digit; 2] {
        let columns = channels.min(self.x);
        [
            Digit::slot(Axis::Index(0), columns, 1),
            Digit::slot(Axis::Index(0), channels / columns, self.line),
        ]
    }
}

fn powers(most: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |p| Some(p * 2)).take_while(move |p| *p <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_candidate_is_a_layout() {
        let shapes: [&[usize]; 5] =
            [&[100], &[5, 13, 13], &[32, 16, 16], &[64, 8, 8], &[3, 32, 32]];
        for from in shapes {
            for layout in candidates(from, None, 4096) {
                layout.table(from, 4096).unwrap();
                let source = Source { shape: from, layout: &layout };
                for shape in shapes {
                    for layout in candidates(shape, Some(source), 4096) {
                        layout.table(shape, 4096).unwrap();
                    }
                }
            }
        }
    }

    #[test]
    fn strides_leave_gaps_for_channels() {
        let layout: Layout = "x:16@1 y:16@16 c:16@256".parse().unwrap();
        let source = Source { shape: &[16, 16, 16], layout: &layout };
        let found = candidates(&[32, 8, 8], Some(source), 4096);
        let known = |text: &str| found.contains(&text.parse().unwrap());
        assert!(known("c:2@1 c:2@16 x:8@2 y:8@32 c:8@256 copy:2@2048"));
        assert!(known("c:2@1 c:2@16 x:8@2 y:8@32 copy:2@256 c:8@512"));
        assert!(known("x:8@2 y:8@32 c:16@256 c:2@ct"));
        assert!(known("copy:2@1 i:2048@2"));
    }
}
