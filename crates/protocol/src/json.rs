//! Reading JSON that another party wrote: the size is checked before the parser sees it.

use serde::{Serialize, de::DeserializeOwned};

use crate::ProtocolError;

/// The largest request or answer of a Lambda, in bytes.
pub const MAX_MESSAGE: usize = 16 << 10;
/// The largest manifest, in bytes: 10,000 artifacts of about 1.5 KiB.
pub const MAX_MANIFEST: usize = 16 << 20;

/// Parses `bytes` as a `T`, refusing anything longer than `max` bytes.
pub fn parse<T: DeserializeOwned>(what: &'static str, bytes: &[u8], max: usize) -> Result<T, ProtocolError> {
    if bytes.len() > max {
        return Err(ProtocolError::TooLarge { what, got: bytes.len(), max });
    }
    serde_json::from_slice(bytes).map_err(|error| ProtocolError::invalid(what, error.to_string()))
}

/// Writes `value` as compact JSON.
pub fn write<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, ProtocolError> {
    serde_json::to_vec(value).map_err(|error| ProtocolError::invalid(what, error.to_string()))
}
