//! A network's public description, as a hostile server could send it: graph and plan.

#![no_main]

use hushwire_fixed::lower;
use hushwire_fuzz::{network, onnx_files, plan};
use hushwire_graph::{Graph, Model};
use hushwire_plan::{Plan, architecture_hash};
use libfuzzer_sys::fuzz_target;

/// Lowering makes tables in proportion to the values' sizes, which a graph states and does not
/// contain: larger ones are valid, but would only slow the fuzzer down.
const MAX_ELEMENTS: usize = 1 << 12;

fn seeds() -> Vec<Vec<u8>> {
    let model = network();
    let calibrated = (model.graph.clone(), plan(&model).to_text());
    let models = onnx_files().into_iter().map(|f| Model::from_onnx_bytes(&f, None));
    let models = models.map(|m| m.expect("the seeds import").graph);
    let exact = models.map(|graph| (graph.clone(), Plan::exact(&graph).to_text()));
    let bytes = |pair| postcard::to_stdvec(&pair).expect("plain data serialises");
    exact.chain([calibrated]).map(bytes).collect()
}

fuzz_target!(init: hushwire_fuzz::seed(seeds()), |data: &[u8]| {
    let Ok((graph, rest)) = postcard::take_from_bytes::<Graph>(data) else { return };
    if graph.validate().is_err() {
        return;
    }
    let _ = graph.to_string();
    let exact = Plan::exact(&graph);
    exact.check(&graph).expect("the default plan fits");
    assert_eq!(graph.consumers().len(), graph.nodes.len());
    if graph.nodes.iter().any(|node| node.shape.len() > MAX_ELEMENTS) {
        return;
    }
    let Ok(text) = postcard::from_bytes::<&str>(rest) else { return };
    let Ok(mut plan) = Plan::from_bytes(text.as_bytes()) else { return };
    plan.architecture = architecture_hash(&graph);
    let _ = lower(&graph, &plan);
});
