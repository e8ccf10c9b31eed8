//! `hushwire client pool`

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hushwire_party::{Client, ClientConfig, Disk, Fitting, PartyError, Store};

use crate::output;

/// How often the store is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// How often the server is asked whether what is stored still fits.
const ASK: Duration = Duration::from_secs(600);

/// Waits after a failure: at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// Keeps `size` inferences of `batch` images prepared until a signal comes.
pub(super) fn run(config: &ClientConfig, size: usize, batch: usize) -> Result<()> {
    let (stop, stopped) = mpsc::channel();
    ctrlc::set_handler(move || {
        // The receiver lives as long as the process.
        let _ = stop.send(());
    })
    .context("signals cannot be handled")?;
    let store = Store::shared(&config.state.join("bundles"), Arc::new(Disk))?;
    let mut pause = PAUSES[0];
    let mut asked: Option<(Fitting, Instant)> = None;
    output::note(format_args!("keeping {size} inferences of {batch} images prepared"));
    loop {
        let missing = match &asked {
            Some((fitting, at)) if at.elapsed() < ASK => {
                size.saturating_sub(count(&store, fitting, batch)?)
            }
            _ => usize::MAX,
        };
        if missing == 0 {
            if is_over(&stopped, LOOK) {
                return Ok(());
            }
            continue;
        }
        match fill(config, &store, size, batch, &stopped) {
            Ok(Some(fitting)) => {
                asked = Some((fitting, Instant::now()));
                pause = PAUSES[0];
            }
            Ok(None) => return Ok(()),
            // The request itself is wrong, and will be tomorrow.
            Err(error @ (PartyError::Limit(_) | PartyError::OtherNetwork { .. })) => {
                return Err(error.into());
            }
            Err(error) => {
                output::note(format_args!("{error}; trying again in {} s", pause.as_secs()));
                if is_over(&stopped, pause) {
                    return Ok(());
                }
                pause = (2 * pause).min(PAUSES[1]);
            }
        }
    }
}

/// Connects and prepares what is missing. Nothing if a signal came.
fn fill(
    config: &ClientConfig,
    store: &Store,
    size: usize,
    batch: usize,
    stopped: &Receiver<()>,
) -> Result<Option<Fitting>, PartyError> {
    let mut client = Client::connect(config.clone())?;
    let fitting = client.fitting();
    // Compares with the server, and gives up what has no other half.
    client.stored()?;
    let mut ended = false;
    while !ended && count(store, &fitting, batch)? < size {
        client.prepare(batch, 1)?;
        ended = is_over(stopped, Duration::ZERO);
        let ready = count(store, &fitting, batch)?;
        output::note(format_args!("{ready} of {size} inferences are prepared"));
    }
    client.close()?;
    Ok((!ended).then_some(fitting))
}

/// Bundles of `batch` images that fit.
fn count(store: &Store, fitting: &Fitting, batch: usize) -> Result<usize, PartyError> {
    let ready = store.ready()?;
    let fits = ready
        .iter()
        .filter(|(_, entry)| entry.batch as usize == batch && fitting.check(entry).is_ok());
    Ok(fits.count())
}

/// Waits; says whether a signal came.
fn is_over(stopped: &Receiver<()>, wait: Duration) -> bool {
    !matches!(stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
}
