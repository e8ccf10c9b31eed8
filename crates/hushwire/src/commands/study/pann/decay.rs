//! Weight decay against the accuracy of polynomial networks, and where the effect comes from.

use anyhow::Result;
use hushwire_graph::Model;
use hushwire_minimax::ALPHAS;
use hushwire_planner::polynomial::{Layer, plan};
use hushwire_train::{Mode, Net, Pass};

use super::lab::Lab;
use super::results::Row;

/// The part's name in the table.
pub const PART: &str = "decay";

/// The name of the measurements that may explain it.
pub const SOURCES: &str = "sources";

/// Weight decays that networks are trained with.
pub const DECAYS: [f32; 5] = [0.0, 1e-4, 5e-4, 2e-3, 5e-3];

/// What is measured of each of them.
pub const MEASURES: [&str; 6] = [
    "margin in deviations",
    "largest input in deviations",
    "inputs near zero in %",
    "gradient at negative inputs",
    "gradient at positive inputs",
    "range",
];

/// Images on which sources are measured.
const IMAGES: usize = 512;

/// What a case is called.
pub fn case(decay: f32, ranges: &str) -> String {
    format!("decay={decay} ranges={ranges}")
}

/// Accuracy at every precision: with ranges of the network's own, and with `common` ones.
pub fn study(
    lab: &Lab,
    model: &Model,
    seed: u64,
    decay: f32,
    common: &[Layer],
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut add = |ranges: &str, alpha: u32, measure: &str, value: f64| {
        let (part, case, measure) = (PART.to_owned(), case(decay, ranges), measure.to_owned());
        rows.push(Row { part, case, seed, alpha, measure, value });
    };
    let exact = lab.measure(&Net::new(model, None)?, seed).accuracy;
    for ranges in ["free", "fixed"] {
        add(ranges, 0, "accuracy", 100.0 * exact);
    }
    for alpha in ALPHAS {
        let (_, free) = lab.fit(model, alpha)?;
        let gates: Vec<_> = common.iter().map(|layer| lab.fitting.gate(layer, alpha)).collect();
        let fixed = plan(&model.graph, common, &gates);
        for (ranges, plan) in [("free", &free), ("fixed", &fixed)] {
            let found = lab.under(model, plan)?;
            add(ranges, alpha, "accuracy", 100.0 * found.accuracy);
            add(ranges, alpha, "out of range", found.outside as f64);
        }
    }
    Ok(rows)
}

/// Margins, ranges and gradients of a network.
pub fn sources(lab: &Lab, model: &Model, seed: u64, decay: f32) -> Result<Vec<Row>> {
    let net = Net::new(model, None)?;
    let graph = net.graph();
    let classes = graph.output_shape().len();
    let (layers, _) = lab.fitting.fit(model, &lab.ranges, &[])?;
    let mut pass = Pass::default();
    let count = lab.ranges.batch().min(IMAGES);
    let inputs = &lab.ranges.data[..count * lab.ranges.sample_len()];
    pass.input(&net, count).copy_from_slice(inputs);
    let logits = pass.forward(&net, Mode::Test).to_vec();
    // The margin between the best two classes, in deviations of the logits, and its gradient.
    let mut gradient = vec![0.0; logits.len()];
    let mut margin = 0.0;
    for (logits, gradient) in logits.chunks(classes).zip(gradient.chunks_mut(classes)) {
        let mut order: Vec<usize> = (0..classes).collect();
        order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
        margin += f64::from(logits[order[0]] - logits[order[1]]);
        (gradient[order[0]], gradient[order[1]]) = (1.0, -1.0);
    }
    let margin = margin / count as f64;
    let (mut reach, mut near, mut range) = (0.0, 0.0, 0.0);
    for layer in &layers {
        let x = pass.value(graph.node(layer.node).inputs[0]);
        reach += layer.largest / deviation(x);
        let close = layer.largest as f32 / 32.0;
        near += x.iter().filter(|x| x.abs() < close).count() as f64 / x.len() as f64;
        range += layer.largest;
    }
    // How much the margin, relative to its size, depends on a layer's values where its inputs are
    // negative and where they are positive, a value changing by the values' deviation.
    let mut slopes = [0.0; 2];
    pass.sensitivities(&net, graph.output, &gradient, &mut |_, seen| {
        let scale = deviation(seen.value) / margin.max(1e-9);
        let mut sums = [(0.0, 0usize); 2];
        for (x, g) in seen.input.iter().zip(seen.gradient) {
            let (sum, count) = &mut sums[usize::from(*x > 0.0)];
            *sum += f64::from(*g).powi(2);
            *count += 1;
        }
        for (slope, (sum, count)) in slopes.iter_mut().zip(sums) {
            *slope += scale * (sum / count.max(1) as f64).sqrt();
        }
    });
    let n = layers.len() as f64;
    let values = [
        margin / deviation(&logits),
        reach / n,
        100.0 * near / n,
        slopes[0] / n,
        slopes[1] / n,
        range / n,
    ];
    let row = |(measure, value): (&str, f64)| Row {
        part: SOURCES.to_owned(),
        case: format!("decay={decay}"),
        seed,
        alpha: 0,
        measure: measure.to_owned(),
        value,
    };
    Ok(MEASURES.into_iter().zip(values).map(row).collect())
}

/// The standard deviation of values, never zero.
fn deviation(values: &[f32]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
    let square = values.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n;
    square.sqrt().max(f64::MIN_POSITIVE)
}
