//! Encrypted inference: one server computes on ciphertexts, the client alone can decrypt.
//!
//! [`Network::new`] brings a graph into a normal form, [`plan`] finds layouts, levels and scales,
//! [`assemble`] makes the program, and [`Executor`] runs it on any [`Machine`]: [`CkksMachine`], or
//! [`Clear`] for tests. `docs/encrypted.md` describes all of it.

mod assemble;
mod circuit;
mod ckks;
mod costs;
mod execute;
mod interface;
mod keys;
mod layout;
mod linear;
mod lower;
mod machine;
mod measure;
mod network;
mod plan;
mod planner;
mod program;
mod ranges;
mod schedule;
mod sparse;

pub use assemble::assemble;
pub use circuit::Evaluation;
#[cfg(feature = "test-support")]
pub use ckks::danger_insecure_parameters;
pub use ckks::{CkksMachine, CkksOwner, parameters};
pub use costs::{CostError, CostTable, Costs};
pub use execute::{Encoded, ExecuteError, Executor, Progress};
pub use interface::{Interface, InterfaceError, Port};
pub use keys::{KeyNeeds, KeySet};
pub use layout::{Axis, Digit, Layout, LayoutError, Table};
pub use linear::{Giant, Linear};
pub use lower::{Cell, Mixed, Orbit, Split};
pub use machine::{Clear, ClearError, ClearVector, Counted, Counter, Counts, KeyHolder, Machine};
pub use network::{Network, Product, Refusal, RefusedNode, Stage, Term, Trace, Value};
pub use plan::{
    EncryptedPlan, MAX_BYTES as MAX_PLAN_BYTES, Objective, Parameters, Placement, PlanError,
    StagePlan, VERSION as PLAN_VERSION, ValuePlan,
};
pub use planner::{Line, Planned, Planning, PlanningError, Settings, plan, plan_with};
pub use program::{Affine, Place, Program, ProgramStage, ProgramValue};
pub use ranges::{Magnitude, Ranges};
pub use schedule::{Schedule, TooDeep};
pub use sparse::Sparse;
