//! A box that runs, and what a test asks of it and of the bucket.

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};

use aws_sdk_s3::{Client, config::SharedCredentialsProvider, presigning::PresigningConfig};
use bytes::Bytes;
use drawbridge::transfer::{Claim, ClientKey, Patience, Progress, Target, TransferError, Uploaded, Uploader};
use drawbridge_jumpbox::{Bounds, BoxError, Ending, Jumpbox, Machine, Place};
use drawbridge_protocol::{
    ArtifactName, ClusterName, JobRef, ObjectKey, ObjectPrefix, Orders, ReadyReport, Revision, SessionId,
    Version, checks::ChecksConfig, orders::Limits,
};
use futures::{Stream, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;

use crate::s3;

/// What a test may set.
pub(crate) struct Plan {
    pub(crate) limits: Limits,
    pub(crate) bounds: Bounds,
    pub(crate) checks: ChecksConfig,
    pub(crate) lives: SignedDuration,
    pub(crate) bucket: &'static str,
}

impl Default for Plan {
    fn default() -> Self {
        let limits = Limits { part_bytes: 5 << 20, ..Limits::default() };
        // What most tests send is no archive: they look at what comes before and after the checks.
        let checks = "all=off".parse().unwrap();
        Self {
            limits,
            bounds: Bounds::default(),
            checks,
            lives: SignedDuration::from_mins(5),
            bucket: s3::BUCKET,
        }
    }
}

/// A running box and its client's key.
pub(crate) struct Rig {
    pub(crate) s3: Client,
    pub(crate) orders: Orders,
    pub(crate) key: ClientKey,
    pub(crate) report: ReadyReport,
    pub(crate) address: SocketAddr,
    pub(crate) serving: JoinHandle<Result<Ending, BoxError>>,
    pub(crate) progress: Arc<Progress>,
}

pub(crate) async fn rig() -> Rig {
    Rig::with(Plan::default()).await
}

/// Orders as `create` writes them, for a session of its own.
pub(crate) async fn orders(s3: &Client, key: &ClientKey, plan: &Plan) -> Orders {
    let session = SessionId::random().unwrap();
    let cluster: ClusterName = "test".parse().unwrap();
    let job = JobRef::new("shop".to_owned(), "nightly".to_owned(), "6a1e-42".to_owned(), 1).unwrap();
    let presigning = PresigningConfig::expires_in(Duration::from_mins(10)).unwrap();
    let ready = s3.put_object().bucket(s3::STATE).key(format!("ready/{session}.json")).if_none_match("*");
    let ready_url = ready.presigned(presigning).await.unwrap().uri().to_owned();
    Orders {
        version: Version,
        prefix: ObjectPrefix::of_session(&cluster, &job, &session).unwrap(),
        ended_key: ObjectKey::ended(&cluster, &session),
        session,
        job,
        cluster,
        client_key: key.public().clone(),
        bucket: plan.bucket.to_owned(),
        region: s3::REGION.to_owned(),
        s3_endpoint: Some(s3::endpoint().to_owned()),
        extra_ca: None,
        ready_url,
        deadline: Timestamp::now() + plan.lives,
        limits: plan.limits,
        checks: plan.checks.clone(),
        rules: Vec::new(),
        baseline: None,
        revision: Revision::CERTIFIED,
    }
}

pub(crate) fn machine() -> Machine {
    let credentials = SharedCredentialsProvider::new(s3::credentials());
    Machine { instance: "i-0123456789abcdef0".to_owned(), credentials }
}

pub(crate) fn place() -> Place {
    let program = env!("CARGO_BIN_EXE_drawbridge-jumpbox").into();
    Place { listen: "127.0.0.1:0".parse().unwrap(), interface: None, program }
}

impl Rig {
    pub(crate) async fn with(plan: Plan) -> Self {
        let s3 = s3::client().await;
        let key = ClientKey::generate().unwrap();
        let orders = orders(&s3, &key, &plan).await;
        Self::start(s3, orders, key, plan.bounds).await
    }

    pub(crate) async fn start(s3: Client, orders: Orders, key: ClientKey, bounds: Bounds) -> Self {
        let jumpbox = Jumpbox::start_within(bounds, orders.clone(), &place(), machine()).await.unwrap();
        let (report, address) = (jumpbox.report().clone(), jumpbox.address().unwrap());
        let serving = tokio::spawn(jumpbox.serve());
        Self { s3, orders, key, report, address, serving, progress: Arc::default() }
    }

    pub(crate) fn target(&self) -> Target {
        Target {
            address: self.address,
            host_key: self.report.host_key.clone(),
            session_key: self.report.session_key.clone(),
            session: self.orders.session.clone(),
            job: self.orders.job.clone(),
            bucket: self.orders.bucket.clone(),
            prefix: self.orders.prefix.clone(),
            instance: self.report.instance.clone(),
            certificate: None,
            receipt_key: None,
        }
    }

    pub(crate) async fn uploader(&self) -> Uploader {
        self.uploader_at(self.address).await
    }

    pub(crate) async fn uploader_at(&self, address: SocketAddr) -> Uploader {
        let target = Target { address, ..self.target() };
        Uploader::connect(target, self.key.clone(), Patience::default(), Arc::clone(&self.progress))
            .await
            .unwrap()
    }

    /// Uploads `data` as one artifact.
    pub(crate) async fn upload(&self, name: &str, data: &[u8]) -> Result<Uploaded, TransferError> {
        self.uploader().await.upload(&artifact(name), claim(), source(data)).await
    }

    /// The session's objects: file name to bytes.
    pub(crate) async fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let prefix = self.orders.prefix.as_str();
        let list = self.s3.list_objects_v2().bucket(s3::BUCKET).prefix(prefix).send().await.unwrap();
        let mut objects = BTreeMap::new();
        for object in list.contents() {
            let key = object.key().unwrap();
            let body = self.s3.get_object().bucket(s3::BUCKET).key(key).send().await.unwrap().body;
            let name = key.strip_prefix(prefix).unwrap().to_owned();
            objects.insert(name, body.collect().await.unwrap().to_vec());
        }
        objects
    }

    /// Multipart uploads of the session that are neither completed nor aborted.
    pub(crate) async fn unfinished(&self) -> usize {
        let list = self.s3.list_multipart_uploads().bucket(s3::BUCKET).prefix(self.orders.prefix.as_str());
        list.send().await.unwrap().uploads().len()
    }
}

pub(crate) fn artifact(name: &str) -> ArtifactName {
    name.parse().unwrap()
}

pub(crate) fn claim() -> Claim {
    Claim {
        source: "config".to_owned(),
        namespace: "shop".to_owned(),
        pod: "web-0".to_owned(),
        paths: vec!["/etc/web".to_owned()],
        ..Claim::default()
    }
}

/// `data` as a source yields it.
pub(crate) fn source(data: &[u8]) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let chunks: Vec<_> = data.chunks(60_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    stream::iter(chunks)
}

/// Bytes that do not compress.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Waits until `condition` holds.
pub(crate) async fn eventually<F, A>(what: &str, condition: F)
where
    F: Fn() -> A,
    A: Future<Output = bool>,
{
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap_or_else(|_| panic!("never came: {what}"));
}
