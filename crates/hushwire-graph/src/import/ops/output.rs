//! Operators without effect in inference, and those that may only follow the output.

use super::super::draft::DraftOp;
use super::super::protobuf::data_type;
use super::Call;
use crate::{OutputKind, Shape};

pub(super) fn cast(call: &Call<'_>) -> Result<usize, String> {
    let input = call.computed(0)?;
    let follows_output = matches!(call.importer.draft.nodes[input].op, DraftOp::Final(_));
    match call.attributes.int("to", 0) as i32 {
        data_type::FLOAT | data_type::FLOAT16 | data_type::DOUBLE => Ok(input),
        _ if follows_output => Ok(input),
        other => Err(format!("a cast of a computed value to type {other}; float is accepted")),
    }
}

pub(super) fn dropout(call: &Call<'_>) -> Result<usize, String> {
    match call.known_ints(2)?.as_deref() {
        None | Some([0]) => call.computed(0),
        Some(_) => Err("training_mode is set".to_owned()),
    }
}

/// Softmax, LogSoftmax or ArgMax over the classes.
pub(super) fn last(call: &mut Call<'_>) -> Result<usize, String> {
    let input = call.computed(0)?;
    let shape = call.shape(input).clone();
    let is_argmax = call.operator() == "ArgMax";
    let default = match is_argmax {
        true => 0,
        false if call.opset() < 13 => 1,
        false => -1,
    };
    let axis = call.axis(call.attributes.int("axis", default), &shape)?;
    // Before operator set 13 Softmax ran over all axes from `axis`.
    let joins_axes = !is_argmax && call.opset() < 13 && shape.0.iter().skip(1).any(|e| *e != 1);
    if axis != 0 || joins_axes {
        return Err(format!("over axis {}; the axis after the batch is accepted", axis + 1));
    }
    let kind = match call.operator() {
        "Softmax" => OutputKind::Softmax,
        "ArgMax" => OutputKind::ArgMax,
        _ => OutputKind::Logits,
    };
    let mut result = shape;
    if is_argmax && call.attributes.int("keepdims", 1) == 0 {
        result = Shape(result.0[1..].to_vec());
    } else if is_argmax {
        result.0[0] = 1;
    }
    Ok(call.push_draft(DraftOp::Final(kind), vec![input], result))
}
