//! Every operation on encrypted vectors against the same operation on numbers.

#![allow(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

use std::collections::BTreeMap;

use hushwire_ckks::{
    Ciphertext, CkksError, Complex, EvaluationKeys, Evaluator, Gadget, LinearTransform,
    ParameterSpec, Parameters, Ring, Rng, SecretKey,
};

struct World {
    params: Parameters,
    rng: Rng,
    secret: SecretKey,
    evaluator: Evaluator,
}

fn spec(ring: Ring, special_bits: &[u32]) -> ParameterSpec {
    ParameterSpec {
        ring,
        log_degree: 10,
        data_bits: vec![50, 40, 40, 40, 40],
        special_bits: special_bits.to_vec(),
        log_scale: 40,
    }
}

const STEPS: [i64; 5] = [1, 2, 7, -3, 100];

impl World {
    fn new(spec: ParameterSpec, gadget: impl Fn(&Parameters) -> Gadget) -> Self {
        let params = Parameters::danger_insecure(spec).unwrap();
        let mut rng = Rng::danger_from_seed(7);
        let secret = SecretKey::generate(&params, &mut rng);
        let mut keys = EvaluationKeys::new(&params);
        let gadget = gadget(&params);
        keys.insert(secret.relinearisation_key(gadget, &mut rng).unwrap()).unwrap();
        for steps in STEPS {
            keys.insert(secret.rotation_key(steps, gadget, &mut rng).unwrap()).unwrap();
        }
        if params.spec().ring == Ring::Complex {
            keys.insert(secret.conjugation_key(gadget, &mut rng).unwrap()).unwrap();
        }
        Self { params, rng, secret, evaluator: Evaluator::new(keys) }
    }

    /// All shapes of key switching, both rings.
    fn all() -> Vec<Self> {
        let mut worlds = Vec::new();
        for ring in [Ring::Complex, Ring::Real] {
            worlds.push(Self::new(spec(ring, &[50]), |p| p.gadget(4)));
            worlds.push(Self::new(spec(ring, &[50, 50]), |_| Gadget {
                level: 4,
                specials: 2,
                digit: 2,
            }));
            worlds.push(Self::new(spec(ring, &[45, 45, 46]), |_| Gadget {
                level: 4,
                specials: 3,
                digit: 3,
            }));
            worlds.push(Self::new(spec(ring, &[50, 50, 50, 50, 50]), |_| Gadget {
                level: 4,
                specials: 5,
                digit: 5,
            }));
        }
        worlds
    }

    fn values(&self, k: usize) -> Vec<f64> {
        (0..self.params.slots()).map(|i| ((i * (k + 3) + k) % 17) as f64 / 8.5 - 1.0).collect()
    }

    fn encrypt(&mut self, values: &[f64], level: usize) -> Ciphertext {
        let plain = self.params.encode(values, level, self.params.default_scale()).unwrap();
        self.secret.encrypt(&plain, &mut self.rng).unwrap()
    }

    #[track_caller]
    fn expect(&self, x: &Ciphertext, values: impl IntoIterator<Item = f64>) {
        let decrypted = self.secret.decrypt(x).unwrap();
        let error = decrypted.iter().zip(values).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
        assert!(error < 1e-6, "error {error:e}, {:?}", self.params);
    }
}

fn map2(x: &[f64], y: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    x.iter().zip(y).map(|(x, y)| f(*x, *y)).collect()
}

