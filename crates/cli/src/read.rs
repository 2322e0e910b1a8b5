//! Reading files that somebody else has written: bounded, regular, and never followed to another place.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{Context, SHA256};
use drawbridge_protocol::Sha256;

const BUFFER: usize = 256 << 10;

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{path} cannot be read: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is no regular file")]
    Irregular { path: PathBuf },
    #[error("{path} has more than {max} bytes")]
    TooLarge { path: PathBuf, max: usize },
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ReadError {
    let path = path.to_owned();
    |source| ReadError::Io { path, source }
}

fn open(path: &Path) -> Result<File, ReadError> {
    if !fs::symlink_metadata(path).map_err(failed(path))?.is_file() {
        return Err(ReadError::Irregular { path: path.to_owned() });
    }
    File::open(path).map_err(failed(path))
}

/// All of a small file.
pub(crate) fn whole(path: &Path, max: usize) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    open(path)?.take(max as u64 + 1).read_to_end(&mut bytes).map_err(failed(path))?;
    if bytes.len() > max {
        return Err(ReadError::TooLarge { path: path.to_owned(), max });
    }
    Ok(bytes)
}

/// Length and digest of a file of any size; the bytes go into `joined` as well.
pub(crate) fn digest(path: &Path, joined: &mut Context) -> Result<(u64, Sha256), ReadError> {
    let (mut file, mut alone, mut length) = (open(path)?, Context::new(&SHA256), 0);
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer).map_err(failed(path))? {
            0 => return Ok((length, Sha256::from_digest(&alone.finish()))),
            read => {
                alone.update(&buffer[..read]);
                joined.update(&buffer[..read]);
                length += read as u64;
            }
        }
    }
}

/// The names of everything that lies directly in a directory, hidden or not.
pub(crate) fn names(directory: &Path) -> Result<Vec<String>, ReadError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        let entry = entry.map_err(failed(directory))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
