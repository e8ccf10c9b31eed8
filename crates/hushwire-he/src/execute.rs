//! The encrypted executor: runs a program on any machine.

use std::sync::Arc;

use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::linear::Linear;
use crate::lower::Cell;
use crate::network::{Network, Product, Stage};
use crate::program::{Affine, Place, Program, ProgramStage};
use crate::{Machine, Table};

/// Why encrypted execution failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError<E: std::error::Error + 'static> {
    /// An operation of the machine.
    #[error("{layer}: {source}")]
    Machine {
        /// The value that was being computed.
        layer: String,
        /// What the machine said.
        source: E,
    },
    /// The input is not what the program takes.
    #[error("the input has {got} ciphertexts; the program takes {expected}")]
    Input {
        /// Ciphertexts needed.
        expected: usize,
        /// Ciphertexts given.
        got: usize,
    },
}

/// The weights of a network, encoded for a machine.
pub struct Encoded<M: Machine> {
    stages: Vec<EncodedStage<M>>,
}

struct EncodedStage<M: Machine> {
    diagonals: Vec<M::Plain>,
    bias: Vec<M::Plain>,
    /// Scales of the terms' weights, for products with numbers.
    scales: Vec<f64>,
}

/// What one value took.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    /// Position of the value.
    pub value: usize,
    /// Its name.
    pub name: &'a str,
}

/// Scales of a value and its terms on a machine: exact, from the primes.
struct Scales {
    /// Of the affine map's result.
    before: f64,
    /// Of each term's weights.
    terms: Vec<f64>,
}

/// The scale of every value on this machine. A value that is a product of unchanged values has the
/// scale that follows from theirs and the primes.
fn scales<M: Machine>(program: &Program, machine: &M) -> Vec<f64> {
    let mut scales: Vec<f64> = Vec::with_capacity(program.values.len());
    for value in &program.values {
        let scale = match &value.stage {
            Some(stage @ ProgramStage { affine: Affine::Plain, .. }) => {
                let source = scales[stage.sources[0]];
                let product = match stage.product {
                    Product::None => source,
                    Product::Square => source * source,
                    Product::With(other) => source * scales[other],
                };
                product / primes(machine, value.level, stage.level)
            }
            _ => value.log_scale.exp2(),
        };
        scales.push(scale);
    }
    scales
}

/// What rescaling from level `from` down to level `to` divides by.
fn primes<M: Machine>(machine: &M, to: usize, from: usize) -> f64 {
    (to + 1..=from).map(|level| machine.prime(level)).product()
}

/// A program with encoded weights on a machine.
pub struct Executor<'a, M: Machine> {
    program: &'a Program,
    network: &'a Network,
    machine: &'a M,
    encoded: Arc<Encoded<M>>,
}

impl<'a, M: Machine> Executor<'a, M> {
    /// Encodes the weights.
    ///
    /// # Errors
    /// If a weight does not fit its scale.
    pub fn new(
        program: &'a Program,
        network: &'a Network,
        machine: &'a M,
    ) -> Result<Self, ExecuteError<M::Error>> {
        let mut stages =
            vec![EncodedStage { diagonals: Vec::new(), bias: Vec::new(), scales: Vec::new() }];
        let scales = scales(program, machine);
        for (i, value) in program.values.iter().enumerate().skip(1) {
            let at = Encoding { program, network, machine, scales: &scales, value: i };
            let stage = at.stage();
            stages.push(
                stage.map_err(|source| ExecuteError::Machine {
                    layer: value.name.clone(),
                    source,
                })?,
            );
        }
        Ok(Self { program, network, machine, encoded: Arc::new(Encoded { stages }) })
    }

    /// An executor of weights that were encoded on a machine of the same parameters.
    pub fn with_encoded(
        program: &'a Program,
        network: &'a Network,
        machine: &'a M,
        encoded: Arc<Encoded<M>>,
    ) -> Self {
        Self { program, network, machine, encoded }
    }

    /// The encoded weights, to be shared.
    pub fn encoded(&self) -> Arc<Encoded<M>> {
        Arc::clone(&self.encoded)
    }

    /// Bytes of memory of the encoded weights.
    pub fn bytes(&self) -> usize {
        let stages = self.encoded.stages.iter();
        stages
            .flat_map(|s| s.diagonals.iter().chain(&s.bias))
            .map(|p| self.machine.plain_bytes(p))
            .sum()
    }

