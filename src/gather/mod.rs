//! Sources become artifact streams.
//!
//! Everything is listed and read as the namespace's own `drawbridge-gatherer`, with a token of ten minutes: the
//! operator itself may neither list pods nor exec. A stream of files ends well only if the container's tar said so, the
//! archive has its end marker, and nothing fatal was said on standard error; a stream of logs only if it holds the line
//! that was the log's last when it was begun.

mod error;
mod exec;
mod logs;
mod name;
mod proof;
mod select;
mod tar;
mod token;
mod verdict;
mod zstd_frame;

pub use error::GatherError;
pub use exec::{Opened, TarStream, open as open_files};
pub use logs::{Base, Gathered, LogStream, Plan as LogPlan, open as open_logs};
pub use select::{Bases, Content, Target};
pub use token::{Gatherer, TokenClients};
