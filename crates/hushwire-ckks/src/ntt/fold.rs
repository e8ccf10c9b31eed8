//! The fold of the real subring in vectors: index j goes with N - j, so every vector goes with one that
//! is read backwards.

/// The fold in the vectors of some instructions.
macro_rules! folds {
    ($isa:ident, $features:tt) => {
        pub(super) mod $isa {
            use crate::modulus::{Factor, Modulus};
            use crate::ntt::Input;
            use crate::simd::$isa::{Chunk, LANES, Prime, V};

            /// x_j, x_{N-j} = f(a, b), f(b, a) for a = `read`(j), b = `read`(N - j), and j from 1 up to what it
            /// returns, which is left to do and at most N/2. `read` gives the vector that starts at a place.
            #[inline(always)]
            fn pairs(
                p: &Prime,
                x: &mut [u64],
                read: impl Fn(&[u64], usize) -> V,
                f: impl Fn(V, V) -> V,
            ) -> usize {
                let end = 1 + (x.len() / 2 - 1) / LANES * LANES;
                for low in (1..end).step_by(LANES) {
                    let high = x.len() - low - (LANES - 1);
                    let (a, b) = (read(x, low), p.reverse(read(x, high)));
                    p.store(&mut x[low..].as_chunks_mut().0[0], f(a, b));
                    p.store(&mut x[high..].as_chunks_mut().0[0], p.reverse(f(b, a)));
                }
                end
            }

            #[inline(always)]
            fn chunk(x: &[u64], start: usize) -> &Chunk {
                &x[start..].as_chunks().0[0]
            }

            /// a_j - I a_{N-j} of words a below 2^52 with an offset, reduced.
            #[target_feature(enable = $features)]
            pub(in crate::ntt) fn fold(
                m: &Modulus,
                x: &mut [u64],
                input: Input<'_>,
                i: Factor,
                offset: u64,
            ) -> usize {
                let p = Prime::new(m);
                let (i, offset) = (p.factors(i), p.splat(offset));
                let turn = |a: V, b: V| p.sub_once(p.sub(p.add(a, p.q), p.mul(b, i)), p.q);
                match input {
                    Input::Own => {
                        pairs(&p, x, |x, at| p.reduce(p.add(p.load(chunk(x, at)), offset)), turn)
                    }
                    Input::One(a) => {
                        pairs(&p, x, |_, at| p.reduce(p.add(p.load(chunk(a, at)), offset)), turn)
                    }
                    Input::Two([a, b], factors) => {
                        let factors = factors.map(|w| p.factors(w));
                        let read = |_: &[u64], at: usize| {
                            let sum =
                                p.sum_of_two([p.load(chunk(a, at)), p.load(chunk(b, at))], factors);
                            p.sub_once(p.sub_once(p.add(sum, offset), p.two_q), p.q)
                        };
                        pairs(&p, x, read, turn)
                    }
                }
            }

            /// x_j + I x_{N-j} + `half` of reduced words, reduced.
            #[target_feature(enable = $features)]
            pub(in crate::ntt) fn unfold(
                m: &Modulus,
                x: &mut [u64],
                i: Factor,
                half: u64,
            ) -> usize {
                let p = Prime::new(m);
                let (i, half) = (p.factors(i), p.splat(half));
                pairs(
                    &p,
                    x,
                    |x, at| p.load(chunk(x, at)),
                    |a, b| {
                        let sum = p.sub_once(p.add(a, p.mul(b, i)), p.q);
                        p.sub_once(p.add(sum, half), p.q)
                    },
                )
            }
        }
    };
}

folds!(ifma, "avx512f,avx512ifma");
folds!(avx2, "avx2,fma");
