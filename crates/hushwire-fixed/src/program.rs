//! The program: what every executor of fixed-point arithmetic interprets.
//!
//! A program is a list of operations in single-assignment form; operation `i` makes value `i`. All
//! parties lower the same public graph and plan, so the program is public and needs no agreement of
//! its own. Per-sample tensors are flattened in row-major order; a batch is a sequence of samples.

use crate::blocks::blocks;
use crate::{CurveGate, PolynomialOp};
use hushwire_graph::ParamId;
use hushwire_plan::{Decision, Grouping, Window};
use hushwire_ring::ConvShape;

/// Index of a value, which is the index of the operation that makes it.
pub type ValueId = usize;

/// A network in fixed point.
#[derive(Clone, Debug)]
pub struct Program {
    /// Width l of the ring in bits.
    pub ring: u32,
    /// The operations in order of execution. The first is the input, the last opens the output.
    pub ops: Vec<Op>,
    /// What each operation makes.
    pub values: Vec<Value>,
    /// For each value the last operation that reads it, so that it can be freed.
    pub last_use: Vec<usize>,
    /// Public linear operations on the opened integers, by whoever gets the result: they need no
    /// secrecy, and what they make is larger than what they read.
    pub tail: Vec<Tail>,
}

/// An operation on what was opened. It reads the value before it, which it calls 0.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The operation.
    pub local: Local,
    /// What it makes.
    pub value: Value,
}

/// What is publicly known of a value.
#[derive(Clone, Debug)]
pub struct Value {
    /// Name of the graph node it comes from: a label for reports and meters.
    pub name: String,
    /// Elements of one sample.
    pub len: usize,
    /// The real number that the integer 1 stands for.
    pub step: f64,
    /// Whether it is a wire: P0's part is known to P2 as well. Otherwise it is a share.
    pub wire: bool,
}

/// One operation.
#[derive(Clone, Debug)]
pub enum Op {
    /// The client's input, a wire.
    Input,
    /// A weighted layer: wire to share.
    Linear(Linear),
    /// A secret constant of the server's added to every sample.
    AddParam {
        /// The value added to.
        source: ValueId,
        /// The constant, of one sample's length or one number per channel.
        param: ParamId,
        /// Elements that share one number of the constant.
        repeat: usize,
    },
    /// A public linear operation: every party applies it to its own part.
    Local(Local),
    /// A gate: share to wire.
    Gate(Gate),
    /// A piecewise polynomial: share to wire.
    Curve(CurveGate),
    /// A composite polynomial, in the clear alone: three parties compare at less cost.
    Polynomial(PolynomialOp),
    /// Opens a value to the client. Always the last operation.
    Open {
        /// The value opened.
        source: ValueId,
        /// Low bits dropped.
        truncate: u32,
        /// Bits kept: the opened integer u satisfies |u| < 2^(width-1).
        width: u32,
    },
}

/// A weighted layer. Fully connected layers are convolutions over a 1x1 map.
#[derive(Clone, Debug)]
pub struct Linear {
    /// The wire it reads.
    pub source: ValueId,
    /// Geometry.
    pub shape: ConvShape,
    /// Weights, output channels first.
    pub weight: ParamId,
    /// Bias, one number per output channel.
    pub bias: Option<ParamId>,
}

/// Public linear operations: functions of the public program alone, the same at every party.
#[derive(Clone, Debug)]
pub enum Local {
    /// Sum of values times public integers, plus a public constant.
    Combine {
        /// Values and their factors.
        terms: Vec<(ValueId, i64)>,
        /// Added once, by the one party that adds constants.
        constant: i64,
    },
    /// A selection of elements of the concatenation of some values: slices, pads, concatenations,
    /// transpositions, nearest-neighbour resizing.
    Gather {
        /// The values that are concatenated (per sample).
        sources: Vec<ValueId>,
        /// For each output element the index in the concatenation, or [`FILL`].
        map: Vec<u32>,
        /// The public integer that stands where the map says [`FILL`].
        fill: i64,
    },
    /// Sums over windows.
    SumPool {
        /// The value summed.
        source: ValueId,
        /// The windows.
        shape: PoolShape,
    },
    /// Element-wise product with public integers.
    Scale {
        /// The value scaled.
        source: ValueId,
        /// One factor per element of a sample.
        factors: Vec<i64>,
    },
    /// Separable linear interpolation with integer weights.
    Interpolate {
        /// The value resized.
        source: ValueId,
        /// Channels.
        channels: usize,
        /// Input height and width.
        input: [usize; 2],
        /// Two taps for each output row.
        rows: Vec<Tap>,
        /// Two taps for each output column.
        columns: Vec<Tap>,
    },
}

