//! The plan file: what is written is read, and what does not fit is named.

use hushwire_graph::{Activation, Graph, Metadata, Node, NodeId, Op, OutputKind, Pool, Shape};
use hushwire_plan::{
    ChannelGate, Cluster, Clusters, Format, Gate, Group, InputFormat, LayerFormat, Numbers, Others,
    Piecewise, Plan, PolynomialGate, Prototype, ReadError, Site, SiteKind, Window,
};
use proptest::prelude::*;

/// input -> relu -> max pool -> relu, on 2x4x4.
fn graph() -> Graph {
    let pool = Pool { kernel: [2, 2], stride: [2, 2], pads: [0; 4], count_include_pad: false };
    let node = |name: &str, op, inputs: &[usize], shape: &[usize]| Node {
        name: name.into(),
        op,
        inputs: inputs.iter().map(|i| NodeId(*i)).collect(),
        shape: Shape(shape.to_vec()),
    };
    let graph = Graph {
        nodes: vec![
            node("input", Op::Input, &[], &[2, 4, 4]),
            node("first", Op::Activation(Activation::Relu), &[0], &[2, 4, 4]),
            node("pool", Op::MaxPool(pool), &[1], &[2, 2, 2]),
            node("second", Op::Activation(Activation::Relu), &[2], &[2, 2, 2]),
        ],
        input: NodeId(0),
        output: NodeId(3),
        params: vec![],
        metadata: Metadata::default(),
        output_kind: OutputKind::Logits,
    };
    graph.validate().expect("the test's graph is valid");
    graph
}

fn format() -> Format {
    let window = Some(Window { low: 1, bits: 13 });
    Format { fractional_bits: 9, width: 15, range: 3.25, window }
}

fn calibrated(graph: &Graph, gates: [Gate; 2]) -> Plan {
    let mut plan = Plan::exact(graph);
    let input = InputFormat { fractional_bits: 8, range: 2.5 };
    plan.numbers = Some(Numbers { ring: 30, input });
    plan.layers = vec![LayerFormat { node: "pool".into(), fractional_bits: -3 }];
    for (site, gate) in plan.sites.iter_mut().zip(gates) {
        site.gate = gate;
        site.format = Some(format());
    }
    let mut pool = Site::uncalibrated("pool", SiteKind::MaxPool, Gate::Exact);
    pool.format = Some(Format { window: None, ..format() });
    plan.sites.push(pool);
    plan
}

fn every_gate() -> Vec<Gate> {
    let patches = vec![ChannelGate::Patch(2, 3), ChannelGate::Identity];
    let group = Group { members: vec![0, 3], form: vec![(1, -2), (3, 7)] };
    let pieces = vec![vec![], vec![0.25, 0.5, -0.125], vec![0.0, 1.0]];
    let (input_bits, accumulator_bits) = (8, 20);
    let curve = Piecewise { input_bits, accumulator_bits, knots: vec![-1.5, 2.0], pieces };
    let cluster = |gate, form: &[(u32, i32)]| Cluster { gate, form: form.to_vec(), copies: None };
    let pair = cluster(ChannelGate::Patch(2, 1), &[(1, 3), (0, -1)]);
    let clusters =
        Clusters { of_channel: vec![0, 1], list: vec![pair, cluster(ChannelGate::Zero, &[])] };
    let construction = hushwire_minimax::Construction::Uniform;
    let uniform = PolynomialGate { construction, ..PolynomialGate::new(14, 0.125) };
    vec![
        Gate::Piecewise(curve),
        Gate::Polynomial(PolynomialGate::new(9, 7.5)),
        Gate::Polynomial(uniform),
        Gate::Clusters(clusters),
        Gate::Exact,
        Gate::Identity,
        Gate::Zero,
        Gate::Patches(patches),
        Gate::Groups { list: vec![group], others: Others::Exact },
        Gate::Groups { list: vec![], others: Others::Zero },
    ]
}

#[test]
fn every_gate_survives_writing_and_reading() {
    let graph = graph();
    for gate in every_gate() {
        let plan = calibrated(&graph, [gate, Gate::Exact]);
        plan.check(&graph).expect("the plan fits");
        let text = plan.to_text();
        assert_eq!(Plan::from_bytes(text.as_bytes()).expect("it reads"), plan, "{text}");
    }
}

