//! The run's network, cut, led astray and seen from another address: rules in the run's own namespaces.

use std::process::{Child, Command, Stdio};

use crate::bed::{Bed, output};

/// A table of ours in the fabric, before the test bed's own; gone when this goes out of scope.
pub(crate) struct Table<'a>(&'a Bed);

/// The cluster's address, and where the box's port is.
const CLUSTER: &str = "203.0.113.10";
/// A machine of somebody else.
const STRANGER: &str = "203.0.113.20";
/// Another address of the cluster's provider.
const MOVED: &str = "203.0.113.11";

impl<'a> Table<'a> {
    /// Nothing passes between the cluster and any box, both ways, established connections included.
    pub(crate) fn without_boxes(bed: &'a Bed) -> Self {
        Self::forwarding(
            bed,
            &format!("ip saddr {CLUSTER} tcp dport 22 drop; ip daddr {CLUSTER} tcp sport 22 drop;"),
        )
    }

    /// Nothing passes between the cluster and the AWS API.
    pub(crate) fn without_the_api(bed: &'a Bed) -> Self {
        Self::forwarding(
            bed,
            &format!(
                "ip saddr {CLUSTER} ip daddr 198.51.100.2 drop; ip daddr {CLUSTER} ip saddr 198.51.100.2 drop;"
            ),
        )
    }

    fn forwarding(bed: &'a Bed, rules: &str) -> Self {
        Self::of(bed, &format!("chain cut {{ type filter hook forward priority -10; {rules} }}"))
    }

    /// Who connects to a box reaches somebody else.
    pub(crate) fn to_a_stranger(bed: &'a Bed) -> Self {
        let rule = format!("ip saddr {CLUSTER} tcp dport 22 dnat to {STRANGER}");
        Self::of(bed, &format!("chain astray {{ type nat hook prerouting priority -110; {rule}; }}"))
    }

    fn of(bed: &'a Bed, chain: &str) -> Self {
        let mut nft = inside(bed, "fab", "nft");
        nft.arg(format!("table ip faults {{ {chain}; }}"));
        output(nft).unwrap();
        Self(bed)
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        let mut nft = inside(self.0, "fab", "nft");
        nft.arg("delete table ip faults");
        output(nft).unwrap();
    }
}

/// The cluster leaves by another address than the one that the stack lets in.
pub(crate) struct Moved<'a>(&'a Bed);

impl<'a> Moved<'a> {
    pub(crate) fn of(bed: &'a Bed) -> Self {
        let mut route = inside(bed, "fab", "ip");
        route.args(["route", "replace", &format!("{MOVED}/32"), "dev", "ext"]);
        output(route).unwrap();
        node(bed, &["ip", "addr", "replace", &format!("{MOVED}/24"), "dev", "ext0"]);
        node(
            bed,
            &["iptables", "-w", "-t", "nat", "-I", "POSTROUTING", "-o", "ext0", "-j", "SNAT", "--to", MOVED],
        );
        Self(bed)
    }
}

impl Drop for Moved<'_> {
    fn drop(&mut self) {
        node(
            self.0,
            &["iptables", "-w", "-t", "nat", "-D", "POSTROUTING", "-o", "ext0", "-j", "SNAT", "--to", MOVED],
        );
        node(self.0, &["ip", "addr", "del", &format!("{MOVED}/24"), "dev", "ext0"]);
        let mut route = inside(self.0, "fab", "ip");
        route.args(["route", "del", &format!("{MOVED}/32"), "dev", "ext"]);
        output(route).unwrap();
    }
}

/// An SSH server with a key of its own at the stranger's address.
pub(crate) struct Stranger {
    server: Child,
    _directory: tempfile::TempDir,
}

impl Stranger {
    pub(crate) fn listen(bed: &Bed) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key");
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        output(make).unwrap();
        // sshd wants its directory for the separation of privileges; most images lack it.
        std::fs::create_dir_all("/run/sshd").unwrap();
        let mut sshd = inside(bed, "out", "/usr/sbin/sshd");
        sshd.args(["-D", "-e", "-f", "/dev/null", "-p", "22", "-o", "PidFile=none", "-h"]).arg(&key);
        let server = sshd.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { server, _directory: directory }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A command in one of the AWS side's namespaces.
fn inside(bed: &Bed, place: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &format!("dba{}-{place}", bed.fact("/index")), program]);
    command
}

/// Runs a command in the node's network.
fn node(bed: &Bed, arguments: &[&str]) {
    let mut command = bed.words("/kubernetes/node_netns_command");
    command.args(arguments);
    output(command).unwrap();
}
