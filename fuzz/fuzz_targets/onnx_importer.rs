//! ONNX files, which people download.

#![no_main]

use hushwire_graph::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: hushwire_fuzz::seed(hushwire_fuzz::onnx_files()), |data: &[u8]| {
    let Ok(model) = Model::from_onnx_bytes(data, None) else { return };
    model.validate().expect("what is imported is valid");
    let _ = model.graph.to_string();
    let written = Model::from_onnx_bytes(&model.to_onnx(), None).expect("a written file imports");
    // Not the parameters: a NaN is not equal to itself.
    assert_eq!(written.graph.nodes.len(), model.graph.nodes.len());
});
