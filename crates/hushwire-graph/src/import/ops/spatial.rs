//! Operators on images: pooling, padding, resampling.

use super::{Call, pair};
use crate::infer::windows;
use crate::{Coordinates, Interpolation, NearestRounding, Op, Pool, Resize, Shape};

/// Attributes common to convolutions and pools, with automatic padding resolved.
pub(super) struct Window {
    pub stride: [usize; 2],
    pub pads: [usize; 4],
    pub dilation: [usize; 2],
}

impl Window {
    pub(super) fn new(call: &Call<'_>, input: usize, kernel: [usize; 2]) -> Result<Self, String> {
        let attribute = |name| match call.attributes.ints(name) {
            Some(values) => pair(name, values),
            None => Ok([1, 1]),
        };
        let (stride, dilation) = (attribute("strides")?, attribute("dilations")?);
        if stride.contains(&0) || dilation.contains(&0) || kernel.contains(&0) {
            return Err("a kernel, stride or dilation of 0".to_owned());
        }
        let shape = call.shape(input);
        let [_, height, width] = shape.as_chw().ok_or(format!(
            "an input of shape {shape} per sample; channels, height and width are accepted"
        ))?;
        let pads = match call.attributes.text("auto_pad", "NOTSET") {
            "NOTSET" => explicit_pads(call)?,
            "VALID" => [0; 4],
            mode @ ("SAME_UPPER" | "SAME_LOWER") => {
                let total = |axis: usize, extent: usize| {
                    let reach = (kernel[axis] - 1).saturating_mul(dilation[axis]);
                    let span = (extent.div_ceil(stride[axis]) - 1).saturating_mul(stride[axis]);
                    span.saturating_add(reach).saturating_add(1).saturating_sub(extent)
                };
                let (vertical, horizontal) = (total(0, height), total(1, width));
                let (top, left) = (vertical / 2, horizontal / 2);
                let (bottom, right) = (vertical - top, horizontal - left);
                // The odd element goes to the end with UPPER, to the beginning with LOWER.
                if mode == "SAME_UPPER" {
                    [top, left, bottom, right]
                } else {
                    [bottom, right, top, left]
                }
            }
            other => return Err(format!("auto_pad '{other}' does not exist")),
        };
        Ok(Self { stride, pads, dilation })
    }
}

/// `[top, left, bottom, right]`, which is ONNX's order too.
fn explicit_pads(call: &Call<'_>) -> Result<[usize; 4], String> {
    let Some(values) = call.attributes.ints("pads") else { return Ok([0; 4]) };
    let numbers: Option<Vec<usize>> = values.iter().map(|v| usize::try_from(*v).ok()).collect();
    let pads = numbers.and_then(|numbers| numbers.try_into().ok());
    pads.ok_or(format!("pads {values:?}; four numbers that are not negative are accepted"))
}

pub(super) fn pool(call: &mut Call<'_>) -> Result<usize, String> {
    let input = call.computed(0)?;
    if call.node.output.get(1).is_some_and(|indices| !indices.is_empty()) {
        return Err("the output with indices is not supported".to_owned());
    }
    let kernel = call.attributes.ints("kernel_shape").ok_or("kernel_shape is missing")?;
    let kernel = pair("kernel_shape", kernel)?;
    let Window { stride, mut pads, dilation } = Window::new(call, input, kernel)?;
    if dilation != [1, 1] {
        return Err(format!("dilations {dilation:?}; 1 is accepted"));
    }
    let is_average = call.operator() == "AveragePool";
    let count_include_pad = is_average
        && call.attributes.int("count_include_pad", 0) != 0
        && pads.iter().any(|pad| *pad > 0);
    if call.attributes.int("ceil_mode", 0) != 0 {
        let widened = widen(call.shape(input), kernel, stride, pads)?;
        if count_include_pad && widened != pads {
            return Err(
                "ceil_mode with count_include_pad and padding; either one is accepted, or \
                        extents at which ceil_mode makes no difference"
                    .to_owned(),
            );
        }
        pads = widened;
    }
    let pool = Pool { kernel, stride, pads, count_include_pad };
    let op = if is_average { Op::AveragePool(pool) } else { Op::MaxPool(pool) };
    call.push(op, vec![input])
}

