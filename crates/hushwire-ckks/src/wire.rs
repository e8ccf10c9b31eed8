//! Bytes of parameters, keys and ciphertexts.
//!
//! Everything starts with `HWCK`, the version 1 and a byte for its kind. All but parameters go on with
//! the hash of their parameters, so that nothing is read under the wrong ones. Integers and floats are
//! little-endian; residues modulo q are packed with the bits of q, limb by limb, in the order in which
//! [`crate::ntt`] stores values. A reader knows every length before it allocates: wrong lengths, residues
//! not below their prime, levels and scales out of range are errors. Each value has one encoding.
//! `docs/encrypted.md` has the layouts.

use hushwire_ring::{pack, packed_len, unpack};
use zeroize::Zeroizing;

use crate::ciphertext::Ciphertext;
use crate::error::CkksError;
use crate::keys::{EvaluationKeys, PublicKey, Purpose, SecretKey, SwitchKey};
use crate::modulus::Modulus;
use crate::ntt::NttTable;
use crate::params::{Gadget, ParameterSpec, Parameters, Ring};
use crate::sample::{Seed, uniform};

const MAGIC: &[u8; 5] = b"HWCK\x01";

/// What bytes are.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Kind {
    Parameters = 1,
    Secret = 2,
    Public = 3,
    Switch = 4,
    Keys = 5,
    Ciphertext = 6,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Parameters => "parameters",
            Self::Secret => "secret key",
            Self::Public => "public key",
            Self::Switch => "switching key",
            Self::Keys => "evaluation keys",
            Self::Ciphertext => "ciphertext",
        }
    }

    fn header(self, params: &Parameters) -> Vec<u8> {
        [&MAGIC[..], &[self as u8], params.id()].concat()
    }

    fn refuse<T>(self, reason: impl Into<String>) -> Result<T, CkksError> {
        Err(CkksError::Format { what: self.name(), reason: reason.into() })
    }
}

/// What is left of bytes of one kind.
struct Reader<'a> {
    kind: Kind,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// After the magic and the kind.
    fn new(kind: Kind, bytes: &'a [u8]) -> Result<Self, CkksError> {
        let mut reader = Self { kind, bytes };
        if reader.take(MAGIC.len() + 1)? != [&MAGIC[..], &[kind as u8]].concat() {
            return kind.refuse("not in this format");
        }
        Ok(reader)
    }

    /// After the hash of the parameters as well.
    fn under(params: &Parameters, kind: Kind, bytes: &'a [u8]) -> Result<Self, CkksError> {
        let mut reader = Self::new(kind, bytes)?;
        if reader.take(params.id().len())? != params.id() {
            return Err(CkksError::ForeignParameters { what: kind.name() });
        }
        Ok(reader)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CkksError> {
        let Some((head, rest)) = self.bytes.split_at_checked(len) else {
            let left = self.bytes.len();
            return self.kind.refuse(format!("ends early: {len} bytes wanted, {left} left"));
        };
        self.bytes = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CkksError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn byte(&mut self) -> Result<u8, CkksError> {
        self.array().map(|[byte]| byte)
    }

    /// Refuses lengths before anything is allocated for them.
    fn expect_left(&self, len: usize) -> Result<(), CkksError> {
        let left = self.bytes.len();
        if left == len {
            return Ok(());
        }
        self.kind.refuse(format!("{left} bytes of content, expected {len}"))
    }

    fn limb(&mut self, m: &Modulus, out: &mut [u64]) -> Result<(), CkksError> {
        let bytes = self.take(packed_len(out.len(), bits(m)))?;
        if let Err(error) = unpack(bytes, bits(m), out) {
            return self.kind.refuse(error.to_string());
        }
        if out.iter().fold(0, |max, &x| x.max(max)) >= m.q {
            return self.kind.refuse("a residue is not below its prime");
        }
        Ok(())
    }

    fn end(&self) -> Result<(), CkksError> {
        self.expect_left(0)
    }
}

/// Bits of a residue.
fn bits(m: &Modulus) -> u32 {
    u64::BITS - m.q.leading_zeros()
}

/// Bytes of one limb for each of the tables.
fn limbs_len<'a>(n: usize, tables: impl Iterator<Item = &'a NttTable>) -> usize {
    tables.map(|table| packed_len(n, bits(&table.modulus))).sum()
}

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