    /// Computes the encrypted result of an encrypted input; `progress` hears of every value that is
    /// done.
    ///
    /// # Errors
    /// If the input is not the program's, or the machine refuses an operation.
    pub fn run(
        &self,
        input: Vec<M::Cipher>,
        mut progress: impl FnMut(Progress<'_>),
    ) -> Result<Vec<M::Cipher>, ExecuteError<M::Error>> {
        let expected = self.program.values[0].ciphertexts();
        if input.len() != expected {
            return Err(ExecuteError::Input { expected, got: input.len() });
        }
        let last_reader = self.last_readers();
        let mut values: Vec<Vec<M::Cipher>> = vec![input];
        for (i, value) in self.program.values.iter().enumerate().skip(1) {
            let result = self.value(i, &values);
            let failed = |source| ExecuteError::Machine { layer: value.name.clone(), source };
            values.push(result.map_err(failed)?);
            for (known, last) in values.iter_mut().zip(&last_reader) {
                if *last == i {
                    known.clear();
                }
            }
            progress(Progress { value: i, name: &value.name });
        }
        Ok(values.pop().unwrap_or_default())
    }

    /// For each value the last one that reads it.
    fn last_readers(&self) -> Vec<usize> {
        let mut last = vec![0; self.program.values.len()];
        for (i, value) in self.network.values.iter().enumerate() {
            if let Some(stage) = &value.stage {
                stage.sources().for_each(|source| last[source] = i);
            }
        }
        last
    }

    fn value(&self, i: usize, values: &[Vec<M::Cipher>]) -> Result<Vec<M::Cipher>, M::Error> {
        let value = &self.program.values[i];
        let (Some(stage), encoded) = (&value.stage, &self.encoded.stages[i]) else {
            return Ok(Vec::new());
        };
        let machine = self.machine;
        let reduced = |source: usize| -> Result<Vec<M::Cipher>, M::Error> {
            let mut ciphers = values[source].clone();
            ciphers.iter_mut().try_for_each(|x| machine.reduce(x, stage.level))?;
            Ok(ciphers)
        };
        let inputs = stage.sources.iter().map(|source| reduced(*source));
        let inputs: Vec<Vec<M::Cipher>> = inputs.collect::<Result<_, _>>()?;
        let sums = match &stage.affine {
            Affine::Plain => inputs.into_iter().flatten().collect(),
            Affine::Packed { linear, .. } => {
                let inputs: Vec<M::Cipher> = inputs.into_iter().flatten().collect();
                self.linear(linear, &inputs, &encoded.diagonals)?
            }
            Affine::Batched { .. } => self.multiples(i, &inputs, &encoded.scales)?,
        };
        let factor = match stage.product {
            Product::With(other) => Some(reduced(other)?),
            Product::None | Product::Square => None,
        };
        let finish = |(k, mut x): (usize, M::Cipher)| {
            self.add_bias(i, k, &mut x)?;
            if stage.product == Product::Square {
                x = machine.square(&x)?;
            } else if let Some(factor) = &factor {
                x = machine.multiply(&x, &factor[k])?;
            }
            for _ in value.level..stage.level {
                machine.rescale(&mut x)?;
            }
            Ok(x)
        };
        sums.into_par_iter().enumerate().map(finish).collect()
    }

    fn add_bias(&self, i: usize, ciphertext: usize, x: &mut M::Cipher) -> Result<(), M::Error> {
        let value = &self.program.values[i];
        let bias = match (&value.stage, &self.network.values[i].stage) {
            (Some(ProgramStage { bias: true, .. }), Some(stage)) => &stage.bias,
            _ => return Ok(()),
        };
        match &value.place {
            Place::Packed(_) => self.machine.add_plain(x, &self.encoded.stages[i].bias[ciphertext]),
            Place::Batched => self.machine.add_constant(x, f64::from(bias[ciphertext])),
        }
    }

    fn linear(
        &self,
        linear: &Linear,
        inputs: &[M::Cipher],
        diagonals: &[M::Plain],
    ) -> Result<Vec<M::Cipher>, M::Error> {
        let machine = self.machine;
        let rotate = |(x, steps): (&M::Cipher, &Vec<usize>)| -> Result<Vec<M::Cipher>, M::Error> {
            let others: Vec<usize> = steps.iter().copied().filter(|s| *s != 0).collect();
            let rotated =
                if others.is_empty() { Vec::new() } else { machine.rotate_each(x, &others)? };
            let unrotated = (others.len() < steps.len()).then(|| x.clone());
            Ok(unrotated.into_iter().chain(rotated).collect())
        };
        // Step 0 comes first, as in the ascending order of the steps.
        let babies: Vec<Vec<M::Cipher>> =
            inputs.par_iter().zip(&linear.babies).map(rotate).collect::<Result<_, _>>()?;
        let output = |giants: &Vec<crate::linear::Giant>| -> Result<M::Cipher, M::Error> {
            let partial = |giant: &crate::linear::Giant| {
                let terms: Vec<(&M::Cipher, &M::Plain)> = giant
                    .products
                    .iter()
                    .map(|p| (&babies[p.input][p.baby], &diagonals[p.diagonal]))
                    .collect();
                Ok((machine.sum_of_products(&terms)?, giant.steps))
            };
            let partials: Vec<(M::Cipher, usize)> =
                giants.par_iter().map(partial).collect::<Result<_, M::Error>>()?;
            let sum = machine.sum_of_rotations(partials)?;
            let mut sum = sum.expect("every output has a giant step, which assembling checks");
            for fold in &linear.folds {
                let rotated = machine.rotate(&sum, *fold)?;
                machine.add(&mut sum, &rotated)?;
            }
            Ok(sum)
        };
        linear.outputs.par_iter().map(output).collect()
    }

    /// An affine map of batched values.
    fn multiples(
        &self,
        i: usize,
        inputs: &[Vec<M::Cipher>],
        scales: &[f64],
    ) -> Result<Vec<M::Cipher>, M::Error> {
        let Some(Stage { terms, .. }) = &self.network.values[i].stage else {
            return Ok(Vec::new());
        };
        let element = |element: usize| {
            let mut sum: Option<M::Cipher> = None;
            for ((term, inputs), scale) in terms.iter().zip(inputs).zip(scales) {
                let products: Vec<(&M::Cipher, f64)> = match &term.matrix {
                    None => vec![(&inputs[element], 1.0)],
                    Some(matrix) => matrix
                        .row(element)
                        .map(|e| (&inputs[matrix.column(e)], f64::from(matrix.weight(e))))
                        .collect(),
                };
                if products.is_empty() {
                    continue;
                }
                let part = self.machine.sum_of_multiples(&products, *scale)?;
                match &mut sum {
                    None => sum = Some(part),
                    Some(sum) => self.machine.add(sum, &part)?,
                }
            }
            Ok(sum.expect("every row has an entry, which planning checks"))
        };
        (0..self.program.values[i].elements).into_par_iter().map(element).collect()
    }
}

/// Encoding of one value's weights.
struct Encoding<'a, M> {
    program: &'a Program,
    network: &'a Network,
    machine: &'a M,
    scales: &'a [f64],
    value: usize,
}

