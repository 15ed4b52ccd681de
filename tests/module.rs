//! What the module asks of its host, and what it weighs.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken module must fail loudly")]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use support::{Result, module};
use wasmparser::{ExternalKind, Imports, Parser, Payload};

/// The most that the module may weigh: Envoy spends about 0.2 ms and 25 KB of memory on each KB at start.
const BUDGET: usize = 896 * 1024;

/// The WASI calls that the module may need: each is offered by every Envoy from 1.36 on. Envoy does not load a module of which
/// it lacks one import, used or not: `std::fs`, for one, needs `fd_filestat_get`, which 1.36 and 1.37 lack and 1.39 has. A
/// name is added here only after the whole suite has run on the oldest version (`make test-matrix`).
const WASI: [&str; 5] = ["environ_get", "environ_sizes_get", "fd_write", "proc_exit", "random_get"];

/// The callbacks that the host must find.
const CALLBACKS: [&str; 9] = [
    "proxy_abi_version_0_2_1",
    "proxy_on_memory_allocate",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_tick",
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
];

fn bytes() -> Result<Vec<u8>> {
    Ok(std::fs::read(module::path()?)?)
}

#[test]
fn every_import_exists_on_every_supported_envoy() -> Result<()> {
    let bytes = bytes()?;
    let mut wasi = BTreeSet::new();
    for payload in Parser::new(0).parse_all(&bytes) {
        let Payload::ImportSection(imports) = payload? else { continue };
        for import in imports {
            let Imports::Single(_, import) = import? else { panic!("imports are written one by one") };
            match import.module {
                "env" => assert!(import.name.starts_with("proxy_"), "{}", import.name),
                "wasi_snapshot_preview1" => {
                    wasi.insert(import.name.to_owned());
                }
                other => panic!("an import from {other}"),
            }
        }
    }
    let foreign: Vec<_> = wasi.iter().filter(|name| !WASI.contains(&name.as_str())).collect();
    assert!(foreign.is_empty(), "{foreign:?}: some Envoys may lack these, and would not load the module");
    let unused: Vec<_> = WASI.iter().filter(|name| !wasi.contains(**name)).collect();
    assert!(unused.is_empty(), "{unused:?}: no longer needed, so no longer allowed");
    Ok(())
}

#[test]
fn every_needed_callback_is_exported() -> Result<()> {
    let bytes = bytes()?;
    let mut exports = BTreeSet::new();
    for payload in Parser::new(0).parse_all(&bytes) {
        let Payload::ExportSection(section) = payload? else { continue };
        for export in section {
            let export = export?;
            if export.kind == ExternalKind::Func {
                exports.insert(export.name.to_owned());
            }
        }
    }
    let missing: Vec<_> = CALLBACKS.iter().filter(|name| !exports.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?} of {exports:?}");
    Ok(())
}

#[test]
fn the_module_stays_within_its_budget() -> Result<()> {
    let size = bytes()?.len();
    assert!(size <= BUDGET, "{size} bytes are over the budget of {BUDGET}");
    Ok(())
}

/// Who builds it elsewhere gets the same bytes, and they tell nobody where it was built.
#[test]
fn the_module_names_no_path_of_its_builder() -> Result<()> {
    let bytes = bytes()?;
    let home = module::cargo_home().ok_or("no cargo home")?;
    for path in [home.as_path(), support::project_root()] {
        let path = path.to_str().ok_or("a path that is no text")?;
        let found = bytes.windows(path.len()).any(|window| window == path.as_bytes());
        assert!(!found, "{path} is in the module: are its RUSTFLAGS not those of the Makefile?");
    }
    Ok(())
}