#[test]
fn sums_and_plain_products() {
    for mut w in World::all() {
        let (a, b, c) = (w.values(1), w.values(2), w.values(3));
        for level in [4, 1] {
            let (x, y) = (w.encrypt(&a, level), w.encrypt(&b, level));
            let e = w.evaluator.clone();
            w.expect(&e.add(&x, &y).unwrap(), map2(&a, &b, |a, b| a + b));
            w.expect(&e.sub(&x, &y).unwrap(), map2(&a, &b, |a, b| a - b));
            w.expect(&e.neg(&x).unwrap(), a.iter().map(|a| -a));
            let plain = w.params.encode(&c, level, w.params.default_scale()).unwrap();
            let mut z = x.clone();
            e.add_plain_assign(&mut z, &plain).unwrap();
            w.expect(&z, map2(&a, &c, |a, c| a + c));
            e.sub_plain_assign(&mut z, &plain).unwrap();
            e.add_constant_assign(&mut z, -2.5).unwrap();
            w.expect(&z, a.iter().map(|a| a - 2.5));
            let product = e.rescale(&e.mul_plain(&x, &plain).unwrap()).unwrap();
            assert_eq!(product.level(), level - 1);
            w.expect(&product, map2(&a, &c, |a, c| a * c));
            let sum = e.dot_plain(&[&x, &y], &[&plain, &plain]).unwrap();
            let expected = map2(&map2(&a, &b, |a, b| a + b), &c, |s, c| s * c);
            w.expect(&e.rescale(&sum).unwrap(), expected);
            let sum = e.dot_constants(&[&x, &y], &[0.5, -3.0], w.params.default_scale()).unwrap();
            w.expect(&e.rescale(&sum).unwrap(), map2(&a, &b, |a, b| 0.5 * a - 3.0 * b));
        }
    }
}

#[test]
fn products_down_to_the_last_level() {
    for mut w in World::all() {
        let (a, b) = (w.values(1), w.values(2));
        let (mut x, y) = (w.encrypt(&a, 4), w.encrypt(&b, 4));
        let e = w.evaluator.clone();
        let product = e.rescale(&e.mul(&x, &y).unwrap()).unwrap();
        w.expect(&product, map2(&a, &b, |a, b| a * b));
        let mut lazy = e.tensor(&x, &y).unwrap();
        e.add_assign(&mut lazy, &e.tensor(&x, &x).unwrap()).unwrap();
        w.expect(&lazy, map2(&a, &b, |a, b| a * b + a * a));
        e.relinearize_assign(&mut lazy).unwrap();
        w.expect(&lazy, map2(&a, &b, |a, b| a * b + a * a));
        let mut power = a.clone();
        while x.level() > 0 {
            x = e.rescale(&e.square(&x).unwrap()).unwrap();
            power.iter_mut().for_each(|p| *p *= *p);
            w.expect(&x, power.iter().copied());
        }
        assert_eq!(e.rescale(&x).unwrap_err(), CkksError::LevelsExhausted);
    }
}

#[test]
fn rotations_at_every_level() {
    for mut w in World::all() {
        let a = w.values(5);
        let fresh = w.encrypt(&a, 4);
        let e = w.evaluator.clone();
        let rotated = |k: i64| {
            let mut out = a.clone();
            out.rotate_left(k.rem_euclid(a.len() as i64) as usize);
            out
        };
        for level in (0..=4).rev() {
            let x = e.drop_to_level(&fresh, level).unwrap();
            for k in STEPS {
                w.expect(&e.rotate(&x, k).unwrap(), rotated(k));
            }
        }
        for (x, k) in e.rotate_many(&fresh, &STEPS).unwrap().iter().zip(STEPS) {
            w.expect(x, rotated(k));
        }
        assert!(matches!(e.rotate(&fresh, 5), Err(CkksError::MissingKey { .. })));
    }
}

#[test]
fn fused_products() {
    for mut w in World::all() {
        let (a, b) = (w.values(1), w.values(2));
        for level in [4, 2, 1] {
            let (x, y) = (w.encrypt(&a, level), w.encrypt(&b, level));
            let product = w.evaluator.mul_rescale(&x, &y).unwrap();
            assert_eq!(product.level(), level - 1);
            w.expect(&product, map2(&a, &b, |a, b| a * b));
        }
    }
}

