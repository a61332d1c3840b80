//! Is this the server to talk to? What it says about itself in database `_Server`
//! (ovsdb-server(5), "Database" table).

use std::sync::Arc;

use super::SessionError;
use crate::ovsdb::replica::{Replica, Row, Updates};
use crate::ovsdb::schema::{DatabaseSpec, Resolved, TableSpec};
use crate::ovsdb::value::Uuid;

/// The name of our monitor of `_Server` in the server's messages.
pub(super) const SERVER_MONITOR: &str = "ovn-client-server";
/// The database in which a server tells about itself.
pub(super) const SERVER_DATABASE: &str = "_Server";
const TABLE: &str = "Database";
const COLUMNS: [&str; 6] = ["name", "model", "connected", "leader", "cid", "index"];

/// Which servers will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// Only the leader of a cluster. A follower answers too, but later, and one that was cut off
    /// does not know it at once.
    pub leader_only: bool,
    /// Only members of this cluster; `None`: of any, and of another one when it was rebuilt.
    pub cluster: Option<Uuid>,
}

impl Default for Acceptance {
    fn default() -> Self {
        Self { leader_only: true, cluster: None }
    }
}

/// How far the log of a cluster was seen, from one connection to the next: a server that is
/// behind is stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The cluster.
    pub cluster: Option<Uuid>,
    /// The highest index of its log.
    pub index: i64,
}

/// Why a server will not do, for now or for good; another may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsuitable {
    /// It does not serve the database.
    #[error("it has no database {0}")]
    NoDatabase(String),
    /// It has lost its cluster, or a relay its source.
    #[error("it is not connected to its cluster")]
    NotConnected,
    /// It is not the leader of its cluster.
    #[error("it is not the leader of its cluster")]
    NotLeader,
    /// It has not caught up with what was seen before.
    #[error("it is stale: its log ends at {index}, and {seen} was seen")]
    Stale {
        /// Where its log ends.
        index: i64,
        /// What was seen.
        seen: i64,
    },
    /// It is a member of another cluster than the one configured.
    #[error("it belongs to cluster {0}, not to the one configured")]
    OtherCluster(Uuid),
}

/// What a server says about itself, kept current by a monitor.
#[derive(Debug)]
pub(super) struct ServerWatch {
    resolved: Arc<Resolved>,
    replica: Replica,
}

/// What to monitor of `_Server`.
pub(super) fn spec() -> DatabaseSpec {
    DatabaseSpec::new(SERVER_DATABASE, [TableSpec::new(TABLE, COLUMNS)])
}

impl ServerWatch {
    /// Takes the first contents.
    pub(super) fn new(resolved: Arc<Resolved>, contents: Updates) -> Self {
        let mut replica = Replica::default();
        replica.replace(&resolved, contents, None);
        Self { resolved, replica }
    }

    pub(super) fn resolved(&self) -> &Arc<Resolved> {
        &self.resolved
    }

    pub(super) fn apply(&mut self, updates: Updates) -> Result<(), SessionError> {
        self.replica.apply(updates, None).map_err(SessionError::Server)?;
        Ok(())
    }

