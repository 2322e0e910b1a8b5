//! The instance metadata service, as far as a box asks it.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Serves until the test's runtime ends. The keys are those that the local S3 takes for its root's.
pub(crate) async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    address
}

async fn answer(mut stream: TcpStream) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut request).await, Ok(1..)) {
            return;
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let body = match path {
        "/latest/api/token" => "token".to_owned(),
        "/latest/meta-data/instance-id" => "i-0123456789abcdef0".to_owned(),
        "/latest/meta-data/iam/security-credentials/box" => credentials(),
        "/latest/meta-data/iam/security-credentials/" => "box".to_owned(),
        _ => String::new(),
    };
    let status = if body.is_empty() { "404 Not Found" } else { "200 OK" };
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
}

fn credentials() -> String {
    let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(6);
    format!(
        r#"{{"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "000000000000", "SecretAccessKey": "test",
            "Token": "test", "LastUpdated": "{}", "Expiration": "{expires}"}}"#,
        jiff::Timestamp::now()
    )
}
