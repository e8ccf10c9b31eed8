//! Fits against numbers that others have reported.

use hushwire_smooth::{
    Candidate, Density, Format, Function, Histogram, Method, Score, SmoothError, Surroundings,
    Target, fit, front,
};

/// Function, degree, pieces; expectation under N(0, 1) and maximum on [-5, 5] that must be met.
const PUBLISHED: [(Function, usize, usize, f64, f64); 7] = [
    (Function::Silu, 2, 4, 1.5e-3, 3.1e-1),
    (Function::Silu, 3, 4, 2.2e-4, 1.1e-1),
    (Function::Silu, 2, 8, 1.7e-4, 3.6e-2),
    (Function::Gelu, 3, 4, 2.4e-4, 2.5e-2),
    (Function::Mish, 3, 4, 1.8e-4, 4.2e-2),
    (Function::Silu, 2, 4, 1.4e-2, 2.3e-2),
    (Function::Gelu, 3, 4, 3.7e-3, 8.2e-3),
];

#[test]
fn ours_is_at_or_below_every_published_number() {
    for (function, degree, pieces, expected, max) in PUBLISHED {
        let target = Target::new(function, [-5.0, 5.0], &Density::Normal).expect("a target");
        let scores = [Method::Ours, Method::OursMean].map(|method| {
            let fits = fit(&target, method, pieces, degree, Format::FINE).expect("fits");
            fits[pieces - 1].1
        });
        let better = |score: &Score| score.expected <= expected && score.max <= max;
        assert!(scores.iter().any(better), "{function} {degree} {pieces} {scores:?}");
    }
}

/// Each of our fits is no worse than each other method's, by the measure that it is made for.
#[test]
fn no_method_beats_ours_at_what_it_is_made_for() {
    for function in [Function::Silu, Function::Tanh, Function::Softplus] {
        let target =
            Target::with_cells(function, [-5.0, 5.0], &Density::Normal, 160).expect("a target");
        for degree in [1, 2, 3] {
            let all = |method| fit(&target, method, 8, degree, Format::FINE).expect("fits");
            let mean = all(Method::OursMean);
            for method in [Method::Nfgen, Method::Chebyshev, Method::Compact] {
                for (pieces, (ours, theirs)) in mean.iter().zip(all(method)).enumerate() {
                    let (ours, theirs) = (ours.1, theirs.1);
                    assert!(
                        ours.expected <= theirs.expected * 1.02,
                        "{function} {degree} {}: {ours:?} {method} {theirs:?}",
                        pieces + 1
                    );
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let few = Histogram::from_counts(-1.0, 1.0, &[1, 2], 0.1).expect("counts");
    let target =
        Target::new(Function::Silu, [-1.0, 1.0], &Density::Histogram(few)).expect("a target");
    let error = fit(&target, Method::Ours, 4, 1, Format::FINE).expect_err("three samples");
    assert_eq!(error, SmoothError::Pieces { pieces: 4, samples: 3 });
    assert!(error.to_string().contains("4 pieces are more than the 3 samples"));
    assert!(fit(&target, Method::Nfgen, 3, 1, Format::FINE).is_ok());
    let degree = fit(&target, Method::Ours, 2, 6, Format::FINE).expect_err("degree");
    assert!(degree.to_string().contains("degree 6: from 1 to 5"), "{degree}");
}

/// Fronts are fronts, of functions that the plan takes, and coded lines are on ours.
#[test]
fn fronts_trade_bits_for_errors() {
    let target =
        Target::with_cells(Function::Gelu, [-6.0, 6.0], &Density::Normal, 96).expect("a target");
    let around = Surroundings::usual(6.0, 6.0);
    let fronts = [Method::Ours, Method::Nfgen, Method::Compact, Method::Chebyshev]
        .map(|method| front(&target, method, &around).expect("a front"));
    for front in &fronts {
        assert!(front.windows(2).all(|pair| pair[0].bits < pair[1].bits));
        for candidate in front {
            assert_eq!(candidate.function, candidate.function.rounded());
            assert_eq!(around.bits(&candidate.function), Some(candidate.bits));
        }
    }
    let cheapest = |front: &[Candidate], squared: f64| {
        front.iter().find(|c| c.score.squared <= squared).map_or(u64::MAX, |c| c.bits)
    };
    for squared in [1e-3, 1e-4, 1e-5] {
        let [ours, nfgen, compact, chebyshev] = [0, 1, 2, 3].map(|i| cheapest(&fronts[i], squared));
        println!("{squared:e}: {ours} {nfgen} {compact} {chebyshev}");
        assert!(
            ours < nfgen && ours < compact && ours < chebyshev,
            "{ours} {nfgen} {compact} {chebyshev}"
        );
    }
}
