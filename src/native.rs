//! What the host does in the proxy, done natively for the command line and for tests.

use std::sync::Arc;

use p256::ecdsa::signature::DigestVerifier as _;
use p256::ecdsa::{Signature as EcdsaSignature, VerifyingKey};
use p256::pkcs8::DecodePublicKey as _;
use sha2::{Digest as _, Sha256};

use crate::config::{Environment, Secret};
use crate::p256::{PublicKey, Signature, Unavailable, Verifier};

/// A native host: variables from a function, signatures by [`NativeVerifier`].
#[derive(Debug, Clone, Copy)]
pub struct NativeEnvironment<F>(pub F);

impl<F: Fn(&str) -> Option<String>> Environment for NativeEnvironment<F> {
    fn variable(&self, name: &str) -> Option<Secret> {
        (self.0)(name).map(Secret::from)
    }

    fn p256(&self) -> Option<Arc<dyn Verifier>> {
        Some(Arc::new(NativeVerifier))
    }
}

/// ECDSA P-256 by the `p256` crate.
#[derive(Debug, Clone, Copy)]
pub struct NativeVerifier;

impl Verifier for NativeVerifier {
    fn verify(
        &self,
        key: &PublicKey,
        signature: &Signature,
        message: [&[u8]; 2],
    ) -> Result<bool, Unavailable> {
        // A point that is not on the curve is no key of anybody: nothing verifies under it.
        let Ok(key) = VerifyingKey::from_public_key_der(key.der()) else { return Ok(false) };
        let Ok(signature) = EcdsaSignature::from_der(signature.der()) else { return Ok(false) };
        let feed = |digest: &mut Sha256| {
            message.iter().for_each(|piece| digest.update(piece));
            Ok(())
        };
        Ok(key.verify_digest(feed, &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_native_verifier_passes_the_self_test() {
        assert!(crate::p256::self_test(&NativeVerifier));
    }
}
