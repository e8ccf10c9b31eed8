//! What is public about a served network: every party hashes these bytes, and lowers them to the
//! same program.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use hushwire_fixed::{LowerError, Program, lower};
use hushwire_graph::{Graph, GraphError};
use hushwire_plan::{CheckError, Plan, ReadError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Longest description that is read, in bytes.
pub(crate) const MAX_BYTES: usize = 64 << 20;

/// Version of the protocol above the links.
pub(crate) const PROTOCOL: u32 = 3;

/// Networks that a process remembers.
const REMEMBERED: usize = 16;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Hash {
        Hash(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut hash = [0; 32];
        let parsed = hex::decode_to_slice(text, &mut hash);
        parsed.map_err(|_| format!("`{text}` is no SHA-256: 64 hexadecimal digits are"))?;
        Ok(Hash(hash))
    }
}

/// Why a description is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// The bytes are no description.
    #[error("it does not parse: {0}")]
    Syntax(#[from] postcard::Error),
    /// It is of another version.
    #[error("it is of protocol version {0}, this is version {PROTOCOL}: use the same release")]
    Version(u32),
    /// It is too long.
    #[error("it has {0} bytes; at most {MAX_BYTES} are sent")]
    TooLong(usize),
    /// The graph breaks an invariant.
    #[error("its graph is not valid: {0}")]
    Graph(#[from] GraphError),
    /// The plan does not parse.
    #[error("its plan is not valid: {0}")]
    Plan(#[from] ReadError),
    /// The plan does not fit the graph.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The network cannot be executed.
    #[error(transparent)]
    Lower(#[from] LowerError),
}

/// The bytes that travel. The plan is its published text: what people read is what is hashed.
#[derive(Serialize, Deserialize)]
struct Description {
    protocol: u32,
    plan: String,
    graph: Graph,
}

/// The public half of a served network.
pub struct Network {
    hash: Hash,
    bytes: Vec<u8>,
    graph: Graph,
    plan: Plan,
    program: Arc<Program>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Network({})", self.hash)
    }
}

/// The networks that this process has seen last, latest last.
static SEEN: LazyLock<Mutex<Vec<Arc<Network>>>> = LazyLock::new(Mutex::default);

impl Network {
    /// The description of `graph` under `plan`.
    ///
    /// # Errors
    /// A plan that does not fit or is not calibrated, a network that cannot be executed, or one
    /// whose description is too long.
    pub fn new(graph: &Graph, plan: &Plan) -> Result<Arc<Network>, DescriptionError> {
        let published = plan.published();
        let description =
            Description { protocol: PROTOCOL, plan: published.to_text(), graph: graph.clone() };
        Network::from_bytes(postcard::to_stdvec(&description)?)
    }

    /// Reads and checks a description that comes from someone else.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Result<Arc<Network>, DescriptionError> {
        if bytes.len() > MAX_BYTES {
            return Err(DescriptionError::TooLong(bytes.len()));
        }
        let hash = Hash::of(&bytes);
        if let Some(known) = Network::known(&hash) {
            return Ok(known);
        }
        let Description { protocol, plan, graph } = postcard::from_bytes(&bytes)?;
        if protocol != PROTOCOL {
            return Err(DescriptionError::Version(protocol));
        }
        graph.validate()?;
        let plan = Plan::from_bytes(plan.as_bytes())?;
        let program = Arc::new(lower(&graph, &plan)?);
        let network = Arc::new(Network { hash, bytes, graph, plan, program });
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED {
            seen.remove(0);
        }
        seen.push(Arc::clone(&network));
        Ok(network)
    }

    /// A network that this process has seen before.
    pub(crate) fn known(hash: &Hash) -> Option<Arc<Network>> {
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        let at = seen.iter().position(|network| network.hash == *hash)?;
        let network = seen.remove(at);
        seen.push(Arc::clone(&network));
        Some(network)
    }

    /// SHA-256 of the description.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Structure, shapes, and metadata: preprocessing and labels.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The plan in force, without the ranges that calibration measured.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What every party executes.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// The description as it is sent and hashed.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
