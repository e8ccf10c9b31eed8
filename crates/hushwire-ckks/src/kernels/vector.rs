//! The loops that are the same in vectors of any width.

/// Kernels for the `Prime` and its types that are in scope, compiled for some instructions.
macro_rules! vector_kernels {
    ($features:tt) => {
        /// x = f(x, y)
        #[inline(always)]
        fn zip(p: &Prime, x: &mut [u64], y: &[u64], f: impl Fn(V, V) -> V) {
            for (x, y) in chunks_mut(x).iter_mut().zip(chunks(y)) {
                p.store(x, f(p.load(x), p.load(y)));
            }
        }

        /// x = f(x)
        #[inline(always)]
        fn map(p: &Prime, x: &mut [u64], f: impl Fn(V) -> V) {
            for x in chunks_mut(x) {
                p.store(x, f(p.load(x)));
            }
        }

        fn chunks(x: &[u64]) -> &[Chunk] {
            x.as_chunks().0
        }

        fn chunks_mut(x: &mut [u64]) -> &mut [Chunk] {
            x.as_chunks_mut().0
        }

        #[target_feature(enable = $features)]
        pub(super) fn add(m: &Modulus, x: &mut [u64], y: &[u64]) {
            let p = Prime::new(m);
            zip(&p, x, y, |x, y| p.sub_once(p.add(x, y), p.q));
        }

        #[target_feature(enable = $features)]
        pub(super) fn sub(m: &Modulus, x: &mut [u64], y: &[u64]) {
            let p = Prime::new(m);
            zip(&p, x, y, |x, y| p.sub_once(p.sub(p.add(x, p.q), y), p.q));
        }

        #[target_feature(enable = $features)]
        pub(super) fn neg(m: &Modulus, x: &mut [u64]) {
            let p = Prime::new(m);
            map(&p, x, |x| p.sub_once(p.sub(p.q, x), p.q));
        }

        #[target_feature(enable = $features)]
        pub(super) fn add_scaled(m: &Modulus, x: &mut [u64], y: &[u64], w: u64) {
            let p = Prime::new(m);
            let w = p.splat(w);
            zip(&p, x, y, |x, y| p.sub_once(p.add(x, p.montgomery(y, w)), p.q));
        }

        #[target_feature(enable = $features)]
        pub(super) fn mul(m: &Modulus, x: &mut [u64], y: &[u64]) {
            let p = Prime::new(m);
            zip(&p, x, y, |x, y| p.montgomery(x, y));
        }

        #[target_feature(enable = $features)]
        pub(super) fn mul_to(m: &Modulus, out: &mut [u64], x: &[u64], y: &[u64]) {
            let p = Prime::new(m);
            for ((out, x), y) in chunks_mut(out).iter_mut().zip(chunks(x)).zip(chunks(y)) {
                p.store(out, p.montgomery(p.load(x), p.load(y)));
            }
        }

        #[target_feature(enable = $features)]
        pub(super) fn scale(m: &Modulus, x: &mut [u64], w: u64) {
            let p = Prime::new(m);
            let w = p.splat(w);
            map(&p, x, |x| p.montgomery(x, w));
        }

        #[target_feature(enable = $features)]
        pub(super) fn add_scalar(m: &Modulus, x: &mut [u64], w: u64) {
            let p = Prime::new(m);
            let w = p.splat(w);
            map(&p, x, |x| p.sub_once(p.add(x, w), p.q));
        }

        #[target_feature(enable = $features)]
        pub(super) fn reduce(m: &Modulus, out: &mut [u64], x: &[u64]) {
            let p = Prime::new(m);
            zip(&p, out, x, |_, x| p.reduce(x));
        }

        /// A difference in vectors.
        #[derive(Clone, Copy)]
        struct Differences<'a> {
            x: &'a [Chunk],
            y: &'a [Chunk],
            factor: Factors,
        }

        impl<'a> Differences<'a> {
            #[inline(always)]
            fn new(p: &Prime, d: &Difference<'a>) -> Self {
                Self { x: chunks(d.x), y: chunks(d.y), factor: p.factors(d.factor) }
            }

            #[inline(always)]
            fn at(&self, p: &Prime, i: usize) -> V {
                let y = p.reduce_lazy(p.load(&self.y[i]));
                p.mul(p.sub(p.add(p.load(&self.x[i]), p.two_q), y), self.factor)
            }
        }

        #[target_feature(enable = $features)]
        pub(super) fn scale_difference(m: &Modulus, out: &mut [u64], difference: &Difference<'_>) {
            let p = Prime::new(m);
            let difference = Differences::new(&p, difference);
            for (i, out) in chunks_mut(out).iter_mut().enumerate() {
                p.store(out, difference.at(&p, i));
            }
        }

        #[target_feature(enable = $features)]
        pub(super) fn add_difference(m: &Modulus, x: &mut [u64], difference: &Difference<'_>) {
            let p = Prime::new(m);
            let difference = Differences::new(&p, difference);
            for (i, x) in chunks_mut(x).iter_mut().enumerate() {
                p.store(x, p.sub_once(p.add(p.load(x), difference.at(&p, i)), p.q));
            }
        }

        #[target_feature(enable = $features)]
        pub(super) fn tensor(m: &Modulus, out: [&mut [u64]; 3], x: [&[u64]; 2], y: [&[u64]; 2]) {
            let p = Prime::new(m);
            let r2 = p.splat(m.r2);
            let [a, b, c] = out.map(|out| chunks_mut(out));
            let (x, y) = (x.map(chunks), y.map(chunks));
            for (i, ((a, b), c)) in a.iter_mut().zip(b).zip(c).enumerate() {
                let x = x.map(|x| p.load(&x[i]));
                let y = y.map(|y| p.montgomery(p.load(&y[i]), r2));
                p.store(a, p.montgomery(x[0], y[0]));
                p.store(c, p.montgomery(x[1], y[1]));
                p.store(b, p.montgomery_two(x, [y[1], y[0]]));
            }
        }
    };
}

pub(super) use vector_kernels;
