//! Layers with weights, and arithmetic with constants.

use super::super::draft::{DraftOp, Scalar};
use super::{Call, Value, spatial};
use crate::infer::checked_len;
use crate::{Conv, Gemm, Op, Shape, Tensor};

pub(super) fn conv(call: &mut Call<'_>) -> Result<usize, String> {
    let input = call.computed(0)?;
    let weight = call.weight(1)?;
    let bias = call.floats(2)?;
    let [_, _, height, width] = weight.shape[..] else {
        let axes = weight.shape.len();
        return Err(format!("a kernel of {axes} axes; two-dimensional convolutions are accepted"));
    };
    let kernel = [height, width];
    if let Some(declared) = call.attributes.ints("kernel_shape")
        && super::pair("kernel_shape", declared)? != kernel
    {
        return Err(format!("kernel_shape {declared:?} differs from the weight's {kernel:?}"));
    }
    let window = spatial::Window::new(call, input, kernel)?;
    let groups = usize::try_from(call.attributes.int("group", 1)).unwrap_or(0);
    let draft = &mut call.importer.draft;
    let weight = draft.push_param(Tensor::clone(&weight))?;
    let bias = bias.map(|bias| draft.push_param(Tensor::clone(&bias)));
    let op = Op::Conv(Conv {
        weight,
        bias: bias.transpose()?,
        stride: window.stride,
        pads: window.pads,
        dilation: window.dilation,
        groups,
    });
    call.push(op, vec![input])
}

pub(super) fn gemm(call: &mut Call<'_>) -> Result<usize, String> {
    if call.attributes.int("transA", 0) != 0 {
        return Err("transA = 1; 0 is accepted".to_owned());
    }
    let transposed = call.attributes.int("transB", 0) != 0;
    let (alpha, beta) = (call.attributes.float("alpha", 1.0), call.attributes.float("beta", 1.0));
    let mut weight = matrix(call, transposed)?;
    if alpha != 1.0 {
        weight.data.iter_mut().for_each(|w| *w *= alpha);
    }
    let outputs = weight.shape[0];
    let bias = call.floats(2)?.map(|bias| {
        let data: Vec<f32> = bias.data.iter().map(|b| b * beta).collect();
        match (&bias.shape[..], &data[..]) {
            (_, [single]) => Ok(Tensor::new([outputs], vec![*single; outputs])),
            ([len] | [1, len], _) if *len == outputs => Ok(Tensor::new([outputs], data)),
            (shape, _) => {
                Err(format!("input 2 of shape {shape:?}; one number per output is accepted"))
            }
        }
    });
    dense(call, weight, bias.transpose()?)
}

pub(super) fn matmul(call: &mut Call<'_>) -> Result<usize, String> {
    let weight = matrix(call, false)?;
    dense(call, weight, None)
}

/// Input 1 as a matrix `[outputs, inputs]`.
fn matrix(call: &mut Call<'_>, transposed: bool) -> Result<Tensor, String> {
    let weight = call.weight(1)?;
    let [rows, columns] = weight.shape[..] else {
        return Err(format!("input 1 of shape {:?}; a matrix is accepted", weight.shape));
    };
    call.importer.draft.reserve(weight.len())?;
    if transposed {
        return Ok(Tensor::clone(&weight));
    }
    let column = |j: usize| weight.data.iter().skip(j).step_by(columns).copied();
    let data = (0..columns).flat_map(column).collect();
    Ok(Tensor::new([columns, rows], data))
}

fn dense(call: &mut Call<'_>, weight: Tensor, bias: Option<Tensor>) -> Result<usize, String> {
    let input = call.computed(0)?;
    let draft = &mut call.importer.draft;
    let weight = draft.push_param(weight)?;
    let bias = bias.map(|bias| draft.push_param(bias)).transpose()?;
    call.push(Op::Gemm(Gemm { weight, bias }), vec![input])
}

/// Scale and shift per channel; folding into the layer before comes later.
pub(super) fn batch_normalization(call: &mut Call<'_>) -> Result<usize, String> {
    let input = call.computed(0)?;
    if call.attributes.int("training_mode", 0) != 0 {
        return Err("training_mode = 1; 0 is accepted".to_owned());
    }
    let channels = call.shape(input).0[0];
    let [gamma, beta, mean, variance] =
        [call.weight(1)?, call.weight(2)?, call.weight(3)?, call.weight(4)?];
    if [&gamma, &beta, &mean, &variance].iter().any(|t| t.shape[..] != [channels]) {
        return Err(format!(
            "statistics that do not have one number for each of {channels} channels"
        ));
    }
    let epsilon = f64::from(call.attributes.float("epsilon", 1e-5));
    let factors = gamma.data.iter().zip(&variance.data);
    let factors: Vec<f64> =
        factors.map(|(g, v)| f64::from(*g) / (f64::from(*v) + epsilon).sqrt()).collect();
    let means = mean.data.iter().zip(&factors).map(|(m, f)| f64::from(*m) * f);
    let shift = beta.data.iter().zip(means).map(|(b, m)| (f64::from(*b) - m) as f32).collect();
    let scale = factors.iter().map(|f| *f as f32).collect();
    let (scale, shift) = (Tensor::new([channels], scale), Tensor::new([channels], shift));
    call.push_affine(input, Some(scale), Some(shift))
}

