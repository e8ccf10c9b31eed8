//! The client: encrypts its images, and alone can read the results.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use hushwire_ckks::{Ciphertext, Parameters};
use hushwire_graph::Graph;
use hushwire_he::{CkksOwner, Interface};
use hushwire_net::{Link, Role, SessionId, connect};
use serde::Serialize;
use zeroize::Zeroizing;

use super::messages::{
    Answer, Ask, Event, Hello, KeysRead, Offer, PIECE, PROTOCOL, Welcome, receive_ciphertext,
    send_ciphertext, send_piece,
};
use super::{EncryptedClientConfig, EncryptedError};
use crate::config::{ConfigFile as _, load_certificate, load_identity};
use crate::files::{Disk, private_dir, write_whole};
use crate::model_key::random;
use crate::report::cpu_seconds;
use crate::wire::{farewell, hear, say};
use crate::{Hash, PartyError, PartyReport};

/// Sessions that are begun: one to learn which keys are needed, one with them, and one more should the
/// server have changed its network in between.
const ATTEMPTS: usize = 3;

/// A client in a session with a server.
pub struct EncryptedClient {
    link: Link,
    graph: Graph,
    interface: Interface,
    parameters: Parameters,
    owner: CkksOwner,
    /// Values that the server computes one after the other.
    values: usize,
    cpu: f64,
    /// Bytes of the link at the last report, sent and received.
    carried: [u64; 2],
}

/// What happens before the first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyProgress {
    /// Keys made, of how many.
    Made(usize, usize),
    /// Bytes uploaded, of how many.
    Uploaded(u64, u64),
}

/// The result of a run and what it took.
#[derive(Clone, Debug, Serialize)]
pub struct EncryptedOutcome {
    /// The logits, image after image.
    pub logits: Vec<f32>,
    /// From the images to the logits, in seconds.
    pub seconds: f64,
    /// What the server computed for.
    pub server_seconds: f64,
    /// Framed bytes sent since the report before, the upload of keys included.
    pub sent_bytes: u64,
    /// Framed bytes received since then.
    pub received_bytes: u64,
    /// The client's process.
    pub client: PartyReport,
    /// The server's; absent when it does not share it.
    pub server: Option<PartyReport>,
}

impl std::fmt::Debug for EncryptedClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EncryptedClient({:?})", self.link.peer())
    }
}

impl EncryptedClient {
    /// Connects, makes or loads keys, and uploads them unless the server has them.
    ///
    /// # Errors
    /// A configuration or identity that cannot be used; a server that cannot be reached, is not
    /// trusted, refuses, or asks for parameters that are not secure.
    pub fn connect(
        config: &EncryptedClientConfig,
        mut progress: impl FnMut(KeyProgress),
    ) -> Result<Self, PartyError> {
        config.check()?;
        let cpu = cpu_seconds();
        let identity = load_identity(&config.identity)?;
        let server = load_certificate("server.certificate", &config.server.certificate)?;
        let peer = (Role::Server, &server);
        let address = config.server.address.as_str();
        for _ in 0..ATTEMPTS {
            let session: SessionId = random()?;
            let link = connect(address, Role::Client, &identity, peer, session, &config.tls())?;
            let greeted = greet(&link);
            let (welcome, parameters) = farewell(greeted, &[&link])?;
            let Welcome { graph, interface, values } = welcome;
            let files = KeyFiles::of(&config.state, &interface);
            let loaded = files.load(&parameters).map_err(PartyError::from);
            let Some((owner, bytes)) = farewell(loaded, &[&link])? else {
                // Making keys takes longer than a server waits.
                link.close()?;
                files.make(&interface, &parameters, &mut progress)?;
                continue;
            };
            farewell(offer(&link, &bytes, &mut progress), &[&link])?;
            let values = values as usize;
            let carried = [0; 2];
            return Ok(Self { link, graph, interface, parameters, owner, values, cpu, carried });
        }
        Err(EncryptedError::Changing.into())
    }

    /// The network's structure, with its metadata.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Images that go into one run at most.
    pub fn max_batch(&self) -> usize {
        self.interface.batch()
    }

    /// Values that the server computes one after the other in a run.
    pub fn values(&self) -> usize {
        self.values
    }

