//! Exact privacy on small rings, by exhaustion.
//!
//! One element of a tensor for every value of all randomness: a single run of the real executor
//! then shows the exact distribution of what each party receives. A view that is uniform for every
//! input tells nothing of it; as many random bits as received bits make it a bijection.

use crate::job::{Comparison, Job, Kind, step};
use crate::keys::{Key, Purpose};
use crate::world::{Keys, Links, offline, online};
use hushwire_fixed::Weights;
use hushwire_fixed::program::{Function, Gate, Groups, Linear, Members, Op, Program, Value};
use hushwire_fss::tape;
use hushwire_graph::{ParamId, Params, Tensor};
use hushwire_net::{Interceptor, LinkOptions, Phase, Role, Verdict};
use hushwire_plan::Window;
use hushwire_ring::{Bits, ConvShape, packed_len, unpack};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

mod copies;
mod curve;

/// Tapes are global: tests that use them take turns.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Named random variables as bit fields of an element's index.
struct Space {
    fields: Vec<(&'static str, u32)>,
}

impl Space {
    fn new(fields: &[(&'static str, u32)]) -> Space {
        Space { fields: fields.to_vec() }
    }

    fn bits(&self) -> u32 {
        self.fields.iter().map(|f| f.1).sum()
    }

    fn len(&self) -> usize {
        1 << self.bits()
    }

    /// The value of `name` at every index; zero if there is no such variable.
    fn column(&self, name: &str) -> Vec<u32> {
        let mut shift = 0;
        for &(field, bits) in &self.fields {
            if field == name {
                return (0..self.len()).map(|i| (i >> shift) as u32 & ((1 << bits) - 1)).collect();
            }
            shift += bits;
        }
        vec![0; self.len()]
    }
}

fn put_words(key: &Key, op: usize, purpose: Purpose, values: &[u32]) {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tape::install(*key.bytes(), (op as u64) << 8 | purpose as u64, bytes);
}

fn put_bits(key: &Key, op: usize, purpose: Purpose, values: &[u32]) {
    let bits = Bits::from_fn(values.len(), |i| values[i] & 1 == 1);
    let bytes = bits.words().iter().flat_map(|w| w.to_le_bytes()).collect();
    tape::install(*key.bytes(), (op as u64) << 8 | purpose as u64, bytes);
}

/// Everything that was sent, by sender, receiver, phase and step.
type Transcript = HashMap<(Role, Role, Phase, u32), Vec<u8>>;

fn taps() -> (Arc<Mutex<Transcript>>, impl FnMut() -> Interceptor) {
    let transcript = Arc::new(Mutex::new(Transcript::new()));
    let pairs =
        [(Role::Client, Role::Server), (Role::Client, Role::Helper), (Role::Server, Role::Helper)];
    let (mut next, shared) = (0, Arc::clone(&transcript));
    let interceptors = move || -> Interceptor {
        let ((a, b), seen) = (pairs[next], Arc::clone(&shared));
        next += 1;
        Box::new(move |frame| {
            let to = if frame.from == a { b } else { a };
            let key = (frame.from, to, frame.header.label.phase, frame.header.label.step);
            let payload = &frame.bytes[hushwire_net::FRAME_HEADER_LEN..];
            seen.lock().unwrap().entry(key).or_default().extend_from_slice(payload);
            Verdict::Forward
        })
    };
    (transcript, interceptors)
}

/// A program over one-sample tensors: the input, `op`, the opening of its result.
fn program(ring: u32, len: usize, op: Op, width: u32) -> Arc<Program> {
    let value = |wire| Value { name: "test".into(), len, step: 1.0, wire };
    let wire = matches!(op, Op::Gate(_) | Op::Curve(_));
    Arc::new(Program {
        ring,
        ops: vec![Op::Input, op, Op::Open { source: 1, truncate: 0, width }],
        values: vec![value(true), value(wire), value(false)],
        last_use: vec![1, 2, 2],
        tail: Vec::new(),
    })
}

/// Runs the executor on `len` copies of `input` and gives the transcript; the results must be
/// among those allowed.
fn transcript(
    program: Arc<Program>,
    keys: &Keys,
    params: &Params,
    input: f32,
    allowed: &[f32],
) -> Transcript {
    // Parts are gates of their own: one is enough.
    let job = Job::new(Arc::clone(&program), 1, Comparison::Digits).in_parts_of(usize::MAX);
    let weights = Weights::<u32>::quantise(&program, params);
    let roomy = LinkOptions {
        max_frame: 1 << 30,
        send_queue: 1 << 30,
        recv_queue: 1 << 30,
        ..LinkOptions::default()
    };
    let (seen, interceptors) = taps();
    let links = Links::tapped(&roomy, interceptors);
    let bundles = offline(&job, &weights, keys, &links).unwrap();
    let inputs = vec![input; program.values[0].len];
    let output = online(&job, &weights, bundles, &inputs, &links).unwrap();
    assert!(output.iter().all(|y| allowed.contains(y)), "a wrong result for {input}");
    let mut seen = seen.lock().unwrap();
    std::mem::take(&mut *seen)
}

/// A party's view of each element: bits of all it received, one word per element.
struct View {
    words: Vec<u64>,
    bits: u32,
}

impl View {
    fn new(len: usize) -> View {
        View { words: vec![0; len], bits: 0 }
    }

    fn add(&mut self, bits: u32, values: &[u32]) {
        assert_eq!(values.len(), self.words.len());
        self.words.iter_mut().zip(values).for_each(|(w, v)| *w = *w << bits | u64::from(*v));
        self.bits += bits;
    }

    fn add_packed(&mut self, bits: u32, bytes: &[u8]) {
        let mut values = vec![0u32; self.words.len()];
        unpack(bytes, bits, &mut values).unwrap();
        self.add(bits, &values);
    }

    /// Whether, for every value of what the party drew itself, every view occurs equally often.
    fn is_uniform(&self, own: &[u32]) -> bool {
        let mut counts: HashMap<u32, Vec<u32>> = HashMap::new();
        for (view, own) in self.words.iter().zip(own) {
            counts.entry(*own).or_insert_with(|| vec![0; 1 << self.bits])[*view as usize] += 1;
        }
        counts.values().all(|c| c.iter().all(|n| *n == c[0] && *n > 0))
    }
}

/// Joins columns to one that distinguishes all their values.
fn joint(columns: &[(&[u32], u32)]) -> Vec<u32> {
    let len = columns[0].0.len();
    (0..len).map(|i| columns.iter().fold(0, |key, (c, bits)| key << bits | c[i])).collect()
}

/// The variables of a plain ReLU with one compared bit below the sign.
fn relu_space(l: u32, w: u32, fixed: &[&str]) -> Space {
    let high = l - w;
    let all = [
        ("r", l),
        ("m0", w),
        ("m1", w),
        ("table", 1),
        ("sign", 1),
        ("c0", 1),
        ("c1", 1),
        ("s", l),
        ("s'", l),
        ("wrap", high),
        ("carry", high),
        ("carry'", high),
        ("r'", l),
    ];
    let free: Vec<_> = all.into_iter().filter(|f| f.1 > 0 && !fixed.contains(&f.0)).collect();
    Space::new(&free)
}

/// Runs ReLUs on `input` with every value of the space's randomness; gives the views of server
/// and client. `wire` names the variable that masks the output wire: r', unless something is wrong.
fn relu_views(l: u32, w: u32, space: &Space, wire: &str, keys: &Keys, input: i32) -> (View, View) {
    let len = space.len();
    let (k02, k12) = (&keys.k02, &keys.k12);
    let column = |name: &str| space.column(name);
    put_words(k02, 0, Purpose::Input, &column("r"));
    put_words(k02, 1, Purpose::Opening, &column("m0"));
    put_words(k12, 1, Purpose::Opening, &column("m1"));
    // One plane of a block of 64 elements is one word: the same layout as a bit vector.
    put_bits(k02, 1, Purpose::Comparison, &column("table"));
    put_bits(k02, 1, Purpose::MaskSign, &column("sign"));
    put_bits(k02, 1, Purpose::DecisionBit, &column("c0"));
    put_bits(k12, 1, Purpose::DecisionBit, &column("c1"));
    put_words(k02, 1, Purpose::DecisionShare, &column("s"));
    put_words(k02, 1, Purpose::DecisionMask, &column("s'"));
    put_words(k02, 1, Purpose::Wrap, &column("wrap"));
    put_words(k02, 1, Purpose::Carry, &column("carry"));
    put_words(k02, 1, Purpose::DecisionCarry, &column("carry'"));
    put_words(k02, 1, Purpose::Wire, &column(wire));

    let gate = Gate {
        source: 0,
        truncate: 0,
        width: w,
        function: Function::Relu,
        window: Window { low: w - 2, bits: 2 },
        members: Members::Each,
    };
    // One bit is below the window: -1 may pass.
    let allowed = match input {
        0.. => vec![input as f32],
        -1 => vec![0.0, -1.0],
        _ => vec![0.0],
    };
    let program = program(l, len, Op::Gate(gate), w);
    let mut seen = transcript(program, keys, &Params::default(), input as f32, &allowed);
    let mut get =
        |from, to, phase, op, kind| seen.remove(&(from, to, phase, step(op, kind))).unwrap();

    let mut server = View::new(len);
    server.add_packed(l, &get(Role::Client, Role::Server, Phase::Online, 0, Kind::said(0)));
    server.add_packed(w, &get(Role::Client, Role::Server, Phase::Offline, 1, Kind::Masked));
    let material = get(Role::Helper, Role::Server, Phase::Offline, 1, Kind::Material);
    let second = get(Role::Client, Role::Server, Phase::Online, 1, Kind::said(1));
    let high = l - w;
    for (message, sections) in
        [(material, vec![1, 1, l, l, high, high, high]), (second, vec![1, l])]
    {
        let mut rest = message.as_slice();
        for bits in sections.into_iter().filter(|b| *b > 0) {
            let (own, after) = rest.split_at(packed_len(len, bits));
            server.add_packed(bits, own);
            rest = after;
        }
        assert!(rest.is_empty());
    }

    let mut client = View::new(len);
    let first = get(Role::Server, Role::Client, Phase::Online, 1, Kind::said(0));
    let (opened, decided) = first.split_at(packed_len(len, w));
    client.add_packed(w, opened);
    client.add_packed(1, decided);
    (server, client)
}

#[test]
fn a_relu_shows_neither_party_anything() {
    let _turn = turn();
    let (l, w) = (3, 3);
    let space = relu_space(l, w, &[]);
    let keys = Keys::for_test(100);
    let drawn_by_server = joint(&[(&space.column("m1"), w), (&space.column("c1"), 1)]);
    // The client draws all the rest with the helper. s' and r' are left out, so that the table of
    // counts stays small: no message to the client is made with them.
    let drawn_by_client = joint(&[
        (&space.column("r"), l),
        (&space.column("m0"), w),
        (&space.column("table"), 1),
        (&space.column("sign"), 1),
        (&space.column("c0"), 1),
        (&space.column("s"), l),
    ]);
    for input in [-2, -1, 0, 1] {
        let (server, client) = relu_views(l, w, &space, "r'", &keys, input);
        assert!(server.is_uniform(&drawn_by_server), "the server's view of {input}");
        assert!(client.is_uniform(&drawn_by_client), "the client's view of {input}");
    }
}

#[test]
fn the_carry_into_the_wider_ring_shows_nothing() {
    let _turn = turn();
    let (l, w) = (4, 3);
    // r', whose only job is to mask the last message, is left out of the enumeration together with
    // the bits it masks; the test above covers it.
    let space = relu_space(l, w, &["m1", "c1", "r'", "r"]);
    let keys = Keys::for_test(101);
    for input in [-2, 1] {
        let (mut server, _) = relu_views(l, w, &space, "r'", &keys, input);
        // The last l bits are z0 without its mask, the first l the input without its.
        server.words.iter_mut().for_each(|v| *v = (*v >> l) & ((1 << (server.bits - 2 * l)) - 1));
        server.bits -= 2 * l;
        assert!(server.is_uniform(&vec![0; space.len()]), "{input}");
    }
}

#[test]
fn a_mask_used_twice_is_seen() {
    let _turn = turn();
    let (l, w) = (3, 3);
    let space = relu_space(l, w, &["r'"]);
    let keys = Keys::for_test(102);
    let drawn_by_server = joint(&[(&space.column("m1"), w), (&space.column("c1"), 1)]);
    for reused in ["r", "m0", "s", "s'"] {
        let (server, _) = relu_views(l, w, &space, reused, &keys, 1);
        let unnoticed = server.is_uniform(&drawn_by_server);
        assert!(!unnoticed, "{reused} as the output wire's mask went unnoticed");
    }
}

#[test]
fn an_identity_element_shows_nothing() {
    let _turn = turn();
    let (l, w) = (4, 3);
    let space = Space::new(&[("r", l), ("m", w), ("high", l - w), ("carry", l - w), ("c1", 1)]);
    let keys = Keys::for_test(103);
    let (k02, k12, len) = (&keys.k02, &keys.k12, space.len());
    put_words(k02, 0, Purpose::Input, &space.column("r"));
    put_words(k02, 1, Purpose::IdentityMask, &space.column("m"));
    put_words(k02, 1, Purpose::IdentityWire, &space.column("high"));
    put_words(k02, 1, Purpose::IdentityCarry, &space.column("carry"));
    put_bits(k12, 1, Purpose::IdentityBit, &space.column("c1"));
    let groups =
        Groups { identity: (0..len as u32).collect(), starts: vec![0], ..Groups::default() };
    let gate = Gate {
        source: 0,
        truncate: 0,
        width: w,
        function: Function::Relu,
        window: Window { low: 0, bits: w },
        members: Members::Mixed(vec![groups]),
    };
    for input in [-2, -1, 0, 1] {
        let program = program(l, len, Op::Gate(gate.clone()), w);
        let mut seen =
            transcript(program, &keys, &Params::default(), input as f32, &[input as f32]);
        let mut get =
            |from, to, phase, op, kind| seen.remove(&(from, to, phase, step(op, kind))).unwrap();
        let mut server = View::new(len);
        server.add_packed(l, &get(Role::Client, Role::Server, Phase::Online, 0, Kind::said(0)));
        server.add_packed(w, &get(Role::Client, Role::Server, Phase::Offline, 1, Kind::Masked));
        server
            .add_packed(l - w, &get(Role::Helper, Role::Server, Phase::Offline, 1, Kind::Material));
        server.add_packed(l - w, &get(Role::Client, Role::Server, Phase::Online, 1, Kind::said(1)));
        assert!(server.is_uniform(&space.column("c1")), "the server's view of {input}");
        let mut client = View::new(len);
        client.add_packed(1, &get(Role::Server, Role::Client, Phase::Online, 1, Kind::said(0)));
        let drawn = joint(&[
            (&space.column("r"), l),
            (&space.column("m"), w),
            (&space.column("high"), 1),
            (&space.column("carry"), 1),
        ]);
        assert!(client.is_uniform(&drawn), "the client's view of {input}");
    }
}

#[test]
fn a_linear_layer_shows_neither_input_nor_weight() {
    let _turn = turn();
    let l = 3;
    let space = Space::new(&[("r", l), ("s", l)]);
    let len = space.len();
    for (weight, input) in [(-2, 1), (1, -1), (0, 1), (3, 1)] {
        let mut uploads = Vec::new();
        for b in 0..1u32 << l {
            let keys = Keys::for_test(200 + u64::from(b));
            put_words(&keys.k02, 0, Purpose::Input, &space.column("r"));
            put_words(&keys.k02, 1, Purpose::LinearShare, &space.column("s"));
            put_words(&keys.model, 1, Purpose::Weight, &[b]);
            let shape = ConvShape {
                in_channels: 1,
                in_h: 1,
                in_w: len,
                out_channels: 1,
                kernel: [1, 1],
                stride: [1, 1],
                pads: [0; 4],
                dilation: [1, 1],
                groups: 1,
            };
            let linear = Linear { source: 0, shape, weight: ParamId(0), bias: None };
            let program = program(l, len, Op::Linear(linear), l);
            let params = Params::new(vec![Tensor::new([1, 1, 1, 1], vec![weight as f32])]);
            let job = Job::new(Arc::clone(&program), 1, Comparison::Digits);
            let weights = Weights::<u32>::quantise(&program, &params);
            let masks = crate::WeightMasks::new(&job, &keys.model);
            uploads.push(crate::MaskedWeights::mask(&job, &weights, &masks).to_bytes(&job)[0]);

            let allowed = [(weight * input) as f32];
            let mut seen = transcript(program, &keys, &params, input as f32, &allowed);
            let mut get = |from, to, phase, op| {
                seen.remove(&(from, to, phase, step(op, Kind::said(0)))).unwrap()
            };
            let mut server = View::new(len);
            server.add_packed(l, &get(Role::Client, Role::Server, Phase::Online, 0));
            server.add_packed(l, &get(Role::Helper, Role::Server, Phase::Offline, 1));
            assert!(server.is_uniform(&vec![0; len]), "the server's view of {input}");
        }
        // Over all masks, the helper sees every value once.
        uploads.sort_unstable();
        assert_eq!(uploads, (0..1u8 << l).collect::<Vec<_>>());
    }
}
