//! A database on several ovsdb-servers (ovsdb(7), "Clustered Database Service Model").

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::NORTHBOUND;
use super::member::{Listen, Member, Plan};
use super::release::Release;
use crate::space::{self, Space};
use crate::wait;

/// How long an election may take on a busy machine.
const ELECTED: Duration = Duration::from_secs(30);

/// Several servers of one database.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
}

impl Cluster {
    /// A cluster of that many members with an empty database of this schema.
    ///
    /// # Errors
    /// When a member does not start or join.
    pub async fn start(space: &Space, name: &str, schema: &Path, count: usize) -> Result<Self> {
        Self::of(Release::Current, space, name, schema, count).await
    }

    /// As [`start`](Self::start), of a release.
    ///
    /// # Errors
    /// When a member does not start or join.
    pub async fn of(
        release: Release,
        space: &Space,
        name: &str,
        schema: &Path,
        count: usize,
    ) -> Result<Self> {
        let mut members = Vec::new();
        let first = raft_address();
        for number in 1..=count {
            let plan = Plan::new(release, space, &format!("{name}{number}"), NORTHBOUND)?;
            found(release, &plan.file("db"), schema, &first, number == 1).await?;
            let member = plan.start(&Listen::Tcp).await?;
            member.joined().await?;
            members.push(member);
        }
        Ok(Self { members })
    }

    /// Gives the cluster up and founds another one at the same places, as an operator would who
    /// lost it: with another id, a log that begins anew, and an empty database.
    ///
    /// # Errors
    /// When a member does not end, start or join.
    pub async fn rebuild(&self, schema: &Path) -> Result<()> {
        self.kill().await?;
        let first = raft_address();
        for (number, member) in self.members.iter().enumerate() {
            std::fs::remove_file(member.file())?;
            found(member.release(), member.file(), schema, &first, number == 0).await?;
            member.start_again().await?;
            member.joined().await?;
        }
        Ok(())
    }

    /// Stops all members, keeps a copy of their files, and starts them again.
    ///
    /// # Errors
    /// When a member does not end, start or join, or cannot be copied.
    pub async fn back_up(&self) -> Result<()> {
        self.kill().await?;
        for member in &self.members {
            std::fs::copy(member.file(), member.file().with_extension("copy"))?;
        }
        self.start_again().await
    }

    /// Puts the copies of [`back_up`](Self::back_up) in place of what the members have now, as an
    /// operator would after a mistake: the same cluster, at an earlier time.
    ///
    /// # Errors
    /// When a member does not end, start or join, or there is no copy.
    pub async fn restore(&self) -> Result<()> {
        self.kill().await?;
        for member in &self.members {
            std::fs::copy(member.file().with_extension("copy"), member.file())?;
        }
        self.start_again().await
    }

    async fn kill(&self) -> Result<()> {
        for member in &self.members {
            member.process().kill().await?;
        }
        Ok(())
    }

    async fn start_again(&self) -> Result<()> {
        for member in &self.members {
            member.start_again().await?;
        }
        for member in &self.members {
            member.joined().await?;
        }
        Ok(())
    }

    /// The members.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Every member, as a client names them.
    pub fn endpoints(&self) -> String {
        let endpoints: Vec<_> = self.members.iter().map(Member::endpoint).collect();
        endpoints.join(",")
    }

    /// Waits until there is a leader, and gives it.
    ///
    /// # Errors
    /// When there is none for 30 s.
    pub async fn leader(&self) -> Result<&Member> {
        self.leader_but(None).await
    }

    /// A member that does not lead now.
    ///
    /// # Errors
    /// When there is none.
    pub async fn follower(&self) -> Result<&Member> {
        let leader = self.leader().await?;
        let mut others = self.members.iter().filter(|m| m.port() != leader.port());
        others.next().context("no follower")
    }

    /// Waits until another member than this one leads, and gives it.
    ///
    /// # Errors
    /// When none does for 30 s.
    pub async fn another_leader(&self, than: &Member) -> Result<&Member> {
        self.leader_but(Some(than.port())).await
    }

    /// Makes the leader give up its leadership; the next one.
    ///
    /// # Errors
    /// When no other is elected.
    pub async fn transfer_leadership(&self) -> Result<&Member> {
        let leader = self.leader().await?;
        leader.control(["cluster/failure-test", "transfer-leadership"]).await?;
        self.another_leader(leader).await
    }

    async fn leader_but(&self, port: Option<u16>) -> Result<&Member> {
        wait::until("a leader of the cluster", ELECTED, || async {
            let mut leaders = Vec::new();
            for member in self.members.iter().filter(|member| Some(member.port()) != port) {
                // One that is paused or down does not answer, and does not lead for long.
                let runs = member.process().alive() && !member.process().paused();
                if runs && member.leads().await.unwrap_or(false) {
                    leaders.push(member);
                }
            }
            ensure!(leaders.len() == 1, "{} leaders", leaders.len());
            leaders.first().copied().context("no leader")
        })
        .await
    }
}

fn raft_address() -> String {
    format!("tcp:127.0.0.1:{}", space::port())
}

/// Makes the file of the first member of a cluster, or of one that is to join it.
async fn found(
    release: Release,
    file: &Path,
    schema: &Path,
    first: &str,
    is_first: bool,
) -> Result<()> {
    let tool = release.exec("ovsdb-tool");
    let tool = match is_first {
        true => tool.arg("create-cluster").arg(file).arg(schema).arg(first),
        false => tool.arg("join-cluster").arg(file).args([NORTHBOUND, &raft_address(), first]),
    };
    tool.output().await.map(|_| ())
}
