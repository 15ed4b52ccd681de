//! Calls to the host that report their status, and the module's entry point. The only unsafe code of the crate.
//!
//! Statuses are plain numbers: an unknown one must not become an invalid enum value.

#![allow(unsafe_code)]

use std::time::Duration;

use super::header_map::{HeaderMap, serialize};

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;
const REQUEST_HEADERS: u32 = 0;
const REQUEST_TRAILERS: u32 = 1;
const RESPONSE_HEADERS: u32 = 2;
const REQUEST_BODY: u32 = 0;
const GRPC_MESSAGE: u32 = 5;
const PLUGIN_CONFIGURATION: u32 = 7;
const REQUEST_STREAM: u32 = 0;
const COUNTER: u32 = 0;
const GAUGE: u32 = 1;
/// No version of a key has this number: a swap against it succeeds only where there is no key (envoy-facts 3).
const NO_VERSION: u32 = u32::MAX;
/// Tells the host that the answer is not gRPC.
const NO_GRPC_STATUS: i32 = -1;

/// A call that the host did not carry out.
#[derive(Debug, Clone, Copy)]
pub(super) struct HostError;

type Result<T> = std::result::Result<T, HostError>;

/// The severity of a log line, with the host's numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Level {
    Info,
    Warn,
    Error,
    Critical,
}

impl Level {
    const fn number(self) -> u32 {
        match self {
            Self::Info => 2,
            Self::Warn => 3,
            Self::Error => 4,
            Self::Critical => 5,
        }
    }
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, message_size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_set_effective_context(context_id: u32) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_done() -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
    ) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        cas: u32,
    ) -> u32;
}

proxy_wasm::main! {{
    // The default message of a panic could be built from request data; its place in the source cannot.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line()));
        log(Level::Critical, &format!("twilio-guard panicked at {}", place.unwrap_or_default()));
    }));
    proxy_wasm::set_root_context(|id| Box::new(super::root::Root::new(id)));
}}

const fn check(status: u32) -> Result<()> {
    if status == OK { Ok(()) } else { Err(HostError) }
}

