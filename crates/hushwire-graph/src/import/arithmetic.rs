//! Constants computed from constants: weights that are rearranged, and the small graphs in which
//! exporters compute shapes.

use super::Value;
use super::constant::{self, Constant, Ints};
use super::ops::{Call, normalize};
use super::protobuf::data_type;
use crate::Tensor;

/// Most elements of a constant that is computed rather than stored.
const MAX_COMPUTED: usize = 1 << 22;

/// The node's value if it only depends on constants and the shape of the input.
pub(super) fn evaluate(call: &Call<'_>) -> Result<Option<Constant>, String> {
    match call.operator() {
        "Constant" => return constant_node(call).map(Some),
        "Shape" => return shape_of(call).map(Some),
        _ => {}
    }
    let mut constants = Vec::with_capacity(call.inputs.len());
    for input in &call.inputs {
        match input {
            Some(Value::Constant(constant)) => constants.push(constant),
            Some(_) => return Ok(None),
            None => {}
        }
    }
    let Some(first) = constants.first() else { return Ok(None) };
    let refuse = || Err("constants of these types are not computed at import".to_owned());
    match (call.operator(), &constants[..]) {
        ("Identity" | "Dropout", _) => Ok(Some((*first).clone())),
        ("Cast", _) => cast(call, first).map(Some),
        ("Reshape" | "Unsqueeze" | "Squeeze" | "Flatten", _) => renamed(call, first).map(Some),
        ("Transpose", [Constant::Float(tensor)]) => transposed(call, tensor).map(Some),
        ("ConstantOfShape", [Constant::Ints(dims)]) => filled(call, dims).map(Some),
        ("Gather", [Constant::Ints(data), Constant::Ints(indices)]) => gather(data, indices),
        ("Concat", _) => concat(&constants),
        ("Slice", [Constant::Ints(data), ..]) => slice(call, data).map(Some),
        ("Add" | "Sub" | "Mul" | "Div", [Constant::Ints(a), Constant::Ints(b)]) => {
            let f = |a: i64, b: i64| match call.operator() {
                "Add" => a.checked_add(b),
                "Sub" => a.checked_sub(b),
                "Mul" => a.checked_mul(b),
                _ => a.checked_div(b),
            };
            integers(a, b, f).map(Some)
        }
        ("Add" | "Sub" | "Mul" | "Div" | "Pow", [Constant::Float(a), Constant::Float(b)]) => {
            let f = |a: f32, b: f32| match call.operator() {
                "Add" => a + b,
                "Sub" => a - b,
                "Mul" => a * b,
                "Div" => a / b,
                _ => a.powf(b),
            };
            floats(a, b, f).map(Some)
        }
        ("Floor" | "Ceil" | "Sqrt" | "Neg" | "Reciprocal" | "Exp", [Constant::Float(x)]) => {
            let f: fn(f32) -> f32 = match call.operator() {
                "Floor" => f32::floor,
                "Ceil" => f32::ceil,
                "Sqrt" => f32::sqrt,
                "Neg" => |x| -x,
                "Exp" => f32::exp,
                _ => f32::recip,
            };
            let len = bounded(x.len())?;
            let mut result = Tensor::zeros(&x.shape);
            (0..len).for_each(|i| result.data[i] = f(x.data[i]));
            Ok(Some(Constant::float(result)))
        }
        _ => refuse(),
    }
}

fn constant_node(call: &Call<'_>) -> Result<Constant, String> {
    let attributes = &call.attributes;
    if let Some(tensor) = attributes.tensor("value") {
        constant::read(tensor, None)
    } else if attributes.has("value_float") {
        Ok(Constant::float(Tensor::new([], vec![attributes.float("value_float", 0.0)])))
    } else if attributes.has("value_int") {
        let values = vec![Some(attributes.int("value_int", 0))];
        Ok(Constant::Ints(Ints { dims: Vec::new(), values }))
    } else if let Some(values) = attributes.floats("value_floats") {
        Ok(Constant::float(Tensor::new([values.len()], values.to_vec())))
    } else if let Some(values) = attributes.ints("value_ints") {
        Ok(Constant::Ints(Ints::vector(values.iter().copied().map(Some).collect())))
    } else {
        Err("the value must be a tensor, numbers or a number".to_owned())
    }
}

/// The shape of a constant or of a computed value, whose batch is not known.
fn shape_of(call: &Call<'_>) -> Result<Constant, String> {
    let extents: Vec<Option<i64>> = match call.inputs.first() {
        Some(Some(Value::Constant(constant))) => {
            constant.dims().iter().map(|extent| Some(*extent as i64)).collect()
        }
        _ => {
            let shape = call.shape(call.computed(0)?);
            std::iter::once(None).chain(shape.0.iter().map(|e| Some(*e as i64))).collect()
        }
    };
    let rank = extents.len() as i64;
    let clamp = |index: i64| {
        (if index < 0 { index.saturating_add(rank) } else { index }).clamp(0, rank) as usize
    };
    let start = clamp(call.attributes.int("start", 0));
    let end = clamp(call.attributes.int("end", rank)).max(start);
    Ok(Constant::Ints(Ints::vector(extents[start..end].to_vec())))
}

