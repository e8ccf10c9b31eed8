//! What one layer costs in given layouts.

use crate::Split;
use crate::costs::Costs;
use crate::layout::{Axis, Layout, Table};
use crate::linear::Linear;
use crate::lower::{self, Diagonals, Operand, Weights};
use crate::network::Stage;

/// The best way to compute a layer's affine map in given layouts.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// Rotations by which the result is added to itself.
    pub(super) folds: Vec<usize>,
    /// Baby and giant steps.
    pub(super) split: Split,
    /// Seconds.
    pub(super) seconds: f64,
}

/// Seconds of an affine map's operations.
fn seconds(linear: &Linear, costs: &Costs) -> f64 {
    let hoisted = (0..linear.babies.len()).map(|input| match linear.hoisted(input) {
        0 => 0.0,
        1 => costs.rotation,
        count => costs.hoist + count as f64 * costs.hoisted,
    });
    let folds = (linear.folds.len() * linear.outputs.len()) as f64;
    hoisted.sum::<f64>()
        + linear.giants() as f64 * (costs.rotation + costs.addition)
        + folds * (costs.rotation + costs.addition)
        + linear.diagonals() as f64 * costs.plain_product
}

/// The way from sources in given layouts to a layout.
pub(super) fn cheapest(
    stage: &Stage,
    sources: &[(&Layout, &Table)],
    (layout, table): (&Layout, &Table),
    costs: &Costs,
) -> Option<Way> {
    let folds = folds(layout, sources.first().map(|(layout, _)| *layout));
    let tables = sources.iter().map(|(_, table)| *table);
    let (period, orbits) = lower::periodic_orbits(tables.clone(), table, &folds).ok()?;
    let inputs: Vec<Table> = tables.map(|table| table.truncated(period)).collect();
    let operands = stage.terms.iter().zip(&inputs);
    let operands: Vec<Operand<'_>> =
        operands.map(|(term, table)| Operand { matrix: term.matrix.as_ref(), table }).collect();
    let diagonals = lower::rotations(&orbits, &operands, table.ciphertexts.len());
    let inputs = inputs.iter().map(|table| table.ciphertexts.len()).sum();
    split(diagonals, inputs, period, folds, costs)
}

/// The cheapest way from an input that is aligned to the layer.
pub(super) fn cheapest_aligned(
    matrix: &crate::Sparse,
    (layout, table): (&Layout, &Table),
    costs: &Costs,
) -> Option<Way> {
    let copies = copy_strides(layout);
    let ways = (0..=copies.len()).filter_map(|count| {
        // The most distant copies first: only they can be sums while nearer ones are not.
        let folds: Vec<usize> = copies.iter().rev().take(count).copied().collect();
        let input = crate::assemble::aligned_table(matrix, table, &folds).ok()?;
        let inputs = input.ciphertexts.len();
        let (period, orbits) =
            lower::periodic_orbits(std::iter::once(&input), table, &folds).ok()?;
        let input = input.truncated(period);
        let operand = Operand { matrix: Some(matrix), table: &input };
        let diagonals = lower::rotations(&orbits, &[operand], table.ciphertexts.len());
        let mut way = split(diagonals, inputs, period, folds, costs)?;
        way.seconds += inputs as f64 * costs.encrypt;
        Some(way)
    });
    ways.min_by(|a, b| a.seconds.total_cmp(&b.seconds))
}

fn split(
    diagonals: Diagonals<()>,
    inputs: usize,
    period: usize,
    folds: Vec<usize>,
    costs: &Costs,
) -> Option<Way> {
    if diagonals.iter().any(|all| all.is_empty()) {
        return None;
    }
    let weights = Weights { hoist: costs.hoist, hoisted: costs.hoisted, rotation: costs.rotation };
    let split = Split::cheapest(&diagonals, period, &weights);
    let (linear, _) = Linear::new(diagonals, inputs, split, period, &folds);
    Some(Way { seconds: seconds(&linear, costs), folds, split })
}

/// What to fold: copies that the source has none for. Others are computed as they are, from the
/// source's copies; folding them would compute zeros.
fn folds(layout: &Layout, source: Option<&Layout>) -> Vec<usize> {
    let given = source.map_or_else(Vec::new, copy_strides);
    copy_strides(layout).into_iter().filter(|stride| !given.contains(stride)).collect()
}

/// The strides of copies, each digit taken apart into twos.
fn copy_strides(layout: &Layout) -> Vec<usize> {
    let mut strides: Vec<usize> = layout
        .strides(Axis::Copy)
        .flat_map(|(stride, extent)| {
            (0..).map_while(move |k| (1 << k < extent).then_some(stride << k))
        })
        .collect();
    strides.sort_unstable();
    strides
}
