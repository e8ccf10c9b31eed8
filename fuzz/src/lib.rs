//! What the fuzz targets share: an allocator that bounds memory, seeds, and a small network.
//!
//! Every target reads bytes that come from a file or a peer. The rule is the same for all: an error
//! or a value, but no panic, no hang, and no allocation out of proportion to the input.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use hushwire_fixed::{Program, Settings, calibrate, lower};
use hushwire_graph::testing::{Attribute, OnnxBuilder};
use hushwire_graph::{Model, Tensor};
use hushwire_plan::Plan;

/// Most bytes that may be allocated at any time. libFuzzer's own limit counts resident memory, so it
/// misses what is reserved for a length that a hostile header announces and never touched.
const LIMIT: usize = 256 << 20;

/// The system's allocator up to [`LIMIT`]; beyond, allocation fails, which aborts the target.
struct Bounded(AtomicUsize);

#[global_allocator]
static ALLOCATOR: Bounded = Bounded(AtomicUsize::new(0));

// SAFETY: all memory comes from and goes back to `System`, with the layouts given.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.0.fetch_add(layout.size(), Relaxed).saturating_add(layout.size()) > LIMIT {
            self.0.fetch_sub(layout.size(), Relaxed);
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise about `layout`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        self.0.fetch_sub(layout.size(), Relaxed);
        // SAFETY: `ptr` came from `alloc` above with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// Writes seeds into the corpus, which is the folder that the command line names first.
///
/// # Panics
/// If they cannot be written.
pub fn seed(seeds: impl IntoIterator<Item = Vec<u8>>) {
    let mut arguments = std::env::args().skip(1).filter(|a| !a.starts_with('-'));
    let Some(folder) = arguments.next().filter(|a| Path::new(a).is_dir()) else { return };
    for (i, bytes) in seeds.into_iter().enumerate() {
        let path = Path::new(&folder).join(format!("seed-{i}"));
        std::fs::write(path, bytes).expect("the corpus takes seeds");
    }
}

/// Networks as ONNX files that between them have most operators.
pub fn onnx_files() -> Vec<Vec<u8>> {
    let ints = Attribute::Ints;
    let numbers =
        |n: usize| -> Vec<f32> { (0..n).map(|i| ((i * 7 + 3) % 11) as f32 / 8.0 - 0.6).collect() };
    let same = [("pads", ints(&[1, 1, 1, 1])), ("kernel_shape", ints(&[3, 3]))];
    let pool = [("kernel_shape", ints(&[2, 2])), ("strides", ints(&[2, 2]))];
    let classifier = OnnxBuilder::new(&[1, 6, 6])
        .property("task", "classification")
        .property("preprocess", r#"{"scale":0.1,"mean":[0.5],"std":[2.0],"color":"GRAY"}"#)
        .property("labels", r#"{"names":["a","b","c"]}"#)
        .floats("w1", &[2, 1, 3, 3], &numbers(18))
        .floats("b1", &[2], &numbers(2))
        .floats("g", &[2], &[1.5, 0.5])
        .floats("v", &[2], &[1.0, 2.0])
        .node_with("Conv", &["input", "w1", "b1"], "conv1", &same)
        .node("BatchNormalization", &["conv1", "g", "b1", "b1", "v"], "norm")
        .node("Relu", &["norm"], "relu")
        .node_with("MaxPool", &["relu"], "max", &pool)
        .floats("w2", &[2, 1, 3, 3], &numbers(18))
        .node_with(
            "Conv",
            &["max", "w2"],
            "conv2",
            &[("pads", ints(&[1, 1, 1, 1])), ("group", Attribute::Int(2))],
        )
        .floats("low", &[], &[0.0])
        .floats("high", &[], &[0.75])
        .node("Clip", &["conv2", "low", "high"], "clip")
        .node("Add", &["clip", "max"], "sum")
        .node_with("Flatten", &["sum"], "flat", &[])
        .floats("w3", &[3, 18], &numbers(54))
        .node_with("Gemm", &["flat", "w3"], "gemm", &[("transB", Attribute::Int(1))])
        .node("Relu", &["gemm"], "last")
        .build("last");
    let segmenter = OnnxBuilder::new(&[2, 4, 4])
        .opset(13)
        .floats("w", &[3, 2, 1, 1], &numbers(6))
        .node_with("AveragePool", &["input"], "mean", &pool)
        .node("Conv", &["mean", "w"], "conv")
        .node("Sigmoid", &["conv"], "gate")
        .node("Mul", &["conv", "gate"], "silu")
        .floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0])
        .node_with("Resize", &["silu", "", "scales"], "up", &[("mode", Attribute::Text("linear"))])
        .node_with("Concat", &["up", "input"], "cat", &[("axis", Attribute::Int(1))])
        .node_with("Transpose", &["cat"], "turn", &[("perm", ints(&[0, 1, 3, 2]))])
        .ints("pads", &[0, 0, 1, 1, 0, 0, 1, 1])
        .node("Pad", &["turn", "pads"], "pad")
        .ints("starts", &[1])
        .ints("ends", &[5])
        .ints("axes", &[2])
        .node("Slice", &["pad", "starts", "ends", "axes"], "slice")
        .node_with("LeakyRelu", &["slice"], "leaky", &[("alpha", Attribute::Float(0.1))])
        .node_with("Softmax", &["leaky"], "soft", &[("axis", Attribute::Int(1))])
        .build("soft");
    vec![classifier, segmenter]
}

/// A small network with convolutions, ReLUs, a clip, a max pooling and a fully connected layer.
///
/// # Panics
/// If the importer refuses it.
pub fn network() -> Model {
    Model::from_onnx_bytes(&onnx_files()[0], None).expect("the network imports")
}

/// A calibrated plan for [`network`].
///
/// # Panics
/// If calibration fails.
pub fn plan(model: &Model) -> Plan {
    let shape = model.graph.input_shape().with_batch(4);
    let data = (0..shape.iter().product::<usize>()).map(|i| (i % 13) as f32 / 6.5 - 1.0).collect();
    let images = Tensor::new(shape, data);
    calibrate(model, &Plan::exact(&model.graph), &images, &Settings::default())
        .expect("the network calibrates")
}

/// The program of [`network`] under [`plan`].
///
/// # Panics
/// If lowering fails.
pub fn program(model: &Model) -> Arc<Program> {
    Arc::new(lower(&model.graph, &plan(model)).expect("the network lowers"))
}
