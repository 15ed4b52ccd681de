//! Saves the module's container image in `target/image`, and prints what to pin. With `--envoy` it makes a Docker image of
//! this machine's Envoy instead, for where no registry can be reached.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal, whose output is what it is for"
)]

#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;
use support::image::{self, Revision};
use support::{Result, container, module, project_root};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let made = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => image_of_the_module(),
        ["--envoy"] => image_of_envoy(),
        _ => {
            eprintln!("usage: image [--envoy]");
            return ExitCode::from(2);
        }
    };
    match made {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn image_of_the_module() -> Result<String> {
    let module = std::fs::read(module::path()?)?;
    let folder = project_root().join("target/image");
    let image = image::save(&folder, env!("CARGO_PKG_NAME"), &module, &Revision::of_this_tree()?)?;
    Ok(image.to_string())
}

fn image_of_envoy() -> Result<String> {
    let engine = container::Engine::find()?;
    let tag = container::envoy(&engine, "twilio-guard-envoy")?;
    Ok(format!("made {tag}; use it so: ENVOY_IMAGE={tag} docker compose -f envoy/docker/compose.yaml up"))
}