    /// Runs images; `progress` hears of every value that the server has computed, by its name.
    ///
    /// # Errors
    /// Images that do not fit; a server that refuses or is lost, which ends the session.
    pub fn infer(
        &mut self,
        images: &[&[f32]],
        mut progress: impl FnMut(&str),
    ) -> Result<EncryptedOutcome, PartyError> {
        let start = Instant::now();
        let encrypted = self.interface.encrypt(&self.owner, images);
        let encrypted = encrypted.map_err(EncryptedError::from)?;
        say(&self.link, &Ask)?;
        encrypted.iter().try_for_each(|x| send_ciphertext(&self.link, x.to_bytes()))?;
        let (server_seconds, server) = loop {
            match hear(&self.link)? {
                Event::Done { name, .. } => progress(&name),
                Event::Result { seconds, party } => break (seconds, party),
            }
        };
        let port = &self.interface.output;
        let most = (((port.level + 1) * 16) << self.interface.parameters.log_degree) + (1 << 20);
        let mut results = Vec::new();
        for _ in 0..port.ciphertexts() {
            let bytes = receive_ciphertext(&self.link, most)?;
            let x = Ciphertext::from_bytes(&self.parameters, &bytes);
            results.push(x.map_err(EncryptedError::from)?);
        }
        let logits = self.interface.decrypt(&self.owner, &results, images.len());
        let logits = logits.map_err(EncryptedError::from)?;
        let carried = self.carried();
        let since = |i: usize| carried[i] - self.carried[i];
        let (sent_bytes, received_bytes) = (since(0), since(1));
        self.carried = carried;
        Ok(EncryptedOutcome {
            logits,
            seconds: start.elapsed().as_secs_f64(),
            server_seconds,
            sent_bytes,
            received_bytes,
            client: PartyReport::since(&mut self.cpu),
            server,
        })
    }

    fn carried(&self) -> [u64; 2] {
        let traffic = self.link.meter().snapshot();
        let phases = [&traffic.setup, &traffic.offline, &traffic.online];
        [
            phases.iter().map(|phase| phase.sent.framed_bytes).sum(),
            phases.iter().map(|phase| phase.received.framed_bytes).sum(),
        ]
    }

    /// Ends the session in good order.
    ///
    /// # Errors
    /// A connection that was lost.
    pub fn close(self) -> Result<(), PartyError> {
        Ok(self.link.close()?)
    }
}

fn greet(link: &Link) -> Result<(Welcome, Parameters), PartyError> {
    say(link, &Hello { protocol: PROTOCOL })?;
    let welcome: Welcome = hear(link)?;
    let (peer, what) = (Role::Server, "its greeting");
    let malformed = |reason: String| PartyError::Malformed { peer, what, reason };
    welcome.graph.validate().map_err(|e| malformed(e.to_string()))?;
    let parameters = welcome.interface.check().map_err(EncryptedError::from)?;
    let (input, output) = (&welcome.interface.input, &welcome.interface.output);
    if welcome.graph.input_shape().len() != input.elements
        || welcome.graph.output_shape().len() != output.elements
    {
        return Err(malformed("graph and interface do not fit together".to_owned()));
    }
    Ok((welcome, parameters))
}

fn offer(
    link: &Link,
    bytes: &[u8],
    mut progress: impl FnMut(KeyProgress),
) -> Result<(), PartyError> {
    let len = bytes.len() as u64;
    say(link, &Offer { keys: Hash::of(bytes), bytes: len })?;
    let Answer { upload } = hear(link)?;
    if upload {
        let mut sent = 0;
        for piece in bytes.chunks(PIECE) {
            send_piece(link, piece)?;
            sent += piece.len() as u64;
            progress(KeyProgress::Uploaded(sent, len));
        }
    }
    let KeysRead = hear(link)?;
    Ok(())
}

/// Where the keys for an interface are kept.
struct KeyFiles {
    state: PathBuf,
    secret: PathBuf,
    public: PathBuf,
}

impl KeyFiles {
    fn of(state: &Path, interface: &Interface) -> Self {
        let needs = serde_bytes(&(&interface.parameters, &interface.needs));
        let name = |ending: &str| state.join(format!("{}.{ending}", Hash::of(&needs)));
        Self { state: state.to_owned(), secret: name("secret"), public: name("keys") }
    }

    /// The secret key and the public keys as bytes, if they are there.
    fn load(
        &self,
        parameters: &Parameters,
    ) -> Result<Option<(CkksOwner, Vec<u8>)>, EncryptedError> {
        let (Some(secret), Some(public)) = (read(&self.secret)?, read(&self.public)?) else {
            return Ok(None);
        };
        let owner = CkksOwner::from_bytes(parameters, &Zeroizing::new(secret))?;
        Ok(Some((owner, public)))
    }

    /// Makes fresh ones.
    fn make(
        &self,
        interface: &Interface,
        parameters: &Parameters,
        progress: &mut impl FnMut(KeyProgress),
    ) -> Result<(), EncryptedError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| EncryptedError::Keeping { path, source }
        };
        private_dir(&self.state).map_err(failed(&self.state))?;
        let owner = CkksOwner::generate(parameters)?;
        let (mut made, count) = (0, interface.needs.count());
        let keys = owner.keys(&interface.needs, || {
            made += 1;
            progress(KeyProgress::Made(made, count));
        })?;
        // The public keys first: without the secret one they are made again.
        write_whole(&Disk, &self.public, &keys.to_bytes()).map_err(failed(&self.public))?;
        let secret = owner.danger_to_bytes();
        write_whole(&Disk, &self.secret, &secret).map_err(failed(&self.secret))
    }
}

fn read(path: &PathBuf) -> Result<Option<Vec<u8>>, EncryptedError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(EncryptedError::Keeping { path: path.clone(), source }),
    }
}

fn serde_bytes(value: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).unwrap_or_else(|e| unreachable!("plain data serialises: {e}"))
}