/// Runs a call that hands over a buffer, and takes ownership of it.
fn owned(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>> {
    let (mut data, mut size) = (std::ptr::null_mut::<u8>(), 0usize);
    check(call(&raw mut data, &raw mut size))?;
    if data.is_null() || size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the host allocated `size` bytes through the module's own allocator export, wrote all of them, and keeps
    // no pointer to them (proxy-wasm ABI 0.2.1, "memory ownership").
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// Writes a line to the proxy's log. A line that cannot be written is lost: there is nowhere else to say so.
pub(super) fn log(level: Level, message: &str) {
    // SAFETY: pointer and length describe a live string; the host only reads it.
    let _ = unsafe { proxy_log(level.number(), message.as_ptr(), message.len()) };
}

/// Time since the Unix epoch.
pub(super) fn now() -> Result<Duration> {
    let mut nanoseconds = 0u64;
    // SAFETY: the host writes one u64 to a live variable.
    check(unsafe { proxy_get_current_time_nanoseconds(&raw mut nanoseconds) })?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// Asks for a tick of the current root context in every period.
pub(super) fn set_tick_period(period: Duration) -> Result<()> {
    let millis = u32::try_from(period.as_millis()).map_err(|_| HostError)?;
    // SAFETY: no pointers.
    check(unsafe { proxy_set_tick_period_milliseconds(millis) })
}

/// Makes the calls that follow be about a stream of the current plugin.
pub(super) fn set_effective_context(id: u32) -> Result<()> {
    // SAFETY: no pointers.
    check(unsafe { proxy_set_effective_context(id) })
}

/// The plugin configuration, as bytes.
pub(super) fn plugin_configuration() -> Result<Vec<u8>> {
    buffer(PLUGIN_CONFIGURATION, usize::MAX >> 1)
}

/// The message of `size` bytes that the current context just received.
pub(super) fn grpc_message(size: usize) -> Result<Vec<u8>> {
    buffer(GRPC_MESSAGE, size)
}

/// The first `size` bytes of the buffered request body.
pub(super) fn request_body(size: usize) -> Result<Vec<u8>> {
    buffer(REQUEST_BODY, size)
}

fn buffer(buffer: u32, max_size: usize) -> Result<Vec<u8>> {
    // SAFETY: the out-pointers come from `owned` and are live.
    owned(|data, size| unsafe { proxy_get_buffer_bytes(buffer, 0, max_size, data, size) })
}

/// A map of the request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Map {
    Headers,
    Trailers,
}

impl Map {
    const fn number(self) -> u32 {
        match self {
            Self::Headers => REQUEST_HEADERS,
            Self::Trailers => REQUEST_TRAILERS,
        }
    }

    /// The fields, in one call.
    pub(super) fn fields(self) -> Result<HeaderMap> {
        // SAFETY: the out-pointers come from `owned` and are live.
        owned(|data, size| unsafe { proxy_get_header_map_pairs(self.number(), data, size) })
            .map(HeaderMap::new)
    }

    /// Removes every value of a field.
    pub(super) fn remove(self, name: &[u8]) -> Result<()> {
        // SAFETY: pointer and length describe a live slice; the host only reads it.
        check(unsafe { proxy_remove_header_map_value(self.number(), name.as_ptr(), name.len()) })
    }
}

/// Sets a request header to one value.
pub(super) fn replace_request_header(name: &str, value: &[u8]) -> Result<()> {
    // SAFETY: both pointers and lengths describe live strings; the host only reads them.
    check(unsafe {
        proxy_replace_header_map_value(
            REQUEST_HEADERS,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
}

/// The address of the connection's other end, as the listener's `set_filter_state` recorded it; without that filter an
/// error.
///
/// The attribute `source.address` will not do: the proxy lets request headers and the PROXY protocol change it, and
/// no attribute has the address before that. The key is outside `wasm.`, where modules could write what a client says.
pub(super) fn direct_peer() -> Result<Vec<u8>> {
    let path = b"filter_state\0twilio_guard.direct_peer";
    // SAFETY: the path is a live slice; the out-pointers come from `owned` and are live.
    owned(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

/// Whether the current stream's request may have been sent to an upstream.
///
/// Only a connection has a local address. The proxy keeps that of the last try alone: of several, one of which no more is known
/// counts as sent.
pub(super) fn reached_upstream() -> bool {
    let has_address = property(b"upstream\0local_address").is_some_and(|address| !address.is_empty());
    let tries = property(b"upstream\0request_attempt_count").and_then(|count| count.try_into().ok());
    has_address || tries.is_some_and(|count| u64::from_le_bytes(count) > 1)
}

/// An attribute of the current stream; `None` where there is none.
fn property(path: &[u8]) -> Option<Vec<u8>> {
    // SAFETY: the path is a live slice; the out-pointers come from `owned` and are live.
    owned(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) }).ok()
}

/// The status of the current stream's response.
pub(super) fn response_status() -> Option<u16> {
    let name = b":status";
    // SAFETY: the name is a live slice; the out-pointers come from `owned` and are live.
    let status = owned(|data, size| unsafe {
        proxy_get_header_map_value(RESPONSE_HEADERS, name.as_ptr(), name.len(), data, size)
    });
    std::str::from_utf8(&status.ok()?).ok()?.parse().ok()
}

/// Reads a key that all VMs of this VM id share: its value, and the number of this version of it. `None` where there is no key.
pub(super) fn shared_data(key: &str) -> Result<Option<(Vec<u8>, u32)>> {
    let mut version = 0;
    let mut is_missing = false;
    // SAFETY: the key is a live string; the out-pointers come from `owned` and this frame, and are live.
    let value = owned(|data, size| unsafe {
        let status = proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut version);
        is_missing = status == NOT_FOUND;
        status
    });
    if is_missing { Ok(None) } else { value.map(|value| Some((value, version))) }
}

/// Writes a key if its version is still this one, or (`None`) if there is no such key. `false` if not.
pub(super) fn swap_shared_data(key: &str, version: Option<u32>, value: &[u8]) -> Result<bool> {
    let version = version.unwrap_or(NO_VERSION);
    // SAFETY: pointers and lengths describe live data; the host only reads it.
    let status =
        unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version) };
    if status == CAS_MISMATCH { Ok(false) } else { check(status).map(|()| true) }
}

/// Sets the filter state `wasm.<name>` of the current stream.
pub(super) fn set_filter_state(name: &str, value: &str) -> Result<()> {
    // SAFETY: both pointers and lengths describe live strings; the host only reads them.
    check(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// Lets the current stream's request go on.
pub(super) fn continue_request() -> Result<()> {
    // SAFETY: no pointers.
    check(unsafe { proxy_continue_stream(REQUEST_STREAM) })
}

/// Lets the host end the current context, which asked it to wait.
pub(super) fn done() -> Result<()> {
    // SAFETY: no pointers.
    check(unsafe { proxy_done() })
}

/// Answers the current stream's request here. `details` becomes `%RESPONSE_CODE_DETAILS%`.
pub(super) fn send_local_response(
    status: u16,
    details: &str,
    headers: &[(&'static str, String)],
    body: &str,
) -> Result<()> {
    let headers = serialize(headers).ok_or(HostError)?;
    // SAFETY: all pointers and lengths describe live data; the host only reads it.
    check(unsafe {
        proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    })
}

/// Calls a function that the host offers beyond the ABI.
pub(super) fn call_foreign_function(name: &str, arguments: &[u8]) -> Result<Vec<u8>> {
    // SAFETY: both pointers and lengths describe live data that the host only reads; the out-pointers come from
    // `owned` and are live.
    owned(|data, size| unsafe {
        proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            arguments.as_ptr(),
            arguments.len(),
            data,
            size,
        )
    })
}

/// Defines (or finds) the counter of this name.
pub(super) fn counter(name: &str) -> Result<u32> {
    metric(COUNTER, name)
}

/// Defines (or finds) the gauge of this name.
pub(super) fn gauge(name: &str) -> Result<u32> {
    metric(GAUGE, name)
}

fn metric(kind: u32, name: &str) -> Result<u32> {
    let mut id = 0;
    // SAFETY: the name is a live string, `id` a live variable.
    check(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

/// Sets a gauge. A value that the host refuses is lost; it is not worth a request.
pub(super) fn set_gauge(gauge: u32, value: u64) {
    // SAFETY: no pointers.
    let _ = unsafe { proxy_record_metric(gauge, value) };
}

/// Adds to a counter or gauge. A count that the host refuses is lost; it is not worth a request.
pub(super) fn add(metric: u32, amount: i64) {
    // SAFETY: no pointers.
    let _ = unsafe { proxy_increment_metric(metric, amount) };
}
