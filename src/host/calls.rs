//! Calls to the shared store: gRPC streams to a cluster that leads to Redis.
//!
//! Why gRPC, where nothing speaks it: of all calls that a module can make, a gRPC stream alone can be left open at the sender's end. An
//! HTTP call ends with its body, Envoy hands that end on as a half-closed connection, and its `redis_proxy` then drops the reply. Left
//! open, the call can go through `redis_proxy`, which keeps its connections to Redis. The proxy's `grpc_http1_reverse_bridge` takes the
//! gRPC frame off what is sent and puts one around what comes back (docs/replay-redis.md).
//!
//! The calls belong to the root context, not to the request that makes them. The host would else cancel them with the request without a
//! word, and the SDK would remember them for ever.

use std::time::Duration;

use prost::Message;
use proxy_wasm::hostcalls;

use super::abi::{self, HostError};
use crate::replay::SharedError;

/// gRPC status codes that say more than that it failed (gRPC, "Status codes and their use").
const DEADLINE_EXCEEDED: u32 = 4;
const UNAVAILABLE: u32 = 14;

/// What identifies a call.
pub(super) type Token = u32;

/// How calls to one cluster are made.
pub(super) struct Calls {
    root: u32,
    service: String,
    timeout: String,
}

impl Calls {
    /// `root` is the context that owns the calls.
    pub(super) fn new(root: u32, cluster: &str, timeout: Duration) -> Self {
        let service = GrpcService { envoy_grpc: Some(EnvoyGrpc { cluster_name: cluster.to_owned() }) };
        Self {
            root,
            // All ASCII, because the configuration bounds the name's length.
            service: String::from_utf8(service.encode_to_vec()).unwrap_or_default(),
            timeout: format!("{}m", timeout.as_millis()),
        }
    }

    /// Begins a call. `own` is the context whose callback this is: the SDK brings the answer there.
    pub(super) fn begin(&self, own: u32, message: &[u8]) -> Result<Token, SharedError> {
        self.as_root(own, || {
            let metadata = vec![("grpc-timeout", self.timeout.as_bytes())];
            let token =
                hostcalls::open_grpc_stream(&self.service, "twilio_guard.Redis", "Pipeline", metadata)
                    .map_err(|_| SharedError::NoCluster)?;
            match hostcalls::send_grpc_stream_message(token, Some(message), false) {
                Ok(()) => Ok(token),
                Err(_) => {
                    close(token);
                    Err(SharedError::Unavailable)
                }
            }
        })?
    }

    /// The message that came for a call, and the end of the call. For the callback of a message.
    pub(super) fn receive(&self, own: u32, token: Token, size: usize) -> Result<Vec<u8>, SharedError> {
        self.as_root(own, || {
            let message = abi::grpc_message(size).map_err(|HostError| SharedError::Malformed);
            close(token);
            message
        })?
    }

    /// Ends a call whose answer nobody waits for any more, or that ended without one.
    pub(super) fn end(&self, own: u32, token: Token) {
        // Where there is no root, there is no call.
        let _ = self.as_root(own, || close(token));
    }

    /// Acts as the root context, and then as the one whose callback this is again.
    fn as_root<T>(&self, own: u32, act: impl FnOnce() -> T) -> Result<T, SharedError> {
        abi::set_effective_context(self.root).map_err(|HostError| SharedError::NoCluster)?;
        let result = act();
        // It exists: its callback is running.
        let _ = abi::set_effective_context(own);
        Ok(result)
    }
}

/// Closes our end: the host then forgets the call as soon as the other end closed, too.
fn close(token: Token) {
    // A call that the host forgot already is closed.
    let _ = hostcalls::close_grpc_stream(token);
}

/// Why a call ended without an answer.
pub(super) const fn error_of_status(status: u32) -> SharedError {
    match status {
        DEADLINE_EXCEEDED => SharedError::Timeout,
        UNAVAILABLE => SharedError::Unavailable,
        _ => SharedError::Reset,
    }
}

/// `envoy.config.core.v3.GrpcService`, as much of it as is needed. A name in its place would be taken for one where it happens to parse.
#[derive(Clone, PartialEq, Message)]
struct GrpcService {
    #[prost(message, optional, tag = "1")]
    envoy_grpc: Option<EnvoyGrpc>,
}

/// `envoy.config.core.v3.GrpcService.EnvoyGrpc`.
#[derive(Clone, PartialEq, Message)]
struct EnvoyGrpc {
    #[prost(string, tag = "1")]
    cluster_name: String,
}