impl ParameterSpec {
    /// Reads what [`Parameters::to_bytes`] wrote. That a set can be built and is secure, and so that
    /// the numbers make sense, is for [`Parameters::new`] to find out.
    ///
    /// # Errors
    /// If the bytes are not in the format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CkksError> {
        let mut reader = Reader::new(Kind::Parameters, bytes)?;
        let ring = match reader.byte()? {
            0 => Ring::Complex,
            1 => Ring::Real,
            other => return reader.kind.refuse(format!("no ring has the number {other}")),
        };
        let (log_degree, log_scale) = (reader.byte()?.into(), reader.byte()?.into());
        let mut list = || -> Result<Vec<u32>, CkksError> {
            let count = reader.byte()?.into();
            Ok(reader.take(count)?.iter().copied().map(u32::from).collect())
        };
        let (data_bits, special_bits) = (list()?, list()?);
        reader.end()?;
        Ok(Self { ring, log_degree, data_bits, special_bits, log_scale })
    }
}

impl Parameters {
    /// The specification as bytes. Those of insecure parameters are not marked: whoever reads them
    /// decides again.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&MAGIC[..], &[Kind::Parameters as u8], &spec_bytes(self.spec())].concat()
    }

    /// Reads a specification and builds its tables.
    ///
    /// # Errors
    /// If the bytes are not in the format, or as [`Parameters::new`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CkksError> {
        Self::new(ParameterSpec::from_bytes(bytes)?)
    }
}

impl Ciphertext {
    /// As bytes; a fresh ciphertext of a secret key at half the size, with a seed for its second part.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (n, params) = (self.params.degree(), &self.params);
        let stored = self.parts.len() - usize::from(self.seed.is_some());
        let mut out = Kind::Ciphertext.header(params);
        out.reserve(26 + stored * limbs_len(n, params.basis(self.level, 0)));
        out.extend([self.level as u8, self.parts.len() as u8, u8::from(self.seed.is_some())]);
        out.extend(self.scale.to_le_bytes());
        out.extend(self.seed.iter().flatten());
        for part in &self.parts[..stored] {
            for (limb, table) in part.chunks_exact(n).zip(params.basis(self.level, 0)) {
                pack(limb, bits(&table.modulus), &mut out);
            }
        }
        out
    }

    /// Reads a ciphertext and checks all of it.
    ///
    /// # Errors
    /// If it is not in the format, of other parameters, or has a level or scale out of range.
    pub fn from_bytes(params: &Parameters, bytes: &[u8]) -> Result<Self, CkksError> {
        let mut reader = Reader::under(params, Kind::Ciphertext, bytes)?;
        let [level, parts, seeded] = reader.array::<3>()?.map(usize::from);
        let scale = f64::from_le_bytes(reader.array()?);
        params.check_level("ciphertext", level)?;
        params.check_scale(level, scale)?;
        if !matches!((parts, seeded), (2, 0 | 1) | (3, 0)) {
            return reader.kind.refuse(format!("{parts} parts, {seeded} of them seeded"));
        }
        let seed: Option<Seed> = (seeded == 1).then(|| reader.array()).transpose()?;
        let (n, stored) = (params.degree(), parts - seeded);
        reader.expect_left(stored * limbs_len(n, params.basis(level, 0)))?;
        let mut out = Self::undefined(params, level, scale, parts);
        for (i, part) in out.parts.iter_mut().enumerate() {
            let limbs = part.chunks_exact_mut(n).zip(params.basis(level, 0));
            for (j, (limb, table)) in limbs.enumerate() {
                match &seed {
                    Some(seed) if i == stored => uniform(seed, j as u64, &table.modulus, limb),
                    _ => reader.limb(&table.modulus, limb)?,
                }
            }
        }
        out.seed = seed;
        Ok(out)
    }
}

impl SecretKey {
    /// As bytes, for the holder's own storage only.
    #[must_use]
    pub fn danger_to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Kind::Secret.header(self.parameters());
        // Room for all, so that no growth leaves a copy behind.
        out.reserve_exact(packed_len(self.coefficients.len(), 2));
        let digits = self.coefficients.iter().map(|&x| (x + 1) as u32).collect();
        pack(&Zeroizing::<Vec<u32>>::new(digits)[..], 2, &mut out);
        Zeroizing::new(out)
    }

    /// Reads what [`Self::danger_to_bytes`] wrote.
    ///
    /// # Errors
    /// If it is not in the format, or of other parameters.
    pub fn from_bytes(params: &Parameters, bytes: &[u8]) -> Result<Self, CkksError> {
        let reader = Reader::under(params, Kind::Secret, bytes)?;
        let mut digits = Zeroizing::new(vec![0u32; params.degree()]);
        if let Err(error) = unpack(reader.bytes, 2, &mut digits) {
            return reader.kind.refuse(error.to_string());
        }
        if digits.iter().fold(0, |max, &x| x.max(max)) > 2 {
            return reader.kind.refuse("a coefficient is none of -1, 0, 1");
        }
        let coefficients = Zeroizing::new(digits.iter().map(|&x| x as i8 - 1).collect());
        Ok(Self::from_coefficients(params, coefficients))
    }
}

