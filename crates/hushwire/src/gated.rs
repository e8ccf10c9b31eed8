//! Float inference with a plan's gates.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use hushwire_graph::{Executor, Graph, Model, Tensor};
use hushwire_plan::float::{GateHooks, Observed};
use hushwire_plan::{Gate, Plan, Site};

use crate::output;

/// A network that is run in floating point with the gates of a plan.
pub struct Gated<'a> {
    graph: &'a Graph,
    executor: Executor<'a>,
    plan: Plan,
    /// Inputs of composite polynomials that were out of range, in all runs so far.
    outside: AtomicUsize,
}

impl<'a> Gated<'a> {
    /// A network and its gates.
    pub fn new(model: &'a Model, plan: Plan) -> Self {
        let executor = Executor::new(model);
        Self { graph: &model.graph, executor, plan, outside: AtomicUsize::new(0) }
    }

    /// The logits of a batch.
    pub fn run(&self, batch: &Tensor) -> Result<Vec<f32>> {
        let mut count = |seen: Observed<'_>| {
            if let Observed::Outside(_, count) = seen {
                self.outside.fetch_add(count, Ordering::Relaxed);
            }
        };
        let mut hooks = GateHooks::new(self.graph, &self.plan, &mut count);
        Ok(self.executor.run_with(batch, &mut hooks)?.data)
    }

    /// How many inputs of composite polynomials were outside their range; nothing if there are no such
    /// polynomials.
    pub fn outside(&self) -> Option<usize> {
        has_polynomials(&self.plan.sites).then(|| self.outside.load(Ordering::Relaxed))
    }
}

/// Whether gates are composite polynomials.
pub fn has_polynomials(sites: &[Site]) -> bool {
    sites.iter().any(|site| matches!(site.gate, Gate::Polynomial(_)))
}

/// Says so where inputs left the range of their polynomials.
pub fn warn_outside(outside: Option<usize>) {
    if let Some(count @ 1..) = outside {
        output::note(format!(
            "warning: {count} inputs were outside the range of their composite polynomial, whose \
             results are anything there; plan with more images or a larger --margin"
        ));
    }
}
