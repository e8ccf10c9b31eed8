//! Prints the graph of an ONNX file and how fast the float executor runs it.
//!
//! ```text
//! cargo run --release -p hushwire-graph --example inspect -- network.onnx [BATCH]
//! ```

use std::time::Instant;

use hushwire_graph::{Executor, Model, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: inspect NETWORK.onnx [BATCH]")?;
    let batch = arguments.next().map_or(Ok(64), |n| n.parse())?;
    let start = Instant::now();
    let model = Model::load(path)?;
    println!("{}", model.graph);
    println!("{:?}, {:?}", model.graph.output_kind, model.graph.metadata);
    println!("read in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    let input = Tensor::zeros(&model.graph.input_shape().with_batch(batch));
    let executor = Executor::new(&model);
    for _ in 0..3 {
        let start = Instant::now();
        executor.run(&input)?;
        println!("{:.1} samples per second", batch as f64 / start.elapsed().as_secs_f64());
    }
    Ok(())
}
