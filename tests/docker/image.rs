//! The module's image in a Docker engine, also in one that knows nothing of OCI layouts (before 25).

use crate::removal::OWN;
use crate::support::container::Engine;
use crate::support::image::{FILE, Image, Revision, save, sha256};
use crate::support::{Result, module};
use std::path::Path;

#[test]
fn docker_loads_the_image_and_hands_the_module_out_again() -> Result<()> {
    let Some(engine) = Engine::or_skip() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let name = OWN.clone();
    let module = std::fs::read(module::path()?)?;
    let image = save(folder.path(), &name, &module, &Revision::of_this_tree()?)?;
    engine.docker(&["load", "--quiet", "--input", image.path.to_str().ok_or("a path that is not UTF-8")?])?;
    let handed_out = hand_out(&engine, &image, folder.path());
    engine.docker(&["image", "rm", &image.tag])?;
    assert_eq!(sha256(&handed_out?), image.module);
    Ok(())
}

/// The module, out of a container that never runs.
fn hand_out(engine: &Engine, image: &Image, folder: &Path) -> Result<Vec<u8>> {
    let container = engine.docker(&["create", &image.tag, "none"])?;
    let copy = folder.join("copy.wasm");
    let target = copy.to_str().ok_or("a path that is not UTF-8")?;
    let copied = engine.docker(&["cp", &format!("{container}:/{FILE}"), target]);
    engine.docker(&["rm", &container])?;
    copied?;
    Ok(std::fs::read(copy)?)
}
