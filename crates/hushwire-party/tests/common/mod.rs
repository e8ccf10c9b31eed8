//! Three parties on this machine, and small networks for them.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hushwire_fixed::{Executor, Settings, Weights, calibrate, lower};
use hushwire_graph::{
    Activation, Conv, Gemm, Graph, Metadata, Model, Node, NodeId, Op, OutputKind, ParamId,
    ParamInfo, Params, Shape, Tensor,
};
use hushwire_mpc::Comparison;
use hushwire_net::Identity;
use hushwire_party::{
    BundleId, Client, ClientConfig, Entry, Handle, Helper, HelperConfig, Hooks, LineConfig,
    Network, PartyError, PeerConfig, Server, ServerConfig, identity_files,
};
use hushwire_plan::Plan;

/// A convolution of `channels` channels, a ReLU, a fully connected layer; weights by `seed`.
pub fn model(channels: usize, side: usize, seed: u64) -> Model {
    let mut state = seed ^ 0x9E37_79B9_7F4A_7C15;
    let mut tensor = |dims: &[usize]| {
        let fan: usize = dims.iter().skip(1).product();
        let scale = 1.0 / (fan.max(1) as f32).sqrt();
        let data = (0..dims.iter().product()).map(|_| uniform(&mut state) * scale).collect();
        Tensor::new(dims, data)
    };
    let map = channels * side * side;
    let dims: [&[usize]; 4] = [&[channels, 1, 3, 3], &[channels], &[5, map], &[5]];
    let tensors: Vec<Tensor> = dims.iter().map(|d| tensor(d)).collect();
    let node = |name: &str, op, inputs: &[usize], shape: &[usize]| Node {
        name: name.into(),
        op,
        inputs: inputs.iter().map(|i| NodeId(*i)).collect(),
        shape: Shape(shape.to_vec()),
    };
    let conv = Conv {
        weight: ParamId(0),
        bias: Some(ParamId(1)),
        stride: [1; 2],
        pads: [1; 4],
        dilation: [1; 2],
        groups: 1,
    };
    let shape = [channels, side, side];
    let nodes = vec![
        node("input", Op::Input, &[], &[1, side, side]),
        node("conv", Op::Conv(conv), &[0], &shape),
        node("relu", Op::Activation(Activation::Relu), &[1], &shape),
        node("flat", Op::Reshape, &[2], &[map]),
        node("full", Op::Gemm(Gemm { weight: ParamId(2), bias: Some(ParamId(3)) }), &[3], &[5]),
    ];
    let params = ["conv.w", "conv.b", "full.w", "full.b"].iter().zip(&tensors);
    let graph = Graph {
        input: NodeId(0),
        output: NodeId(nodes.len() - 1),
        nodes,
        params: params
            .map(|(name, t)| ParamInfo { name: (*name).into(), dims: t.shape.clone() })
            .collect(),
        metadata: Metadata::default(),
        output_kind: OutputKind::Logits,
    };
    let model = Model { graph, params: Params::new(tensors) };
    model.validate().expect("the network is valid");
    model
}

fn uniform(state: &mut u64) -> f32 {
    *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    ((*state >> 40) as f32 / (1u64 << 24) as f32) * 2.0 - 1.0
}

/// Inputs, uniform in [-1, 1].
pub fn images(model: &Model, count: usize, seed: u64) -> Tensor {
    let mut state = seed;
    let shape = model.graph.input_shape().with_batch(count);
    let data = (0..shape.iter().product()).map(|_| uniform(&mut state)).collect();
    Tensor::new(shape, data)
}

/// A calibrated plan.
pub fn plan(model: &Model) -> Plan {
    plan_with(model, &Settings::default())
}

/// A plan calibrated with these settings.
pub fn plan_with(model: &Model, settings: &Settings) -> Plan {
    let plan = Plan::exact(&model.graph);
    calibrate(model, &plan, &images(model, 24, 1), settings).expect("calibration")
}

/// The logits of the clear executor.
pub fn clear(model: &Model, plan: &Plan, input: &[f32]) -> Vec<f32> {
    let program = lower(&model.graph, plan).expect("lowering");
    let weights = Weights::<u64>::quantise(&program, &model.params);
    let batch = input.len() / program.input_len();
    Executor::new(&program, &weights).run(batch, input).0
}

/// A folder with identities, where parties run.
pub struct World {
    pub dir: tempfile::TempDir,
    pub model: Model,
    pub plan: Plan,
    pub timeout: u64,
    pub max_sessions: usize,
    pub cache_mib: u64,
    pub share_usage: bool,
    pub memory_mib: u64,
    pub server_state: &'static str,
    /// A line that all of them emulate.
    pub line: Option<LineConfig>,
}

/// Running server and helper.
pub struct Running {
    pub helper: Handle,
    pub server: Handle,
}

impl Running {
    pub fn stop(self) {
        self.server.shutdown();
        self.helper.shutdown();
        self.server.join();
        self.helper.join();
    }
}