/// In a [`Local::Gather`]: this element is the public fill value.
pub const FILL: u32 = u32::MAX;

/// Two neighbours and their integer weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// First neighbour.
    pub at: u32,
    /// Second neighbour.
    pub next: u32,
    /// Weight of the first.
    pub weight: u32,
    /// Weight of the second.
    pub next_weight: u32,
}

/// Geometry of pooling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Channels.
    pub channels: usize,
    /// Input height and width.
    pub input: [usize; 2],
    /// Window height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal step.
    pub stride: [usize; 2],
    /// Rows above and columns left of the map that count as zero.
    pub before: [usize; 2],
    /// Output height and width.
    pub output: [usize; 2],
}

/// A gate: truncates a share to the bits that matter, decides signs, selects.
#[derive(Clone, Debug)]
pub struct Gate {
    /// The share it reads.
    pub source: ValueId,
    /// Low bits dropped from each party's part; see [`crate::truncate_part`].
    pub truncate: u32,
    /// Bits kept: the gate's input u must satisfy |u| < 2^(width-2).
    pub width: u32,
    /// What is applied.
    pub function: Function,
    /// The compared bits of the deciding forms.
    pub window: Window,
    /// Who decides for whom.
    pub members: Members,
}

/// What a gate computes from u and the decision d = 1{form >= 0}.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// d * u.
    Relu,
    /// min(max(u, 0), high), each element for itself.
    Clip {
        /// Upper bound in units of the gate's output.
        high: i64,
    },
}

/// Who decides for whom, per sample.
#[derive(Clone, Debug)]
pub enum Members {
    /// Every element decides for itself.
    Each,
    /// Some elements follow groups, some pass, the rest are zero: independent blocks of moderate
    /// size, which executors may work on apart. No element appears in two of them.
    Mixed(Vec<Groups>),
}

/// A block of a gate that is not simply one decision per element.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    /// Elements that are multiplied by a decision, ascending.
    pub members: Vec<u32>,
    /// For each member the group whose decision it follows; behind the block's groups come the
    /// decisions it copies.
    pub group_of: Vec<u32>,
    /// Decisions of earlier gates: the operation, and which of its decisions on the same sample, its
    /// blocks one after the other.
    pub copied: Vec<(ValueId, u32)>,
    /// Elements that pass unchanged, ascending.
    pub identity: Vec<u32>,
    /// Deciding forms: terms of group `g` are `terms[starts[g]..starts[g + 1]]`.
    pub starts: Vec<u32>,
    /// (element's position in `opened`, coefficient).
    pub terms: Vec<(u32, i64)>,
    /// Elements that appear in a form but are neither members nor opened otherwise.
    pub extra: Vec<u32>,
}

impl Groups {
    /// Number of decisions.
    pub fn decisions(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The decision that is copied, if a member's group is none of the block's own.
    pub fn copied_at(&self, group: u32) -> Option<&(ValueId, u32)> {
        self.copied.get((group as usize).checked_sub(self.decisions())?)
    }

    /// Elements that are opened to P0 and P1: members, then those that only decide.
    pub fn opened(&self) -> impl Iterator<Item = u32> + Clone + '_ {
        self.members.iter().chain(&self.extra).copied()
    }

    /// How many elements are opened to P0 and P1.
    pub fn opened_len(&self) -> usize {
        self.members.len() + self.extra.len()
    }
}

