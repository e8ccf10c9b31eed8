//! Encrypted vector machines: what the executor needs of a scheme.

mod clear;
mod counted;
mod counts;

pub use clear::{Clear, ClearError, ClearVector};
pub use counted::Counted;
pub use counts::{Counter, Counts};

/// A scheme that computes on encrypted vectors of real numbers, as the party without the secret key
/// sees it.
///
/// A ciphertext has a *level*, the number of rescalings that are left, and a *scale*, by which its
/// values are multiplied. Products multiply scales; rescaling divides the scale by a prime and takes
/// one level; sums want equal scales and all operations of two want equal levels.
pub trait Machine: Sync {
    /// An encrypted vector.
    type Cipher: Clone + Send + Sync;
    /// An encoded vector.
    type Plain: Send + Sync;
    /// What can go wrong.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Numbers in a vector.
    fn slots(&self) -> usize;

    /// The prime that rescaling divides by at a level.
    fn prime(&self, level: usize) -> f64;

    /// Rescalings that are left.
    fn level(&self, x: &Self::Cipher) -> usize;

    /// The factor of the values.
    fn scale(&self, x: &Self::Cipher) -> f64;

    /// Encodes a vector, zeros after the last number.
    ///
    /// # Errors
    /// If the values do not fit.
    fn encode(&self, values: &[f64], level: usize, scale: f64) -> Result<Self::Plain, Self::Error>;

    /// Lowers the level without changing the scale, which costs next to nothing.
    ///
    /// # Errors
    /// If the level is lower already.
    fn reduce(&self, x: &mut Self::Cipher, level: usize) -> Result<(), Self::Error>;

    /// Adds to a ciphertext.
    ///
    /// # Errors
    /// If levels or scales differ.
    fn add(&self, sum: &mut Self::Cipher, x: &Self::Cipher) -> Result<(), Self::Error>;

    /// Adds an encoded vector.
    ///
    /// # Errors
    /// If levels or scales differ.
    fn add_plain(&self, sum: &mut Self::Cipher, x: &Self::Plain) -> Result<(), Self::Error>;

    /// Adds the same number to every slot.
    ///
    /// # Errors
    /// If it does not fit.
    fn add_constant(&self, sum: &mut Self::Cipher, x: f64) -> Result<(), Self::Error>;

    /// The sum of products with encoded vectors, of which there is at least one.
    ///
    /// # Errors
    /// If levels or scales differ.
    fn sum_of_products(
        &self,
        terms: &[(&Self::Cipher, &Self::Plain)],
    ) -> Result<Self::Cipher, Self::Error>;

    /// The sum of products with numbers, encoded at `scale`; there is at least one.
    ///
    /// # Errors
    /// If levels or scales differ.
    fn sum_of_multiples(
        &self,
        terms: &[(&Self::Cipher, f64)],
        scale: f64,
    ) -> Result<Self::Cipher, Self::Error>;

    /// The product, relinearised.
    ///
    /// # Errors
    /// If levels differ, or the result does not fit.
    fn multiply(&self, x: &Self::Cipher, y: &Self::Cipher) -> Result<Self::Cipher, Self::Error>;

    /// The square, relinearised.
    ///
    /// # Errors
    /// If the result does not fit.
    fn square(&self, x: &Self::Cipher) -> Result<Self::Cipher, Self::Error>;

    /// Divides the scale by the prime of the level, and lowers the level by one.
    ///
    /// # Errors
    /// If no level is left.
    fn rescale(&self, x: &mut Self::Cipher) -> Result<(), Self::Error>;

    /// Slot `i` of the result is slot `i + steps` of `x`, counted around.
    ///
    /// # Errors
    /// If there is no key for it.
    fn rotate(&self, x: &Self::Cipher, steps: usize) -> Result<Self::Cipher, Self::Error>;

    /// Several rotations of one ciphertext, which cost less than one by one.
    ///
    /// # Errors
    /// If there is no key for one of them.
    fn rotate_each(
        &self,
        x: &Self::Cipher,
        steps: &[usize],
    ) -> Result<Vec<Self::Cipher>, Self::Error> {
        steps.iter().map(|steps| self.rotate(x, *steps)).collect()
    }

    /// The sum of ciphertexts, each rotated first; nothing without any.
    ///
    /// # Errors
    /// If levels or scales differ, or there is no key for one of the rotations.
    fn sum_of_rotations(
        &self,
        terms: Vec<(Self::Cipher, usize)>,
    ) -> Result<Option<Self::Cipher>, Self::Error> {
        let mut sum: Option<Self::Cipher> = None;
        for (x, steps) in terms {
            let x = if steps == 0 { x } else { self.rotate(&x, steps)? };
            match &mut sum {
                None => sum = Some(x),
                Some(sum) => self.add(sum, &x)?,
            }
        }
        Ok(sum)
    }

    /// Bytes of memory of a ciphertext.
    fn cipher_bytes(&self, x: &Self::Cipher) -> usize;

    /// Bytes of memory of an encoded vector.
    fn plain_bytes(&self, x: &Self::Plain) -> usize;
}

/// The party with the secret key.
pub trait KeyHolder {
    /// An encrypted vector.
    type Cipher;
    /// What can go wrong.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Encrypts a vector.
    ///
    /// # Errors
    /// If the values do not fit.
    fn encrypt(
        &self,
        values: &[f64],
        level: usize,
        scale: f64,
    ) -> Result<Self::Cipher, Self::Error>;

    /// Decrypts a vector.
    ///
    /// # Errors
    /// If the ciphertext is of another key.
    fn decrypt(&self, x: &Self::Cipher) -> Result<Vec<f64>, Self::Error>;
}
