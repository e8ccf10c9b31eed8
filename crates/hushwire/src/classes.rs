//! What the classes of a network are.

use hushwire_graph::{Graph, Labels, Task};

/// How many there are.
pub fn count(graph: &Graph) -> usize {
    graph.output_shape().0[0]
}

/// Whether each pixel has a class of its own.
pub fn segments(graph: &Graph) -> bool {
    graph.metadata.task == Task::Segmentation
}

/// Background classes before class 0 of the data set.
pub fn offset(graph: &Graph) -> u32 {
    match &graph.metadata.labels {
        Some(Labels::File { offset, .. }) => u32::try_from(*offset).unwrap_or(u32::MAX),
        _ => 0,
    }
}

/// The name of a class; `class N` where the network's file does not hold the names.
pub fn name(graph: &Graph, class: usize) -> String {
    let name = match &graph.metadata.labels {
        Some(Labels::Names(names)) => names.get(class).cloned(),
        _ => None,
    };
    name.unwrap_or_else(|| format!("class {class}"))
}
