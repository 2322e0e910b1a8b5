//! Sources become artifact streams.
//!
//! Everything is listed and read as the namespace's own `drawbridge-gatherer`, with a token of ten minutes: the
//! operator itself may neither list pods nor exec. A stream ends well only if the container's tar said so, the
//! archive has its end marker, and nothing fatal was said on standard error.

mod error;
mod exec;
mod name;
mod select;
mod tar;
mod token;
mod verdict;

pub use error::GatherError;
pub use exec::{TarStream, open};
pub use select::Target;
pub use token::{Gatherer, TokenClients};
