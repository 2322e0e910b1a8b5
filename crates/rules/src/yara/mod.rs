//! YARA rules over the decompressed stream.

mod inspector;
mod library;
mod scan;

pub(crate) use inspector::YaraInspector;
pub(crate) use library::Library;
pub use library::{RulesError, shipped};
pub use scan::{BLOCK, OVERLAP};
