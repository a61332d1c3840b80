//! A writer that was replaced and does not know it: each of its transactions is guarded by the epoch
//! it was given, which is a row of the database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::StreamExt as _;
use lab::ovsdb::{Cluster, Release, Schema};
use lab::space::Space;
use lab::wait;
use ovn_client::nb::{LoadBalancer, Protocol};
use ovn_client::{Client, ClientConfig, Event, Outcome, RowChange, Txn, Update, Uuid, Wait};

use crate::scene::{SOON, Scene, config};

const EPOCH: Uuid = Uuid::from_u128(0xe90c_0000_0000_4000_8000_0000_0000_0001);
/// After this long without events, all have been told.
const QUIET: Duration = Duration::from_millis(200);
/// Transactions of the stale writer in flight.
const IN_FLIGHT: usize = 16;

pub(crate) async fn stale_writer_is_fenced_through_another_server() -> Result<()> {
    fenced(Release::Current).await
}

pub(crate) async fn stale_writer_is_fenced_by_older_servers() -> Result<()> {
    fenced(Release::Older).await
}

/// What is known of the rows of the stale writer.
#[derive(Default)]
struct Written {
    committed: BTreeSet<Uuid>,
    /// Perhaps committed, before the epoch was raised.
    unknown: BTreeSet<Uuid>,
}

async fn fenced(release: Release) -> Result<()> {
    let space = Space::new()?;
    let schema = Schema::northbound(release)?.write(&space, "fence")?;
    let cluster = Cluster::of(release, &space, "m", &schema, 3).await?;
    let patient = ClientConfig { event_queue: 65_536, ..config(&cluster.endpoints())? };
    let leader = Scene::with(&space, patient).await?;
    let mut events = leader.client.subscribe();
    let one = cluster.follower().await?.endpoint();
    let stale = ClientConfig { leader_only: false, ..config(&one)? };
    let stale = Scene::with(&space, stale).await?;
    let row =
        LoadBalancer { external_ids: ids(1), ..LoadBalancer::new(EPOCH, "epoch", Protocol::Tcp) };
    let made = leader.client.transact(Txn::new().insert(&row)).await;
    ensure!(made.is_committed(), "{made}");
    let mut written = Written::default();
    for epoch in 1..=4 {
        let writes = tokio::spawn(write_until_fenced(stale.client.clone(), epoch));
        let rows = || leader.client.snapshot().table(LoadBalancer::TABLE).len();
        let before = rows();
        wait::until("the writer to be at work", SOON, || async {
            ensure!(rows() > before + 2 * IN_FLIGHT, "{} rows", rows());
            Ok(())
        })
        .await?;
        // The member it writes through leads, follows, and loses its leader under way.
        let transfer = async {
            if epoch > 1 { cluster.transfer_leadership().await.map(drop) } else { Ok(()) }
        };
        let (transferred, raised) = tokio::join!(transfer, raise(&leader.client, epoch));
        transferred.and(raised)?;
        late(&stale.client, epoch).await?;
        let Written { committed, unknown } = writes.await??;
        written.committed.extend(committed);
        written.unknown.extend(unknown);
    }
    let dump = cluster.leader().await?.dump().await?;
    let rows: BTreeSet<_> = dump.rows(LoadBalancer::TABLE).filter(|row| *row != EPOCH).collect();
    let lost: Vec<_> = written.committed.difference(&rows).collect();
    ensure!(lost.is_empty(), "lost: {lost:?}");
    let known: BTreeSet<_> = written.committed.union(&written.unknown).copied().collect();
    let strange: Vec<_> = rows.difference(&known).collect();
    ensure!(strange.is_empty(), "landed behind the fence: {strange:?}");
    wait::until("both replicas to equal the dump", SOON, || async {
        dump.equals(&stale.client.snapshot())?;
        dump.equals(&leader.client.snapshot())
    })
    .await?;
    let mut seen = 0;
    while let Ok(Some(event)) = tokio::time::timeout(QUIET, events.recv()).await {
        match event {
            Event::Changes(changes) => seen = in_order(seen, &changes)?,
            Event::Lagged => bail!("too many events"),
            Event::Connected | Event::Disconnected { .. } => {}
        }
    }
    ensure!(seen == 5, "the epoch was raised to {seen}");
    Ok(())
}

