//! Normalisations put back behind layers, and moments matched under other gates.

use hushwire_graph::{Model, NodeId};
use hushwire_plan::Plan;

use crate::net::{Kernel, Norm};
use crate::ops::norm::Moments;
use crate::{Mode, Net, Pass, TrainError};

/// Most elements of all values of the samples that pass together.
const ELEMENTS: usize = 1 << 28;

/// The network with the weights of `model` in which, under the gates of `plan`, the results of layers
/// have the means and deviations that they have with the model's own activations: scales and shifts
/// of weights and biases per channel do it, for the samples `inputs`. Of the last layer only the
/// means are matched; layers without a bias stay as they are.
///
/// # Errors
/// A plan that does not fit.
pub fn match_moments(model: &Model, plan: &Plan, inputs: &[f32]) -> Result<Model, TrainError> {
    let mut net = Net::new(model, None)?;
    net.unfold(inputs);
    net.set_plan(plan)?;
    net.settle(inputs);
    Ok(net.to_model())
}

impl Net {
    /// Puts a batch normalisation behind every layer with a bias but the last, such that the
    /// network computes what it did before: their scales and shifts are the deviations and means
    /// that the samples `inputs` give.
    pub fn unfold(&mut self, inputs: &[f32]) {
        self.normalise();
        let (moments, means) = self.pool(inputs, Mode::Measure);
        self.adopt(moments);
        self.means = means;
    }

    /// Makes the running moments those of the samples `inputs`, each batch of them normalised by its
    /// own; and the means of the last layer's results those that it had when the network was unfolded.
    pub fn settle(&mut self, inputs: &[f32]) {
        let (moments, means) = self.pool(inputs, Mode::Train);
        let bias = self.last_layer().and_then(|last| match &self.kernels[last] {
            Kernel::Conv(conv) => conv.bias,
            Kernel::Dense(dense) => dense.bias,
            _ => None,
        });
        if let Some(bias) = bias {
            let shifts = self.means.iter().zip(means).map(|(before, now)| before - now);
            self.params[bias].values.iter_mut().zip(shifts).for_each(|(b, shift)| *b += shift);
        }
        for ((_, _, norm), moments) in self.normalised().zip(moments) {
            norm.running = moments;
        }
    }

    /// Weight, bias and normalisation of the layers that have one.
    fn normalised(&mut self) -> impl Iterator<Item = (usize, usize, &mut Norm)> {
        self.kernels.iter_mut().filter_map(|kernel| match kernel {
            Kernel::Conv(conv) => Some((conv.weight, conv.bias?, conv.norm.as_mut()?)),
            Kernel::Dense(dense) => Some((dense.weight, dense.bias?, dense.norm.as_mut()?)),
            _ => None,
        })
    }

    /// The moments of all normalised layers over the samples, and the last layer's means.
    fn pool(&self, inputs: &[f32], mode: Mode) -> (Vec<Moments>, Vec<f32>) {
        let len = self.graph().input_shape().len();
        let elements: usize = self.graph().nodes.iter().map(|node| node.shape.len()).sum();
        let mut pass = Pass::default();
        let last = NodeId(self.last_layer().unwrap_or(0));
        let channels = self.graph().node(last).shape.0[0];
        let mut means = vec![0.0; channels];
        // Per layer the sums of means and of mean squares.
        let mut sums: Vec<Vec<[f64; 2]>> = Vec::new();
        // Batches of equal size, so that none is too small to have moments of its own.
        let all = inputs.len() / len;
        let batches = all.div_ceil((ELEMENTS / elements).max(1)).max(1);
        for samples in inputs.chunks(all.div_ceil(batches).max(1) * len) {
            let count = samples.len() / len;
            pass.input(self, count).copy_from_slice(samples);
            pass.forward(self, mode);
            let value = pass.value(last);
            let planes = value.chunks_exact(value.len() / (channels * count));
            for (plane, mean) in planes.zip((0..channels).cycle()) {
                let sum: f64 = plane.iter().map(|x| f64::from(*x)).sum();
                means[mean] += sum / (plane.len() * all) as f64;
            }
            let moments = pass.moments().filter(|moments| !moments.mean.is_empty());
            for (layer, moments) in moments.enumerate() {
                if sums.len() == layer {
                    sums.push(vec![[0.0; 2]; moments.mean.len()]);
                }
                let both = moments.mean.iter().zip(&moments.variance);
                for ([first, second], (mean, variance)) in sums[layer].iter_mut().zip(both) {
                    let (mean, variance) = (f64::from(*mean), f64::from(*variance));
                    *first += mean * count as f64;
                    *second += (variance + mean * mean) * count as f64;
                }
            }
        }
        let samples = all.max(1) as f64;
        let of_layer = |sums: Vec<[f64; 2]>| {
            let channels = sums.into_iter().map(|[first, second]| {
                let mean = first / samples;
                (mean as f32, (second / samples - mean * mean).max(0.0) as f32)
            });
            let (mean, variance) = channels.unzip();
            Moments { mean, variance }
        };
        let means = means.into_iter().map(|mean| mean as f32).collect();
        (sums.into_iter().map(of_layer).collect(), means)
    }

    /// Makes the normalisations compute what the network computes without them, whose layers'
    /// results have these moments before their biases.
    fn adopt(&mut self, moments: Vec<Moments>) {
        let mut params = std::mem::take(&mut self.params);
        for ((weight, bias, norm), mut moments) in self.normalised().zip(moments) {
            let terms = params[weight].values.len() / norm.extents.channels;
            for c in 0..norm.extents.channels {
                // A row's length means nothing behind a normalisation, but it sets the pace at
                // which the row turns: make it 1, as far as the channel does anything.
                let row = &mut params[weight].values[c * terms..(c + 1) * terms];
                let length = row.iter().map(|w| w * w).sum::<f32>().sqrt();
                let deviation = (moments.variance[c] + Norm::EPSILON * length * length).sqrt();
                if length > 0.0 {
                    row.iter_mut().for_each(|w| *w /= length);
                    moments.mean[c] /= length;
                    moments.variance[c] /= length * length;
                }
                let shift = moments.mean[c] * length + params[bias].values[c];
                params[norm.scale].values[c] = deviation;
                params[norm.shift].values[c] = shift;
            }
            norm.running = moments;
        }
        self.params = params;
        self.pack();
    }
}
