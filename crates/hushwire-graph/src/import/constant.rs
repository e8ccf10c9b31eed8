//! Constants of a file: initializers, Constant nodes, and shapes computed from the input's.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};
use std::rc::Rc;

use super::protobuf::{TensorProto, data_type};
use crate::Tensor;
use crate::infer::MAX_ELEMENTS;

/// Most elements of an integer constant: shapes, axes and indices are short.
const MAX_INTS: usize = 1 << 16;

/// A value known at import.
#[derive(Clone, Debug)]
pub(super) enum Constant {
    /// Floating-point data, shared because files use one constant in many places.
    Float(Rc<Tensor>),
    /// Integers such as shapes and axes.
    Ints(Ints),
}

/// A scalar or vector of integers; `None` stands for the size of the batch.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Ints {
    /// Extents; integer constants of any rank are accepted but used by their elements.
    pub dims: Vec<usize>,
    pub values: Vec<Option<i64>>,
}

impl Ints {
    pub(super) fn vector(values: Vec<Option<i64>>) -> Self {
        Self { dims: vec![values.len()], values }
    }

    /// The elements, if none depends on the batch.
    pub(super) fn known(&self) -> Option<Vec<i64>> {
        self.values.iter().copied().collect()
    }
}

impl Constant {
    pub(super) fn float(tensor: Tensor) -> Self {
        Self::Float(Rc::new(tensor))
    }

    pub(super) fn dims(&self) -> &[usize] {
        match self {
            Self::Float(tensor) => &tensor.shape,
            Self::Ints(ints) => &ints.dims,
        }
    }
}

/// Reads a tensor; data in other files are looked up in `folder`.
pub(super) fn read(proto: &TensorProto, folder: Option<&Path>) -> Result<Constant, String> {
    let dims = extents(&proto.dims)?;
    let len: usize = dims.iter().product();
    let external;
    let raw = if proto.data_location == 1 {
        let bytes =
            element_size(proto.data_type)?.checked_mul(len).ok_or("the tensor is too large")?;
        external = read_external(proto, folder, bytes)?;
        &external
    } else {
        &proto.raw_data
    };
    let data = if raw.is_empty() { from_fields(proto)? } else { from_raw(proto.data_type, raw)? };
    let got = match &data {
        Data::Float(data) => data.len(),
        Data::Ints(data) => data.len(),
    };
    if got != len {
        return Err(format!("{got} elements of data for extents {dims:?}"));
    }
    match data {
        Data::Float(data) => Ok(Constant::float(Tensor::new(dims, data))),
        Data::Ints(values) => Ok(Constant::Ints(Ints { dims, values })),
    }
}

enum Data {
    Float(Vec<f32>),
    Ints(Vec<Option<i64>>),
}

fn extents(dims: &[i64]) -> Result<Vec<usize>, String> {
    let dims: Option<Vec<usize>> = dims.iter().map(|d| usize::try_from(*d).ok()).collect();
    let dims = dims.ok_or("negative extents")?;
    let len = dims.iter().try_fold(1_usize, |len, d| len.checked_mul((*d).max(1)));
    match len {
        Some(len) if len <= MAX_ELEMENTS && dims.len() <= 8 => Ok(dims),
        _ => Err(format!("extents {dims:?} are too large")),
    }
}

fn element_size(data_type: i32) -> Result<usize, String> {
    match data_type {
        data_type::UINT8 | data_type::INT8 | data_type::BOOL => Ok(1),
        data_type::FLOAT16 => Ok(2),
        data_type::FLOAT | data_type::INT32 => Ok(4),
        data_type::INT64 | data_type::DOUBLE => Ok(8),
        other => Err(format!(
            "elements of type {other} are not supported; float, double, float16, int32, int64, \
             int8, uint8 and bool are"
        )),
    }
}

fn from_raw(data_type: i32, raw: &[u8]) -> Result<Data, String> {
    let size = element_size(data_type)?;
    if !raw.len().is_multiple_of(size) {
        return Err(format!("{} bytes of data for elements of {size} bytes", raw.len()));
    }
    Ok(match data_type {
        data_type::FLOAT => Data::Float(elements(raw, f32::from_le_bytes)),
        data_type::DOUBLE => Data::Float(elements(raw, |b| f64::from_le_bytes(b) as f32)),
        data_type::FLOAT16 => Data::Float(elements(raw, |b| half(u16::from_le_bytes(b)))),
        data_type::INT64 => ints(elements(raw, i64::from_le_bytes))?,
        data_type::INT32 => ints(elements(raw, |b| i32::from_le_bytes(b).into()))?,
        data_type::INT8 => ints(elements(raw, |b| i8::from_le_bytes(b).into()))?,
        _ => ints(elements(raw, |b: [u8; 1]| b[0].into()))?,
    })
}

