//! One session of the helper.

use std::sync::Arc;

use hushwire_mpc::{Comparison, Job};
use hushwire_net::{Link, Role, SessionId};

use super::Shared;
use super::room::Guest;
use crate::description::PROTOCOL;
use crate::hooks::Stage;
use crate::report::cpu_seconds;
use crate::seats::Seat;
use crate::width::Dealing;
use crate::wire::{
    Announce, Description, Grant, Need, Report, Request, Seen, Verdict, hear, hear_upload,
    next_request, say,
};
use crate::{BundleId, DescriptionError, Network, PartyError, PartyReport};

/// Deals for a client and a server until the client leaves.
pub(super) fn run(
    shared: &Shared,
    seat: &Seat,
    id: SessionId,
    client: &Guest,
    server: &Guest,
) -> Result<(), PartyError> {
    shared.hooks.reach(Stage::Setup)?;
    let mut cpu = cpu_seconds();
    let (network, dealing) = agree_on_network(shared, &client.link, server)?;
    let mut bundles = 0;
    while let Some((request, _serving)) = next_request(&client.link, seat)? {
        let Grant(granted) = hear(&server.link)?;
        if granted != request {
            return Err(PartyError::Disagreement);
        }
        let (batch, comparison, count) = parts(request)?;
        let most = shared.config.max_batch;
        if !(1..=most).contains(&batch) {
            let text = format!("a batch of {batch}; the helper takes 1 to {most} samples");
            return Err(PartyError::Limit(text));
        }
        let job = Job::new(Arc::clone(network.program()), batch as usize, comparison);
        for _ in 0..count {
            shared.hooks.reach(Stage::Offline)?;
            let bundle = BundleId::new(&id, bundles);
            bundles += 1;
            let keys = [&bundle.key(&client.key), &bundle.key(&server.key)];
            let dealt = dealing.deal(&job, keys, &client.link, &server.link);
            dealt.map_err(|e| PartyError::in_program(e, &job.program))?;
        }
        let party = shared.config.share_usage.then(|| PartyReport::since(&mut cpu));
        say(&client.link, &Report { party, helper_link: None })?;
        tracing::info!(session = hex::encode(id), ?request, "dealt");
    }
    Ok(())
}

fn parts(request: Request) -> Result<(u32, Comparison, u32), PartyError> {
    match request {
        Request::Fresh { batch, comparison } => Ok((batch, comparison, 1)),
        Request::Prepare { batch, comparison, count } => Ok((batch, comparison, count)),
        Request::Stored { .. } | Request::Compare => Err(PartyError::Disagreement),
    }
}

/// Compares what client and server say of the network, and gets the masked weights.
fn agree_on_network(
    shared: &Shared,
    client: &Link,
    server: &Guest,
) -> Result<(Arc<Network>, Arc<dyn Dealing>), PartyError> {
    let (server, owner) = (&server.link, &server.certificate);
    let announce: Announce = hear(server)?;
    check_version(Role::Server, announce.protocol)?;
    let known = Network::known(&announce.network);
    say(server, &Need { description: known.is_none() })?;
    let network = match known {
        Some(network) => network,
        None => {
            let Description(bytes) = hear(server)?;
            let refused = |source: DescriptionError| PartyError::Description {
                peer: Some(Role::Server),
                source,
            };
            Network::from_bytes(bytes).map_err(refused)?
        }
    };
    let seen: Seen = hear(client)?;
    check_version(Role::Client, seen.protocol)?;
    let (own, announced) = (network.hash(), announce.network);
    let mut verdict =
        Verdict { client: seen.network, server: announced, helper: own, upload: false };
    if seen.network != own || announced != own {
        say(client, &verdict)?;
        say(server, &verdict)?;
        return Err(PartyError::mismatch(&verdict));
    }
    say(client, &verdict)?;
    if let Some(dealing) = shared.cache.get(owner, &network, announce.upload) {
        say(server, &verdict)?;
        return Ok((network, dealing));
    }
    let len = shared.cache.admit(&network)?;
    verdict.upload = true;
    say(server, &verdict)?;
    let upload = hear_upload(server, len)?;
    let dealing = shared.cache.put(owner, &network, announce.upload, &upload)?;
    Ok((network, dealing))
}

fn check_version(peer: Role, got: u32) -> Result<(), PartyError> {
    if got == PROTOCOL {
        return Ok(());
    }
    Err(PartyError::Version { peer, got, expected: PROTOCOL })
}