impl<M: Machine> Encoding<'_, M> {
    fn stage(&self) -> Result<EncodedStage<M>, M::Error> {
        let value = &self.program.values[self.value];
        let (Some(stage), Some(source)) = (&value.stage, &self.network.values[self.value].stage)
        else {
            return Ok(EncodedStage {
                diagonals: Vec::new(),
                bias: Vec::new(),
                scales: Vec::new(),
            });
        };
        let scales = self.scales(stage);
        let (diagonals, bias) = match (&stage.affine, &value.place) {
            (Affine::Packed { linear, cells, period }, Place::Packed(table)) => (
                self.diagonals(stage, source, (linear, cells, *period), &scales.terms)?,
                self.bias(stage, source, table, scales.before)?,
            ),
            (_, Place::Packed(table)) => {
                (Vec::new(), self.bias(stage, source, table, scales.before)?)
            }
            (_, Place::Batched) => (Vec::new(), Vec::new()),
        };
        Ok(EncodedStage { diagonals, bias, scales: scales.terms })
    }

    fn scales(&self, stage: &ProgramStage) -> Scales {
        let known = &self.scales;
        let value = &self.program.values[self.value];
        // The scale before rescaling.
        let after = known[self.value] * primes(self.machine, value.level, stage.level);
        let before = match stage.product {
            Product::None => after,
            Product::Square => after.sqrt(),
            Product::With(other) => after / known[other],
        };
        Scales {
            before,
            terms: stage.sources.iter().map(|source| before / known[*source]).collect(),
        }
    }

    fn diagonals(
        &self,
        stage: &ProgramStage,
        source: &Stage,
        (linear, cells, period): (&Linear, &[Vec<Cell>], usize),
        scales: &[f64],
    ) -> Result<Vec<M::Plain>, M::Error> {
        let copies = self.program.slots / period;
        let mut shifts = vec![0; cells.len()];
        for giant in linear.outputs.iter().flatten() {
            giant.products.iter().for_each(|p| shifts[p.diagonal] = giant.steps);
        }
        let encode = |(cells, shift): (&Vec<Cell>, &usize)| {
            let mut vector = Zeroizing::new(vec![0.0; period]);
            for cell in cells {
                let matrix = &source.terms[cell.operand as usize].matrix;
                let weight = matrix.as_ref().map_or(1.0, |m| m.weight(cell.entry as usize));
                // Rotating by the giant step afterwards brings the product to its slot.
                vector[(cell.slot as usize + shift) % period] += f64::from(weight);
            }
            let operand = cells.first().map_or(0, |cell| cell.operand as usize);
            let vector = Zeroizing::new(vector.repeat(copies));
            self.machine.encode(&vector, stage.level, scales[operand])
        };
        cells.par_iter().zip(&shifts).map(encode).collect()
    }

    fn bias(
        &self,
        stage: &ProgramStage,
        source: &Stage,
        table: &Table,
        scale: f64,
    ) -> Result<Vec<M::Plain>, M::Error> {
        if !stage.bias {
            return Ok(Vec::new());
        }
        let bias: Zeroizing<Vec<f64>> =
            Zeroizing::new(source.bias.iter().map(|b| f64::from(*b)).collect());
        let packed = table.pack(&bias);
        packed.into_iter().map(|slots| self.machine.encode(&slots, stage.level, scale)).collect()
    }
}
