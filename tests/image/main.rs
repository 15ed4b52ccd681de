//! The saved image is what hosts accept, says what it is, and is the same whenever it is made again.
#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed expectation must fail its test"
)]

#[path = "../support/mod.rs"]
mod support;

use flate2::read::GzDecoder;
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use support::image::{FILE, Image, Revision, path, save, sha256};
use support::{Result, module};
use tempfile::TempDir;

const NAME: &str = "twilio-guard";

/// The most that the image may weigh: every proxy pulls it.
const BUDGET: usize = 512 * 1024;

/// A saved image, opened.
struct Opened {
    image: Image,
    files: BTreeMap<String, Vec<u8>>,
    _folder: TempDir,
}

impl Opened {
    /// The image of the module under test.
    fn new() -> Result<Self> {
        Self::of(&std::fs::read(module::path()?)?, &Revision::of_this_tree()?)
    }

    fn of(module: &[u8], revision: &Revision) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let image = save(folder.path(), NAME, module, revision)?;
        let files = unpack(std::fs::File::open(&image.path)?)?;
        Ok(Self { image, files, _folder: folder })
    }

    /// The content of a blob, which is what its descriptor says.
    fn blob(&self, descriptor: &Descriptor) -> &[u8] {
        let content = &self.files[&path(descriptor)];
        assert_eq!(descriptor.digest().to_string(), format!("sha256:{}", sha256(content)));
        assert_eq!(descriptor.size(), u64::try_from(content.len()).unwrap());
        content
    }

    fn manifest(&self) -> Result<(Descriptor, ImageManifest)> {
        let index = ImageIndex::from_reader(self.files["index.json"].as_slice())?;
        let [manifest] = index.manifests().as_slice() else { panic!("one manifest: {index:?}") };
        Ok((manifest.clone(), ImageManifest::from_reader(self.blob(manifest))?))
    }

    fn config(&self) -> Result<ImageConfiguration> {
        Ok(ImageConfiguration::from_reader(self.blob(self.manifest()?.1.config()))?)
    }
}

/// The files of a tar archive, which are nothing but files.
fn unpack(archive: impl Read) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let header = entry.header();
        assert_eq!(header.entry_type(), tar::EntryType::Regular);
        assert_eq!((header.mtime()?, header.uid()?, header.gid()?, header.mode()?), (0, 0, 0, 0o644));
        let name = entry.path()?.to_str().ok_or("a name that is not UTF-8")?.to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        assert!(files.insert(name, content).is_none(), "a file twice");
    }
    Ok(files)
}

#[test]
fn it_is_one_manifest_with_one_gzip_layer_that_holds_the_module_alone() -> Result<()> {
    let opened = Opened::new()?;
    let (descriptor, manifest) = opened.manifest()?;
    assert_eq!(descriptor.media_type().as_ref(), "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest.media_type().as_ref(), Some(descriptor.media_type()));
    assert_eq!(manifest.config().media_type().as_ref(), "application/vnd.oci.image.config.v1+json");
    let [layer] = manifest.layers().as_slice() else { panic!("one layer: {manifest:?}") };
    assert_eq!(layer.media_type().as_ref(), "application/vnd.oci.image.layer.v1.tar+gzip");

    let mut tar = Vec::new();
    GzDecoder::new(opened.blob(layer)).read_to_end(&mut tar)?;
    let config = opened.config()?;
    assert_eq!(config.rootfs().diff_ids(), &[format!("sha256:{}", sha256(&tar))]);
    let files = unpack(tar.as_slice())?;
    assert_eq!(files.keys().collect::<Vec<_>>(), [FILE]);
    assert_eq!(FILE, "plugin.wasm");
    assert!(files[FILE].starts_with(b"\0asm\x01\0\0\0"));
    assert_eq!(files[FILE], std::fs::read(module::path()?)?);

    // Manifest, configuration and layer, and nothing else that a push could take along.
    let blobs = opened.files.keys().filter(|name| name.starts_with("blobs/")).count();
    assert_eq!((blobs, opened.files.len()), (3, 6), "{:?}", opened.files.keys());
    let layout: Value = serde_json::from_slice(&opened.files["oci-layout"])?;
    assert_eq!(layout["imageLayoutVersion"], "1.0.0");
    Ok(())
}

#[test]
fn what_is_printed_is_what_is_to_be_pinned() -> Result<()> {
    let opened = Opened::new()?;
    let (manifest, _) = opened.manifest()?;
    let printed = opened.image.to_string();
    assert!(printed.contains(&format!("manifest  {}", manifest.digest())), "{printed}");
    let module = sha256(&std::fs::read(module::path()?)?);
    assert!(printed.contains(&format!("module    sha256:{module}")), "{printed}");
    Ok(())
}

#[test]
fn labels_and_annotations_name_version_revision_and_licence() -> Result<()> {
    let opened = Opened::new()?;
    let revision = Revision::of_this_tree()?;
    let config = opened.config()?;
    let labels = config.config().as_ref().and_then(|config| config.labels().as_ref()).ok_or("no labels")?;
    let label = |name: &str| labels.get(&format!("org.opencontainers.image.{name}")).map(String::as_str);
    assert_eq!(label("title"), Some(NAME));
    assert_eq!(label("version"), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(label("licenses"), Some("MIT OR Apache-2.0"));
    assert_eq!(label("description"), Some(env!("CARGO_PKG_DESCRIPTION")));
    assert_eq!(label("revision"), Some(revision.commit.as_str()));
    assert_eq!(label("created"), revision.time.as_deref());
    assert_eq!(label("source").unwrap_or_default(), env!("CARGO_PKG_REPOSITORY"));

    let (_, manifest) = opened.manifest()?;
    let mut annotations = manifest.annotations().clone().ok_or("no annotations")?;
    assert_eq!(annotations.remove("module.wasm.image/variant").as_deref(), Some("compat"));
    assert_eq!(&annotations, labels);
    Ok(())
}

#[test]
fn a_revision_is_a_commit_or_unknown() -> Result<()> {
    let revision = Revision::of_this_tree()?;
    let commit = revision.commit.trim_end_matches("-dirty");
    let is_commit = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_commit == revision.time.is_some() && (is_commit || commit == "unknown"), "{revision:?}");

    let unknown = Revision { commit: "unknown".to_owned(), time: None };
    let config = Opened::of(b"\0asm", &unknown)?.config()?;
    assert_eq!(config.created(), &None);
    Ok(())
}

#[test]
fn the_same_module_gives_the_same_archive_to_the_byte_and_another_one_another_digest() -> Result<()> {
    let revision = Revision { commit: "0".repeat(40), time: Some("2026-01-01T00:00:00Z".to_owned()) };
    let module = std::fs::read(module::path()?)?;
    let first = Opened::of(&module, &revision)?;
    let again = Opened::of(&module, &revision)?;
    assert_eq!(std::fs::read(&first.image.path)?, std::fs::read(&again.image.path)?);
    assert_eq!(first.image.manifest, again.image.manifest);

    let changed = Opened::of(&[module.as_slice(), b"\0"].concat(), &revision)?;
    assert_ne!(first.image.manifest, changed.image.manifest);
    Ok(())
}

#[test]
fn it_stays_within_its_budget() -> Result<()> {
    let size = Opened::new()?.image.size;
    assert!(size <= BUDGET, "{size} bytes are over the budget of {BUDGET}");
    Ok(())
}