/// Holds that no row of an epoch comes after the next one began; the epoch from here on.
fn in_order(mut epoch: u64, changes: &[RowChange]) -> Result<u64> {
    let rows = || changes.iter().filter_map(|change| change.new.as_deref());
    for row in rows().filter(|row| row.uuid() != EPOCH) {
        let name = row.read::<String>("name").unwrap_or_default();
        let of: u64 = name.parse()?;
        ensure!(of >= epoch, "{} of epoch {of} came in epoch {epoch}", row.uuid());
    }
    for row in rows().filter(|row| row.uuid() == EPOCH) {
        epoch = row.map_str("external_ids", "epoch").context("no epoch")?.parse()?;
    }
    Ok(epoch)
}

/// Writes row after row, many in flight, until the fence stops it; what is in flight then still has
/// its outcome.
async fn write_until_fenced(client: Client, epoch: u64) -> Result<Written> {
    let is_fenced = AtomicBool::new(false);
    let more = || (!is_fenced.load(Ordering::SeqCst)).then(fresh);
    let mut rows = futures::stream::iter(std::iter::from_fn(more))
        .map(|uuid| {
            let client = client.clone();
            async move {
                client.connected().await;
                (uuid, client.transact(guarded(epoch, uuid)).await)
            }
        })
        .buffered(IN_FLIGHT);
    let mut written = Written::default();
    while let Some((uuid, outcome)) = rows.next().await {
        match outcome {
            Outcome::Committed(_) => written.committed.insert(uuid),
            Outcome::Unknown(_) => written.unknown.insert(uuid),
            Outcome::Fenced(_) => is_fenced.swap(true, Ordering::SeqCst),
            Outcome::Retry(_) | Outcome::NotConnected => false,
            other => bail!("{other}"),
        };
    }
    Ok(written)
}

/// Raises the epoch through whichever member leads.
async fn raise(client: &Client, epoch: u64) -> Result<()> {
    loop {
        let replica = client.connected().await.context("the driver has ended")?;
        let row = replica.row(LoadBalancer::TABLE, EPOCH).context("no epoch")?;
        if row.read("external_ids") == Some(ids(epoch + 1)) {
            return Ok(());
        }
        let guard = Wait::row(LoadBalancer::TABLE, EPOCH).holds("external_ids", &ids(epoch));
        let raise = Update::row(LoadBalancer::TABLE, EPOCH).set("external_ids", &ids(epoch + 1));
        match client.transact(Txn::new().with(guard).with(raise.expect_count(1))).await {
            Outcome::Committed(_) => return Ok(()),
            Outcome::Unknown(_) | Outcome::Retry(_) | Outcome::NotConnected => {}
            other => bail!("the epoch is not raised: {other}"),
        }
    }
}

/// Sends fifty more that begin after the epoch was raised: each is refused by the fence itself.
async fn late(client: &Client, epoch: u64) -> Result<()> {
    let mut fenced = 0;
    while fenced < 50 {
        client.connected().await;
        match client.transact(guarded(epoch, fresh())).await {
            Outcome::Fenced(_) => fenced += 1,
            // Of no outcome: if it landed, it is found among the rows in the end.
            Outcome::Unknown(_) | Outcome::Retry(_) | Outcome::NotConnected => {}
            other => bail!("a late one: {other}"),
        }
    }
    Ok(())
}

fn guarded(epoch: u64, uuid: Uuid) -> Txn {
    let guard = Wait::row(LoadBalancer::TABLE, EPOCH).holds("external_ids", &ids(epoch));
    let row = LoadBalancer::new(uuid, epoch.to_string(), Protocol::Tcp);
    Txn::new().with(guard.fence()).insert(&row)
}

fn ids(epoch: u64) -> BTreeMap<String, String> {
    BTreeMap::from([("epoch".to_owned(), epoch.to_string())])
}

fn fresh() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Uuid::from_u128(u128::from(NEXT.fetch_add(1, Ordering::Relaxed)) | 0xfe << 120)
}
