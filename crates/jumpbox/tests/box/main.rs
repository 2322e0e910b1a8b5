//! The box and the client, each for real, over loopback TCP, in front of a real local S3.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod certificates;
mod checks;
mod denials;
mod limits;
mod locks;
mod raw;
mod rejections;
mod resume;
mod rules;
mod s3;
mod sealing;
mod skew;
mod support;
mod uploads;