impl Members {
    /// The members of a resolved grouping of a per-sample tensor with `len` elements; `copied` says
    /// where the decisions are that it copies.
    pub fn new(grouping: &Grouping, len: usize, copied: &[(ValueId, u32)]) -> Members {
        match grouping {
            Grouping::Each => Members::Each,
            Grouping::AllIdentity => {
                Members::Mixed(blocks(&vec![Decision::Identity; len], &[], &[]))
            }
            Grouping::AllZero => Members::Mixed(Vec::new()),
            Grouping::Mixed { decisions, forms, .. } => {
                Members::Mixed(blocks(decisions, forms, copied))
            }
        }
    }

    /// Which of the gate's decisions an element follows, if it takes it itself.
    pub fn decision_of(&self, element: u32) -> Option<u32> {
        let Members::Mixed(blocks) = self else { return Some(element) };
        let mut first = 0;
        for groups in blocks {
            if let Ok(at) = groups.members.binary_search(&element) {
                let own = groups.group_of[at] < groups.decisions() as u32;
                return own.then(|| first + groups.group_of[at]);
            }
            first += groups.decisions() as u32;
        }
        None
    }

    /// Decisions for one sample of `len` elements; copied ones do not count.
    pub fn decisions(&self, len: usize) -> usize {
        match self {
            Members::Each => len,
            Members::Mixed(blocks) => blocks.iter().map(Groups::decisions).sum(),
        }
    }
}

impl Op {
    /// The values that the operation reads.
    pub fn sources(&self) -> Vec<ValueId> {
        match self {
            Op::Input => Vec::new(),
            Op::Linear(l) => vec![l.source],
            Op::AddParam { source, .. } | Op::Open { source, .. } => vec![*source],
            Op::Gate(g) => vec![g.source],
            Op::Curve(curve) => vec![curve.source],
            Op::Polynomial(polynomial) => vec![polynomial.source],
            Op::Local(local) => local.sources(),
        }
    }
}

impl Local {
    /// Makes an operation that reads one value read `value`.
    pub(crate) fn reads(&mut self, value: ValueId) {
        match self {
            Local::Combine { terms, .. } => terms.iter_mut().for_each(|term| term.0 = value),
            Local::Gather { sources, .. } => sources.fill(value),
            Local::SumPool { source, .. }
            | Local::Scale { source, .. }
            | Local::Interpolate { source, .. } => *source = value,
        }
    }

    /// The values that the operation reads.
    pub fn sources(&self) -> Vec<ValueId> {
        match self {
            Local::Combine { terms, .. } => terms.iter().map(|(v, _)| *v).collect(),
            Local::Gather { sources, .. } => sources.clone(),
            Local::SumPool { source, .. }
            | Local::Scale { source, .. }
            | Local::Interpolate { source, .. } => vec![*source],
        }
    }
}

impl Program {
    /// Length of one input sample.
    pub fn input_len(&self) -> usize {
        self.values[0].len
    }

    /// Length of one output sample.
    pub fn output_len(&self) -> usize {
        self.tail.last().map_or(self.opened().len, |last| last.value.len)
    }

    /// What is opened.
    pub fn opened(&self) -> &Value {
        &self.values[self.values.len() - 1]
    }

    /// Sign decisions for one sample.
    pub fn decisions(&self) -> usize {
        (0..self.ops.len()).map(|op| self.decisions_of(op)).sum()
    }

    /// Sign decisions of an operation for one sample.
    pub fn decisions_of(&self, op: usize) -> usize {
        match &self.ops[op] {
            Op::Gate(g) => g.members.decisions(self.values[op].len) * g.function.knots(),
            Op::Curve(curve) => self.values[op].len * curve.knots.len(),
            _ => 0,
        }
    }

    /// The gates with their positions.
    pub fn gates(&self) -> impl Iterator<Item = (usize, &Gate)> {
        self.ops.iter().enumerate().filter_map(|(i, op)| match op {
            Op::Gate(g) => Some((i, g)),
            _ => None,
        })
    }

    /// The weighted layers with their positions.
    pub fn linears(&self) -> impl Iterator<Item = (usize, &Linear)> {
        self.ops.iter().enumerate().filter_map(|(i, op)| match op {
            Op::Linear(l) => Some((i, l)),
            _ => None,
        })
    }
}

impl Function {
    /// Comparisons per decision.
    pub fn knots(&self) -> usize {
        match self {
            Function::Relu => 1,
            Function::Clip { .. } => 2,
        }
    }
}
