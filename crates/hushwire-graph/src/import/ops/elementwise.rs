//! Activations and the functions they are made of.

use super::super::draft::{DraftOp, Scalar};
use super::Call;
use crate::{Activation, Op, Tensor};

pub(super) fn translate(call: &mut Call<'_>) -> Result<usize, String> {
    let operator = call.operator().to_owned();
    let activation = match operator.as_str() {
        "Relu" => Activation::Relu,
        "LeakyRelu" => Activation::LeakyRelu { alpha: call.attributes.float("alpha", 0.01) },
        "Sigmoid" => Activation::Sigmoid,
        "Tanh" => Activation::Tanh,
        "HardSwish" => Activation::HardSwish,
        "Mish" => Activation::Mish,
        "Gelu" => match call.attributes.text("approximate", "none") {
            "none" => Activation::Gelu,
            "tanh" => Activation::GeluTanh,
            other => return Err(format!("approximate '{other}'; none and tanh are accepted")),
        },
        "Clip" => return clip(call),
        "Max" | "Min" => return extremum(call),
        "HardSigmoid" => return hard_sigmoid(call),
        "Erf" => return scalar(call, Scalar::Erf),
        "Exp" => return scalar(call, Scalar::Exp),
        "Log" => return scalar(call, Scalar::Log),
        "Reciprocal" => return scalar(call, Scalar::Reciprocal),
        "Softplus" => return scalar(call, Scalar::Softplus),
        "Sqrt" => return scalar(call, Scalar::Power(0.5)),
        "Pow" => {
            let exponent = call.exponent()?;
            return scalar(call, Scalar::Power(exponent));
        }
        _ => return Err("only accepted in the computation of shapes and constants".to_owned()),
    };
    let input = call.computed(0)?;
    call.push(Op::Activation(activation), vec![input])
}

fn scalar(call: &mut Call<'_>, function: Scalar) -> Result<usize, String> {
    let input = call.computed(0)?;
    let shape = call.shape(input).clone();
    Ok(call.push_draft(DraftOp::Scalar(function), vec![input], shape))
}

fn clip(call: &mut Call<'_>) -> Result<usize, String> {
    let bound = |i: usize, name: &str| match call.number(i)? {
        Some(bound) => Ok::<_, String>(Some(bound)),
        None => Ok(call.attributes.has(name).then(|| call.attributes.float(name, 0.0))),
    };
    let (min, max) = (bound(1, "min")?, bound(2, "max")?);
    let input = call.computed(0)?;
    push_clip(call, input, min, max)
}

/// Max or Min of one computed value and one number.
fn extremum(call: &mut Call<'_>) -> Result<usize, String> {
    if call.inputs.len() != 2 {
        return Err(format!(
            "{} inputs; a computed value and a number are accepted",
            call.inputs.len()
        ));
    }
    let (input, other) =
        if let Ok(input) = call.computed(0) { (input, 1) } else { (call.computed(1)?, 0) };
    let bound = call.number(other)?;
    if call.operator() == "Max" {
        push_clip(call, input, bound, None)
    } else {
        push_clip(call, input, None, bound)
    }
}

fn push_clip(
    call: &mut Call<'_>,
    input: usize,
    min: Option<f32>,
    max: Option<f32>,
) -> Result<usize, String> {
    // Infinite bounds are as good as none.
    let min = min.unwrap_or(f32::MIN).max(f32::MIN);
    let max = max.unwrap_or(f32::MAX).min(f32::MAX);
    let activation = match (min, max) {
        (f32::MIN, f32::MAX) => return Ok(input),
        (0.0, f32::MAX) => Activation::Relu,
        _ => Activation::Clip { min, max },
    };
    call.push(Op::Activation(activation), vec![input])
}

/// `clip(alpha * x + beta, 0, 1)`, in two nodes.
fn hard_sigmoid(call: &mut Call<'_>) -> Result<usize, String> {
    let input = call.computed(0)?;
    let number = |x: f32| Some(Tensor::new([1], vec![x]));
    let alpha = call.attributes.float("alpha", 0.2);
    let beta = call.attributes.float("beta", 0.5);
    let line = call.push_affine(input, number(alpha), number(beta))?;
    push_clip(call, line, Some(0.0), Some(1.0))
}

impl Call<'_> {
    /// The second input of Pow, whose type need not be that of the first.
    fn exponent(&self) -> Result<f32, String> {
        if let Ok(Some(ints)) = self.known_ints(1)
            && let [exponent] = ints[..]
        {
            return Ok(exponent as f32);
        }
        self.number(1)?.ok_or("input 1 is missing".to_owned())
    }
}
