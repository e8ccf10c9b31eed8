//! Constant factors and summands (batch normalisation, biases of a MatMul, scaling) become part of
//! the weights of the layer before or after them.

use super::draft::{Draft, DraftOp};
use crate::{Conv, Gemm, Op, ParamId, Tensor};

/// Folds every affine node it can; `output` is the node that is read from outside, and the result
/// the one that has its value afterwards.
pub(super) fn fold(draft: &mut Draft, output: usize) -> Result<usize, String> {
    let mut readers = draft.readers(output);
    // Where the value of each node is computed in the end.
    let mut moved: Vec<usize> = (0..draft.nodes.len()).collect();
    for node in 0..draft.nodes.len() {
        for i in 0..draft.nodes[node].inputs.len() {
            draft.nodes[node].inputs[i] = moved[draft.nodes[node].inputs[i]];
        }
        if readers[node] == 0 {
            continue;
        }
        let Some(first) = draft.nodes[node].inputs.first().copied() else { continue };
        if readers[first] != 1 {
            continue;
        }
        if let Some((scale, shift)) = affine(draft, node) {
            if into_previous(draft, first, scale, shift)? {
                (moved[node], readers[first]) = (first, readers[node]);
            }
        } else if let Some((scale, shift)) = affine(draft, first)
            && into_next(draft, node, scale, shift)?
        {
            draft.nodes[node].inputs = draft.nodes[first].inputs.clone();
        }
    }
    Ok(moved[output])
}

type Coefficients = Option<ParamId>;

fn affine(draft: &Draft, node: usize) -> Option<(Coefficients, Coefficients)> {
    match draft.nodes[node].op {
        DraftOp::Op(Op::Affine { scale, shift }) => Some((scale, shift)),
        _ => None,
    }
}

/// Whether coefficients are a single number or one per channel.
fn per_channel(draft: &Draft, id: Coefficients, channels: usize) -> bool {
    id.is_none_or(
        |id| matches!(draft.tensors[id.0].shape[..], [len] if len == 1 || len == channels),
    )
}

/// `channels` coefficients, of which a single number counts for all.
fn spread(draft: &Draft, id: Coefficients, channels: usize) -> Option<Vec<f32>> {
    id.map(|id| match &draft.tensors[id.0].data[..] {
        [single] => vec![*single; channels],
        data => data.to_vec(),
    })
}

/// Applies a scale and a shift to the result of a layer by changing its weights.
fn into_previous(
    draft: &mut Draft,
    layer: usize,
    scale: Coefficients,
    shift: Coefficients,
) -> Result<bool, String> {
    let (weight, bias) = match draft.nodes[layer].op {
        DraftOp::Op(Op::Conv(Conv { weight, bias, .. }) | Op::Gemm(Gemm { weight, bias })) => {
            (weight, bias)
        }
        DraftOp::Op(Op::Affine { .. }) => return into_affine(draft, layer, scale, shift),
        _ => return Ok(false),
    };
    let channels = draft.nodes[layer].shape.0[0];
    if !per_channel(draft, scale, channels) || !per_channel(draft, shift, channels) {
        return Ok(false);
    }
    let scale = spread(draft, scale, channels);
    let shift = spread(draft, shift, channels);
    if let Some(scale) = &scale {
        scale_rows(&mut draft.tensors[weight.0], scale);
        if let Some(bias) = bias {
            scale_rows(&mut draft.tensors[bias.0], scale);
        }
    }
    if let Some(shift) = shift {
        add_bias(draft, layer, bias, shift)?;
    }
    Ok(true)
}

/// `(x * a + b) * scale + shift` in one node.
fn into_affine(
    draft: &mut Draft,
    node: usize,
    scale: Coefficients,
    shift: Coefficients,
) -> Result<bool, String> {
    let Some((a, b)) = affine(draft, node) else { return Ok(false) };
    let a = combine(draft, node, a, scale, |a, scale| a * scale)?;
    let b = if b.is_some() { combine(draft, node, b, scale, |b, scale| b * scale)? } else { None };
    let b = combine(draft, node, b, shift, |b, shift| b + shift)?;
    draft.nodes[node].op = DraftOp::Op(Op::Affine { scale: a, shift: b });
    Ok(true)
}

