//! What stands under a genuine signature: a box that was taken over signs what it likes.

use std::sync::OnceLock;

use drawbridge_protocol::{Envelope, Manifest, Receipt, RejectionRecord, SessionPublicKey, SessionSigner};

fn signer() -> &'static (SessionSigner, SessionPublicKey) {
    static SIGNER: OnceLock<(SessionSigner, SessionPublicKey)> = OnceLock::new();
    SIGNER.get_or_init(|| {
        let signer = SessionSigner::generate().unwrap();
        let public = signer.public().unwrap();
        (signer, public)
    })
}

/// A statement that was signed is a receipt, a manifest, a rejection or refused; one whose bytes changed after is refused.
pub(crate) fn signed(data: &[u8]) {
    let (signer, key) = signer();
    let envelope = signer.sign(data).unwrap();
    let receipt = Receipt::verify(&envelope, key);
    let manifest = Manifest::verify(&envelope, key);
    let rejection = RejectionRecord::verify(&envelope, key);
    let read = [receipt.is_ok(), manifest.is_ok(), rejection.is_ok()];
    assert!(read.iter().filter(|read| **read).count() <= 1, "one statement is two documents");
    if let Ok(receipt) = receipt {
        again(&receipt.to_statement().unwrap(), |envelope| Receipt::verify(envelope, key).ok(), &receipt);
    }
    if let Ok(manifest) = manifest {
        again(&manifest.to_statement().unwrap(), |envelope| Manifest::verify(envelope, key).ok(), &manifest);
    }
    // Escapes may make it longer than it was read, and what is too long is not written.
    if let Ok(rejection) = rejection
        && let Ok(statement) = rejection.to_statement()
    {
        again(&statement, |envelope| RejectionRecord::verify(envelope, key).ok(), &rejection);
    }
    let mut changed = data.to_vec();
    changed.push(b' ');
    let forged = Envelope { payload: signer.sign(&changed).unwrap().payload, ..envelope };
    assert!(
        Receipt::verify(&forged, key).is_err()
            && Manifest::verify(&forged, key).is_err()
            && RejectionRecord::verify(&forged, key).is_err(),
        "a forgery passed"
    );
}

fn again<T: PartialEq + std::fmt::Debug>(
    statement: &[u8],
    verify: impl Fn(&Envelope) -> Option<T>,
    first: &T,
) {
    let envelope = signer().0.sign(statement).unwrap();
    assert_eq!(verify(&envelope).as_ref(), Some(first), "a document changed on its way");
}
