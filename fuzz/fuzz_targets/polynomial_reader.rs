//! The text of a polynomial, up to its evaluation.

#![no_main]

use hushwire_minimax::{Construction, PolynomialFile};
use libfuzzer_sys::fuzz_target;

fn seeds() -> Vec<Vec<u8>> {
    let known = |alpha| PolynomialFile::known(alpha, Construction::Weighted).expect("it is known");
    [4, 7, 14].map(|alpha| known(alpha).to_text().into_bytes()).into()
}

fuzz_target!(init: hushwire_fuzz::seed(seeds()), |data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(file) = PolynomialFile::from_text(text) else { return };
    assert_eq!(PolynomialFile::from_text(&file.to_text()).expect("a written file reads"), file);
    let sign = file.polynomial;
    assert!(sign.degrees().depth() > 0);
    // Coefficients are bounded, so the stages' values may be large but the first one's is finite.
    assert!(sign.stages()[0].eval(sign.stages()[0].bound()).is_finite());
    sign.sign_by_circuit(0.5);
});
