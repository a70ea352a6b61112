//! Storage nodes, their tokens, and the layouts made of them.

use super::convert::{array, signed, small, unsigned};
use super::query::{Connection, Lock, query};
use crate::db::rows::{Heard, HeartbeatRow, JoinOutcome, LayoutRow, NodeRow, TokenHash};
use crate::db::{MakeLayout, StoreError};
use freehold_model::NodeId;
use freehold_model::limits::LAYOUT_NODES_MAX;
use freehold_trust::PublicKey;

pub(super) async fn put_token(
    db: &mut impl Connection,
    token: TokenHash,
    expires: i64,
) -> Result<(), StoreError> {
    query("INSERT INTO join_token (token_hash, expires) VALUES ($1, $2)")
        .bind(token.to_vec())
        .bind(expires)
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn join(
    db: &mut impl Connection,
    token: TokenHash,
    node: &NodeRow,
    make_layout: MakeLayout<'_>,
    now: i64,
) -> Result<JoinOutcome, StoreError> {
    db.lock(Lock::Layout).await?;
    let spent = match spend_token(db, token, &node.sign_pk, now).await? {
        Spent::Bad => return Ok(JoinOutcome::BadToken),
        spent => spent,
    };
    let mut nodes = all(db).await?;
    let known = nodes.iter().find(|known| known.sign_pk == node.sign_pk);
    let (known_id, repeated) = (known.map(|known| known.node), matches!(spent, Spent::Before));
    if let (Some(known), Some(newest), true) = (known, layout(db).await?, repeated) {
        return Ok(JoinOutcome::Joined { node: known.clone(), epoch: newest.epoch });
    }
    if known_id.is_none() && nodes.len() >= LAYOUT_NODES_MAX {
        return Ok(JoinOutcome::Full);
    }
    if known_id.is_some_and(|id| id != node.node) {
        return Err(StoreError::Busy);
    }
    let node = NodeRow { last_seen: now, ..node.clone() };
    upsert(db, &node, now).await?;
    nodes.retain(|known| known.node != node.node);
    nodes.push(node.clone());
    let epoch = layout(db).await?.map_or(1, |newest| newest.epoch + 1);
    insert_layout(db, &make_layout(epoch, &nodes)?).await?;
    Ok(JoinOutcome::Joined { node, epoch })
}

enum Spent {
    Now,
    Before,
    Bad,
}

async fn spend_token(
    db: &mut impl Connection,
    token: TokenHash,
    sign_pk: &PublicKey,
    now: i64,
) -> Result<Spent, StoreError> {
    let row: Option<(Option<Vec<u8>>,)> =
        query("SELECT used_by FROM join_token WHERE token_hash = $1 AND expires > $2")
            .bind(token.to_vec())
            .bind(now)
            .fetch_optional(db)
            .await?;
    match row {
        None => Ok(Spent::Bad),
        Some((Some(used_by),)) => Ok(if used_by == sign_pk.as_bytes() { Spent::Before } else { Spent::Bad }),
        Some((None,)) => {
            query("UPDATE join_token SET used_by = $1 WHERE token_hash = $2")
                .bind(sign_pk.to_bytes().to_vec())
                .bind(token.to_vec())
                .execute(db)
                .await?;
            Ok(Spent::Now)
        }
    }
}

async fn upsert(db: &mut impl Connection, node: &NodeRow, now: i64) -> Result<(), StoreError> {
    query(
        "INSERT INTO node (id, sign_pk, cert, weight, addresses, capacity_bytes, used_bytes, free_bytes,
            heartbeat_time, last_seen, created)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (id) DO UPDATE SET cert = excluded.cert, weight = excluded.weight,
            addresses = excluded.addresses, capacity_bytes = excluded.capacity_bytes,
            last_seen = excluded.last_seen",
    )
    .bind(node.node.to_bytes().to_vec())
    .bind(node.sign_pk.to_bytes().to_vec())
    .bind(node.cert.as_slice())
    .bind(i64::from(node.weight))
    .bind(node.addresses.join("\n"))
    .bind(signed(node.capacity_bytes))
    .bind(signed(node.used_bytes))
    .bind(signed(node.free_bytes))
    .bind(signed(node.heartbeat_time))
    .bind(node.last_seen)
    .bind(now)
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn heartbeat(
    db: &mut impl Connection,
    node: NodeId,
    beat: &HeartbeatRow,
) -> Result<Heard, StoreError> {
    db.lock(Lock::Node(node)).await?;
    let row: Option<(i64, String)> = query("SELECT heartbeat_time, addresses FROM node WHERE id = $1")
        .bind(node.to_bytes().to_vec())
        .fetch_optional(db)
        .await?;
    let Some((last, addresses)) = row else { return Ok(Heard::Unknown) };
    if signed(beat.time) <= last {
        return Ok(Heard::Stale);
    }
    let now_at = beat.addresses.join("\n");
    let heard = if now_at == addresses { Heard::Same } else { Heard::Moved };
    query(
        "UPDATE node SET heartbeat_time = $1, addresses = $2, used_bytes = $3, free_bytes = $4, last_seen = $5
         WHERE id = $6",
    )
    .bind(signed(beat.time))
    .bind(now_at)
    .bind(signed(beat.used_bytes))
    .bind(signed(beat.free_bytes))
    .bind(beat.now)
    .bind(node.to_bytes().to_vec())
    .execute(db)
    .await?;
    Ok(heard)
}

pub(super) async fn all(db: &mut impl Connection) -> Result<Vec<NodeRow>, StoreError> {
    let rows: Vec<Stored> = query(
        "SELECT id, sign_pk, cert, weight, addresses, capacity_bytes, used_bytes, free_bytes,
            heartbeat_time, last_seen FROM node ORDER BY id",
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(node_row).collect()
}

/// A node's columns, as [`all`] reads them.
type Stored = (Vec<u8>, Vec<u8>, Vec<u8>, i64, String, i64, i64, i64, i64, i64);

fn node_row(row: Stored) -> Result<NodeRow, StoreError> {
    let (id, sign_pk, cert, weight, addresses, capacity, used, free, heartbeat_time, last_seen) = row;
    Ok(NodeRow {
        node: NodeId::from_bytes(array(&id, "node id")?),
        sign_pk: PublicKey::from_bytes(array(&sign_pk, "public key")?),
        cert,
        weight: small(weight, "weight")?,
        addresses: addresses.lines().map(str::to_owned).collect(),
        capacity_bytes: unsigned(capacity, "capacity")?,
        used_bytes: unsigned(used, "size")?,
        free_bytes: unsigned(free, "size")?,
        heartbeat_time: unsigned(heartbeat_time, "time")?,
        last_seen,
    })
}

async fn insert_layout(db: &mut impl Connection, layout: &LayoutRow) -> Result<(), StoreError> {
    query("INSERT INTO layout (epoch, write_quorum, bytes, created) VALUES ($1, $2, $3, $4)")
        .bind(signed(layout.epoch))
        .bind(i64::from(layout.write_quorum))
        .bind(layout.bytes.as_slice())
        .bind(layout.created)
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn layout(db: &mut impl Connection) -> Result<Option<LayoutRow>, StoreError> {
    let row: Option<(i64, i64, Vec<u8>, i64)> =
        query("SELECT epoch, write_quorum, bytes, created FROM layout ORDER BY epoch DESC LIMIT 1")
            .fetch_optional(db)
            .await?;
    let Some((epoch, quorum, bytes, created)) = row else { return Ok(None) };
    let write_quorum = u8::try_from(quorum).map_err(|_| StoreError::Corrupt("write quorum"))?;
    Ok(Some(LayoutRow { epoch: unsigned(epoch, "layout epoch")?, write_quorum, bytes, created }))
}