#[test]
fn linear_transforms() {
    for mut w in World::all() {
        let slots = w.params.slots();
        let a = w.values(4);
        let indices = [0, 1, 2, 3, 5, 8, 13, 21, 34, -1, -20, 400];
        let diagonals: BTreeMap<i64, Vec<f64>> =
            indices.into_iter().zip((0..).map(|k| w.values(k))).collect();
        let expected: Vec<f64> = (0..slots)
            .map(|i| {
                let column = |d: i64| (i as i64 + d).rem_euclid(slots as i64) as usize;
                diagonals.iter().map(|(&d, diagonal)| diagonal[i] * a[column(d)]).sum()
            })
            .collect();
        let gadget = w.evaluator.keys().iter().next().unwrap().gadget();
        for level in [4, 2] {
            let scale = w.params.prime(level) as f64;
            let transform =
                LinearTransform::new(&w.params, &diagonals, gadget, level, scale).unwrap();
            assert_eq!(transform.rotations(), LinearTransform::rotations_of(&w.params, indices));
            let mut keys = w.evaluator.keys().clone();
            for steps in transform.rotations() {
                keys.insert(w.secret.rotation_key(steps, gadget, &mut w.rng).unwrap()).unwrap();
            }
            let evaluator = Evaluator::new(keys);
            let x = w.encrypt(&a, level);
            w.expect(&evaluator.transform(&x, &transform).unwrap(), expected.iter().copied());
            let rescaled = evaluator.transform_rescale(&x, &transform).unwrap();
            assert_eq!((rescaled.level(), rescaled.scale()), (level - 1, x.scale()));
            w.expect(&rescaled, expected.iter().copied());
        }
    }
}

#[test]
fn complex_slots() {
    let mut w = World::new(spec(Ring::Complex, &[50]), |p| p.gadget(4));
    let z: Vec<_> =
        (0..512).map(|i| Complex { re: i as f64 / 512.0, im: 1.0 - i as f64 / 99.0 }).collect();
    let plain = w.params.encode_complex(&z, 2, w.params.default_scale()).unwrap();
    let x = w.secret.encrypt(&plain, &mut w.rng).unwrap();
    let conjugate = w.evaluator.conjugate(&x).unwrap();
    let norm = w.evaluator.mul(&x, &conjugate).unwrap();
    for (i, (norm, z)) in w.secret.decrypt_complex(&norm).unwrap().iter().zip(&z).enumerate() {
        let expected = z.re * z.re + z.im * z.im;
        assert!((norm.re - expected).abs() + norm.im.abs() < 1e-6, "{i}: {norm:?} {expected}");
    }
}

#[test]
fn public_encryption() {
    for ring in [Ring::Complex, Ring::Real] {
        let mut w = World::new(spec(ring, &[50]), |p| p.gadget(4));
        let public = w.secret.public_key(&mut w.rng);
        let a = w.values(2);
        let plain = w.params.encode(&a, 3, w.params.default_scale()).unwrap();
        let x = public.encrypt(&plain, &mut w.rng).unwrap();
        w.expect(&w.evaluator.rotate(&x, 2).unwrap(), a[2..].iter().copied());
    }
}

#[test]
fn flooding_has_its_deviation() {
    for ring in [Ring::Complex, Ring::Real] {
        let mut w = World::new(spec(ring, &[50]), |p| p.gadget(4));
        let scale = w.params.default_scale();
        let draw = |w: &mut World| w.params.flood(0.01, 3, scale, &mut w.rng).unwrap();
        let (first, second) = (draw(&mut w), draw(&mut w));
        let [a, b] = [&first, &second].map(|plain| w.params.decode(plain));
        let square = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>();
        let deviation = (square(&a) / a.len() as f64).sqrt();
        assert!((deviation / 0.01 - 1.0).abs() < 0.15, "{deviation}");
        // Two of them are independent.
        let product: f64 = a.iter().zip(b.iter()).map(|(a, b)| a * b).sum();
        assert!(product.abs() < 0.25 * square(&a), "{product}");
        for wrong in [-1.0, f64::NAN, 1e30] {
            let refused = w.params.flood(wrong, 3, scale, &mut w.rng);
            assert_eq!(refused.unwrap_err(), CkksError::Value);
        }
    }
}