    /// Whether the server will do for `database`; how far it is then.
    pub(super) fn judge(
        &self,
        database: &str,
        wanted: Acceptance,
        seen: Progress,
    ) -> Result<Progress, Unsuitable> {
        let mut rows = self.replica.table(TABLE).iter();
        let of_database = |row: &&Arc<Row>| row.read("name").is_some_and(|n: String| n == database);
        let row = rows.find(of_database);
        let row = row.ok_or_else(|| Unsuitable::NoDatabase(database.to_owned()))?;
        let model: String = row.read("model").unwrap_or_default();
        if model == "standalone" {
            return Ok(Progress::default());
        }
        if row.read("connected") == Some(false) {
            return Err(Unsuitable::NotConnected);
        }
        if model != "clustered" {
            // A relay has no log of its own and never leads.
            return Ok(Progress::default());
        }
        if wanted.leader_only && row.read("leader") == Some(false) {
            return Err(Unsuitable::NotLeader);
        }
        let cluster: Option<Uuid> = row.read("cid").flatten();
        if let (Some(wanted), Some(cluster)) = (wanted.cluster, cluster)
            && wanted != cluster
        {
            return Err(Unsuitable::OtherCluster(cluster));
        }
        let index = row.read::<Option<i64>>("index").flatten().unwrap_or_default();
        // A cluster that was rebuilt counts anew.
        if seen.cluster == cluster && index < seen.index {
            return Err(Unsuitable::Stale { index, seen: seen.index });
        }
        Ok(Progress { cluster, index })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::ovsdb::replica::UpdatesSeed;
    use crate::ovsdb::schema::DatabaseSchema;
    use serde::de::DeserializeSeed;

    pub(crate) const SCHEMA: &str = r#"{"name":"_Server","version":"1.2.0","tables":{"Database":{
        "columns":{"name":{"type":"string"},"model":{"type":"string"},
        "connected":{"type":"boolean"},"leader":{"type":"boolean"},
        "cid":{"type":{"key":"uuid","min":0,"max":1}},
        "index":{"type":{"key":"integer","min":0,"max":1}}}}}}"#;

    const CLUSTER: Uuid = Uuid::from_u128(7);
    const ANY: Acceptance = Acceptance { leader_only: false, cluster: None };

    fn watch(row: Value) -> ServerWatch {
        let schema = DatabaseSchema::parse(SCHEMA).unwrap();
        let resolved = Arc::new(Resolved::new(schema, &spec()));
        let contents = json!({"Database": {Uuid::nil().to_string(): {"initial": row}}});
        let contents = UpdatesSeed(&resolved).deserialize(contents).unwrap();
        ServerWatch::new(resolved, contents)
    }

    fn member(leader: bool, connected: bool, index: i64) -> ServerWatch {
        watch(json!({
            "name": "D", "model": "clustered", "leader": leader, "connected": connected,
            "cid": ["uuid", CLUSTER], "index": index,
        }))
    }

    fn at(index: i64) -> Progress {
        Progress { cluster: Some(CLUSTER), index }
    }

    #[test]
    fn a_standalone_server_will_do_if_it_has_the_database() {
        let server = watch(json!({"name": "D", "model": "standalone"}));
        let judge = |name| server.judge(name, Acceptance::default(), at(9));
        assert_eq!(judge("D"), Ok(Progress::default()));
        assert_eq!(judge("E"), Err(Unsuitable::NoDatabase("E".to_owned())));
    }

    #[test]
    fn of_a_cluster_the_connected_leader_will_do_and_a_follower_if_that_is_allowed() {
        let leader = Acceptance::default();
        assert_eq!(member(true, true, 5).judge("D", leader, at(5)), Ok(at(5)));
        assert_eq!(member(false, true, 5).judge("D", leader, at(5)), Err(Unsuitable::NotLeader));
        assert_eq!(member(false, true, 5).judge("D", ANY, at(5)), Ok(at(5)));
        assert_eq!(member(true, false, 5).judge("D", ANY, at(5)), Err(Unsuitable::NotConnected));
    }

    #[test]
    fn a_server_behind_what_was_seen_of_its_cluster_is_stale() {
        let stale = Unsuitable::Stale { index: 4, seen: 5 };
        assert_eq!(member(true, true, 4).judge("D", ANY, at(5)), Err(stale));
        let elsewhere = Progress { cluster: Some(Uuid::from_u128(8)), index: 5 };
        assert_eq!(member(true, true, 4).judge("D", ANY, elsewhere), Ok(at(4)));
    }

    #[test]
    fn only_the_cluster_that_is_configured_will_do() {
        let wanted = |cluster| Acceptance { cluster: Some(cluster), ..ANY };
        let judge = |wanted| member(true, true, 4).judge("D", wanted, Progress::default());
        assert_eq!(judge(wanted(CLUSTER)), Ok(at(4)));
        let other = judge(wanted(Uuid::from_u128(8)));
        assert_eq!(other, Err(Unsuitable::OtherCluster(CLUSTER)));
    }

    #[test]
    fn a_relay_will_do_while_it_has_its_source() {
        let relay = |connected| {
            watch(json!({"name": "D", "model": "relay", "connected": connected, "leader": false}))
                .judge("D", Acceptance::default(), at(9))
        };
        assert_eq!(relay(true), Ok(Progress::default()));
        assert_eq!(relay(false), Err(Unsuitable::NotConnected));
    }
}
