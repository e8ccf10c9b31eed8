//! Arithmetic over Z_2^l: words, bit-exact packing, bit vectors and integer kernels.
//!
//! Everything wraps modulo 2^32 or 2^64 ([`Word`]); an element of a smaller ring is the low bits of
//! a word ([`Ring`]), reduced where it is read or sent ([`pack`]). Sums and products need no
//! reduction in between, which is what makes the kernels plain integer loops.
//!
//! No operation branches on a value or uses one as an index: running time depends on sizes alone.

mod bits;
mod conv;
mod depthwise;
mod dot;
mod karatsuba;
mod limbs;
mod limit;
mod linear;
mod pack;
mod panel;
mod planes;
mod product;
mod ring;
mod scratch;
mod shape;
mod simd;
mod tile;
mod word;

pub use bits::{Bits, WordsMut};
pub use conv::{conv2d, conv2d_mod};
pub use limit::{SimdLimit, simd_limit};
pub use linear::{gemm, gemm_mod};
pub use pack::{PackError, pack, pack_into, packed_len, unpack};
pub use ring::Ring;
pub use shape::ConvShape;
pub use simd::{Vectorised, vectorise};
pub use word::Word;
