//! What each party does in each phase, in the executor's order.
//!
//! Gates are worked on in parts, a stripe of them at a time on all cores; answers to a stripe are
//! waited for when some more are on their way. See `hushwire_mpc`'s `gate::schedule`, which this
//! follows.

use crate::profile::{Gate, Gates, Layer, Ns, Profile, Words};
use crate::simulate::{PARTIES, Step};
use crate::work::{GateSize, When, operands};
use hushwire_fixed::program::{Local, Op};
use hushwire_mpc::Job;
use hushwire_mpc::cost::{Message, Prediction};
use hushwire_net::Role;

/// Parts of a stripe.
const STRIPE: usize = 4;

/// Stripes whose answers are not waited for yet.
const AHEAD: usize = 16;

/// Bytes of a message that asks for a bundle, grants one or says that it is complete.
const WORD: u64 = 64;

/// Shares of the server's online work of a gate: before its first message, before its second, and
/// the rest. The first has the helper's material to unpack and all comparisons to begin.
const SERVE: [f64; 3] = [0.65, 0.05, 0.3];

/// Shares of the client's: before its first answer, and before its second.
const ASK: [f64; 2] = [0.6, 0.4];

const CLIENT: usize = Role::Client as usize;
const SERVER: usize = Role::Server as usize;
const HELPER: usize = Role::Helper as usize;

/// The steps of all parties.
pub(crate) type Steps = [Vec<Step>; PARTIES];

/// A job and what its operations cost.
pub(crate) struct Schedule<'a> {
    job: &'a Job,
    prediction: &'a Prediction,
    profile: &'a Profile,
    words: &'a Words,
}

/// Messages of one part of an operation, and its share of the operation.
struct Part<'m> {
    messages: &'m [Message],
    share: f64,
}

impl<'a> Schedule<'a> {
    pub(crate) fn new(job: &'a Job, prediction: &'a Prediction, profile: &'a Profile) -> Self {
        let words = profile.words(job.program.ring);
        Schedule { job, prediction, profile, words }
    }

    /// From the client's request until it hears that the server has its bundle.
    pub(crate) fn offline(&self) -> Steps {
        let mut steps: Steps = [
            vec![send(SERVER, WORD), send(HELPER, WORD)],
            vec![receive(CLIENT), send(HELPER, WORD)],
            vec![receive(CLIENT), receive(SERVER)],
        ];
        let messages = by_op(&self.prediction.offline, self.job.program.ops.len());
        for (i, op) in self.job.program.ops.iter().enumerate() {
            let value = &self.job.program.values[i];
            let [client, server, helper] = &mut steps;
            client.push(compute(self.profile.operation_ns.times(1.0)));
            helper.push(compute(self.profile.operation_ns.times(1.0)));
            match op {
                Op::Input => {
                    client.push(self.layer(i, |layer| layer.prepare_ns.into()));
                    helper.push(self.layer(i, |layer| layer.prepare_ns.into()));
                }
                Op::Linear(linear) => {
                    let product = self.everywhere(
                        self.profile
                            .convolution(self.job.program.ring)
                            .layer(linear, self.job.batch),
                    );
                    client.extend(product);
                    client.push(self.layer(i, |layer| layer.prepare_ns.into()));
                    helper.extend(product);
                    let deal = work(self.layer(i, |layer| layer.deal_ns.into()));
                    for part in parts(messages[i]) {
                        helper.push(compute(deal * part.share));
                        helper.push(send(SERVER, part.messages[0].framed()));
                        let keep = self.profile.keep_ns.times(part.messages[0].framed() as f64);
                        server.extend([receive(HELPER), compute(keep)]);
                    }
                }
                Op::AddParam { .. } => {
                    client.push(self.plain(i));
                    if value.wire {
                        helper.push(self.plain(i));
                    }
                }
                Op::Local(local) => {
                    client.push(self.local(i, local));
                    if value.wire {
                        helper.push(self.local(i, local));
                    }
                }
                Op::Gate(gate) => {
                    self.prepare(&GateSize::new(self.job, i, gate), messages[i], &mut steps);
                }
                // Composite polynomials are refused before anything is sent.
                Op::Polynomial(_) => {}
                Op::Curve(curve) => {
                    self.prepare(&GateSize::curve(self.job, i, curve), messages[i], &mut steps);
                }
                Op::Open { .. } => client.push(self.plain(i)),
            }
        }
        steps[SERVER].push(send(CLIENT, WORD));
        steps[CLIENT].push(receive(SERVER));
        steps
    }

