//! The clear fixed-point executor with the word that the program's ring needs.

use hushwire_fixed::{Executor, Program, Report, Weights};
use hushwire_graph::Params;

/// A program with its weights.
pub struct Fixed<'a> {
    program: &'a Program,
    weights: Words,
}

enum Words {
    Narrow(Weights<u32>),
    Wide(Weights<u64>),
}

impl<'a> Fixed<'a> {
    /// Rounds the weights to the program's formats.
    pub fn new(program: &'a Program, params: &Params) -> Fixed<'a> {
        let weights = if program.ring <= u32::BITS {
            Words::Narrow(Weights::quantise(program, params))
        } else {
            Words::Wide(Weights::quantise(program, params))
        };
        Fixed { program, weights }
    }

    /// The logits of a batch, and what happened beside.
    pub fn run(&self, batch: usize, input: &[f32]) -> (Vec<f32>, Report) {
        match &self.weights {
            Words::Narrow(weights) => Executor::new(self.program, weights).run(batch, input),
            Words::Wide(weights) => Executor::new(self.program, weights).run(batch, input),
        }
    }
}
