//! ECDSA by the host: Envoy's foreign function `verify_signature` (envoy-facts 12).

use prost::Message as _;

use super::abi;
use crate::p256::{PublicKey, Signature, Unavailable, Verifier};

/// `envoy.source.extensions.common.wasm.VerifySignatureArguments`.
#[derive(Clone, PartialEq, prost::Message)]
struct Arguments {
    #[prost(string, tag = "1")]
    hash_function: String,
    #[prost(bytes = "vec", tag = "2")]
    public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    text: Vec<u8>,
}

/// `envoy.source.extensions.common.wasm.VerifySignatureResult`.
#[derive(Clone, PartialEq, prost::Message)]
struct Outcome {
    #[prost(bool, tag = "1")]
    result: bool,
    #[prost(string, tag = "2")]
    error: String,
}

/// The host's verifier. A host without the function is found out by the self-test at configuration.
#[derive(Debug)]
pub(super) struct HostVerifier;

impl Verifier for HostVerifier {
    fn verify(
        &self,
        key: &PublicKey,
        signature: &Signature,
        message: [&[u8]; 2],
    ) -> Result<bool, Unavailable> {
        let arguments = Arguments {
            hash_function: "sha256".to_owned(),
            public_key: key.der().to_vec(),
            signature: signature.der().to_vec(),
            text: message.concat(),
        };
        let answer = abi::call_foreign_function("verify_signature", &arguments.encode_to_vec());
        let outcome =
            Outcome::decode(answer.map_err(|_| Unavailable)?.as_slice()).map_err(|_| Unavailable)?;
        Ok(outcome.result)
    }
}
