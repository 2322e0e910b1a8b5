//! The keys that the box makes for itself. They live in this process's memory and nowhere else.

use aws_lc_rs::rand;
use drawbridge_protocol::{ProtocolError, SessionSigner, SshPublicKey};
use russh::keys::{
    PrivateKey,
    ssh_key::private::{Ed25519Keypair, KeypairData},
};
use zeroize::Zeroizing;

/// Why a key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the system's random generator failed")]
    Random,
    #[error("the new SSH host key cannot be used: {0}")]
    Ssh(#[from] russh::keys::ssh_key::Error),
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

/// The host key that clients pin and the session key that signs manifest and receipt.
pub(crate) struct Keys {
    pub(crate) host: PrivateKey,
    pub(crate) signer: SessionSigner,
}

impl Keys {
    /// Two new keys.
    pub(crate) fn generate() -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        rand::fill(seed.as_mut_slice()).map_err(|_| KeyError::Random)?;
        let host = PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed)), "")?;
        Ok(Self { host, signer: SessionSigner::generate()? })
    }

    /// The host key's public half.
    pub(crate) fn host_public(&self) -> Result<SshPublicKey, KeyError> {
        Ok(self.host.public_key().to_openssh()?.trim().parse()?)
    }
}
