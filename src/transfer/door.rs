//! A TCP stream that is shut when nobody needs its connection any more.
//!
//! russh runs each connection as a task of its own. While keys are exchanged it listens to the box alone: a box that stops
//! there, or goes on for ever, would keep the task, the socket and their memory for as long as it likes. Behind a stream
//! that fails, the task ends.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

/// The stream and its two watchers: reading and writing are polled by different tasks, and a future wakes one of them.
pub(super) struct Door {
    stream: TcpStream,
    reading: Pin<Box<WaitForCancellationFutureOwned>>,
    writing: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Door {
    /// The stream, open until the guard is dropped.
    pub(super) fn new(stream: TcpStream) -> (Self, DropGuard) {
        let shut = CancellationToken::new();
        let reading = Box::pin(shut.clone().cancelled_owned());
        let writing = Box::pin(shut.clone().cancelled_owned());
        (Self { stream, reading, writing }, shut.drop_guard())
    }
}

fn check(shut: &mut Pin<Box<WaitForCancellationFutureOwned>>, cx: &mut Context<'_>) -> io::Result<()> {
    match shut.as_mut().poll(cx) {
        Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "this side shut it")),
        Poll::Pending => Ok(()),
    }
}

impl AsyncRead for Door {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        check(&mut self.reading, cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Door {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        check(&mut self.writing, cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        check(&mut self.writing, cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
