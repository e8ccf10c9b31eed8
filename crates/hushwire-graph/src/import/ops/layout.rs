//! Operators that move elements or rename axes.

use super::{Call, normalize};
use crate::{Op, Shape};

pub(super) fn slice(call: &mut Call<'_>) -> Result<usize, String> {
    let input = call.computed(0)?;
    let shape = call.shape(input).clone();
    let starts = call.known_ints(1)?.ok_or("input 1 is missing")?;
    let ends = call.known_ints(2)?.ok_or("input 2 is missing")?;
    let axes = call.known_ints(3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = call.known_ints(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err("starts, ends, axes and steps of different lengths".to_owned());
    }
    let (mut start, mut step, mut len) =
        (vec![0; shape.rank()], vec![1; shape.rank()], shape.0.clone());
    for (i, axis) in axes.iter().enumerate() {
        if steps[i] < 1 {
            return Err(format!("step {}; 1 and more are accepted", steps[i]));
        }
        let whole = starts[i] == 0 && steps[i] == 1 && ends[i] >= i64::from(i32::MAX);
        if whole && normalize(*axis, shape.rank() + 1) == Some(0) {
            continue;
        }
        let axis = call.axis(*axis, &shape)?;
        let extent = shape.0[axis] as i64;
        let clamp = |index: i64| {
            let index = if index < 0 { index.saturating_add(extent) } else { index };
            index.clamp(0, extent)
        };
        let (from, to) = (clamp(starts[i]), clamp(ends[i]));
        if from >= to {
            return Err(format!("no elements are left of axis {}", axis + 1));
        }
        // All of them are positive and at most the extent, or a step larger than it.
        (start[axis], step[axis]) = (from as usize, steps[i].min(extent) as usize);
        len[axis] = ((to - from) as usize).div_ceil(step[axis]);
    }
    if len == shape.0 {
        return Ok(input);
    }
    call.push(Op::Slice { start, step, len }, vec![input])
}

pub(super) fn concat(call: &mut Call<'_>) -> Result<usize, String> {
    let inputs = (0..call.inputs.len()).map(|i| call.computed(i));
    let inputs = inputs.collect::<Result<Vec<usize>, String>>()?;
    let first = *inputs.first().ok_or("no inputs")?;
    let axis = call.axis(call.attributes.int("axis", 0), &call.shape(first).clone())?;
    if inputs.len() == 1 {
        return Ok(first);
    }
    call.push(Op::Concat { axis }, inputs)
}

pub(super) fn reshape(call: &mut Call<'_>) -> Result<usize, String> {
    let input = call.computed(0)?;
    let shape = call.shape(input).clone();
    let target = call.ints(1)?.ok_or("input 1 is missing")?.values.clone();
    let shape = target_shape(&shape, &target, call)?;
    call.push_reshape(input, shape)
}

/// The per-sample shape that a Reshape's second input asks for.
fn target_shape(from: &Shape, target: &[Option<i64>], call: &Call<'_>) -> Result<Shape, String> {
    let refuse = || {
        let shown: Vec<String> =
            target.iter().map(|t| t.map_or("batch".to_owned(), |t| t.to_string())).collect();
        format!(
            "shape [{}] for {from} per sample; a first axis that stays the batch (0 or -1, or its \
             size where the file fixes it) and as many elements as before are accepted",
            shown.join(", ")
        )
    };
    let allow_zero = call.attributes.int("allowzero", 0) != 0;
    let [batch, rest @ ..] = target else { return Err(refuse()) };
    let batch_is_open = *batch == Some(-1);
    let keeps_batch = match batch {
        None | Some(-1) => true,
        Some(0) => !allow_zero,
        Some(n) => Some(*n) == call.importer.batch,
    };
    let mut extents = Vec::with_capacity(rest.len());
    let mut open = None;
    for (i, extent) in rest.iter().enumerate() {
        extents.push(match extent {
            Some(0) if !allow_zero => *from.0.get(i).ok_or_else(refuse)?,
            Some(-1) if open.is_none() && !batch_is_open => {
                open = Some(i);
                1
            }
            Some(n) if *n > 0 => usize::try_from(*n).map_err(|_| refuse())?,
            _ => return Err(refuse()),
        });
    }
    let known = extents.iter().try_fold(1_usize, |len, e| len.checked_mul(*e));
    let known = known.filter(|known| keeps_batch && *known > 0).ok_or_else(refuse)?;
    if let Some(open) = open {
        extents[open] = from.len() / known;
    }
    if extents.iter().try_fold(1_usize, |len, e| len.checked_mul(*e)) == Some(from.len()) {
        Ok(Shape(extents))
    } else {
        Err(refuse())
    }
}

pub(super) fn flatten(call: &mut Call<'_>) -> Result<usize, String> {
    let input = call.computed(0)?;
    let shape = call.shape(input).clone();
    let axis = call.attributes.int("axis", 1);
    if normalize(axis, shape.rank() + 1) != Some(1) {
        return Err(format!("axis {axis}; 1 is accepted"));
    }
    call.push_reshape(input, Shape(vec![shape.len()]))
}

pub(super) fn squeeze(call: &mut Call<'_>) -> Result<usize, String> {
    let input = call.computed(0)?;
    let shape = call.shape(input).clone();
    let axes = call.attribute_or_input("axes", 1)?;
    let axes = axes.ok_or("axes are missing: without them a batch of 1 would be dropped too")?;
    let mut dropped = vec![false; shape.rank()];
    for axis in axes {
        let axis = call.axis(axis, &shape)?;
        if shape.0[axis] != 1 {
            return Err(format!("axis {} has extent {}", axis + 1, shape.0[axis]));
        }
        dropped[axis] = true;
    }
    let kept = shape.0.iter().zip(dropped).filter(|(_, dropped)| !dropped);
    call.push_reshape(input, Shape(kept.map(|(extent, _)| *extent).collect()))
}

pub(super) fn unsqueeze(call: &mut Call<'_>) -> Result<usize, String> {
    let input = call.computed(0)?;
    let mut shape = call.shape(input).clone();
    let axes = call.attribute_or_input("axes", 1)?.ok_or("axes are missing")?;
    // The axes count in the result.
    let rank = shape.rank() + 1 + axes.len();
    let positions: Option<Vec<usize>> = axes.iter().map(|axis| normalize(*axis, rank)).collect();
    let mut positions = positions.ok_or(format!("axes {axes:?} do not exist"))?;
    positions.sort_unstable();
    for position in positions {
        if position == 0 || position > shape.rank() + 1 {
            return Err("an axis before the batch or named twice".to_owned());
        }
        shape.0.insert(position - 1, 1);
    }
    call.push_reshape(input, shape)
}

pub(super) fn transpose(call: &mut Call<'_>) -> Result<usize, String> {
    let input = call.computed(0)?;
    let perm = call.attributes.ints("perm").ok_or("perm is missing: the batch would move")?;
    let [0, rest @ ..] = perm else {
        return Err(format!("perm {perm:?}; one that leaves the batch in front is accepted"));
    };
    let perm: Option<Vec<usize>> =
        rest.iter().map(|axis| usize::try_from(*axis - 1).ok()).collect();
    let perm = perm.ok_or("perm with an axis twice")?;
    if perm.iter().enumerate().all(|(i, axis)| i == *axis) && perm.len() == call.shape(input).rank()
    {
        return Ok(input);
    }
    call.push(Op::Transpose { perm }, vec![input])
}
