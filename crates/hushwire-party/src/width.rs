//! The one place where the word is chosen that holds a program's ring elements.

use std::sync::Arc;

use hushwire_fixed::{Program, Weights};
use hushwire_graph::Params;
use hushwire_mpc::{
    ClientBundle, Comparison, Job, Key, MaskedWeights, MpcError, ServerBundle, Sink, WeightMasks,
    client, helper, server,
};
use hushwire_net::{Link, Role};
use hushwire_ring::Word;

use crate::Hash;
use crate::model_key::hash_model;

/// Runs `$narrow` for rings of 32 bits and fewer, `$wide` for wider ones.
macro_rules! by_width {
    ($program:expr, $narrow:expr, $wide:expr) => {
        if $program.ring <= 32 { $narrow } else { $wide }
    };
}

/// What the client can do with a model's key.
pub(crate) trait Asking: Send + Sync {
    fn prepare(
        &self,
        job: &Job,
        k02: &Key,
        helper: &Link,
        server: &Link,
        sink: &mut dyn Sink,
    ) -> Result<(), MpcError>;

    fn infer(
        &self,
        job: &Job,
        bundle: ClientBundle,
        input: &[f32],
        server: &Link,
    ) -> Result<Vec<f32>, MpcError>;
}

/// What the server can do with a model.
pub(crate) trait Serving: Send + Sync {
    /// Hash of the network, its program and its secret integers.
    fn hash(&self, network: Hash) -> Hash;

    /// The masked weights as they are uploaded.
    fn upload(&self, key: &Key) -> Vec<u8>;

    fn infer(&self, job: &Job, bundle: ServerBundle, client: &Link) -> Result<(), MpcError>;
}

/// What the helper can do with masked weights.
pub(crate) trait Dealing: Send + Sync {
    fn deal(
        &self,
        job: &Job,
        keys: [&Key; 2],
        client: &Link,
        server: &Link,
    ) -> Result<(), MpcError>;
}

/// A job for what does not depend on batch and comparison.
fn any_job(program: &Arc<Program>) -> Job {
    Job::new(Arc::clone(program), 1, Comparison::Digits)
}

/// The client's side of a program.
pub(crate) fn asking(program: &Arc<Program>, key: &Key) -> Arc<dyn Asking> {
    let job = any_job(program);
    by_width!(
        program,
        Arc::new(Masked(WeightMasks::<u32>::new(&job, key))),
        Arc::new(Masked(WeightMasks::<u64>::new(&job, key)))
    )
}

/// The server's side of a program.
pub(crate) fn serving(program: &Arc<Program>, params: &Params) -> Arc<dyn Serving> {
    let job = any_job(program);
    by_width!(
        program,
        Arc::new(Model { weights: Weights::<u32>::quantise(program, params), job }),
        Arc::new(Model { weights: Weights::<u64>::quantise(program, params), job })
    )
}

/// The helper's side of a program.
///
/// # Errors
/// An upload that is not as long as the program needs.
pub(crate) fn dealing(program: &Arc<Program>, upload: &[u8]) -> Result<Arc<dyn Dealing>, MpcError> {
    fn read<W: Word>(job: &Job, upload: &[u8]) -> Result<Arc<dyn Dealing>, MpcError> {
        let masked = MaskedWeights::<W>::from_bytes(job, upload);
        let (what, layer) = ("the upload", "masked weights".to_owned());
        let masked = masked.map_err(|source| MpcError::Message { what, layer, source })?;
        Ok(Arc::new(Dealer(masked)))
    }
    let job = any_job(program);
    by_width!(program, read::<u32>(&job, upload), read::<u64>(&job, upload))
}

/// Bytes of the masked weights of a program.
pub(crate) fn upload_len(program: &Arc<Program>) -> usize {
    MaskedWeights::<u64>::message_len(&any_job(program))
}

struct Masked<W: Word>(WeightMasks<W>);

impl<W: Word> Asking for Masked<W> {
    fn prepare(
        &self,
        job: &Job,
        k02: &Key,
        helper: &Link,
        server: &Link,
        sink: &mut dyn Sink,
    ) -> Result<(), MpcError> {
        debug_assert_eq!((helper.peer(), server.peer()), (Role::Helper, Role::Server));
        client::prepare(job, &self.0, k02, helper, server, sink)
    }

    fn infer(
        &self,
        job: &Job,
        bundle: ClientBundle,
        input: &[f32],
        server: &Link,
    ) -> Result<Vec<f32>, MpcError> {
        client::infer::<W>(job, bundle, input, server)
    }
}

struct Model<W: Word> {
    weights: Weights<W>,
    job: Job,
}

impl<W: Word> Serving for Model<W> {
    fn hash(&self, network: Hash) -> Hash {
        hash_model(network, &self.job.program, &self.weights)
    }

    fn upload(&self, key: &Key) -> Vec<u8> {
        let masks = WeightMasks::new(&self.job, key);
        MaskedWeights::mask(&self.job, &self.weights, &masks).to_bytes(&self.job)
    }

    fn infer(&self, job: &Job, bundle: ServerBundle, client: &Link) -> Result<(), MpcError> {
        server::infer(job, &self.weights, bundle, client)
    }
}

struct Dealer<W: Word>(MaskedWeights<W>);

impl<W: Word> Dealing for Dealer<W> {
    fn deal(
        &self,
        job: &Job,
        [k02, k12]: [&Key; 2],
        client: &Link,
        server: &Link,
    ) -> Result<(), MpcError> {
        helper::deal(job, &self.0, k02, k12, client, server)
    }
}
