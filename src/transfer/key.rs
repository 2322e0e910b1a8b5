//! The client's key: made for one session, in memory only, gone with the session.

use std::{fmt, sync::Arc};

use aws_lc_rs::rand;
use drawbridge_protocol::SshPublicKey;
use russh::keys::{
    PrivateKey, PrivateKeyWithHashAlg,
    ssh_key::private::{Ed25519Keypair, KeypairData},
};
use zeroize::Zeroizing;

use super::TransferError;

/// An Ed25519 key pair. Its memory is wiped when the last clone goes.
#[derive(Clone)]
pub struct ClientKey {
    private: Arc<PrivateKey>,
    public: SshPublicKey,
}

impl ClientKey {
    /// A new key.
    pub fn generate() -> Result<Self, TransferError> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        rand::fill(seed.as_mut_slice())
            .map_err(|_| TransferError::Key("the system gave no random bytes".to_owned()))?;
        Self::from_seed(&seed)
    }

    /// The key that these bytes are. Whoever calls it answers for their randomness, and wipes them.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, TransferError> {
        let failed = |why: &dyn fmt::Display| TransferError::Key(why.to_string());
        let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(seed));
        let private = PrivateKey::new(pair, "").map_err(|error| failed(&error))?;
        let text = private.public_key().to_openssh().map_err(|error| failed(&error))?;
        let public = text.trim().parse().map_err(|error| failed(&error))?;
        Ok(Self { private: Arc::new(private), public })
    }

    /// The half that `create` hands to the box.
    pub fn public(&self) -> &SshPublicKey {
        &self.public
    }

    pub(super) fn for_ssh(&self) -> PrivateKeyWithHashAlg {
        PrivateKeyWithHashAlg::new(Arc::clone(&self.private), None)
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKey({})", self.public.fingerprint())
    }
}
