//! The loss: cross entropy with the labels, and with what another network says.

use serde::{Deserialize, Serialize};

/// Learning from another network's answers (Hinton, Vinyals, Dean, arXiv 1503.02531).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distillation {
    /// Share of the loss that compares with the other network; the rest compares with the labels.
    pub share: f32,
    /// Divides the logits of both networks before they are compared.
    pub temperature: f32,
}

/// What a batch should be classified as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Targets<'a> {
    /// The class of each sample.
    pub labels: &'a [usize],
    /// Classes mixed in, and the share of the first ones.
    pub mixed: Option<(&'a [usize], f32)>,
    /// Share of the labels that is spread over all classes.
    pub smoothing: f32,
    /// The other network's logits.
    pub teacher: Option<(&'a [f32], Distillation)>,
    /// Samples of the whole batch, of which these may be a part.
    pub whole: usize,
}

/// What came of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Sum of the samples' losses.
    pub loss: f64,
    /// Samples whose greatest logit is that of their label.
    pub right: usize,
}

/// The losses of `logits` `[N, classes]`; `gradient` gets that of the mean over the whole batch.
pub(crate) fn evaluate(
    logits: &[f32],
    classes: usize,
    targets: Targets<'_>,
    gradient: &mut [f32],
) -> Outcome {
    let count = targets.labels.len();
    let scale = 1.0 / targets.whole as f64;
    let mut outcome = Outcome::default();
    let (mut own, mut theirs) = (vec![0.0; classes], vec![0.0; classes]);
    for n in 0..count {
        let logits = &logits[n * classes..(n + 1) * classes];
        let gradient = &mut gradient[n * classes..(n + 1) * classes];
        let label = targets.labels[n];
        let best = (1..classes).fold(0, |best, c| if logits[c] > logits[best] { c } else { best });
        outcome.right += usize::from(best == label);

        let (share, temperature) = targets
            .teacher
            .map_or((0.0, 1.0), |(_, d)| (f64::from(d.share), f64::from(d.temperature)));
        let log_sum = softmax(logits, 1.0, &mut own);
        let smoothing = f64::from(targets.smoothing);
        for (c, gradient) in gradient.iter_mut().enumerate() {
            let (second, first) = targets.mixed.map_or((label, 1.0), |(l, s)| (l[n], f64::from(s)));
            let of = |class: usize| if class == c { 1.0 } else { 0.0 };
            let hard = first * of(label) + (1.0 - first) * of(second);
            let target = (1.0 - smoothing) * hard + smoothing / classes as f64;
            outcome.loss += (1.0 - share) * target * (log_sum - f64::from(logits[c]));
            *gradient = ((1.0 - share) * scale * (own[c] - target)) as f32;
        }
        if let Some((teacher, _)) = targets.teacher {
            let teacher = &teacher[n * classes..(n + 1) * classes];
            let own_sum = softmax(logits, temperature, &mut own);
            let their_sum = softmax(teacher, temperature, &mut theirs);
            for (c, gradient) in gradient.iter_mut().enumerate() {
                // The divergence times the temperature's square, which keeps gradients in scale.
                let log_ratio = f64::from(teacher[c]) / temperature
                    - their_sum
                    - (f64::from(logits[c]) / temperature - own_sum);
                outcome.loss += share * temperature * temperature * theirs[c] * log_ratio;
                *gradient += (share * temperature * scale * (own[c] - theirs[c])) as f32;
            }
        }
    }
    outcome
}

/// Probabilities of logits divided by a temperature; the logarithm of the sum of their exponentials.
fn softmax(logits: &[f32], temperature: f64, to: &mut [f64]) -> f64 {
    let most = logits.iter().fold(f64::NEG_INFINITY, |m, x| m.max(f64::from(*x))) / temperature;
    let mut sum = 0.0;
    for (to, x) in to.iter_mut().zip(logits) {
        *to = (f64::from(*x) / temperature - most).exp();
        sum += *to;
    }
    to.iter_mut().for_each(|p| *p /= sum);
    most + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 6] = [0.5, -1.0, 2.0, 0.25, 0.0, -0.75];
    const TEACHER: [f32; 6] = [1.5, 0.0, 1.0, -2.0, 0.5, 0.0];

    fn targets(kind: usize) -> Targets<'static> {
        let plain =
            Targets { labels: &[2, 1], mixed: None, smoothing: 0.0, teacher: None, whole: 2 };
        let distillation = Distillation { share: 0.75, temperature: 3.0 };
        match kind {
            0 => plain,
            1 => Targets { smoothing: 0.1, ..plain },
            2 => Targets { mixed: Some((&[0, 2], 0.7)), ..plain },
            _ => Targets { teacher: Some((&TEACHER, distillation)), ..plain },
        }
    }

    #[test]
    fn the_plain_loss_is_the_cross_entropy() {
        let mut gradient = [0.0; 6];
        let outcome = evaluate(&LOGITS, 3, targets(0), &mut gradient);
        let entropy = |row: &[f32], label: usize| {
            let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
            sum.ln() - f64::from(row[label])
        };
        let expected = entropy(&LOGITS[..3], 2) + entropy(&LOGITS[3..], 1);
        assert!((outcome.loss - expected).abs() < 1e-12);
        assert_eq!(outcome.right, 1);
    }

    #[test]
    fn gradients_are_differences_of_the_mean_loss() {
        for kind in 0..4 {
            let mut gradient = [0.0; 6];
            evaluate(&LOGITS, 3, targets(kind), &mut gradient);
            for i in 0..6 {
                let at = |h: f32| {
                    let mut logits = LOGITS;
                    logits[i] += h;
                    evaluate(&logits, 3, targets(kind), &mut [0.0; 6]).loss / 2.0
                };
                let slope = (at(1.0 / 64.0) - at(-1.0 / 64.0)) * 32.0;
                assert!((slope - f64::from(gradient[i])).abs() < 1e-4, "kind {kind}, logit {i}");
            }
        }
    }

    #[test]
    fn the_teachers_own_answers_cost_nothing() {
        let distillation = Distillation { share: 1.0, temperature: 2.0 };
        let targets = Targets { teacher: Some((&LOGITS, distillation)), ..targets(0) };
        let mut gradient = [1.0; 6];
        let outcome = evaluate(&LOGITS, 3, targets, &mut gradient);
        assert!(outcome.loss.abs() < 1e-12);
        assert!(gradient.iter().all(|g| g.abs() < 1e-7));
    }
}