impl PublicKey {
    /// As bytes, one half of it as a seed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (n, params) = (self.params.degree(), &self.params);
        let mut out = Kind::Public.header(params);
        out.extend(self.seed);
        for (limb, table) in self.b.chunks_exact(n).zip(&params.0.tables) {
            pack(limb, bits(&table.modulus), &mut out);
        }
        out
    }

    /// Reads a public key and checks all of it.
    ///
    /// # Errors
    /// If it is not in the format, or of other parameters.
    pub fn from_bytes(params: &Parameters, bytes: &[u8]) -> Result<Self, CkksError> {
        let mut reader = Reader::under(params, Kind::Public, bytes)?;
        let seed = reader.array()?;
        let (n, level) = (params.degree(), params.max_level());
        reader.expect_left(limbs_len(n, params.basis(level, 0)))?;
        let mut out = Self::undefined(params, seed);
        for (limb, table) in out.b.chunks_exact_mut(n).zip(&params.0.tables) {
            reader.limb(&table.modulus, limb)?;
        }
        Ok(out)
    }
}

impl Purpose {
    fn to_u32(self) -> u32 {
        match self {
            Self::Relinearise => 0,
            Self::Automorphism(element) => element as u32,
        }
    }
}

impl SwitchKey {
    /// As bytes, one half of it as a seed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Kind::Switch.header(&self.params);
        self.write(&mut out);
        out
    }

    /// Reads a key and checks all of it.
    ///
    /// # Errors
    /// If it is not in the format, of other parameters, or its gadget is impossible or insecure.
    pub fn from_bytes(params: &Parameters, bytes: &[u8]) -> Result<Self, CkksError> {
        let mut reader = Reader::under(params, Kind::Switch, bytes)?;
        let key = Self::read(params, &mut reader)?;
        reader.end()?;
        Ok(key)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Gadget { level, specials, digit } = self.gadget;
        out.extend(self.purpose.to_u32().to_le_bytes());
        out.extend([level, specials, digit].map(|x| x as u8));
        out.extend(self.seed);
        for (t, table) in self.params.basis(level, specials).enumerate() {
            for digit in self.limb(level, t).chunks_exact(2 * self.params.degree()) {
                pack(&digit[..self.params.degree()], bits(&table.modulus), out);
            }
        }
    }

    fn read(params: &Parameters, reader: &mut Reader<'_>) -> Result<Self, CkksError> {
        let purpose = match u32::from_le_bytes(reader.array()?) as usize {
            0 => Purpose::Relinearise,
            element if params.is_automorphism(element) => Purpose::Automorphism(element),
            other => return reader.kind.refuse(format!("{other} is no automorphism")),
        };
        let [level, specials, digit] = reader.array::<3>()?.map(usize::from);
        let gadget = Gadget { level, specials, digit };
        params.check_gadget(&gadget)?;
        let seed = reader.array()?;
        let digits = gadget.digits(level);
        let len = digits * limbs_len(params.degree(), params.basis(level, specials));
        if reader.bytes.len() < len {
            return reader.kind.refuse(format!("a key takes {len} bytes, there are fewer"));
        }
        let mut key = Self::undefined(params, purpose, gadget, seed);
        for (t, table) in params.basis(level, specials).enumerate() {
            for digit in 0..digits {
                reader.limb(&table.modulus, key.limbs_mut(t, digit).0)?;
            }
        }
        key.expand();
        Ok(key)
    }
}

impl EvaluationKeys {
    /// All keys as bytes, one half of each as a seed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Kind::Keys.header(&self.params);
        out.extend((self.iter().count() as u32).to_le_bytes());
        self.iter().for_each(|key| key.write(&mut out));
        out
    }

    /// Reads keys and checks all of them.
    ///
    /// # Errors
    /// As [`SwitchKey::from_bytes`], and if they are not in the order in which they are written.
    pub fn from_bytes(params: &Parameters, bytes: &[u8]) -> Result<Self, CkksError> {
        let mut reader = Reader::under(params, Kind::Keys, bytes)?;
        let count = u32::from_le_bytes(reader.array()?);
        let mut keys = Self::new(params);
        let mut last = None;
        for _ in 0..count {
            let key = SwitchKey::read(params, &mut reader)?;
            let place = Some((key.purpose.to_u32(), key.gadget));
            if place <= last {
                return reader.kind.refuse("keys out of order");
            }
            last = place;
            keys.insert(key)?;
        }
        reader.end()?;
        Ok(keys)
    }
}