fn cast(call: &Call<'_>, input: &Constant) -> Result<Constant, String> {
    let to = call.attributes.int("to", 0) as i32;
    let to_float = matches!(to, data_type::FLOAT | data_type::FLOAT16 | data_type::DOUBLE);
    match input {
        Constant::Float(_) if to_float => Ok(input.clone()),
        Constant::Ints(_) if !to_float => Ok(input.clone()),
        Constant::Ints(ints) => {
            let known = ints.known().ok_or("the size of the batch as a float")?;
            let data = known.iter().map(|x| *x as f32).collect();
            Ok(Constant::float(Tensor::new(ints.dims.clone(), data)))
        }
        Constant::Float(x) => {
            bounded(x.len())?;
            let values = x.data.iter().map(|x| Some(*x as i64)).collect();
            Ok(Constant::Ints(Ints { dims: x.shape.clone(), values }))
        }
    }
}

/// The same elements under other extents.
fn renamed(call: &Call<'_>, input: &Constant) -> Result<Constant, String> {
    let dims = input.dims();
    let len: usize = dims.iter().product();
    let axes = || call.attribute_or_input("axes", 1);
    let new: Vec<usize> = match call.operator() {
        "Flatten" => {
            let axis = normalize(call.attributes.int("axis", 1), dims.len() + 1);
            let axis = axis.ok_or("an axis that does not exist")?;
            vec![dims[..axis].iter().product(), dims[axis..].iter().product()]
        }
        "Unsqueeze" => {
            let axes = axes()?.ok_or("axes are missing")?;
            let rank = dims.len() + axes.len();
            let mut rest = dims.iter().copied();
            let is_new = |axis: usize| axes.iter().any(|a| normalize(*a, rank) == Some(axis));
            (0..rank).map(|axis| if is_new(axis) { 1 } else { rest.next().unwrap_or(1) }).collect()
        }
        "Squeeze" => {
            let axes = axes()?;
            let dropped = |axis: usize| match &axes {
                None => dims[axis] == 1,
                Some(axes) => axes.iter().any(|a| normalize(*a, dims.len()) == Some(axis)),
            };
            (0..dims.len()).filter(|axis| !dropped(*axis)).map(|axis| dims[axis]).collect()
        }
        _ => {
            let target = call.known_ints(1)?.ok_or("input 1 is missing")?;
            let mut new = Vec::with_capacity(target.len());
            for (i, extent) in target.iter().enumerate() {
                new.push(match extent {
                    0 => *dims.get(i).ok_or("a shape with 0 where there is no axis")?,
                    -1 => usize::MAX,
                    extent => usize::try_from(*extent).map_err(|_| "a negative extent")?,
                });
            }
            let mut known = new.iter().filter(|e| **e != usize::MAX);
            let known = known.try_fold(1_usize, |len, e| len.checked_mul(*e)).unwrap_or(0);
            let open = len.checked_div(known).unwrap_or(0);
            new.iter().map(|e| if *e == usize::MAX { open } else { *e }).collect()
        }
    };
    let new_len = new.iter().try_fold(1_usize, |len, e| len.checked_mul(*e));
    if new_len != Some(len) || new.len() > 8 {
        return Err(format!("extents {new:?} for a constant of extents {dims:?}"));
    }
    Ok(match input {
        Constant::Float(tensor) => {
            let data = tensor.data.clone();
            Constant::float(Tensor::new(new, data))
        }
        Constant::Ints(ints) => Constant::Ints(Ints { dims: new, values: ints.values.clone() }),
    })
}

fn transposed(call: &Call<'_>, tensor: &Tensor) -> Result<Constant, String> {
    let [rows, columns] = tensor.shape[..] else {
        return Err("only constant matrices are transposed at import".to_owned());
    };
    if call.attributes.ints("perm").unwrap_or(&[1, 0]) != [1, 0] {
        return Ok(Constant::float(tensor.clone()));
    }
    let column = |j: usize| tensor.data.iter().skip(j).step_by(columns.max(1)).copied();
    let data = (0..columns).flat_map(column).collect();
    Ok(Constant::float(Tensor::new([columns, rows], data)))
}