/// The padding with which rounding down gives as many windows as rounding up without it. The
/// windows gained begin inside the input or the padding before it.
fn widen(
    input: &Shape,
    kernel: [usize; 2],
    stride: [usize; 2],
    mut pads: [usize; 4],
) -> Result<[usize; 4], String> {
    for axis in 0..2 {
        let extent = input.0[axis + 1];
        let (before, after) = (pads[axis], pads[axis + 2]);
        let floor = windows(extent, [before, after], kernel[axis], 1, stride[axis])
            .map_err(|e| e.to_string())?;
        let used = (floor - 1) * stride[axis] + kernel[axis];
        let next = floor * stride[axis];
        if used < extent + before + after && next < extent + before {
            pads[axis + 2] = next + kernel[axis] - extent - before;
        }
    }
    Ok(pads)
}

pub(super) fn global_pool(call: &mut Call<'_>) -> Result<usize, String> {
    let input = call.computed(0)?;
    let pool = whole_image(call, input)?;
    let is_average = call.operator() == "GlobalAveragePool";
    call.push(if is_average { Op::AveragePool(pool) } else { Op::MaxPool(pool) }, vec![input])
}

fn whole_image(call: &Call<'_>, input: usize) -> Result<Pool, String> {
    let shape = call.shape(input);
    let [_, height, width] = shape.as_chw().ok_or(format!(
        "an input of shape {shape} per sample; channels, height and width are accepted"
    ))?;
    Ok(Pool { kernel: [height, width], stride: [1, 1], pads: [0; 4], count_include_pad: false })
}

pub(super) fn reduce_mean(call: &mut Call<'_>) -> Result<usize, String> {
    let input = call.computed(0)?;
    let shape = call.shape(input).clone();
    let mut axes = Vec::new();
    for axis in call.attribute_or_input("axes", 1)?.unwrap_or_default() {
        axes.push(call.axis(axis, &shape)?);
    }
    axes.sort_unstable();
    if axes != [1, 2] || shape.rank() != 3 {
        return Err(
            "a mean over other axes than height and width, both of them, of an image".into()
        );
    }
    let pool = whole_image(call, input)?;
    let mean = call.push(Op::AveragePool(pool), vec![input])?;
    if call.attributes.int("keepdims", 1) != 0 {
        return Ok(mean);
    }
    call.push_reshape(mean, Shape(vec![shape.0[0]]))
}

pub(super) fn pad(call: &mut Call<'_>) -> Result<usize, String> {
    let input = call.computed(0)?;
    let mode = call.attributes.text("mode", "constant");
    if mode != "constant" {
        return Err(format!("mode '{mode}'; 'constant' is accepted"));
    }
    let shape = call.shape(input).clone();
    let rank = shape.rank() + 1;
    let pads = call.attribute_or_input("pads", 1)?.ok_or("input 1 is missing")?;
    let axes = call.known_ints(3)?.unwrap_or_else(|| (0..rank as i64).collect());
    if pads.len() != 2 * axes.len() {
        return Err(format!("{} pads for {} axes", pads.len(), axes.len()));
    }
    let value = match call.number(2)? {
        Some(value) => value,
        None => call.attributes.float("value", 0.0),
    };
    let (mut before, mut after) = (vec![0; rank - 1], vec![0; rank - 1]);
    for (i, axis) in axes.iter().enumerate() {
        let sides = pair("pads", &[pads[i], pads[i + axes.len()]])
            .map_err(|_| format!("pads {pads:?}; numbers that are not negative are accepted"))?;
        if sides != [0, 0] {
            let axis = call.axis(*axis, &shape)?;
            [before[axis], after[axis]] = sides;
        }
    }
    if before.iter().chain(&after).all(|pad| *pad == 0) {
        return Ok(input);
    }
    call.push(Op::Pad { before, after, value }, vec![input])
}