#[test]
fn polynomials_are_read_as_people_write_them() {
    let graph = graph();
    let exact = Plan::exact(&graph).to_text();
    let with = |polynomial: &str| {
        let gate = format!("kind = \"activation\"\ngate = {{ polynomial = {polynomial} }}");
        Plan::from_bytes(exact.replacen("kind = \"activation\"", &gate, 1).as_bytes())
    };
    let plan = with("{ alpha = 9, range = 7.5 }").expect("it reads");
    assert_eq!(plan.sites[0].gate, Gate::Polynomial(PolynomialGate::new(9, 7.5)));
    plan.check(&graph).expect("it fits");
    for (polynomial, part) in [
        ("{ alpha = 3, range = 7.5 }", "degrees are known for 4 to 14"),
        ("{ alpha = 9, range = 0.0 }", "a range of 0"),
        ("{ alpha = 9, range = nan }", "a range of NaN"),
        ("{ alpha = 9, range = 1e99 }", "up to 2^30"),
        ("{ alpha = 9, range = 1.0, table = 7 }", "table 7 of polynomials is not known"),
    ] {
        let error = with(polynomial).expect("it reads").check(&graph).expect_err("it is bad");
        assert!(error.to_string().contains(part), "{part:?} is missing in:\n{error}");
    }
    assert!(with("{ alpha = 9, range = 1.0, construction = \"best\" }").is_err());
    assert!(with("{ alpha = 9 }").is_err());
    let mut clipped = graph.clone();
    clipped.nodes[1].op = Op::Activation(Activation::Clip { min: 0.0, max: 6.0 });
    let mut plan = Plan::exact(&clipped);
    plan.sites[0].gate = Gate::Polynomial(PolynomialGate::new(9, 7.5));
    let error = plan.check(&clipped).expect_err("no Relu").to_string();
    assert!(error.contains("first: composite polynomials stand for Relu"), "{error}");
}

#[test]
fn clusters_that_do_not_fit_are_refused() {
    let graph = graph();
    let patch = ChannelGate::Patch(1, 1);
    let of = |channels: &[u32], gate, form: &[(u32, i32)]| {
        let list = vec![Cluster { gate, form: form.to_vec(), copies: None }];
        let gate = Gate::Clusters(Clusters { of_channel: channels.to_vec(), list });
        let checked = calibrated(&graph, [gate, Gate::Exact]).check(&graph);
        checked.err().map_or_else(String::new, |e| e.to_string())
    };
    assert_eq!(of(&[0, 0], patch, &[(1, 1)]), "");
    for (error, part) in [
        (of(&[0], patch, &[(0, 1)]), "1 channels have patches, the node has 2"),
        (of(&[0, 1], patch, &[(0, 1)]), "belongs to cluster 1, which is not listed"),
        (of(&[0, 0], ChannelGate::Patch(5, 1), &[(0, 1)]), "cluster 0: a 5x1 patch on a 4x4 map"),
        (of(&[0, 0], patch, &[]), "cluster 0: a form needs coefficients"),
        (of(&[0, 0], patch, &[(0, 0)]), "cluster 0: a form needs coefficients"),
        (of(&[0, 0], patch, &[(2, 1)]), "one of 2 that is not there"),
        (of(&[0, 0], patch, &[(1, 1), (1, 2)]), "names a channel twice"),
    ] {
        assert!(error.contains(part), "{part:?} is missing in:\n{error}");
    }
}

#[test]
fn copies_that_do_not_fit_are_refused() {
    // As the other graph, without the pooling.
    let mut graph = graph();
    graph.nodes[3].inputs = vec![NodeId(1)];
    graph.nodes[3].shape = graph.nodes[1].shape.clone();
    graph.validate().expect("the test's graph is valid");
    let patch = ChannelGate::Patch(2, 2);
    let of = |first: Gate, gate, node: &str, channel, form: &[(u32, i32)]| {
        let copies = Some(Prototype { node: node.into(), channel });
        let list = vec![Cluster { gate, form: form.to_vec(), copies }];
        let second = Gate::Clusters(Clusters { of_channel: vec![0, 0], list });
        let plan = calibrated(&graph, [first, second]);
        let text = plan.to_text();
        assert_eq!(Plan::from_bytes(text.as_bytes()).expect("it reads"), plan, "{text}");
        plan.check(&graph).err().map_or_else(String::new, |e| e.to_string())
    };
    let first = || Gate::Patches(vec![patch, ChannelGate::Zero]);
    assert_eq!(of(first(), patch, "first", 0, &[]), "");
    for (error, part) in [
        (of(first(), patch, "second", 0, &[]), "which is no activation before it"),
        (of(first(), patch, "input", 0, &[]), "which is no activation before it"),
        (of(first(), patch, "nobody", 0, &[]), "which is no activation before it"),
        (of(first(), patch, "first", 1, &[]), "channel 1 of first, which decides nothing"),
        (of(first(), patch, "first", 2, &[]), "which decides nothing"),
        (of(Gate::Exact, patch, "first", 0, &[]), "which decides nothing"),
        (of(first(), ChannelGate::Patch(2, 1), "first", 0, &[]), "which has other patches"),
        (of(first(), patch, "first", 0, &[(0, 1)]), "so it needs patches, and no form"),
        (of(first(), ChannelGate::Zero, "first", 0, &[]), "so it needs patches, and no form"),
    ] {
        assert!(error.contains(part), "{part:?} is missing in:\n{error}");
    }
}

