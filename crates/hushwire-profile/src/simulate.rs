//! Three parties, their links and their machines as a simulation of events.
//!
//! A party takes its steps in order. Each direction of a link has a thread that writes and one that
//! reads, which encrypt and decrypt; between them is the line, on which messages follow one another
//! at its bandwidth and arrive after half a round-trip time. Parties and their links' threads share
//! the cores of the machine they are on: while more threads compute than there are cores, all of
//! them are slowed down alike.

use std::collections::VecDeque;

/// Parties.
pub(crate) const PARTIES: usize = 3;

/// A core that has nothing to do looks out for work for a while before it halts, and it is a halted one
/// that takes time to go on: who has waited for this many seconds pays for all of it, who has waited for
/// less for that part of it.
const LULL: f64 = 400e-6;

/// What a party does next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    /// Computes for `work` seconds of one core, on up to `threads` cores.
    Compute { work: f64, threads: usize },
    /// Hands a message to the link; the party does not wait.
    Send { to: usize, bytes: u64 },
    /// Waits for the next message.
    Receive { from: usize },
}

/// What the parties run on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage {
    /// Cores of each machine.
    pub cores: usize,
    /// Whether the parties share one machine.
    pub shared: bool,
    /// Seconds from party to party.
    pub delay: f64,
    /// Seconds that a byte occupies a line.
    pub seconds_per_byte: f64,
    /// Seconds until a party that has waited for long goes on when its message has come; see [`LULL`].
    pub wake: f64,
    /// Work of a thread that writes or reads: for a message and for each of its bytes.
    pub per_message: f64,
    /// See `per_message`.
    pub per_byte: f64,
}

/// Something that computes, one thing at a time.
#[derive(Clone, Copy, Debug, Default)]
struct Worker {
    /// Seconds of one core left; `None` when idle.
    left: Option<f64>,
    threads: usize,
}

impl Worker {
    fn begin(&mut self, work: f64, threads: usize) {
        *self = Worker { left: Some(work), threads: threads.max(1) };
    }
}

/// One direction of a link.
#[derive(Debug, Default)]
struct Route {
    /// Messages on the line: arrival and bytes.
    line: VecDeque<(f64, u64)>,
    free_at: f64,
    writer: Worker,
    /// The message being written.
    writing: u64,
    /// Messages written and not yet read.
    written: VecDeque<u64>,
    reader: Worker,
    /// Messages that the party may take.
    ready: usize,
}

/// Seconds after which each party has taken all its steps.
///
/// # Panics
/// If a party waits for a message that nobody sends.
pub(crate) fn run(stage: &Stage, steps: &[Vec<Step>; PARTIES]) -> [f64; PARTIES] {
    let mut world = World {
        stage,
        now: 0.0,
        next: [0; PARTIES],
        parties: Default::default(),
        routes: Default::default(),
        asleep: [None; PARTIES],
        // All have waited since the last inference.
        since: [f64::NEG_INFINITY; PARTIES],
        done: [None; PARTIES],
    };
    loop {
        world.settle(steps);
        if let [Some(a), Some(b), Some(c)] = world.done {
            return [a, b, c];
        }
        world.advance();
    }
}

struct World<'a> {
    stage: &'a Stage,
    now: f64,
    next: [usize; PARTIES],
    parties: [Worker; PARTIES],
    /// Until when a party waits; infinite if its message has not come.
    asleep: [Option<f64>; PARTIES],
    /// When a party began to wait.
    since: [f64; PARTIES],
    /// From party to party; those from a party to itself stay empty.
    routes: [[Route; PARTIES]; PARTIES],
    done: [Option<f64>; PARTIES],
}

