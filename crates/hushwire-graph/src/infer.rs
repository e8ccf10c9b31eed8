//! Shape inference. One function serves the importer and the check of graphs from others, so all
//! arithmetic is checked and every attribute is looked at.

use crate::{
    Activation, Conv, GraphError, Node, Op, ParamId, ParamInfo, Pool, Resize, Shape, ShapeError,
};

/// Most elements of one value per sample, and of one parameter.
pub(crate) const MAX_ELEMENTS: usize = 1 << 28;
/// Most elements of all parameters together.
pub(crate) const MAX_PARAM_ELEMENTS: usize = 1 << 29;
/// Most elements of all values of a graph together, see [`check_total`].
const MAX_TOTAL_ELEMENTS: usize = 1 << 29;
/// What a value counts beside its elements.
const VALUE_OVERHEAD: usize = 256;
/// Most axes of anything.
const MAX_RANK: usize = 8;
/// Largest attribute (stride, dilation, padding) accepted.
const MAX_ATTRIBUTE: usize = 1 << 20;

/// The product of `dims` if there are few enough of them and it is neither 0 nor too large.
pub(crate) fn checked_len(dims: &[usize]) -> Option<usize> {
    let len = dims.iter().try_fold(1_usize, |len, d| len.checked_mul(*d))?;
    ((1..=MAX_RANK).contains(&dims.len()) && (1..=MAX_ELEMENTS).contains(&len)).then_some(len)
}

/// Checks the sizes of all parameters.
pub(crate) fn check_params(params: &[ParamInfo]) -> Result<(), GraphError> {
    let mut total = 0;
    for info in params {
        total += checked_len(&info.dims).unwrap_or(MAX_PARAM_ELEMENTS);
        if total >= MAX_PARAM_ELEMENTS {
            let reason = format!("extents {:?} are empty or too large", info.dims);
            return Err(GraphError::Param { name: info.name.clone(), reason });
        }
    }
    Ok(())
}

/// Bounds what lowering and running a graph take, which a few bytes could otherwise drive up at will.
/// Private executors make values as large as a maximum's input for every row and column of its
/// window. References and shapes are known to be valid.
pub(crate) fn check_total(nodes: &[Node]) -> Result<(), GraphError> {
    let cost = |node: &Node| {
        let own = node.shape.len() + VALUE_OVERHEAD;
        let inputs = || node.inputs.iter().map(|i| nodes[i.0].shape.len()).sum::<usize>();
        match &node.op {
            Op::MaxPool(pool) => (own + inputs()).saturating_mul(pool.kernel[0] + pool.kernel[1]),
            _ => own,
        }
    };
    let total = nodes.iter().map(cost).fold(0, usize::saturating_add);
    if total <= MAX_TOTAL_ELEMENTS {
        Ok(())
    } else {
        Err(GraphError::TotalSize { got: total, limit: MAX_TOTAL_ELEMENTS })
    }
}

/// The shape of `op`'s value. `declared` is the shape the node claims: it is the answer where the
/// operator leaves it open (input, reshape, resize), after a check that it is possible.
pub(crate) fn output_shape(
    op: &Op,
    inputs: &[&Shape],
    declared: &Shape,
    params: &[ParamInfo],
) -> Result<Shape, ShapeError> {
    let shape = infer(op, inputs, declared, params)?;
    checked_len(&shape.0).ok_or(ShapeError::Size { what: "the output" })?;
    Ok(shape)
}