#[test]
fn the_published_plan_tells_no_ranges() {
    let graph = graph();
    let plan = calibrated(&graph, [Gate::Exact, Gate::Zero]);
    assert!(plan.to_text().contains("range"));
    let published = plan.published();
    assert!(!published.to_text().contains("range"));
    published.check(&graph).expect("it fits as the whole one does");
    assert_eq!(Plan::from_bytes(published.to_text().as_bytes()).expect("it reads"), published);
}

#[test]
fn the_file_is_one_that_people_can_write() {
    let graph = graph();
    let hash = hushwire_plan::architecture_hash(&graph);
    let text = format!(
        r#"
        version = 1
        architecture = "{hash}"

        [[site]]
        node = "first"
        kind = "activation"
        gate = {{ patches = ["2x2", "zero"] }}

        [[site]]
        node = "second"
        kind = "activation"
        "#
    );
    let plan = Plan::from_bytes(text.as_bytes()).expect("it reads");
    plan.check(&graph).expect("it fits");
    let patches = Gate::Patches(vec![ChannelGate::Patch(2, 2), ChannelGate::Zero]);
    assert_eq!(plan.sites[0].gate, patches);
    assert_eq!(plan.sites[1].gate, Gate::Exact, "the default");
    assert!(!plan.is_calibrated());
}

#[test]
fn everything_that_does_not_fit_is_named_at_once() {
    let graph = graph();
    let mut plan = calibrated(
        &graph,
        [
            Gate::Patches(vec![ChannelGate::Patch(5, 1)]),
            Gate::Groups {
                list: vec![
                    Group { members: vec![0, 99], form: vec![(0, 1)] },
                    Group { members: vec![0], form: vec![(1, 0)] },
                ],
                others: Others::Exact,
            },
        ],
    );
    plan.architecture = "of another network".into();
    plan.numbers =
        Some(Numbers { ring: 65, input: InputFormat { fractional_bits: 99, range: 1.0 } });
    plan.layers.push(LayerFormat { node: "nowhere".into(), fractional_bits: 0 });
    plan.sites.push(Site::uncalibrated("first", SiteKind::MaxPool, Gate::Zero));
    plan.sites.push(Site::uncalibrated("nobody", SiteKind::Wire, Gate::Exact));
    let window = Some(Window { low: 3, bits: 13 });
    plan.sites[2].format = Some(Format { window, ..format() });
    let error = plan.check(&graph).expect_err("nothing fits").to_string();
    for part in [
        "architecture: the plan was made for network of another",
        "numbers.ring: 65 bits",
        "numbers.input: 99 fractional bits",
        "nowhere: a layer of that name",
        "first: 1 channels have patches, the node has 2",
        "channel 0: a 5x1 patch on a 4x4 map",
        "second: group 0 names element 99 of 8",
        "element 0 is a member twice",
        "group 1: a form needs coefficients",
        "first: the node is no max pool",
        "a max pool has no gate to choose",
        "nobody: no node of that name",
        "pool: the window of 13 bits from bit 3",
    ] {
        assert!(error.contains(part), "{part:?} is missing in:\n{error}");
    }
}

#[test]
fn an_activation_without_a_gate_is_named() {
    let graph = graph();
    let mut plan = Plan::exact(&graph);
    plan.sites.pop();
    let error = plan.check(&graph).expect_err("one is missing").to_string();
    assert!(error.contains("second: the plan names no gate"), "{error}");
}

#[test]
fn bad_files_say_why() {
    let read = |text: &str| Plan::from_bytes(text.as_bytes()).expect_err("bad").to_string();
    assert!(read("version = 2\nnew = 1").contains("version 2"));
    assert!(read("version = ").contains("line 1"), "{}", read("version = "));
    assert!(read("version = 1\narchitecture = \"x\"\nsurprise = 1").contains("surprise"));
    let site = "version = 1\narchitecture = \"x\"\n[[site]]\nnode = \"a\"\nkind = \"activation\"\n";
    assert!(read(&format!("{site}gate = \"maximal\"")).contains("maximal"));
    assert!(read(&format!("{site}gate = {{ patches = [\"0x1\"] }}")).contains("0x1"));
    assert!(matches!(Plan::from_bytes(&[b'a', 0xff]), Err(ReadError::NotText(1))));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Plan::from_bytes(&bytes);
    }

    #[test]
    fn damaged_plans_never_panic(at in 0usize..600, byte in any::<u8>()) {
        let graph = graph();
        let mut text = calibrated(&graph, [every_gate().remove(1), Gate::Exact]).to_text().into_bytes();
        let at = at % text.len();
        text[at] = byte;
        if let Ok(plan) = Plan::from_bytes(&text) {
            let _ = plan.check(&graph);
        }
    }
}
