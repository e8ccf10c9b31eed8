//! Bytes of parameters, keys and ciphertexts.

use crate::params::{ParameterSpec, Ring};

/// A specification in its canonical form.
pub(crate) fn spec_bytes(spec: &ParameterSpec) -> Vec<u8> {
    let ring = match spec.ring {
        Ring::Complex => 0,
        Ring::Real => 1,
    };
    let mut out = vec![ring, spec.log_degree as u8, spec.log_scale as u8];
    for bits in [&spec.data_bits, &spec.special_bits] {
        out.push(bits.len() as u8);
        out.extend(bits.iter().map(|&b| b as u8));
    }
    out
}