    /// From the input to the logits.
    pub(crate) fn online(&self) -> Steps {
        let mut steps = Steps::default();
        let messages = by_op(&self.prediction.online, self.job.program.ops.len());
        for (i, op) in self.job.program.ops.iter().enumerate() {
            let [client, server, _] = &mut steps;
            server.push(compute(self.profile.operation_ns.times(1.0)));
            let bytes = messages[i].first().map_or(0, Message::framed);
            match op {
                Op::Input => {
                    client.push(self.layer(i, |layer| layer.prepare_ns.into()));
                    client.push(send(SERVER, bytes));
                    server.push(receive(CLIENT));
                    server.push(self.plain(i));
                }
                Op::Linear(linear) => {
                    let convolution = self.profile.convolution(self.job.program.ring);
                    server.extend(self.everywhere(convolution.layer(linear, self.job.batch)));
                    server.push(self.layer(i, |layer| layer.serve_ns.into()));
                }
                Op::AddParam { .. } => server.push(self.plain(i)),
                Op::Local(local) => server.push(self.local(i, local)),
                Op::Gate(gate) => {
                    self.gate(&GateSize::new(self.job, i, gate), messages[i], &mut steps);
                }
                Op::Polynomial(_) => {}
                Op::Curve(curve) => {
                    self.gate(&GateSize::curve(self.job, i, curve), messages[i], &mut steps);
                }
                Op::Open { .. } => {
                    server.push(self.plain(i));
                    server.push(send(CLIENT, bytes));
                    client.push(receive(SERVER));
                    client.push(self.plain(i));
                }
            }
        }
        steps
    }

    /// A gate offline.
    fn prepare(&self, size: &GateSize, messages: &[Message], steps: &mut Steps) {
        let Gates { deal, prepare, .. } = self.words.gates(self.job.comparison);
        let [client, server, helper] = steps;
        let parts = parts(messages);
        for stripe in parts.chunks(STRIPE) {
            let share: f64 = stripe.iter().map(|part| part.share).sum();
            helper.extend(self.striped(deal, deal.work(size, When::Offline) * share, stripe));
            client.extend(self.striped(prepare, prepare.work(size, When::Offline) * share, stripe));
            for part in stripe {
                for message in part.messages {
                    let (to, bytes) = (message.to as usize, message.framed());
                    let keep = compute(self.profile.keep_ns.times(bytes as f64));
                    match message.from {
                        Role::Client => client.push(send(to, bytes)),
                        _ => helper.push(send(to, bytes)),
                    }
                    match message.to {
                        Role::Client => client.push(receive(HELPER)),
                        _ => server.extend([receive(message.from as usize), keep]),
                    }
                }
            }
        }
    }

