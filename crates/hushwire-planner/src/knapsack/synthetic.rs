//! Random instances, for tests and measurements.

use super::Choice;
use fastrand::Rng;

/// A small instance of one of several kinds, with a budget for which it has solutions: losses
/// independent of costs, falling with costs, nearly in proportion to them, or many equal ones.
pub fn small(random: &mut Rng) -> (Vec<Vec<Choice>>, u64) {
    let kind = random.u8(..4);
    let items = random.usize(1..=40);
    let choices = random.usize(1..=12);
    let range = [20, 100, 400][random.usize(..3)];
    let item = |random: &mut Rng| {
        let importance = (2.0 * normal(random)).exp();
        let choice = |random: &mut Rng| {
            let cost = random.u64(0..=range);
            let share = cost as f64 / range as f64;
            let loss = match kind {
                0 => random.f64() * 100.0,
                1 => importance * (1.0 - share).powi(2) * (0.5 + random.f64()),
                2 => 1.0 - share + 0.01 * random.f64(),
                _ => f64::from(random.u8(..8)),
            };
            Choice { cost, loss }
        };
        (0..choices).map(|_| choice(random)).collect::<Vec<_>>()
    };
    let items: Vec<Vec<Choice>> = (0..items).map(|_| item(random)).collect();
    let costs = |of: fn(u64, u64) -> u64| -> u64 {
        items.iter().filter_map(|item| item.iter().map(|c| c.cost).reduce(of)).sum()
    };
    let (least, most) = (costs(u64::min), costs(u64::max));
    let budget = least + random.u64(0..=most - least);
    (items, budget)
}

/// An instance of the size of ResNet-50's: for each of its 22,720 channels with a ReLU, patches of
/// the sizes that fit its map, identity and zero. Costs are decisions; losses grow with the patch
/// and vary by channel and layer.
pub fn resnet50(random: &mut Rng) -> Vec<Vec<Choice>> {
    // (blocks, channels inside, channels between, side); the first block of a stage still has the
    // larger map inside.
    let stages = [(3, 64, 256, 56), (4, 128, 512, 28), (6, 256, 1024, 14), (3, 512, 2048, 7)];
    let mut layers = vec![(64, 112)];
    for (stage, (blocks, inside, between, side)) in stages.into_iter().enumerate() {
        for block in 0..blocks {
            let first = if stage > 0 && block == 0 { 2 * side } else { side };
            layers.extend([(inside, first), (inside, side), (between, side)]);
        }
    }
    let mut items = Vec::new();
    for (channels, side) in layers {
        let layer = (0.7 * normal(random)).exp();
        for _ in 0..channels {
            let importance = layer * (1.2 * normal(random)).exp();
            items.push(channel(random, side, importance));
        }
    }
    items
}

fn channel(random: &mut Rng, side: u64, importance: f64) -> Vec<Choice> {
    let sides: Vec<u64> = [1, 2, 4, 8, 16].into_iter().filter(|&s| s <= side).collect();
    let mut sizes: Vec<(u64, u64)> =
        sides.iter().flat_map(|&h| sides.iter().map(move |&w| (h, w))).collect();
    sizes.extend([32, 64, side].into_iter().filter(|s| (17..=side).contains(s)).map(|s| (s, s)));
    let mut choices: Vec<Choice> = sizes
        .into_iter()
        .map(|(h, w)| {
            let cost = side.div_ceil(h) * side.div_ceil(w);
            let growth = 1.0 - ((h * w) as f64).powf(-0.4);
            Choice { cost, loss: importance * growth * (0.8 + 0.4 * random.f64()) }
        })
        .collect();
    choices.push(Choice { cost: 0, loss: importance * (0.9 + 0.8 * random.f64()) });
    choices.push(Choice { cost: 0, loss: importance * (0.7 + 1.5 * random.f64()) });
    choices
}

/// A normal deviate, near enough.
fn normal(random: &mut Rng) -> f64 {
    (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
}