pub(super) fn negate(call: &mut Call<'_>) -> Result<usize, String> {
    let input = call.computed(0)?;
    call.push_affine(input, Some(Tensor::new([1], vec![-1.0])), None)
}

/// Add, Sub, Mul, Div of two computed values or of one and a constant.
pub(super) fn arithmetic(call: &mut Call<'_>) -> Result<usize, String> {
    let constant = |i| match call.inputs.get(i) {
        Some(Some(Value::Constant(_))) => call.weight(i).map(Some),
        _ => Ok(None),
    };
    let constants = (constant(0)?, constant(1)?);
    let operator = call.operator().to_owned();
    let fits = |call: &mut Call<'_>, constant: &Tensor, x: usize| {
        let shape = call.shape(x).clone();
        coefficients(call, constant, &shape)
    };
    match constants {
        (None, None) => two_computed(call, &operator),
        (None, Some(c)) => {
            let x = call.computed(0)?;
            let mut c = fits(call, &c, x)?;
            match operator.as_str() {
                "Sub" => c.data.iter_mut().for_each(|c| *c = -*c),
                "Div" => c.data.iter_mut().for_each(|c| *c = 1.0 / *c),
                _ => {}
            }
            let is_sum = operator == "Add" || operator == "Sub";
            let (scale, shift) = if is_sum { (None, Some(c)) } else { (Some(c), None) };
            call.push_affine(x, scale, shift)
        }
        (Some(c), _) => {
            let x = call.computed(1)?;
            let c = fits(call, &c, x)?;
            match operator.as_str() {
                "Add" => call.push_affine(x, None, Some(c)),
                "Sub" => call.push_affine(x, Some(Tensor::new([1], vec![-1.0])), Some(c)),
                "Mul" => call.push_affine(x, Some(c), None),
                _ => {
                    let shape = call.shape(x).clone();
                    let op = DraftOp::Scalar(Scalar::Reciprocal);
                    let reciprocal = call.push_draft(op, vec![x], shape);
                    call.push_affine(reciprocal, Some(c), None)
                }
            }
        }
    }
}

fn two_computed(call: &mut Call<'_>, operator: &str) -> Result<usize, String> {
    let (a, b) = (call.computed(0)?, call.computed(1)?);
    let (shape, other) = (call.shape(a).clone(), call.shape(b));
    if shape != *other {
        return Err(format!(
            "computed values of shapes {shape} and {other}; equal shapes are accepted"
        ));
    }
    match operator {
        "Add" => call.push(Op::Add, vec![a, b]),
        "Sub" => call.push(Op::Sub, vec![a, b]),
        "Mul" => Ok(call.push_draft(DraftOp::Product, vec![a, b], shape)),
        _ => Ok(call.push_draft(DraftOp::Quotient, vec![a, b], shape)),
    }
}

/// A constant operand in one of the three forms of coefficients: a single number, one per channel,
/// or one per element.
fn coefficients(call: &mut Call<'_>, constant: &Tensor, shape: &Shape) -> Result<Tensor, String> {
    let refuse = || {
        format!("a constant of shape {:?} does not broadcast to {shape} per sample", constant.shape)
    };
    // Dropping the batch and filling up with ones in front leaves one extent per axis.
    let dims = match constant.shape.len().checked_sub(shape.rank()) {
        Some(0) => constant.shape.clone(),
        Some(1) if constant.shape[0] == 1 => constant.shape[1..].to_vec(),
        Some(_) => return Err(refuse()),
        None => {
            let missing = shape.rank() - constant.shape.len();
            std::iter::repeat_n(1, missing).chain(constant.shape.iter().copied()).collect()
        }
    };
    if dims.iter().zip(&shape.0).any(|(c, extent)| *c != 1 && c != extent) {
        return Err(refuse());
    }
    if constant.len() == 1 {
        return Ok(Tensor::new([1], constant.data.clone()));
    }
    if dims[1..].iter().all(|extent| *extent == 1) {
        return Ok(Tensor::new([dims[0]], constant.data.clone()));
    }
    let len = checked_len(&shape.0).ok_or_else(refuse)?;
    call.importer.draft.reserve(len)?;
    let mut data = constant.data.clone();
    // Axis by axis from the last, every run along an axis of extent 1 is repeated.
    let mut inner = 1;
    for (c, extent) in dims.iter().zip(&shape.0).rev() {
        if c != extent {
            data = data.chunks_exact(inner).flat_map(|run| run.repeat(*extent)).collect();
        }
        inner *= extent;
    }
    Ok(Tensor::new(shape.0.clone(), data))
}