    /// A gate online.
    fn gate(&self, size: &GateSize, messages: &[Message], steps: &mut Steps) {
        let Gates { ask, serve, .. } = self.words.gates(self.job.comparison);
        let ask_work = ask.work(size, When::Online);
        let serve_work = serve.work(size, When::Online);
        // What a part takes however small it is, it takes at its first message.
        let later = Gate { part_ns: Ns::default(), ..*serve };
        let parts = parts(messages);
        let stripes: Vec<&[Part<'_>]> = parts.chunks(STRIPE).collect();
        let share = |stripe: &[Part<'_>]| stripe.iter().map(|part| part.share).sum::<f64>();
        let bytes = |part: &Part<'_>, k: usize| part.messages.get(k).map(Message::framed);
        let [client, server, _] = steps;
        for stage in 0..stripes.len() + 3 * AHEAD {
            if let Some(stripe) = stripes.get(stage) {
                let twice = stripe.iter().any(|part| part.messages.len() > 2);
                let first = if twice { ASK[0] } else { 1.0 };
                let sent = |k| stripe.iter().filter_map(move |part| bytes(part, k));
                server.extend(self.striped(serve, serve_work * SERVE[0] * share(stripe), stripe));
                server.extend(sent(0).map(|bytes| send(CLIENT, bytes)));
                client.extend(sent(0).map(|_| receive(SERVER)));
                client.extend(self.striped(ask, ask_work * first * share(stripe), stripe));
                client.extend(sent(1).map(|bytes| send(SERVER, bytes)));
            }
            if let Some(stripe) = stage.checked_sub(AHEAD).and_then(|asked| stripes.get(asked)) {
                let sent = |k| stripe.iter().filter_map(move |part| bytes(part, k));
                server.extend(sent(1).map(|_| receive(CLIENT)));
                server.extend(self.striped(&later, serve_work * SERVE[1] * share(stripe), stripe));
                server.extend(sent(2).map(|bytes| send(CLIENT, bytes)));
                client.extend(sent(2).map(|_| receive(SERVER)));
                if sent(3).next().is_some() {
                    client.extend(self.striped(&later, ask_work * ASK[1] * share(stripe), stripe));
                }
                client.extend(sent(3).map(|bytes| send(SERVER, bytes)));
            }
            if let Some(stripe) = stage.checked_sub(2 * AHEAD).and_then(|asked| stripes.get(asked))
            {
                let sent = |k| stripe.iter().filter_map(move |part| bytes(part, k));
                server.extend(sent(3).map(|_| receive(CLIENT)));
                server.extend(self.striped(&later, serve_work * SERVE[2] * share(stripe), stripe));
                server.extend(sent(4).map(|bytes| send(CLIENT, bytes)));
                client.extend(sent(4).map(|_| receive(SERVER)));
                client.extend(sent(5).map(|bytes| send(SERVER, bytes)));
            }
            if let Some(stripe) = stage.checked_sub(3 * AHEAD).and_then(|asked| stripes.get(asked))
            {
                let sent = stripe.iter().filter_map(|part| bytes(part, 5));
                server.extend(sent.map(|_| receive(CLIENT)));
            }
        }
    }

    /// Work on every output of a weighted layer.
    fn layer(&self, op: usize, ns: impl Fn(&Layer) -> f64) -> Step {
        compute(ns(&self.words.layer) * 1e-9 * self.job.len(op) as f64)
    }

    /// A public linear operation.
    fn local(&self, op: usize, local: &Local) -> Step {
        compute(self.words.local_ns.times(operands(local, self.job.len(op))))
    }

    /// Work of one operand on every element.
    fn plain(&self, op: usize) -> Step {
        compute(self.words.local_ns.times(self.job.len(op) as f64))
    }

    /// Work of a gate on the parts of a stripe, each by one thread.
    fn striped(&self, gate: &Gate, work: f64, stripe: &[Part<'_>]) -> [Step; 2] {
        self.spread(work + gate.part_ns.times(stripe.len() as f64), stripe.len())
    }

    /// Work that all cores share.
    fn everywhere(&self, work: f64) -> [Step; 2] {
        self.spread(work, self.profile.machine.cores)
    }

    /// Work of several threads. One begins at once; until the others are awake it works alone.
    fn spread(&self, work: f64, threads: usize) -> [Step; 2] {
        let wake = self.profile.links.wake_ns.times(1.0);
        let alone = if threads > 1 { work.min(wake) } else { work };
        [compute(alone), Step::Compute { work: work - alone, threads }]
    }
}

fn send(to: usize, bytes: u64) -> Step {
    Step::Send { to, bytes }
}

fn receive(from: usize) -> Step {
    Step::Receive { from }
}

fn compute(work: f64) -> Step {
    Step::Compute { work, threads: 1 }
}

fn work(step: Step) -> f64 {
    match step {
        Step::Compute { work, .. } => work,
        _ => 0.0,
    }
}

/// The messages of each operation.
fn by_op(messages: &[Message], ops: usize) -> Vec<&[Message]> {
    let mut all: Vec<&[Message]> = vec![&[]; ops];
    for own in messages.chunk_by(|a, b| a.op == b.op) {
        all[own[0].op] = own;
    }
    all
}

/// An operation's parts: each begins with the message that the first begins with.
fn parts(messages: &[Message]) -> Vec<Part<'_>> {
    let Some(first) = messages.first() else { return Vec::new() };
    let begins = |message: &Message| message.step == first.step;
    let whole: f64 = messages.iter().filter(|m| begins(m)).map(|m| m.payload as f64).sum();
    let parts = messages.chunk_by(|_, next| !begins(next));
    let part = |messages: &'_ [Message]| messages[0].payload as f64 / whole.max(1.0);
    parts.map(|messages| Part { messages, share: part(messages) }).collect()
}
