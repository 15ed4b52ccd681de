//! `twilio-guard`: checks configurations, signs webhooks, verifies them and redacts logs (docs/cli.md).
//!
//! The filter is the library; this tool holds no rule of its own about what is genuine, or what of a request may be seen.

#[cfg(not(target_arch = "wasm32"))]
mod cli;

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    cli::main()
}

/// The tool is native; on wasm there is nothing to build.
#[cfg(target_arch = "wasm32")]
fn main() {}
