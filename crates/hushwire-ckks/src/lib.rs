//! RNS-CKKS: approximate homomorphic encryption of vectors of real numbers.
//!
//! A client makes a [`SecretKey`], encrypts vectors and sends [`EvaluationKeys`]; a server computes
//! on ciphertexts with an [`Evaluator`]; only the client can decrypt. The scheme is that of Cheon,
//! Han, Kim, Kim and Song ("A full RNS variant of approximate homomorphic encryption", SAC 2018) with
//! hybrid key switching. `docs/encrypted.md` has the parameters, the noise and the formats.
//!
//! ```no_run
//! use hushwire_ckks::{EvaluationKeys, Evaluator, ParameterSpec, Parameters, Ring, Rng, SecretKey};
//!
//! # fn main() -> Result<(), hushwire_ckks::CkksError> {
//! let params = Parameters::new(ParameterSpec {
//!     ring: Ring::Complex,
//!     log_degree: 13,
//!     data_bits: vec![50, 40, 40],
//!     special_bits: vec![50],
//!     log_scale: 40,
//! })?;
//! let mut rng = Rng::from_system()?;
//! let secret = SecretKey::generate(&params, &mut rng);
//! let level = params.max_level();
//! let mut keys = EvaluationKeys::new(&params);
//! keys.insert(secret.relinearisation_key(params.gadget(level), &mut rng)?)?;
//! keys.insert(secret.rotation_key(1, params.gadget(level), &mut rng)?)?;
//!
//! let message = params.encode(&[1.0, 2.0, 3.0], level, params.default_scale())?;
//! let encrypted = secret.encrypt(&message, &mut rng)?;
//!
//! let evaluator = Evaluator::new(keys);
//! let square = evaluator.rescale(&evaluator.mul(&encrypted, &encrypted)?)?;
//! let shifted = evaluator.rotate(&encrypted, 1)?;
//! assert!((secret.decrypt(&square)?[2] - 9.0).abs() < 1e-5);
//! assert!((secret.decrypt(&shifted)?[0] - 2.0).abs() < 1e-5);
//! # Ok(())
//! # }
//! ```

mod automorphism;
mod buffer;
mod ciphertext;
mod embedding;
mod encode;
mod error;
mod evaluator;
mod kernels;
mod keys;
mod modulus;
mod noise;
mod ntt;
mod params;
mod sample;
mod simd;
mod switch;
mod transform;
mod wire;

pub use ciphertext::{Ciphertext, Plaintext};
pub use embedding::Complex;
pub use error::CkksError;
pub use evaluator::Evaluator;
pub use keys::{EvaluationKeys, PublicKey, SecretKey, SwitchKey};
pub use modulus::MAX_PRIME_BITS;
pub use noise::NoiseEstimate;
pub use params::{Gadget, Ntt, ParameterSpec, Parameters, Ring, max_modulus_bits};
pub use sample::Rng;
pub use simd::Isa;
pub use transform::LinearTransform;
