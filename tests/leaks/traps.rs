//! Modules whose VM dies: ours, with one callback replaced by a trap.
//!
//! No input is known to kill the VM, so a dead one has to be made. All else is the module as it ships: it loads, is
//! configured, and the host treats its death as it would treat a bug of ours.

use std::path::{Path, PathBuf};

use wasmparser::{ExternalKind, Imports, Parser, Payload, TypeRef};

use crate::support::{Result, module};

/// `unreachable`, the trap; as many of them as the body had bytes keep every offset of the file.
const UNREACHABLE: u8 = 0;

/// The module with a trap in place of this callback, written into that directory.
pub fn trap(callback: &str, directory: &Path) -> Result<PathBuf> {
    let mut bytes = std::fs::read(module::path()?)?;
    let body = body(&bytes, callback)?;
    // The last byte ends the function.
    bytes[body.start..body.end - 1].fill(UNREACHABLE);
    let file = directory.join(format!("{callback}.wasm"));
    std::fs::write(&file, bytes)?;
    Ok(file)
}

/// Where the instructions of an exported function stand.
fn body(bytes: &[u8], export: &str) -> Result<std::ops::Range<usize>> {
    let (mut imported, mut exported, mut bodies) = (0, None, Vec::new());
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports {
                    let Imports::Single(_, import) = import? else { return Err("grouped imports".into()) };
                    imported += usize::from(matches!(import.ty, TypeRef::Func(_)));
                }
            }
            Payload::ExportSection(exports) => {
                for entry in exports {
                    let entry = entry?;
                    if entry.kind == ExternalKind::Func && entry.name == export {
                        exported = Some(usize::try_from(entry.index)?);
                    }
                }
            }
            Payload::CodeSectionEntry(body) => {
                let start = body.get_operators_reader()?.original_position();
                bodies.push(usize::try_from(start)?..usize::try_from(body.range().end)?);
            }
            _ => {}
        }
    }
    let index = exported.ok_or_else(|| format!("the module exports no {export}"))?;
    bodies.get(index - imported).cloned().ok_or_else(|| "an export without a body".into())
}
