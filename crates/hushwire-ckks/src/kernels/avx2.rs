//! The loops in vectors of four words.

use super::{Difference, vector_kernels};
use crate::automorphism::Permutation;
use crate::modulus::Modulus;
use crate::simd::avx2::{Chunk, Factors, LANES, PRODUCTS, Prime, V};

vector_kernels!("avx2,fma");

/// Words of a group of a permutation.
const GROUP: usize = 16;

#[target_feature(enable = "avx2,fma")]
pub(super) fn permute_difference(
    m: &Modulus,
    permutation: &Permutation,
    out: &mut [u64],
    difference: &Difference<'_>,
    addend: Option<&[u64]>,
) {
    let p = Prime::new(m);
    let difference = Differences::new(&p, difference);
    let mut read = [0; GROUP];
    let groups = out.as_chunks_mut::<GROUP>().0;
    for (out, (group, places)) in groups.iter_mut().zip(permutation.groups()) {
        for (i, read) in chunks_mut(&mut read).iter_mut().enumerate() {
            let i = GROUP / LANES * group + i;
            let mut value = difference.at(&p, i);
            if let Some(addend) = addend {
                value = p.sub_once(p.add(p.load(&chunks(addend)[i]), value), p.q);
            }
            p.store(read, value);
        }
        *out = places.map(|i| read[i as usize % GROUP]);
    }
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn dot(m: &Modulus, out: &mut [u64], terms: &[(&[u64], &[u64])]) {
    let p = Prime::new(m);
    dot_many(&p, out, terms, |(x, y), i| (p.load(&chunks(x)[i]), p.load(&chunks(y)[i])));
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn dot_scalars(m: &Modulus, out: &mut [u64], terms: &[(&[u64], u64)]) {
    let p = Prime::new(m);
    dot_many(&p, out, terms, |&(x, w), i| (p.load(&chunks(x)[i]), p.splat(w)));
}

#[inline(always)]
fn dot_many<T>(p: &Prime, out: &mut [u64], terms: &[T], factors: impl Fn(&T, usize) -> (V, V)) {
    for (i, out) in chunks_mut(out).iter_mut().enumerate() {
        let mut sum = p.zero;
        for terms in terms.chunks(PRODUCTS) {
            let mut products = p.no_products();
            for term in terms {
                let (x, y) = factors(term, i);
                products = p.add_product(products, x, y);
            }
            sum = p.sub_once(p.add(sum, p.montgomery_sum(products)), p.q);
        }
        p.store(out, sum);
    }
}
