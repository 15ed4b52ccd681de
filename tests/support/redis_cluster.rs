//! A real Redis Cluster: three primaries, with or without a replica each.

use super::redis::{Redis, Setup};
use super::{Result, eventually};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;

/// How many primaries there are.
pub const PRIMARIES: usize = 3;

/// A cluster. Dropping it kills its nodes.
pub struct RedisCluster {
    /// The nodes; of a fresh cluster, the primaries come first.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// One that serves, with so many replicas of each primary.
    pub async fn start(replicas: usize) -> Result<Self> {
        let cluster = Self::unformed(replicas).await?;
        cluster.form(replicas).await?;
        Ok(cluster)
    }

    /// Nodes that do not know of each other yet, and serve nothing.
    pub async fn unformed(replicas: usize) -> Result<Self> {
        let setup = Setup::default().with(&[
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "1000",
            // However long a test keeps a replica apart, it may be promoted.
            "--cluster-replica-validity-factor",
            "0",
            "--repl-diskless-sync-delay",
            "0",
        ]);
        let mut nodes = Vec::new();
        for _ in 0..PRIMARIES * (1 + replicas) {
            nodes.push(Redis::with(setup.clone()).await?);
        }
        Ok(Self { nodes })
    }

    /// Makes a cluster of them, and waits until it serves.
    pub async fn form(&self, replicas: usize) -> Result<()> {
        let nodes: Vec<_> = self.addresses().iter().map(SocketAddr::to_string).collect();
        let mut arguments = vec!["--cluster", "create"];
        arguments.extend(nodes.iter().map(String::as_str));
        let replicas = replicas.to_string();
        arguments.extend(["--cluster-replicas", &replicas, "--cluster-yes"]);
        self.nodes[0].cli(&arguments)?;
        for node in &self.nodes {
            eventually("a cluster that serves", async || {
                let is_ok = node.cli(&["cluster", "info"]).ok()?.contains("cluster_state:ok");
                let role = node.cli(&["role"]).ok()?;
                let is_in_step = role.starts_with("master") || role.contains("connected");
                (is_ok && is_in_step).then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// Where the nodes listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Redis::address).collect()
    }

    /// The node that replicates this one.
    pub fn replica_of(&self, primary: usize) -> Result<usize> {
        let port = self.nodes[primary].address().port().to_string();
        let follows = |node: &Redis| {
            let role = node.cli(&["role"])?;
            let mut lines = role.lines();
            Result::Ok(lines.next() == Some("slave") && lines.nth(1) == Some(&port))
        };
        for (number, node) in self.nodes.iter().enumerate() {
            if number != primary && follows(node)? {
                return Ok(number);
            }
        }
        Err("this primary has no replica".into())
    }

    /// Whether the node is a primary now.
    pub fn is_primary(&self, node: usize) -> bool {
        self.nodes[node].cli(&["role"]).is_ok_and(|role| role.starts_with("master"))
    }

    /// The keys of each primary of a fresh cluster.
    pub fn keys(&self) -> Result<Vec<Vec<String>>> {
        self.nodes[..PRIMARIES].iter().map(Redis::keys).collect()
    }

    /// Begins to hand the slots of these keys to another node: from now on, what the first does not have is for the second.
    pub fn begin_handing_over(&self, from: usize, to: usize, keys: &[String]) -> Result<()> {
        let (source, target) = (self.id(from)?, self.id(to)?);
        for slot in self.slots(keys)? {
            self.set_slot(to, &slot, &["importing", &source])?;
            self.set_slot(from, &slot, &["migrating", &target])?;
        }
        Ok(())
    }

    /// Moves a key that is being handed over.
    pub fn move_key(&self, from: usize, to: usize, key: &str) -> Result<()> {
        let port = self.nodes[to].address().port().to_string();
        let answer = self.nodes[from].cli(&["migrate", "127.0.0.1", &port, key, "0", "5000"])?;
        if answer == "OK" { Ok(()) } else { Err(format!("the key did not move: {answer}").into()) }
    }

    /// Ends it: every node knows whose the slots are.
    pub fn end_handing_over(&self, to: usize, keys: &[String]) -> Result<()> {
        let target = self.id(to)?;
        let others = (0..self.nodes.len()).filter(|node| *node != to);
        for node in std::iter::once(to).chain(others) {
            for slot in self.slots(keys)? {
                self.set_slot(node, &slot, &["node", &target])?;
            }
        }
        Ok(())
    }

    /// Has the nodes send others to this name in place of an address. Where this Redis cannot, says so in one line that no test runner
    /// swallows.
    pub async fn name_nodes(&self, name: &str) -> Result<bool> {
        for node in &self.nodes {
            let set = |option, value| node.cli(&["config", "set", option, value]);
            let answer = set("cluster-announce-hostname", name)?;
            if answer != "OK" {
                writeln!(std::io::stderr(), "SKIP nodes with names: this Redis knows none; install Redis 7")?;
                return Ok(false);
            }
            set("cluster-preferred-endpoint-type", "hostname")?;
        }
        eventually("the names of all nodes everywhere", async || {
            let knows = |node: &Redis| {
                let nodes = node.cli(&["cluster", "nodes"])?;
                Result::Ok(nodes.matches(&format!(",{name} ")).count() == self.nodes.len())
            };
            self.nodes.iter().all(|node| knows(node).unwrap_or(false)).then_some(())
        })
        .await?;
        Ok(true)
    }

    fn id(&self, node: usize) -> Result<String> {
        self.nodes[node].cli(&["cluster", "myid"])
    }

    fn slots(&self, keys: &[String]) -> Result<BTreeSet<String>> {
        keys.iter().map(|key| self.nodes[0].cli(&["cluster", "keyslot", key])).collect()
    }

    fn set_slot(&self, node: usize, slot: &str, what: &[&str]) -> Result<()> {
        let answer = self.nodes[node].cli(&[&["cluster", "setslot", slot], what].concat())?;
        if answer == "OK" { Ok(()) } else { Err(format!("slot {slot}, {what:?}: {answer}").into()) }
    }
}
