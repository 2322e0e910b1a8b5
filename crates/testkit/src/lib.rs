//! A TLS server with a CA of its own, for tests of every program that talks to AWS.
//!
//! openssl makes the certificates, as for the local AWS: nothing here is what the product uses to verify them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc, reason = "only tests use it")]

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"];

/// A certificate authority that lives as long as the test.
#[derive(Debug)]
pub struct Authority {
    directory: TempDir,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let authority = Self { directory: TempDir::new().unwrap() };
        std::fs::write(authority.path("openssl.cnf"), "[req]\ndistinguished_name = name\n[name]\n").unwrap();
        let subject = format!("/CN={name}");
        let extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"];
        authority.request("ca", &["-subj", &subject], extensions);
        authority
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        std::fs::read_to_string(self.path("ca.crt")).unwrap()
    }

    /// A certificate for 127.0.0.1.
    fn acceptor(&self) -> TlsAcceptor {
        let (ca, key) = (self.path("ca.crt"), self.path("ca.key"));
        let signed_by = ["-CA", ca.to_str().unwrap(), "-CAkey", key.to_str().unwrap(), "-subj", "/CN=server"];
        self.request(
            "server",
            &signed_by,
            ["basicConstraints=critical,CA:FALSE", "subjectAltName=IP:127.0.0.1"],
        );
        let certificate = CertificateDer::from_pem_file(self.path("server.crt")).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.path("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Arc::new(config).into()
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    fn request(&self, file: &str, arguments: &[&str], extensions: [&str; 2]) {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-days", "2", "-config"]).arg(self.path("openssl.cnf"));
        openssl.args(NEW_KEY).args(arguments);
        for extension in extensions {
            openssl.args(["-addext", extension]);
        }
        openssl.arg("-keyout").arg(self.path(&format!("{file}.key")));
        openssl.arg("-out").arg(self.path(&format!("{file}.crt")));
        let output = openssl.output().unwrap_or_else(|error| panic!("openssl cannot be started: {error}"));
        assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A server that answers every request alike, until it is dropped.
#[derive(Debug)]
pub struct Server {
    endpoint: String,
    requests: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Server {
    /// `https://127.0.0.1:port`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How many requests came over a connection whose handshake the client finished.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Serves `body` with a certificate of this authority's.
pub async fn serve(authority: &Authority, body: &str) -> Server {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let (acceptor, requests) = (authority.acceptor(), Arc::new(AtomicUsize::new(0)));
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let counted = Arc::clone(&requests);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answer, counted) = (acceptor.clone(), answer.clone(), Arc::clone(&counted));
            tokio::spawn(async move {
                // A client that does not believe the certificate ends the handshake.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                while read_request(&mut stream).await {
                    counted.fetch_add(1, Ordering::SeqCst);
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    Server { endpoint, requests, serving }
}

/// Whether a whole request came: its head, and as much body as the head says.
async fn read_request(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> bool {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if read.len() >= end + 4 + length.unwrap_or(0_usize) {
                return true;
            }
        }
        if !matches!(stream.read_buf(&mut read).await, Ok(1..)) {
            return false;
        }
    }
}
