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

/// Of a candidate: its effect, the effect's square, the effect times the sum s of the gradient over
/// the channel, all against the present choice; square and product with s against the activation
/// itself; what the channel's value sums to.
const OF_CANDIDATE: usize = 6;
/// Of a channel: s, its square, what its value sums to now and what that of the activation would.
const OF_CHANNEL: usize = 4;

/// Sums over images for one site, under gradients of one function of the output per image.
pub(super) struct Sums {
    candidates: Vec<[f64; OF_CANDIDATE]>,
    channels: Vec<[f64; OF_CHANNEL]>,
}

/// Effects of a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Effect {
    /// Of going from the present choice to it, to first order.
    pub first: f64,
    /// Its square, summed over images.
    pub squared: f64,
    /// The square against the activation itself.
    pub distance: f64,
}

impl Sums {
    pub(super) fn new(site: &ChoiceSite) -> Sums {
        Sums {
            candidates: vec![[0.0; OF_CANDIDATE]; site.channels * site.candidates.len()],
            channels: vec![[0.0; OF_CHANNEL]; site.channels],
        }
    }

    /// Adds the effects of every choice of a site in a batch.
    pub(super) fn add(&mut self, site: &ChoiceSite, seen: Sensitivity<'_>) {
        let map = site.positions();
        let whole = site.channels * map;
        let schedule = Schedule::new(site);
        let rows = self.candidates.par_chunks_exact_mut(site.candidates.len());
        let channels = rows.zip(&mut self.channels).enumerate();
        channels.for_each_init(Buffers::default, |buffers, (channel, (row, of_channel))| {
            for start in (channel * map..seen.input.len()).step_by(whole) {
                let values = [seen.input, seen.value, seen.gradient];
                let [x, y, g] = values.map(|v| &v[start..start + map]);
                buffers.products.clear();
                buffers.products.extend(x.iter().zip(g).map(|(x, g)| x * g));
                let [low, high] = site.bounds;
                let (mut sum, mut now, mut exact) = (0.0f32, [0.0f32; 2], [0.0f32; 2]);
                for ((x, y), g) in x.iter().zip(y).zip(g) {
                    let of = x.max(low).min(high);
                    sum += g;
                    now = [now[0] + y * g, now[1] + y];
                    exact = [exact[0] + of * g, exact[1] + of];
                }
                let s = f64::from(sum);
                let terms = [s, s * s, now[1].into(), exact[1].into()];
                of_channel.iter_mut().zip(terms).for_each(|(to, term)| *to += term);
                schedule.each(site.map, x, buffers, |choice, then, value| {
                    let (change, distance) = (f64::from(then - now[0]), f64::from(then - exact[0]));
                    let squares = [change * change, change * s, distance * distance];
                    let terms = [change, squares[0], squares[1], squares[2], distance * s];
                    let terms = terms.into_iter().chain([f64::from(value)]);
                    row[choice].iter_mut().zip(terms).for_each(|(to, term)| *to += term);
                });
            }
        });
    }

    /// For every channel the effects of its candidates, from the sums over `images`. Where moments
    /// are matched afterwards, a shift of a channel has no effect: it is left out.
    pub(super) fn effects(
        &self,
        site: &ChoiceSite,
        images: usize,
        matched: bool,
    ) -> Vec<Vec<Effect>> {
        let count = (images * site.positions()) as f64;
        let rows = self.candidates.chunks_exact(site.candidates.len());
        let of_channel = |(row, channel): (&[[f64; OF_CANDIDATE]], &[f64; OF_CHANNEL])| {
            let [s, squared_s, now, exact] = *channel;
            let effect = |sums: &[f64; OF_CANDIDATE]| {
                let [change, squared, with_s, distance, distance_s, value] = *sums;
                let shift = |from: f64| if matched { (value - from) / count } else { 0.0 };
                let (m, d) = (shift(now), shift(exact));
                Effect {
                    first: change - m * s,
                    squared: (squared - 2.0 * m * with_s + m * m * squared_s).max(0.0),
                    distance: (distance - 2.0 * d * distance_s + d * d * squared_s).max(0.0),
                }
            };
            row.iter().map(effect).collect()
        };
        rows.zip(&self.channels).map(of_channel).collect()
    }
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

    /// Calls `f(index, sum of the products that pass, sum of what passes)` for every candidate.
    fn each(
        &self,
        [_, width]: [usize; 2],
        x: &[f32],
        buffers: &mut Buffers,
        mut f: impl FnMut(usize, f32, f32),
    ) {
        let Buffers { products, lines: [sums, passed] } = buffers;
        self.zero.iter().for_each(|i| f(*i, 0.0, 0.0));
        if !self.identity.is_empty() {
            let (all, value) = (products.iter().sum(), x.iter().sum());
            self.identity.iter().for_each(|i| f(*i, all, value));
        }
        for (height, widths) in &self.heights {
            let mut totals = vec![[0.0f32; 2]; widths.len()];
            for (x, products) in x.chunks(height * width).zip(products.chunks(height * width)) {
                add_rows(x, width, sums);
                add_rows(products, width, passed);
                for ((w, _), total) in widths.iter().zip(&mut totals) {
                    for (sum, passed) in sums.chunks(*w).zip(passed.chunks(*w)) {
                        let sum = sum.iter().sum::<f32>();
                        if sum >= 0.0 {
                            *total = [total[0] + passed.iter().sum::<f32>(), total[1] + sum];
                        }
                    }
                }
            }
            widths.iter().zip(totals).for_each(|((_, i), [total, value])| f(*i, total, value));
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
