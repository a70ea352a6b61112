//! Lies about a device's own past: it goes on as a new incarnation behind what it has signed, and
//! behind nothing else.

use super::{forged, head_of, place, shown, world_with, write};
use crate::sim::fleet::{device, secret};
use crate::sim::world::World;
use crate::sync::chains::Alarm;
use crate::sync::intake::{Ask, Source};
use crate::sync::limits::HIDING_MS;
use freehold_api::Blob;
use freehold_api::device_peer::{CommitsResponse, HeadItem, Heads};
use freehold_model::CommitHash;
use freehold_trust::commit::{ChainHead, Commit, SignedHead};

/// A place in the first device's chain that it has not come to.
fn future(hash: CommitHash) -> ChainHead {
    ChainHead { incarnation: 1, seq: 99, hash }
}

/// Commits that are not the first device's, with the claims that would fit them: another key's,
/// another device's, its own of another place.
fn false_proofs(world: &World) -> Vec<(ChainHead, Vec<u8>)> {
    let head = head_of(world, 0);
    let at = |number| freehold_trust::commit::CommitPlace { seq: 99, ..place(world, number, 99, head.hash) };
    let stranger = forged(at(1), 9, &secret(9).sign_key(), world);
    let neighbour = forged(at(2), 9, &secret(2).sign_key(), world);
    let own = world.server.commits[0].clone();
    vec![
        (future(stranger.hash()), stranger.to_bytes()),
        (future(neighbour.hash()), neighbour.to_bytes()),
        (future(CommitHash::from_bytes([9; 32])), own),
        (future(CommitHash::from_bytes([9; 32])), b"noise".to_vec()),
        (future(CommitHash::from_bytes([9; 32])), Vec::new()),
    ]
}

fn incarnation(world: &World) -> u32 {
    world.replicas[0].local.volume.author().0.incarnation
}

/// The first device writes on; the second follows it without an alarm, in the same life.
fn assert_goes_on(world: &mut World, life: u32) {
    write(world, 0, b"after");
    world.settle();
    assert_eq!(incarnation(world), life, "it did not start another life");
    assert_eq!(world.replicas[1].alarms, []);
    assert_eq!(shown(&world.replicas[1]), ["/after", "/one"]);
}

/// Row 64: the server claims that this device has signed what it never signed.
#[test]
fn a_server_that_invents_a_past_of_this_device_is_an_alarm_and_its_chain_goes_on() {
    let mut world = world_with(&[b"one"]);
    let life = incarnation(&world);
    let lies = false_proofs(&world);
    for (claim, proof) in &lies {
        world.server.lies.insert(device(1), (*claim, Blob(proof.clone())));
        world.replicas[0].has_met = false;
        world.meet(0);
        assert!(!world.replicas[0].has_met, "it is asked again later");
    }
    let alarms = std::mem::take(&mut world.replicas[0].alarms);
    assert_eq!(alarms, vec![(Source::Server, Alarm::Unproven); lies.len()]);
    world.server.lies.clear();
    assert_goes_on(&mut world, life);
    assert_eq!(world.replicas[0].alarms, []);
}

/// What the second device says it knows of the first.
fn claim_heads(world: &World, claim: &ChainHead) -> Heads {
    let ChainHead { incarnation, seq, hash } = *claim;
    Heads { heads: vec![HeadItem { device: device(1), incarnation, seq, hash }], ..world.replicas[1].heads() }
}

/// The second device makes a claim; the first asks it to show the commit, and it answers with this.
fn hear_claim(world: &mut World, claim: &ChainHead, answer: &CommitsResponse) {
    let (now, heads) = (world.now_ms, claim_heads(world, claim));
    world.replicas[0].intake.device_may_have_more(device(2));
    world.replicas[0].ask(now);
    world.replicas[0].asked.retain(|ask| !matches!(ask, Ask::Heads { .. }));
    world.replicas[0].with(now, |intake, ctx| intake.heads(ctx, device(2), heads));
    world.replicas[0].ask(now);
    let asked = &mut world.replicas[0].asked;
    let at = asked.iter().position(|ask| matches!(ask, Ask::OwnPast { .. })).expect("it asks for the commit");
    let Ask::OwnPast { from, claim: asked_claim } = asked.remove(at) else { unreachable!("found above") };
    assert_eq!((from, asked_claim.seq), (device(2), claim.seq));
    world.show_own_past(0, from, &asked_claim, answer);
}

/// Row 64 from another device of the account.
#[test]
fn a_device_that_invents_a_past_of_this_one_is_an_alarm_and_its_chain_goes_on() {
    let mut world = world_with(&[b"one"]);
    let life = incarnation(&world);
    let lies = false_proofs(&world);
    let shown = lies.iter().filter(|(_, proof)| !proof.is_empty());
    for (claim, proof) in shown.clone() {
        hear_claim(&mut world, claim, &CommitsResponse { more: false, commits: vec![proof.clone()] });
        world.now_ms += 10_000;
    }
    let alarms = std::mem::take(&mut world.replicas[0].alarms);
    assert_eq!(alarms, vec![(Source::Device(device(2)), Alarm::Unproven); shown.count()]);
    assert_goes_on(&mut world, life);
    assert_eq!(world.replicas[0].alarms, []);
}

/// Row 64: a device that claims and shows nothing is asked again, and named after ten minutes.
#[test]
fn a_claim_that_is_not_shown_in_ten_minutes_is_an_alarm() {
    let mut world = world_with(&[b"one"]);
    let life = incarnation(&world);
    let claim = future(CommitHash::from_bytes([9; 32]));
    let nothing = CommitsResponse::default();
    hear_claim(&mut world, &claim, &nothing);
    world.now_ms += HIDING_MS - 1;
    hear_claim(&mut world, &claim, &nothing);
    assert_eq!(world.replicas[0].alarms, [], "it may not have written it down yet");
    world.now_ms += 10_000;
    hear_claim(&mut world, &claim, &nothing);
    let alarms = std::mem::take(&mut world.replicas[0].alarms);
    assert_eq!(alarms, [(Source::Device(device(2)), Alarm::Unproven)]);
    assert_goes_on(&mut world, life);
}

/// Row 64, the honest case: what a device set back has signed is shown to it, and it goes on behind it.
#[test]
fn a_device_set_back_goes_on_behind_what_it_is_shown_that_it_signed() {
    for by_server in [true, false] {
        let mut world = world_with(&[b"one"]);
        let life = incarnation(&world);
        let old = world.replicas[0].copy();
        write(&world, 0, b"two");
        world.settle();
        let newest = head_of(&world, 0);
        world.replicas[0] = old;
        world.server_is_up = by_server;
        if by_server {
            world.meet(0);
        } else {
            let proof = world.commits_of(
                1,
                &[freehold_api::device_peer::After {
                    device: device(1),
                    incarnation: newest.incarnation,
                    seq: newest.seq - 1,
                }],
            );
            let signed = SignedHead::of(&Commit::from_bytes(&proof.commits[0]).expect("a commit"));
            assert_eq!(signed.head(), newest);
            hear_claim(&mut world, &newest, &proof);
        }
        assert_eq!(world.replicas[0].local.chain_head(), Some(newest));
        assert!(incarnation(&world) > life);
        write(&world, 0, b"three");
        world.settle();
        world.assert_converged();
        assert_eq!(shown(&world.replicas[1]), ["/one", "/three", "/two"]);
    }
}
