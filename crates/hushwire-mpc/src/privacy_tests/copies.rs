//! A gate that copies another's decisions.

use super::*;

/// Two gates on the same input: the second copies the first's decisions, element by element.
fn program(l: u32, len: usize) -> Arc<Program> {
    let count = len as u32;
    let gate = |groups| {
        Op::Gate(Gate {
            source: 0,
            truncate: 0,
            width: l,
            function: Function::Relu,
            window: Window { low: l - 2, bits: 2 },
            members: Members::Mixed(vec![groups]),
        })
    };
    let deciding = Groups {
        members: (0..count).collect(),
        group_of: (0..count).collect(),
        starts: (0..=count).collect(),
        terms: (0..count).map(|i| (i, 1)).collect(),
        ..Groups::default()
    };
    let copying = Groups {
        members: (0..count).collect(),
        group_of: (0..count).collect(),
        copied: (0..count).map(|i| (1, i)).collect(),
        starts: vec![0],
        ..Groups::default()
    };
    let value = |wire| Value { name: "test".into(), len, step: 1.0, wire };
    let open = Op::Open { source: 2, truncate: 0, width: l };
    Arc::new(Program {
        ring: l,
        ops: vec![Op::Input, gate(deciding), gate(copying), open],
        values: vec![value(true), value(true), value(true), value(false)],
        last_use: vec![2, 1, 3, 3],
        tail: Vec::new(),
    })
}

/// The views of server and client: the opened decision and all of the second gate's messages. The
/// first gate's other messages have masks of their own, which nothing else uses; they are left out,
/// and the randomness behind them is fixed. `wire` names the variable that masks the output wire.
fn views(l: u32, space: &Space, wire: &str, keys: &Keys, input: i32) -> (View, View) {
    let len = space.len();
    let (k02, k12) = (&keys.k02, &keys.k12);
    let column = |name: &str| space.column(name);
    let fixed = vec![0; len];
    put_words(k02, 0, Purpose::Input, &fixed);
    for purpose in [Purpose::Opening, Purpose::DecisionShare, Purpose::DecisionMask, Purpose::Wire]
    {
        put_words(k02, 1, purpose, &fixed);
    }
    put_words(k12, 1, Purpose::Opening, &fixed);
    put_bits(k02, 1, Purpose::Comparison, &fixed);
    put_bits(k02, 1, Purpose::MaskSign, &fixed);
    put_bits(k02, 1, Purpose::DecisionBit, &column("c0"));
    put_bits(k12, 1, Purpose::DecisionBit, &column("c1"));
    put_words(k02, 2, Purpose::Opening, &column("m0"));
    put_words(k12, 2, Purpose::Opening, &column("m1"));
    put_words(k02, 2, Purpose::DecisionShare, &column("s"));
    put_words(k02, 2, Purpose::DecisionMask, &column("s'"));
    put_words(k02, 2, Purpose::Wire, &column(wire));

    let allowed = [input.max(0) as f32];
    let mut seen = transcript(program(l, len), keys, &Params::default(), input as f32, &allowed);
    let mut get =
        |from, to, phase, op, kind| seen.remove(&(from, to, phase, step(op, kind))).unwrap();
    let decided = packed_len(len, 1);

    let mut server = View::new(len);
    let second = get(Role::Client, Role::Server, Phase::Online, 1, Kind::said(1));
    server.add_packed(1, &second[..decided]);
    server.add_packed(l, &get(Role::Client, Role::Server, Phase::Offline, 2, Kind::Masked));
    let material = get(Role::Helper, Role::Server, Phase::Offline, 2, Kind::Material);
    let (selectors, products) = material.split_at(packed_len(len, l));
    server.add_packed(l, selectors);
    server.add_packed(l, products);
    server.add_packed(l, &get(Role::Client, Role::Server, Phase::Online, 2, Kind::said(1)));

    let mut client = View::new(len);
    let first = get(Role::Server, Role::Client, Phase::Online, 1, Kind::said(0));
    client.add_packed(1, &first[packed_len(len, l)..]);
    client.add_packed(l, &get(Role::Server, Role::Client, Phase::Online, 2, Kind::said(0)));
    (server, client)
}

#[test]
fn a_copied_decision_shows_neither_party_anything() {
    let _turn = turn();
    let l = 3;
    let all = [("c0", 1), ("c1", 1), ("m0", l), ("m1", l), ("s", l), ("s'", l), ("r'", l)];
    let space = Space::new(&all);
    let keys = Keys::for_test(300);
    let drawn_by_server = joint(&[(&space.column("m1"), l), (&space.column("c1"), 1)]);
    let drawn_by_client = joint(&[
        (&space.column("c0"), 1),
        (&space.column("m0"), l),
        (&space.column("s"), l),
        (&space.column("s'"), l),
        (&space.column("r'"), l),
    ]);
    for input in [-2, 0, 1] {
        let (server, client) = views(l, &space, "r'", &keys, input);
        assert!(server.is_uniform(&drawn_by_server), "the server's view of {input}");
        assert!(client.is_uniform(&drawn_by_client), "the client's view of {input}");
    }
    // The test sees a mask that is used twice.
    let space = Space::new(&all[..6]);
    let drawn_by_server = joint(&[(&space.column("m1"), l), (&space.column("c1"), 1)]);
    let (server, _) = views(l, &space, "s'", &keys, 1);
    assert!(!server.is_uniform(&drawn_by_server), "a mask used twice went unnoticed");
}