impl World<'_> {
    /// Begins all that can begin now.
    fn settle(&mut self, steps: &[Vec<Step>; PARTIES]) {
        let stage = self.stage;
        for (party, steps) in steps.iter().enumerate() {
            while self.parties[party].left.is_none() && self.done[party].is_none() {
                match steps.get(self.next[party]) {
                    None => self.done[party] = Some(self.now),
                    Some(Step::Compute { work, threads }) => {
                        self.parties[party].begin(*work, (*threads).min(stage.cores));
                    }
                    Some(Step::Send { to, bytes }) => {
                        let route = &mut self.routes[party][*to];
                        let start = route.free_at.max(self.now);
                        route.free_at = start + *bytes as f64 * stage.seconds_per_byte;
                        route.line.push_back((route.free_at + stage.delay, *bytes));
                    }
                    Some(Step::Receive { from }) => {
                        let route = &mut self.routes[*from][party];
                        let due = self.asleep[party];
                        if route.ready == 0 {
                            if due.is_none() && self.now > 0.0 {
                                self.since[party] = self.now;
                            }
                            self.asleep[party] = Some(f64::INFINITY);
                            break;
                        }
                        if due == Some(f64::INFINITY) {
                            let halted = ((self.now - self.since[party]) / LULL).min(1.0);
                            self.asleep[party] = Some(self.now + stage.wake * halted);
                        }
                        let due = self.asleep[party];
                        if due.is_some_and(|due| due.is_finite() && self.now < due) {
                            break;
                        }
                        self.asleep[party] = None;
                        route.ready -= 1;
                    }
                }
                self.next[party] += 1;
            }
        }
        for route in self.routes.iter_mut().flatten() {
            let work = |bytes: u64| stage.per_message + bytes as f64 * stage.per_byte;
            if route.writer.left.is_none()
                && let Some((_, bytes)) = route.line.pop_front_if(|(due, _)| *due <= self.now)
            {
                route.writing = bytes;
                route.writer.begin(work(bytes), 1);
            }
            if route.reader.left.is_none()
                && let Some(bytes) = route.written.pop_front()
            {
                route.reader.begin(work(bytes), 1);
            }
        }
    }

    /// Lets time pass until something ends.
    fn advance(&mut self) {
        let rates = self.rates();
        let mut until = f64::INFINITY;
        for (host, worker) in self.workers() {
            if let Some(left) = worker.left {
                until = until.min(self.now + left / (worker.threads as f64 * rates[host]));
            }
        }
        for route in self.routes.iter().flatten() {
            if route.writer.left.is_none()
                && let Some((due, _)) = route.line.front()
            {
                until = until.min(*due);
            }
        }
        until = self.asleep.iter().flatten().fold(until, |until, due| until.min(*due));
        assert!(until.is_finite(), "a party waits for a message that nobody sends");
        let passed = until - self.now;
        self.now = until;
        let pass = |worker: &mut Worker, rate: f64| -> bool {
            let Some(left) = worker.left else { return false };
            let left = left - passed * worker.threads as f64 * rate;
            // What rounding leaves over is less than a nanosecond.
            let ended = left < 1e-9;
            worker.left = (!ended).then_some(left);
            ended
        };
        let host = |party: usize| if self.stage.shared { 0 } else { party };
        for (party, worker) in self.parties.iter_mut().enumerate() {
            pass(worker, rates[host(party)]);
        }
        for (from, routes) in self.routes.iter_mut().enumerate() {
            for (to, route) in routes.iter_mut().enumerate() {
                if pass(&mut route.reader, rates[host(to)]) {
                    route.ready += 1;
                }
                if pass(&mut route.writer, rates[host(from)]) {
                    route.written.push_back(route.writing);
                }
            }
        }
    }

    /// Everything that computes, and where.
    fn workers(&self) -> impl Iterator<Item = (usize, Worker)> + '_ {
        let host = |party: usize| if self.stage.shared { 0 } else { party };
        let parties = self.parties.iter().enumerate().map(move |(p, worker)| (host(p), *worker));
        let routes = self.routes.iter().enumerate().flat_map(move |(from, routes)| {
            routes
                .iter()
                .enumerate()
                .flat_map(move |(to, route)| [(host(from), route.writer), (host(to), route.reader)])
        });
        parties.chain(routes)
    }

    /// The share of a core that each thread gets, by machine.
    fn rates(&self) -> [f64; PARTIES] {
        let mut threads = [0; PARTIES];
        for (host, worker) in self.workers().filter(|(_, worker)| worker.left.is_some()) {
            threads[host] += worker.threads;
        }
        threads.map(|threads| (self.stage.cores as f64 / threads.max(1) as f64).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Stage = Stage {
        cores: 2,
        shared: false,
        delay: 0.0,
        seconds_per_byte: 0.0,
        wake: 0.0,
        per_message: 0.0,
        per_byte: 0.0,
    };

    fn compute(work: f64, threads: usize) -> Step {
        Step::Compute { work, threads }
    }

    fn close(got: [f64; 3], wanted: [f64; 3]) {
        let near = got.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near, "{got:?} instead of {wanted:?}");
    }

    #[test]
    fn cores_are_shared() {
        let steps = [vec![compute(2.0, 1)], vec![compute(2.0, 2)], vec![compute(1.0, 8)]];
        close(run(&ALONE, &steps), [2.0, 1.0, 0.5]);
        // Five threads on two cores; the third party is done first, then the second.
        let shared = Stage { shared: true, ..ALONE };
        close(run(&shared, &steps), [3.0, 2.0, 1.25]);
    }

    #[test]
    fn messages_queue_for_the_line_and_share_the_delay() {
        let stage = Stage { delay: 0.5, seconds_per_byte: 0.1, ..ALONE };
        let steps = [
            vec![Step::Send { to: 1, bytes: 10 }, Step::Send { to: 1, bytes: 10 }, compute(0.1, 1)],
            vec![
                Step::Receive { from: 0 },
                Step::Receive { from: 0 },
                Step::Send { to: 2, bytes: 0 },
            ],
            vec![Step::Receive { from: 1 }],
        ];
        close(run(&stage, &steps), [0.1, 2.5, 3.0]);
    }

    #[test]
    fn who_waits_must_wake_up() {
        let stage = Stage { wake: 0.25, ..ALONE };
        let message = Step::Send { to: 1, bytes: 1 };
        // The second message is there when it is asked for.
        let steps = [
            vec![compute(1.0, 1), message, message],
            vec![Step::Receive { from: 0 }, compute(0.5, 1), Step::Receive { from: 0 }],
            vec![],
        ];
        close(run(&stage, &steps), [1.0, 1.75, 0.0]);
    }

    #[test]
    fn sending_overlaps_computing() {
        // Encrypting and decrypting a message take as long as making it.
        let stage = Stage { per_byte: 1.0, cores: 4, ..ALONE };
        let part = [compute(1.0, 1), Step::Send { to: 1, bytes: 1 }];
        let steps = [part.repeat(5), vec![Step::Receive { from: 0 }; 5], vec![]];
        close(run(&stage, &steps), [5.0, 7.0, 0.0]);
    }
}