fn infer(
    op: &Op,
    inputs: &[&Shape],
    declared: &Shape,
    params: &[ParamInfo],
) -> Result<Shape, ShapeError> {
    match op {
        Op::Input => arity::<0>(inputs).map(|_| declared.clone()),
        Op::Conv(conv) => conv_shape(conv, arity::<1>(inputs)?[0], params),
        Op::Gemm(gemm) => {
            let [features] = axes(arity::<1>(inputs)?[0])?;
            let [outputs, width] = param_axes(gemm.weight, params)?;
            same("the input's length", width, features)?;
            check_bias(gemm.bias, outputs, params)?;
            Ok(Shape(vec![outputs]))
        }
        Op::Affine { scale, shift } => {
            let [input] = arity::<1>(inputs)?;
            for id in [scale, shift].into_iter().flatten() {
                check_coefficients(*id, input, params)?;
            }
            Ok((*input).clone())
        }
        Op::Activation(activation) => {
            let [input] = arity::<1>(inputs)?;
            check_activation(*activation)?;
            Ok((*input).clone())
        }
        Op::MaxPool(pool) if pool.count_include_pad => {
            Err(ShapeError::Attribute { what: "count_include_pad" })
        }
        Op::MaxPool(pool) | Op::AveragePool(pool) => pool_shape(pool, arity::<1>(inputs)?[0]),
        Op::Add | Op::Sub => {
            let [a, b] = arity::<2>(inputs)?;
            same_shape("the second input's shape", a, b)?;
            Ok((*a).clone())
        }
        Op::Concat { axis } => concat_shape(*axis, inputs),
        Op::Pad { before, after, value } => {
            let [input] = arity::<1>(inputs)?;
            check_rank(input, before.len())?;
            check_rank(input, after.len())?;
            finite("value", *value)?;
            let sides = before.iter().zip(after);
            let extents = input.0.iter().zip(sides).map(|(d, (b, a))| {
                let sum = attribute("pads", *b)? + attribute("pads", *a)?;
                d.checked_add(sum).ok_or(ShapeError::Size { what: "the output" })
            });
            Ok(Shape(extents.collect::<Result<_, _>>()?))
        }
        Op::Slice { start, step, len } => {
            let [input] = arity::<1>(inputs)?;
            for list in [start, step, len] {
                check_rank(input, list.len())?;
            }
            for (axis, extent) in input.0.iter().enumerate() {
                check_slice(start[axis], step[axis], len[axis], *extent)?;
            }
            Ok(Shape(len.clone()))
        }
        Op::Reshape => {
            let [input] = arity::<1>(inputs)?;
            let len = checked_len(&declared.0).ok_or(ShapeError::Size { what: "the output" })?;
            same("the number of elements", input.len(), len)?;
            Ok(declared.clone())
        }
        Op::Transpose { perm } => {
            let [input] = arity::<1>(inputs)?;
            check_rank(input, perm.len())?;
            let is_permutation = (0..perm.len()).all(|axis| perm.contains(&axis));
            if !is_permutation {
                return Err(ShapeError::Attribute { what: "perm" });
            }
            Ok(Shape(perm.iter().map(|axis| input.0[*axis]).collect()))
        }
        Op::Resize(resize) => resize_shape(resize, arity::<1>(inputs)?[0], declared),
    }
}

fn conv_shape(conv: &Conv, input: &Shape, params: &[ParamInfo]) -> Result<Shape, ShapeError> {
    let [channels, height, width] = axes(input)?;
    let [outputs, per_group, kernel_height, kernel_width] = param_axes(conv.weight, params)?;
    if conv.groups == 0 || outputs % conv.groups != 0 || channels % conv.groups != 0 {
        return Err(ShapeError::Attribute { what: "groups" });
    }
    same("the number of input channels per group", per_group, channels / conv.groups)?;
    check_bias(conv.bias, outputs, params)?;
    let [top, left, bottom, right] = conv.pads;
    let [dilation_y, dilation_x] = conv.dilation;
    let [stride_y, stride_x] = conv.stride;
    let rows = windows(height, [top, bottom], kernel_height, dilation_y, stride_y)?;
    let columns = windows(width, [left, right], kernel_width, dilation_x, stride_x)?;
    Ok(Shape(vec![outputs, rows, columns]))
}

fn pool_shape(pool: &Pool, input: &Shape) -> Result<Shape, ShapeError> {
    let [channels, height, width] = axes(input)?;
    let [top, left, bottom, right] = pool.pads;
    let rows = windows(height, [top, bottom], pool.kernel[0], 1, pool.stride[0])?;
    let columns = windows(width, [left, right], pool.kernel[1], 1, pool.stride[1])?;
    // An average or maximum over padding alone would divide by zero or be infinite.
    let touches = |extent: usize, pad: usize, kernel: usize, stride: usize, count: usize| {
        pad < kernel && (count - 1) * stride < extent + pad
    };
    if touches(height, top, pool.kernel[0], pool.stride[0], rows)
        && touches(width, left, pool.kernel[1], pool.stride[1], columns)
    {
        Ok(Shape(vec![channels, rows, columns]))
    } else {
        Err(ShapeError::Window)
    }
}

/// Positions of a window along one axis.
pub(crate) fn windows(
    extent: usize,
    pads: [usize; 2],
    kernel: usize,
    dilation: usize,
    stride: usize,
) -> Result<usize, ShapeError> {
    let positive = |what, value| match attribute(what, value)? {
        0 => Err(ShapeError::Attribute { what }),
        value => Ok(value),
    };
    let reach = positive("dilations", dilation)?
        .checked_mul(positive("kernel_shape", kernel)? - 1)
        .ok_or(ShapeError::Window)?;
    let stride = positive("strides", stride)?;
    let padded = extent
        .checked_add(attribute("pads", pads[0])? + attribute("pads", pads[1])?)
        .ok_or(ShapeError::Size { what: "the padded input" })?;
    match padded.checked_sub(reach) {
        Some(room) if room > 0 => Ok((room - 1) / stride + 1),
        _ => Err(ShapeError::Window),
    }
}