fn elements<const N: usize, T>(raw: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks().0.iter().map(|bytes| convert(*bytes)).collect()
}

fn ints(values: Vec<i64>) -> Result<Data, String> {
    if values.len() > MAX_INTS {
        return Err(format!("{} integers; at most {MAX_INTS} are accepted", values.len()));
    }
    Ok(Data::Ints(values.into_iter().map(Some).collect()))
}

/// Data in the typed fields of the message.
fn from_fields(proto: &TensorProto) -> Result<Data, String> {
    element_size(proto.data_type)?;
    let small = &proto.int32_data;
    Ok(match proto.data_type {
        data_type::FLOAT => Data::Float(proto.float_data.clone()),
        data_type::DOUBLE => Data::Float(proto.double_data.iter().map(|x| *x as f32).collect()),
        data_type::FLOAT16 => Data::Float(small.iter().map(|x| half(*x as u16)).collect()),
        data_type::INT64 => ints(proto.int64_data.clone())?,
        _ => ints(small.iter().map(|x| i64::from(*x)).collect())?,
    })
}

/// An IEEE half-precision number from its bits.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2.0_f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2.0_f32.powi(exponent - 15),
    }
}

/// The bytes of a tensor kept outside the model's file.
fn read_external(
    proto: &TensorProto,
    folder: Option<&Path>,
    expected: usize,
) -> Result<Vec<u8>, String> {
    let folder = folder.ok_or("data in another file, but the folder of the model is not known")?;
    let property = |key| proto.external_data.iter().find(|p| p.key == key).map(|p| &p.value);
    let number = |key, default| match property(key) {
        None => Ok(default),
        Some(text) => text.parse::<u64>().map_err(|_| format!("external data: {key} '{text}'")),
    };
    let location = Path::new(property("location").ok_or("external data without a location")?);
    // A model must not read files elsewhere on the machine.
    if !location.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(format!("external data '{}' lie outside the folder", location.display()));
    }
    let offset = number("offset", 0)?;
    if number("length", expected as u64)? != expected as u64 {
        return Err("the length of the external data does not fit the extents".to_owned());
    }
    let path = folder.join(location);
    let failed = |e: std::io::Error| format!("external data {}: {e}", path.display());
    // Links could lead out of the folder as well.
    let (real, root) =
        (path.canonicalize().map_err(failed)?, folder.canonicalize().map_err(failed)?);
    if !real.starts_with(root) {
        return Err(format!("external data '{}' lie outside the folder", location.display()));
    }
    let mut file = File::open(real).map_err(failed)?;
    let available = file.metadata().map_err(failed)?.len().saturating_sub(offset);
    if available < expected as u64 {
        return Err(format!("external data {} end too early", path.display()));
    }
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut bytes = vec![0; expected];
    file.read_exact(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::protobuf::Property;
    use super::*;

    #[test]
    fn half_precision() {
        for (bits, value) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x0001, 5.9604645e-8)]
        {
            assert_eq!(half(bits), value);
        }
        assert!(half(0x7c01).is_nan() && half(0xfc00) == f32::NEG_INFINITY);
    }

    #[test]
    fn length_must_fit_extents() {
        let proto = TensorProto {
            dims: vec![1 << 40, 1 << 40],
            data_type: data_type::FLOAT,
            ..TensorProto::default()
        };
        assert!(read(&proto, None).is_err());
        let proto = TensorProto { dims: vec![3], raw_data: vec![0; 8], ..proto };
        assert_eq!(read(&proto, None).err().as_deref(), Some("2 elements of data for extents [3]"));
    }

    #[test]
    fn external_data_stay_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("model");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(folder.path().join("outside"), [0; 4]).unwrap();
        std::fs::write(inner.join("inside"), 2.5_f32.to_le_bytes()).unwrap();
        let load = |location: &str| {
            let property = Property { key: "location".to_owned(), value: location.to_owned() };
            let proto = TensorProto {
                dims: vec![1],
                data_type: data_type::FLOAT,
                data_location: 1,
                external_data: vec![property],
                ..TensorProto::default()
            };
            read(&proto, Some(&inner))
        };
        let Ok(Constant::Float(tensor)) = load("inside") else { panic!("readable") };
        assert_eq!(tensor.data, [2.5]);
        assert!(load("../outside").is_err_and(|e| e.contains("outside the folder")));
        assert!(load("/etc/hostname").is_err_and(|e| e.contains("outside the folder")));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("../outside", inner.join("link")).unwrap();
            assert!(load("link").is_err_and(|e| e.contains("outside the folder")));
        }
    }
}