pub(super) fn resize(call: &mut Call<'_>) -> Result<usize, String> {
    let input = call.computed(0)?;
    let shape = call.shape(input).clone();
    let [channels, height, width] = shape.as_chw().ok_or(format!(
        "an input of shape {shape} per sample; channels, height and width are accepted"
    ))?;
    let interpolation = interpolation(call)?;
    let coordinates = match call.attributes.text("coordinate_transformation_mode", "half_pixel") {
        "half_pixel" => Coordinates::HalfPixel,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        other => {
            return Err(format!(
                "coordinate_transformation_mode '{other}'; half_pixel, pytorch_half_pixel, \
                 align_corners and asymmetric are accepted"
            ));
        }
    };
    let policy = call.attributes.text("keep_aspect_ratio_policy", "stretch");
    if call.attributes.int("antialias", 0) != 0 || policy != "stretch" {
        return Err("antialias or an aspect ratio policy other than 'stretch'".to_owned());
    }
    let (extents, scales) = target(call, [height, width], channels)?;
    let op = Op::Resize(Resize { interpolation, coordinates, scales });
    call.push_shaped(op, input, Shape(vec![channels, extents[0], extents[1]]))
}

fn interpolation(call: &Call<'_>) -> Result<Interpolation, String> {
    match call.attributes.text("mode", "nearest") {
        "linear" => Ok(Interpolation::Linear),
        "nearest" => Ok(Interpolation::Nearest(
            match call.attributes.text("nearest_mode", "round_prefer_floor") {
                "round_prefer_floor" => NearestRounding::RoundPreferFloor,
                "round_prefer_ceil" => NearestRounding::RoundPreferCeil,
                "floor" => NearestRounding::Floor,
                "ceil" => NearestRounding::Ceil,
                other => return Err(format!("nearest_mode '{other}' does not exist")),
            },
        )),
        other => Err(format!("mode '{other}'; nearest and linear are accepted")),
    }
}

/// Extents and scales of the result from the inputs `scales` or `sizes`.
fn target(
    call: &Call<'_>,
    from: [usize; 2],
    channels: usize,
) -> Result<([usize; 2], [f32; 2]), String> {
    let refuse = "scales or sizes that change other axes than height and width";
    // Since operator set 18 they may name the axes they are meant for.
    let spatial_only = match call.attributes.ints("axes") {
        None => false,
        Some([2, 3] | [-2, -1]) => true,
        Some([0, 1, 2, 3]) => false,
        Some(_) => return Err(refuse.to_owned()),
    };
    let scales = call.floats(2)?.filter(|scales| !scales.is_empty());
    if let Some(scales) = scales {
        let scales = match scales.data[..] {
            [vertical, horizontal] if spatial_only => [vertical, horizontal],
            [1.0, 1.0, vertical, horizontal] if !spatial_only => [vertical, horizontal],
            _ => return Err(refuse.to_owned()),
        };
        // As ONNX Runtime does it, in single precision.
        let extents = [0, 1].map(|axis| (from[axis] as f32 * scales[axis]) as usize);
        return Ok((extents, scales));
    }
    let sizes = call.ints(3)?.ok_or("neither scales nor sizes")?;
    let extents = match sizes.values[..] {
        [Some(vertical), Some(horizontal)] if spatial_only => [vertical, horizontal],
        [batch, Some(c), Some(vertical), Some(horizontal)]
            if !spatial_only
                && c == channels as i64
                && (batch.is_none() || batch == call.importer.batch) =>
        {
            [vertical, horizontal]
        }
        _ => return Err(refuse.to_owned()),
    };
    let extents = pair("sizes", &extents)?;
    Ok((extents, [0, 1].map(|axis| ratio(extents[axis], from[axis]))))
}

/// `to / from`, up to the rounding that makes `from * ratio` reach `to`.
fn ratio(to: usize, from: usize) -> f32 {
    let ratio = to as f32 / from as f32;
    if ((from as f32 * ratio) as usize) < to { ratio.next_up() } else { ratio }
}