fn concat_shape(axis: usize, inputs: &[&Shape]) -> Result<Shape, ShapeError> {
    let [first, rest @ ..] = inputs else {
        return Err(ShapeError::Arity { expected: 1, got: 0 });
    };
    let mut shape = (*first).clone();
    if axis >= shape.rank() {
        return Err(ShapeError::Attribute { what: "axis" });
    }
    for other in rest {
        check_rank(other, shape.rank())?;
        let joined = shape.0[axis].checked_add(other.0[axis]);
        shape.0[axis] = other.0[axis];
        same_shape("an input's shape", &shape, other)?;
        shape.0[axis] = joined.ok_or(ShapeError::Size { what: "the output" })?;
    }
    Ok(shape)
}

fn check_slice(start: usize, step: usize, len: usize, extent: usize) -> Result<(), ShapeError> {
    if step == 0 || len == 0 {
        return Err(ShapeError::Attribute { what: "steps" });
    }
    let last = (len - 1).checked_mul(step).and_then(|reach| reach.checked_add(start));
    match last {
        Some(last) if last < extent => Ok(()),
        _ => Err(ShapeError::Attribute { what: "ends" }),
    }
}

fn resize_shape(resize: &Resize, input: &Shape, declared: &Shape) -> Result<Shape, ShapeError> {
    let [channels, ..] = axes::<3>(input)?;
    let [out_channels, ..] = axes::<3>(declared)?;
    same("the number of channels", channels, out_channels)?;
    if resize.scales.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
        Ok(declared.clone())
    } else {
        Err(ShapeError::Attribute { what: "scales" })
    }
}

fn check_activation(activation: Activation) -> Result<(), ShapeError> {
    match activation {
        Activation::Clip { min, max } => {
            finite("min", min)?;
            finite("max", max)?;
            if min <= max { Ok(()) } else { Err(ShapeError::Attribute { what: "max" }) }
        }
        Activation::LeakyRelu { alpha } => finite("alpha", alpha),
        Activation::Polynomial(polynomial) if !polynomial.is_valid() => {
            Err(ShapeError::Attribute { what: "coefficients" })
        }
        _ => Ok(()),
    }
}

/// Coefficients of an [`Op::Affine`]: one per channel or one per element.
fn check_coefficients(id: ParamId, input: &Shape, params: &[ParamInfo]) -> Result<(), ShapeError> {
    let dims = &param(id, params)?.dims;
    if *dims == input.0 || dims[..] == input.0[..input.rank().min(1)] {
        return Ok(());
    }
    let (expected, got) = (format!("{input} or its first axis"), format!("{dims:?}"));
    Err(ShapeError::Mismatch { what: "a coefficient's shape", expected, got })
}

fn check_bias(
    bias: Option<ParamId>,
    outputs: usize,
    params: &[ParamInfo],
) -> Result<(), ShapeError> {
    let Some(id) = bias else { return Ok(()) };
    let [len] = param_axes(id, params)?;
    same("the length of the bias", outputs, len)
}

fn param(id: ParamId, params: &[ParamInfo]) -> Result<&ParamInfo, ShapeError> {
    params.get(id.0).ok_or(ShapeError::NoParam(id.0))
}

fn param_axes<const N: usize>(id: ParamId, params: &[ParamInfo]) -> Result<[usize; N], ShapeError> {
    let dims = &param(id, params)?.dims;
    let wrong = |_| ShapeError::Rank { expected: N, got: dims.len() };
    dims.as_slice().try_into().map_err(wrong)
}

fn axes<const N: usize>(shape: &Shape) -> Result<[usize; N], ShapeError> {
    let wrong = |_| ShapeError::Rank { expected: N, got: shape.rank() };
    shape.0.as_slice().try_into().map_err(wrong)
}

fn check_rank(shape: &Shape, expected: usize) -> Result<(), ShapeError> {
    let got = shape.rank();
    if got == expected { Ok(()) } else { Err(ShapeError::Rank { expected, got }) }
}

fn arity<'a, const N: usize>(inputs: &[&'a Shape]) -> Result<[&'a Shape; N], ShapeError> {
    inputs.try_into().map_err(|_| ShapeError::Arity { expected: N, got: inputs.len() })
}

fn same(what: &'static str, expected: usize, got: usize) -> Result<(), ShapeError> {
    let wrong =
        || ShapeError::Mismatch { what, expected: expected.to_string(), got: got.to_string() };
    if expected == got { Ok(()) } else { Err(wrong()) }
}

fn same_shape(what: &'static str, expected: &Shape, got: &Shape) -> Result<(), ShapeError> {
    let wrong =
        || ShapeError::Mismatch { what, expected: expected.to_string(), got: got.to_string() };
    if expected == got { Ok(()) } else { Err(wrong()) }
}

fn attribute(what: &'static str, value: usize) -> Result<usize, ShapeError> {
    if value <= MAX_ATTRIBUTE { Ok(value) } else { Err(ShapeError::Attribute { what }) }
}

fn finite(what: &'static str, value: f32) -> Result<(), ShapeError> {
    if value.is_finite() { Ok(()) } else { Err(ShapeError::Attribute { what }) }
}