fn filled(call: &Call<'_>, dims: &Ints) -> Result<Constant, String> {
    let dims = dims.known().ok_or("a constant of the size of the batch")?;
    let dims: Result<Vec<usize>, _> = dims.iter().map(|d| usize::try_from(*d)).collect();
    let dims = dims.map_err(|_| "negative extents")?;
    let len = dims.iter().try_fold(1_usize, |len, d| len.checked_mul(*d));
    let len = bounded(len.filter(|_| dims.len() <= 8).unwrap_or(usize::MAX))?;
    match call.attributes.tensor("value").map(|value| constant::read(value, None)).transpose()? {
        None => Ok(Constant::float(Tensor::zeros(&dims))),
        Some(Constant::Float(value)) => match value.data[..] {
            [value] => Ok(Constant::float(Tensor::new(dims, vec![value; len]))),
            _ => Err("a value of more than one element".to_owned()),
        },
        Some(Constant::Ints(value)) => match value.values[..] {
            [value] => Ok(Constant::Ints(Ints { dims, values: vec![value; len] })),
            _ => Err("a value of more than one element".to_owned()),
        },
    }
}

fn gather(data: &Ints, indices: &Ints) -> Result<Option<Constant>, String> {
    let pick = |index: &Option<i64>| {
        let index = normalize((*index)?, data.values.len())?;
        data.values.get(index).copied()
    };
    let values: Option<Vec<Option<i64>>> = indices.values.iter().map(pick).collect();
    let values = values.ok_or("an index that does not exist")?;
    Ok(Some(Constant::Ints(Ints { dims: indices.dims.clone(), values })))
}

/// Vectors of integers one after the other.
fn concat(constants: &[&Constant]) -> Result<Option<Constant>, String> {
    let mut values = Vec::new();
    for constant in constants {
        let Constant::Ints(ints) = constant else {
            return Err("only vectors of integers are joined at import".to_owned());
        };
        values.extend_from_slice(&ints.values);
        bounded(values.len())?;
    }
    Ok(Some(Constant::Ints(Ints::vector(values))))
}

fn slice(call: &Call<'_>, data: &Ints) -> Result<Constant, String> {
    let number = |i: usize, default: i64| match call.known_ints(i)?.as_deref() {
        None => Ok(default),
        Some([number]) => Ok(*number),
        Some(_) => Err("only vectors are sliced at import".to_owned()),
    };
    let len = data.values.len() as i64;
    let clamp = |index: i64| {
        (if index < 0 { index.saturating_add(len) } else { index }).clamp(0, len) as usize
    };
    let (start, end) = (clamp(number(1, 0)?), clamp(number(2, len)?));
    let step = usize::try_from(number(4, 1)?).ok().filter(|step| *step > 0);
    let step = step.ok_or("a step below 1")?;
    let values = data.values[start.min(end)..end].iter().step_by(step).copied().collect();
    Ok(Constant::Ints(Ints::vector(values)))
}

/// Elementwise, with single numbers repeated; what depends on the batch is not computed.
fn integers(a: &Ints, b: &Ints, f: impl Fn(i64, i64) -> Option<i64>) -> Result<Constant, String> {
    let failed = || "integers that overflow, depend on the batch or differ in number".to_owned();
    let (x, y) = (a.known().ok_or_else(failed)?, b.known().ok_or_else(failed)?);
    let dims = if x.len() >= y.len() { &a.dims } else { &b.dims };
    let values: Option<Vec<Option<i64>>> = match (&x[..], &y[..]) {
        (x, y) if x.len() == y.len() => x.iter().zip(y).map(|(x, y)| f(*x, *y).map(Some)).collect(),
        (x, [y]) => x.iter().map(|x| f(*x, *y).map(Some)).collect(),
        ([x], y) => y.iter().map(|y| f(*x, *y).map(Some)).collect(),
        _ => None,
    };
    Ok(Constant::Ints(Ints { dims: dims.clone(), values: values.ok_or_else(failed)? }))
}

/// Elementwise, with single numbers repeated.
fn floats(a: &Tensor, b: &Tensor, f: impl Fn(f32, f32) -> f32) -> Result<Constant, String> {
    bounded(a.len().max(b.len()))?;
    let (shape, data) = match (&a.data[..], &b.data[..]) {
        (x, [y]) if a.shape.len() >= b.shape.len() => {
            (&a.shape, x.iter().map(|x| f(*x, *y)).collect())
        }
        ([x], y) if b.shape.len() >= a.shape.len() => {
            (&b.shape, y.iter().map(|y| f(*x, *y)).collect())
        }
        (x, y) if a.shape == b.shape => {
            (&a.shape, x.iter().zip(y).map(|(x, y)| f(*x, *y)).collect())
        }
        _ => return Err("constants of different shapes are not combined at import".to_owned()),
    };
    Ok(Constant::float(Tensor::new(shape.clone(), data)))
}

fn bounded(len: usize) -> Result<usize, String> {
    let error = || format!("a computed constant of more than {MAX_COMPUTED} elements");
    (len <= MAX_COMPUTED).then_some(len).ok_or_else(error)
}
