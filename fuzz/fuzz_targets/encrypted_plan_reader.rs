//! Encrypted plans and tensor layouts, read from text and laid out.

#![no_main]

use hushwire_he::{EncryptedPlan, Layout};
use libfuzzer_sys::fuzz_target;

fn seeds() -> Vec<Vec<u8>> {
    let plan = r#"version = 1
architecture = "00"
objective = "latency"
flood = 0.02

[parameters]
log_degree = 13
data_bits = [35, 35, 49, 49]
special_bits = [50]

[[value]]
name = "input"
layout = "aligned"
level = 3
log_scale = 25.0

[[value]]
name = "square1"
layout = "copy:8@1 i:845@8"
level = 2
log_scale = 33.0
stage = { level = 3, folds = [4096], split = { giant = 16, centred = true } }
"#;
    let layouts = [
        "i:845@1 copy:8@1024",
        "c:2@1 c:2@16 x:8@2 y:8@32 c:8@256",
        "rest:1024@1 i:8@1024 i:13@ct",
        "batched",
    ];
    layouts.iter().map(|text| text.as_bytes().to_vec()).chain([plan.as_bytes().to_vec()]).collect()
}

fuzz_target!(init: hushwire_fuzz::seed(seeds()), |data: &[u8]| {
    if let Ok(plan) = EncryptedPlan::from_bytes(data) {
        let text = plan.to_text();
        assert_eq!(EncryptedPlan::from_bytes(text.as_bytes()).expect("it was written by us"), plan);
    }
    let Some(layout) = std::str::from_utf8(data).ok().and_then(|t| t.parse::<Layout>().ok()) else {
        return;
    };
    assert_eq!(layout.to_string().parse::<Layout>().expect("it was written by us"), layout);
    for shape in [&[845][..], &[5, 13, 13]] {
        // Large tables are slow to fill, not wrong.
        if layout.ciphertexts() > 64 {
            return;
        }
        if let Ok(table) = layout.table(shape, 1024) {
            let values: Vec<f64> = (0..845).map(f64::from).collect();
            assert_eq!(table.unpack(&table.pack(&values), 845), values);
        }
    }
});