impl World {
    pub fn new(model: Model) -> World {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["client", "server", "helper", "stranger"] {
            let (key, certificate) = identity_files(&dir.path().join(name));
            let identity = Identity::generate(name).expect("an identity");
            identity.save(&key, &certificate).expect("it saves");
        }
        let plan = plan(&model);
        World {
            dir,
            model,
            plan,
            timeout: 20,
            max_sessions: 16,
            cache_mib: 64,
            share_usage: false,
            memory_mib: 512,
            server_state: "server-state",
            line: None,
        }
    }

    pub fn small() -> World {
        World::new(model(3, 6, 1))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn certificate(&self, name: &str) -> PathBuf {
        identity_files(&self.path(name)).1
    }

    pub fn helper_config(&self) -> HelperConfig {
        HelperConfig {
            listen: "127.0.0.1:0".into(),
            identity: self.path("helper"),
            servers: vec![self.certificate("server")],
            clients: vec![self.certificate("client")],
            state: self.path("helper-state"),
            timeout_seconds: self.timeout,
            max_sessions: self.max_sessions,
            max_batch: 64,
            cache_mib: self.cache_mib,
            share_usage: self.share_usage,
            link: self.line,
        }
    }

    pub fn server_config(&self, helper: &Handle) -> ServerConfig {
        ServerConfig {
            listen: "127.0.0.1:0".into(),
            identity: self.path("server"),
            clients: vec![self.certificate("client")],
            model: PathBuf::new(),
            plan: PathBuf::new(),
            state: self.path(self.server_state),
            timeout_seconds: self.timeout,
            max_sessions: self.max_sessions,
            max_batch: 16,
            max_stored: 8,
            key_renewal_days: 30,
            stored_days: 30,
            share_usage: self.share_usage,
            memory_mib: self.memory_mib,
            helper: PeerConfig {
                address: helper.addr().to_string(),
                certificate: self.certificate("helper"),
            },
            link: self.line,
        }
    }

    pub fn client_config(&self, running: &Running) -> ClientConfig {
        ClientConfig {
            memory_mib: self.memory_mib,
            identity: self.path("client"),
            state: self.path("client-state"),
            timeout_seconds: self.timeout,
            network: None,
            comparison: Comparison::Digits,
            server: PeerConfig {
                address: running.server.addr().to_string(),
                certificate: self.certificate("server"),
            },
            helper: PeerConfig {
                address: running.helper.addr().to_string(),
                certificate: self.certificate("helper"),
            },
            link: self.line,
        }
    }

    pub fn start(&self) -> Running {
        self.start_with(Hooks::default(), Hooks::default())
    }

    pub fn start_with(&self, server: Hooks, helper: Hooks) -> Running {
        let helper = Helper::start_with(self.helper_config(), helper).expect("helper starts");
        self.serve_with(helper, server)
    }

    /// A server at a helper that runs.
    pub fn serve_with(&self, helper: Handle, server: Hooks) -> Running {
        let config = self.server_config(&helper);
        let server =
            Server::start_with(config, &self.model, &self.plan, server).expect("server starts");
        Running { helper, server }
    }

    pub fn connect(&self, running: &Running) -> Result<Client, PartyError> {
        Client::connect(self.client_config(running))
    }

    /// Whether these are the logits of `input`, up to rounding.
    pub fn check(&self, input: &[f32], logits: &[f32]) {
        let clear = clear(&self.model, &self.plan, input);
        assert_eq!(clear.len(), logits.len());
        for (a, b) in clear.iter().zip(logits) {
            assert!((a - b).abs() < 0.02, "{clear:?} against {logits:?}");
        }
    }

    /// What the server sends the helper before an inference, and the network.
    pub fn setup_bytes(&self, running: &Running) -> (u64, Arc<Network>) {
        let mut client = self.connect(running).expect("connects");
        let setup = client.infer(&images(&self.model, 1, 3).data).expect("infers").setup;
        let network = Arc::clone(client.network());
        client.close().expect("closes");
        (setup.bytes.p1_p2, network)
    }

    /// One inference in a session of its own.
    pub fn one_inference(&self, running: &Running) {
        let input = images(&self.model, 1, 5).data;
        let mut client = self.connect(running).expect("connects");
        let outcome = client.infer(&input).expect("infers");
        self.check(&input, &outcome.logits);
        client.close().expect("closes");
    }
}

/// Files below a folder with this ending.
pub fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == ending)).collect()
}

/// Shows the parties' log when `RUST_LOG` asks for it.
pub fn log() {
    let builder = tracing_subscriber::fmt().with_test_writer();
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    // Only the first of a process's tests succeeds.
    let _ = builder.with_env_filter(filter).try_init();
}

/// A hook that acts as `act` says.
pub fn at(
    act: impl Fn(hushwire_party::Stage) -> hushwire_party::Action + Send + Sync + 'static,
) -> Hooks {
    Hooks { at: Some(Arc::new(act)), ..Hooks::default() }
}

/// Names and batches of stored bundles.
pub fn sizes(stored: &[(BundleId, Entry)]) -> Vec<(BundleId, u32)> {
    stored.iter().map(|(id, entry)| (*id, entry.batch)).collect()
}