/// Two sets of coefficients as one; an absent one leaves the other as it is.
fn combine(
    draft: &mut Draft,
    node: usize,
    a: Coefficients,
    b: Coefficients,
    f: impl Fn(f32, f32) -> f32,
) -> Result<Coefficients, String> {
    let (Some(a), Some(b)) = (a, b) else { return Ok(a.or(b)) };
    let (x, y) = (&draft.tensors[a.0], &draft.tensors[b.0]);
    let larger = if x.len() >= y.len() { x } else { y };
    // Positions per channel where one of the two is per element and the other per channel.
    let positions = draft.nodes[node].shape.0[1..].iter().product::<usize>().max(1);
    let at = |tensor: &Tensor, i: usize| match tensor.len() {
        1 => tensor.data[0],
        len if len == larger.len() => tensor.data[i],
        _ => tensor.data[i / positions],
    };
    let data = (0..larger.len()).map(|i| f(at(x, i), at(y, i))).collect();
    let result = Tensor::new(larger.shape.clone(), data);
    draft.push_param(result).map(Some)
}

/// Applies a scale and a shift to the input of a layer by changing its weights.
fn into_next(
    draft: &mut Draft,
    layer: usize,
    scale: Coefficients,
    shift: Coefficients,
) -> Result<bool, String> {
    let input = &draft.nodes[draft.nodes[layer].inputs[0]];
    let channels = input.shape.0[0];
    let (weight, bias, groups) = match draft.nodes[layer].op {
        DraftOp::Op(Op::Gemm(Gemm { weight, bias })) => (weight, bias, 1),
        // A shifted input is not 0 where the convolution pads with 0.
        DraftOp::Op(Op::Conv(Conv { weight, bias, pads, groups, .. }))
            if shift.is_none() || pads == [0; 4] =>
        {
            (weight, bias, groups)
        }
        _ => return Ok(false),
    };
    if !per_channel(draft, scale, channels) || !per_channel(draft, shift, channels) {
        return Ok(false);
    }
    let scale = spread(draft, scale, channels);
    let shift = spread(draft, shift, channels);
    let kernel = &mut draft.tensors[weight.0];
    let (outputs, per_group) = (kernel.shape[0], kernel.shape[1]);
    let taps: usize = kernel.shape[2..].iter().product();
    let mut added = vec![0.0_f64; outputs];
    for (row, weights) in kernel.data.chunks_exact_mut(taps.max(1)).enumerate() {
        let output = row / per_group;
        let channel = output / (outputs / groups) * per_group + row % per_group;
        if let Some(shift) = &shift {
            let sum: f64 = weights.iter().map(|w| f64::from(*w)).sum();
            added[output] += sum * f64::from(shift[channel]);
        }
        if let Some(scale) = &scale {
            weights.iter_mut().for_each(|w| *w *= scale[channel]);
        }
    }
    if shift.is_some() {
        let added = added.iter().map(|x| *x as f32).collect();
        add_bias(draft, layer, bias, added)?;
    }
    Ok(true)
}

fn add_bias(
    draft: &mut Draft,
    layer: usize,
    bias: Option<ParamId>,
    summand: Vec<f32>,
) -> Result<(), String> {
    if let Some(bias) = bias {
        let bias = &mut draft.tensors[bias.0].data;
        bias.iter_mut().zip(summand).for_each(|(b, s)| *b += s);
        return Ok(());
    }
    let new = draft.push_param(Tensor::new([summand.len()], summand))?;
    if let DraftOp::Op(Op::Conv(Conv { bias, .. }) | Op::Gemm(Gemm { bias, .. })) =
        &mut draft.nodes[layer].op
    {
        *bias = Some(new);
    }
    Ok(())
}

/// Multiplies row `i` along the first axis by `scale[i]`.
fn scale_rows(tensor: &mut Tensor, scale: &[f32]) {
    let len = tensor.sample_len().max(1);
    for (row, scale) in tensor.data.chunks_exact_mut(len).zip(scale) {
        row.iter_mut().for_each(|w| *w *= scale);
    }
}