#[test]
fn mismatches_are_errors() {
    let mut w = World::new(spec(Ring::Complex, &[50]), |p| p.gadget(3));
    let a = w.values(0);
    let (x, y) = (w.encrypt(&a, 3), w.encrypt(&a, 2));
    let e = w.evaluator.clone();
    assert_eq!(e.add(&x, &y).unwrap_err(), CkksError::LevelMismatch { left: 3, right: 2 });
    let squared = e.mul(&x, &x).unwrap();
    assert!(matches!(e.add(&x, &squared), Err(CkksError::ScaleMismatch { .. })));
    assert!(e.mul(&squared, &squared).is_ok());
    let top = w.encrypt(&a, 4);
    assert!(matches!(e.rotate(&top, 1), Err(CkksError::MissingKey { level: 4, .. })));
    assert!(matches!(
        e.rotate(&e.tensor(&x, &x).unwrap(), 1),
        Err(CkksError::NotRelinearised { parts: 3 })
    ));
    let low = e.drop_to_level(&x, 0).unwrap();
    assert!(matches!(e.mul(&low, &low), Err(CkksError::Scale { .. })));
    assert!(matches!(w.params.encode(&a, 5, 1e9), Err(CkksError::Level { .. })));
    assert!(matches!(w.params.encode(&[1e300], 4, 1e9), Err(CkksError::Value)));
    assert!(matches!(w.params.encode(&[f64::NAN], 4, 1e9), Err(CkksError::Value)));
    assert!(matches!(w.params.encode(&[0.0], 4, f64::INFINITY), Err(CkksError::Scale { .. })));
    assert!(matches!(w.params.encode(&[0.0; 513], 4, 1e9), Err(CkksError::TooManyValues { .. })));

    let mut other = World::new(spec(Ring::Complex, &[45]), |p| p.gadget(3));
    let foreign = other.encrypt(&a, 3);
    assert!(matches!(e.add(&x, &foreign), Err(CkksError::ForeignParameters { .. })));
    assert!(matches!(w.secret.decrypt(&foreign), Err(CkksError::ForeignParameters { .. })));
}

#[test]
fn the_security_table_is_enforced() {
    let spec = |log_degree, data: &[u32], special: &[u32]| ParameterSpec {
        ring: Ring::Complex,
        log_degree,
        data_bits: data.to_vec(),
        special_bits: special.to_vec(),
        log_scale: 30,
    };
    for (log_degree, max) in [(12u32, 109u32), (13, 218), (14, 438), (15, 881)] {
        // Primes of 25 to 50 bits that add up to the largest modulus.
        let count = max.div_ceil(49) as usize;
        let bits: Vec<_> = (0..count as u32).map(|i| (max + i) / count as u32).collect();
        let (special, data) = bits.split_first().unwrap();
        let fits = Parameters::new(spec(log_degree, data, &[*special])).unwrap();
        assert!(!fits.is_insecure());
        let larger = Parameters::new(spec(log_degree, data, &[special + 1]));
        assert!(matches!(larger, Err(CkksError::Insecure { .. })), "{log_degree}");
    }
    assert!(matches!(Parameters::new(spec(10, &[30], &[30])), Err(CkksError::Parameters(_))));

    // Special primes that only fit below the top level are used only there.
    let params = Parameters::new(spec(13, &[46, 40, 40], &[47, 47, 47])).unwrap();
    assert_eq!(params.gadget(2), Gadget { level: 2, specials: 1, digit: 1 });
    assert_eq!(params.gadget(1), Gadget { level: 1, specials: 2, digit: 2 });
    let secret = SecretKey::generate(&params, &mut Rng::from_system().unwrap());
    let key = secret.relinearisation_key(
        Gadget { level: 2, specials: 3, digit: 3 },
        &mut Rng::from_system().unwrap(),
    );
    assert!(matches!(key, Err(CkksError::Insecure { .. })));
}
