//! First and second order effects of choices, from gradients.
//!
//! Let y be the value of a site and y' what it would be under another choice for one channel. With
//! the gradient g of a function of the output, g.(y' - y) is what the change does to it, to first
//! order; and its square, averaged over random directions of the output, is the squared length of
//! the change of the output itself.

use hushwire_plan::ChannelGate;
use hushwire_train::Sensitivity;
use rayon::prelude::*;

use super::sites::ChoiceSite;

/// Sums over a batch, for each channel one number per candidate.
pub(super) struct Effects<'a> {
    /// First-order effects of going from the present choice to another.
    pub first: Option<&'a mut [f64]>,
    /// Their squares, sample by sample.
    pub squared: Option<&'a mut [f64]>,
    /// Squared effects of going from the activation itself to a choice.
    pub distance: Option<&'a mut [f64]>,
}

/// Adds the effects of every choice of a site in a batch.
pub(super) fn accumulate(site: &ChoiceSite, seen: Sensitivity<'_>, to: Effects<'_>) {
    let map = site.positions();
    let whole = site.channels * map;
    let schedule = Schedule::new(site);
    let count = site.candidates.len();
    let mut rows: Vec<[Option<&mut [f64]>; 3]> = Vec::new();
    rows.resize_with(site.channels, Default::default);
    for (kind, sums) in [to.first, to.squared, to.distance].into_iter().enumerate() {
        let sums = sums.into_iter().flat_map(|sums| sums.chunks_exact_mut(count));
        rows.iter_mut().zip(sums).for_each(|(row, sums)| row[kind] = Some(sums));
    }
    let channels = rows.into_par_iter().enumerate();
    channels.for_each_init(Buffers::default, |buffers, (channel, mut rows)| {
        for start in (channel * map..seen.input.len()).step_by(whole) {
            let [x, y, g] = [seen.input, seen.value, seen.gradient].map(|v| &v[start..start + map]);
            buffers.products.clear();
            buffers.products.extend(x.iter().zip(g).map(|(x, g)| x * g));
            let now: f32 = y.iter().zip(g).map(|(y, g)| y * g).sum();
            let [low, high] = site.bounds;
            let exact: f32 = x.iter().zip(g).map(|(x, g)| x.max(low).min(high) * g).sum();
            schedule.each(site.map, x, buffers, |choice, then| {
                let (change, distance) = (f64::from(then - now), f64::from(then - exact));
                let terms = [change, change * change, distance * distance];
                for (row, term) in rows.iter_mut().zip(terms) {
                    row.iter_mut().for_each(|row| row[choice] += term);
                }
            });
        }
    });
}

/// Room for sums.
#[derive(Default)]
struct Buffers {
    /// Pre-activations times gradients.
    products: Vec<f32>,
    /// Sums over the rows of a band, of pre-activations and of products.
    lines: [Vec<f32>; 2],
}

/// The candidates by the height of their patches, so that rows are added up once per height.
struct Schedule {
    /// Height; width and index of the candidates of that height.
    heights: Vec<(usize, Vec<(usize, usize)>)>,
    identity: Vec<usize>,
    zero: Vec<usize>,
}

impl Schedule {
    fn new(site: &ChoiceSite) -> Schedule {
        let mut schedule = Schedule { heights: Vec::new(), identity: Vec::new(), zero: Vec::new() };
        for (index, candidate) in site.candidates.iter().enumerate() {
            match *candidate {
                ChannelGate::Identity => schedule.identity.push(index),
                ChannelGate::Zero => schedule.zero.push(index),
                ChannelGate::Patch(h, w) => {
                    let (h, w) = (usize::from(h), usize::from(w));
                    let heights = &mut schedule.heights;
                    match heights.iter_mut().find(|(height, _)| *height == h) {
                        Some((_, widths)) => widths.push((w, index)),
                        None => heights.push((h, vec![(w, index)])),
                    }
                }
            }
        }
        schedule
    }

    /// Calls `f(index, sum of the products that pass)` for every candidate.
    fn each(
        &self,
        [_, width]: [usize; 2],
        x: &[f32],
        buffers: &mut Buffers,
        mut f: impl FnMut(usize, f32),
    ) {
        let Buffers { products, lines: [sums, passed] } = buffers;
        self.zero.iter().for_each(|i| f(*i, 0.0));
        if !self.identity.is_empty() {
            let all = products.iter().sum();
            self.identity.iter().for_each(|i| f(*i, all));
        }
        for (height, widths) in &self.heights {
            let mut totals = vec![0.0f32; widths.len()];
            for (x, products) in x.chunks(height * width).zip(products.chunks(height * width)) {
                add_rows(x, width, sums);
                add_rows(products, width, passed);
                for ((w, _), total) in widths.iter().zip(&mut totals) {
                    for (sum, passed) in sums.chunks(*w).zip(passed.chunks(*w)) {
                        if sum.iter().sum::<f32>() >= 0.0 {
                            *total += passed.iter().sum::<f32>();
                        }
                    }
                }
            }
            widths.iter().zip(totals).for_each(|((_, i), total)| f(*i, total));
        }
    }
}

/// The sum of some rows.
fn add_rows(rows: &[f32], width: usize, to: &mut Vec<f32>) {
    let mut rows = rows.chunks_exact(width);
    to.clear();
    to.extend_from_slice(rows.next().unwrap_or(&[]));
    for row in rows {
        to.iter_mut().zip(row).for_each(|(to, x)| *to += x);
    }
}
