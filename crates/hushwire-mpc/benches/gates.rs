//! Gates on 2^16 elements, party by party offline and both parties together online, over links in
//! memory.

use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
};
use hushwire_fixed::{Settings, Weights, calibrate, lower};
use hushwire_graph::testing::{Attribute, OnnxBuilder};
use hushwire_graph::{Model, Tensor};
use hushwire_mpc::world::{Keys, Links, offline, online};
use hushwire_mpc::{
    ClientBundle, Comparison, Job, MaskedWeights, Records, ServerBundle, WeightMasks, client,
    helper, server,
};
use hushwire_net::LinkOptions;
use hushwire_plan::{ChannelGate, Gate, Plan};

const CHANNELS: usize = 16;
const SIDE: usize = 64;
const ELEMENTS: usize = CHANNELS * SIDE * SIDE;

/// The activation behind the cheapest layer there is, as gates need a share.
fn network(activation: &str) -> Model {
    let weights: Vec<f32> = (0..CHANNELS).map(|c| 0.5 + c as f32 / 32.0).collect();
    let groups = [("group", Attribute::Int(CHANNELS as i64))];
    let file = OnnxBuilder::new(&[CHANNELS as i64, SIDE as i64, SIDE as i64])
        .floats("weights", &[CHANNELS as i64, 1, 1, 1], &weights)
        .floats("low", &[], &[0.0])
        .floats("high", &[], &[0.5])
        .node_with("Conv", &["input", "weights"], "conv", &groups);
    let inputs: &[&str] = if activation == "Clip" { &["conv", "low", "high"] } else { &["conv"] };
    let file = file.node(activation, inputs, "gate").build("gate");
    Model::from_onnx_bytes(&file, None).expect("the network imports")
}

fn image() -> Tensor {
    let data = (0..ELEMENTS).map(|i| (i * 31 % 257) as f32 / 128.5 - 1.0).collect();
    Tensor::new(vec![1, CHANNELS, SIDE, SIDE], data)
}

/// What the parties need, and links that hold a whole phase, so that each can run alone.
struct Bench {
    job: Job,
    weights: Weights<u32>,
    masks: WeightMasks<u32>,
    masked: MaskedWeights<u32>,
    keys: Keys,
    options: LinkOptions,
}

impl Bench {
    fn new(model: &Model, gate: Gate, comparison: Comparison) -> Bench {
        let mut plan = Plan::exact(&model.graph);
        plan.sites[0].gate = gate;
        let plan = calibrate(model, &plan, &image(), &Settings::default()).expect("it calibrates");
        let program = Arc::new(lower(&model.graph, &plan).expect("it lowers"));
        let weights = Weights::quantise(&program, &model.params);
        let job = Job::new(program, 1, comparison);
        let keys = Keys::for_test(1);
        let masks = WeightMasks::new(&job, &keys.model);
        let masked = MaskedWeights::mask(&job, &weights, &masks);
        let queue = 1 << 30;
        let options =
            LinkOptions { send_queue: queue, recv_queue: queue, ..LinkOptions::default() };
        Bench { job, weights, masks, masked, keys, options }
    }

    fn links(&self) -> Links {
        Links::in_memory(&self.options)
    }

    fn deal(&self, links: &Links) {
        let (client, server) = (&links.client_helper.1, &links.server_helper.1);
        helper::deal(&self.job, &self.masked, &self.keys.k02, &self.keys.k12, client, server)
            .expect("the helper deals");
    }

    fn run(&self, group: &mut BenchmarkGroup<'_, WallTime>) {
        let Bench { job, keys, .. } = self;
        // The links are given back, so that closing them is not measured.
        let dealing = |links: Links| {
            self.deal(&links);
            links
        };
        let dealt = || dealing(self.links());
        let preparing_client = |links: Links| {
            let (helper, server) = (&links.client_helper.0, &links.client_server.0);
            let mut records = Records::default();
            client::prepare(job, &self.masks, &keys.k02, helper, server, &mut records)
                .expect("the client prepares");
            (links, ClientBundle::new(records))
        };
        let preparing_server = |(links, _): (Links, _)| {
            let (helper, client) = (&links.server_helper.0, &links.client_server.1);
            let mut records = Records::default();
            server::prepare(job, &keys.k12, helper, client, &mut records)
                .expect("the server prepares");
            (links, ServerBundle::new(records))
        };
        let prepared = || {
            let links = self.links();
            let bundles = offline(job, &self.weights, keys, &links).expect("the offline phase");
            (links, bundles)
        };
        let image = image().data;
        let inferring = |(links, bundles)| {
            let logits = online(job, &self.weights, bundles, &image, &links);
            (links, logits.expect("the online phase"))
        };
        let size = BatchSize::PerIteration;
        group.bench_function("deal", |b| b.iter_batched(|| self.links(), dealing, size));
        group.bench_function("client", |b| b.iter_batched(dealt, preparing_client, size));
        let both = || preparing_client(dealt());
        group.bench_function("server", |b| b.iter_batched(both, preparing_server, size));
        group.bench_function("online", |b| b.iter_batched(prepared, inferring, size));
    }
}

fn gates(c: &mut Criterion) {
    let (relu, clip) = (network("Relu"), network("Clip"));
    let patches = Gate::Patches(vec![ChannelGate::Patch(2, 2); CHANNELS]);
    for comparison in [Comparison::Digits, Comparison::Dcf] {
        for (name, model, gate) in [
            ("relu", &relu, Gate::Exact),
            ("patch 2x2", &relu, patches.clone()),
            ("clip", &clip, Gate::Exact),
        ] {
            let mut group = c.benchmark_group(format!("{name}/{comparison}"));
            group.throughput(Throughput::Elements(ELEMENTS as u64));
            Bench::new(model, gate, comparison).run(&mut group);
        }
    }
}

fn config() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = config(); targets = gates }
criterion_main!(benches);
