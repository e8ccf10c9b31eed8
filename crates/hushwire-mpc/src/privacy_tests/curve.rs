//! Piecewise polynomials.

use super::*;
use hushwire_fixed::CurveGate;
use hushwire_plan::{Encoding, Selector};

/// Runs a gate on `input` with every value of the space's randomness; gives the views of server and
/// client. Streams whose variable is not in the space are zero.
fn views(
    l: u32,
    curve: &CurveGate,
    space: &Space,
    keys: &Keys,
    input: i32,
    allowed: &[f32],
) -> (View, View) {
    let len = space.len();
    let (k02, k12) = (&keys.k02, &keys.k12);
    let column = |name: &str| space.column(name);
    put_words(k02, 0, Purpose::Input, &column("r"));
    put_words(k02, 1, Purpose::Opening, &column("m0"));
    put_words(k12, 1, Purpose::Opening, &column("m1"));
    put_bits(k02, 1, Purpose::Comparison, &column("table"));
    put_bits(k02, 1, Purpose::MaskSign, &column("sign"));
    put_bits(k02, 1, Purpose::DecisionBit, &column("c0"));
    put_bits(k12, 1, Purpose::DecisionBit, &column("c1"));
    put_words(k02, 1, Purpose::MaskPower, &column("square"));
    put_words(k02, 1, Purpose::Selected, &[column("s0"), column("s1")].concat());
    put_words(k02, 1, Purpose::IdentityMask, &column("m"));
    put_words(k02, 1, Purpose::IdentityWire, &column("rho"));
    put_words(k02, 1, Purpose::IdentityCarry, &column("carry"));
    put_bits(k12, 1, Purpose::IdentityBit, &column("c"));

    let program = program(l, len, Op::Curve(curve.clone()), curve.kept);
    let mut seen = transcript(program, keys, &Params::default(), input as f32, allowed);
    let mut get = |from, to, phase, op, kind| seen.remove(&(from, to, phase, step(op, kind)));

    let (width, high) = (curve.width, l - curve.kept);
    let deciding = u32::from(!curve.knots.is_empty());
    let mut sections = vec![deciding, deciding];
    sections.extend(vec![width; curve.encoding.degree().saturating_sub(1)]);
    sections.extend(vec![width; curve.encoding.elements()]);
    sections.push(high);
    let selecting = vec![1; curve.encoding.selectors.len()];
    let mut server = View::new(len);
    let add = |view: &mut View, message: Option<Vec<u8>>, sections: &[u32]| {
        let message = message.unwrap_or_default();
        let mut rest = message.as_slice();
        for bits in sections.iter().filter(|b| **b > 0) {
            let (own, after) = rest.split_at(packed_len(len, *bits));
            view.add_packed(*bits, own);
            rest = after;
        }
        assert!(rest.is_empty());
    };
    let (p0, p1, p2) = (Role::Client, Role::Server, Role::Helper);
    add(&mut server, get(p0, p1, Phase::Online, 0, Kind::said(0)), &[l]);
    add(&mut server, get(p0, p1, Phase::Offline, 1, Kind::Masked), &[width]);
    add(&mut server, get(p2, p1, Phase::Offline, 1, Kind::Material), &sections);
    let answer = [selecting.clone(), vec![curve.kept]].concat();
    add(&mut server, get(p0, p1, Phase::Online, 1, Kind::said(1)), &answer);
    add(&mut server, get(p0, p1, Phase::Online, 1, Kind::said(3)), &[high]);
    let mut client = View::new(len);
    let first = [vec![width], selecting].concat();
    add(&mut client, get(p1, p0, Phase::Online, 1, Kind::said(0)), &first);
    let asked = u32::from(high > 0);
    add(&mut client, get(p1, p0, Phase::Online, 1, Kind::said(2)), &[asked]);
    (server, client)
}

fn gate(kept: u32, knots: Vec<i64>, encoding: Encoding) -> CurveGate {
    let window = Window { low: 1, bits: 2 };
    CurveGate { source: 0, truncate: 0, width: 3, window, knots, encoding, drop: 0, kept }
}

/// The part of a space that a party drew itself.
fn drawn(space: &Space, names: &[(&str, u32)]) -> Vec<u32> {
    let columns: Vec<_> = names.iter().map(|(name, bits)| (space.column(name), *bits)).collect();
    let columns: Vec<_> = columns.iter().map(|(c, bits)| (c.as_slice(), *bits)).collect();
    joint(&columns)
}

#[test]
fn a_selected_line_shows_neither_party_anything() {
    let _turn = turn();
    // A ramp: 0 below the knot, u from it on.
    let selectors = vec![Selector { pieces: 0b10, delta: vec![0, 1] }];
    let ramp = gate(3, vec![0], Encoding { base: vec![0], selectors });
    let own = [("r", 3), ("m0", 3), ("table", 1), ("sign", 1), ("c0", 1), ("s0", 3)];
    let rest = [("s1", 3), ("m", 3), ("m1", 3), ("c1", 1)];
    let space = Space::new(&[&own[..], &rest[..]].concat());
    let keys = Keys::for_test(300);
    for (input, allowed) in [(-2, vec![0.0]), (-1, vec![0.0, -1.0]), (0, vec![0.0]), (1, vec![1.0])]
    {
        let (server, client) = views(3, &ramp, &space, &keys, input, &allowed);
        let by_server = drawn(&space, &[("m1", 3), ("c1", 1)]);
        assert!(server.is_uniform(&by_server), "the server's view of {input}");
        // s1 and m are left out, so that the table of counts stays small: no message to the client is
        // made with them.
        assert!(client.is_uniform(&drawn(&space, &own)), "the client's view of {input}");
    }
}

#[test]
fn a_square_and_its_lifting_show_neither_party_anything() {
    let _turn = turn();
    let square = gate(3, vec![], Encoding { base: vec![0, 0, 1], selectors: vec![] });
    let own = [("r", 4), ("m0", 3), ("square", 3), ("m", 3), ("rho", 1), ("carry", 1)];
    let space = Space::new(&[&own[..], &[("m1", 3), ("c", 1)][..]].concat());
    let keys = Keys::for_test(301);
    for input in [-1, 0, 1] {
        let allowed = [(input * input) as f32];
        let (server, client) = views(4, &square, &space, &keys, input, &allowed);
        let by_server = drawn(&space, &[("m1", 3), ("c", 1)]);
        assert!(server.is_uniform(&by_server), "the server's view of {input}");
        assert!(client.is_uniform(&drawn(&space, &own)), "the client's view of {input}");
    }
}

#[test]
fn a_result_without_a_mask_of_its_own_is_seen() {
    let _turn = turn();
    let square = gate(3, vec![], Encoding { base: vec![0, 0, 1], selectors: vec![] });
    let own = [("r", 4), ("m0", 3), ("square", 3), ("rho", 1), ("carry", 1)];
    let space = Space::new(&[&own[..], &[("m1", 3), ("c", 1)][..]].concat());
    let (server, _) = views(4, &square, &space, &Keys::for_test(302), 1, &[1.0]);
    assert!(!server.is_uniform(&drawn(&space, &[("m1", 3), ("c", 1)])));
}
