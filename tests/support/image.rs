//! The container image that distributes the module: one manifest, one gzip layer, one file, `/plugin.wasm`. This is what
//! istio-agent and Envoy Gateway accept as an OCI image in the "compat" variant.
//!
//! It is written without a container engine, as an OCI layout that carries Docker's `manifest.json` as well: the archive that
//! `docker save` makes since Docker 25. Registries then serve the very bytes that were hashed here, while older engines
//! still load it. Nothing in it depends on when or where it was made.

use super::{Result, project_root};
use flate2::{Compression, GzBuilder};
use oci_spec::image::{
    ANNOTATION_CREATED, ANNOTATION_DESCRIPTION, ANNOTATION_LICENSES, ANNOTATION_REF_NAME,
    ANNOTATION_REVISION, ANNOTATION_SOURCE, ANNOTATION_TITLE, ANNOTATION_VERSION, Arch, ConfigBuilder,
    Descriptor, HistoryBuilder, ImageConfigurationBuilder, ImageIndexBuilder, ImageManifestBuilder,
    MediaType, OciLayoutBuilder, Os, PlatformBuilder, RootFsBuilder, SCHEMA_VERSION, Sha256Digest,
};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The file that hosts look for in the last layer.
pub const FILE: &str = "plugin.wasm";

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Which sources a module was built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The commit, with `-dirty` behind it where files were changed since; `unknown` without git.
    pub commit: String,
    /// When it was committed: RFC 3339, in UTC.
    pub time: Option<String>,
}

impl Revision {
    /// That of this working tree.
    pub fn of_this_tree() -> Result<Self> {
        let Some(head) = git(&["show", "--no-patch", "--format=%H %ct", "HEAD"]) else {
            return Ok(Self { commit: "unknown".to_owned(), time: None });
        };
        let (commit, seconds) = head.split_once(' ').ok_or("git prints no time")?;
        let time = OffsetDateTime::from_unix_timestamp(seconds.parse()?)?.format(&Rfc3339)?;
        let changes = git(&["status", "--porcelain", "--untracked-files=no"]);
        let dirty = if changes.is_some_and(|changes| changes.is_empty()) { "" } else { "-dirty" };
        Ok(Self { commit: format!("{commit}{dirty}"), time: Some(time) })
    }
}

/// What git prints of the project; `None` where there is no git or no repository of the project itself.
fn git(arguments: &[&str]) -> Option<String> {
    let root = project_root();
    let output = Command::new("git")
        .current_dir(root)
        // Unpacked inside of another repository, the project is not a part of it.
        .env("GIT_CEILING_DIRECTORIES", root.parent()?)
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// An image that has been saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The archive.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: usize,
    /// The name that `docker load` gives it.
    pub tag: String,
    /// What a registry serves it under, where it is pushed as it is.
    pub manifest: String,
    /// The SHA-256 of the module.
    pub module: String,
    /// Where the module comes from.
    pub revision: String,
}

impl std::fmt::Display for Image {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, size, tag, manifest, module, revision } = self;
        writeln!(formatter, "image     {} ({} KB, {tag})", path.display(), size / 1000)?;
        writeln!(formatter, "revision  {revision}")?;
        writeln!(formatter, "manifest  sha256:{manifest}")?;
        write!(formatter, "module    sha256:{module}")
    }
}

/// Saves `<name>-<version>.tar` in that folder. Equal modules of equal revisions give equal archives.
pub fn save(folder: &Path, name: &str, module: &[u8], revision: &Revision) -> Result<Image> {
    let tag = format!("{name}:{VERSION}");
    let (archive, manifest) = archive(module, revision, &tag)?;
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{name}-{VERSION}.tar"));
    std::fs::write(&path, &archive)?;
    let (size, module, revision) = (archive.len(), sha256(module), revision.commit.clone());
    Ok(Image { path, size, tag, manifest, module, revision })
}

/// The digest as hexadecimal text.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The archive, and the digest of the image's manifest.
fn archive(module: &[u8], revision: &Revision, tag: &str) -> Result<(Vec<u8>, String)> {
    let mut blobs = Blobs::default();
    let labels = labels(revision);

    let files = tar([(FILE, module)])?;
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(&files)?;
    let layer = blobs.add(MediaType::ImageLayerGzip, gzip.finish()?)?;

    let mut history = HistoryBuilder::default().created_by(format!("COPY {FILE} /"));
    // The module runs wherever its host does. This is the platform that pullers take for granted.
    let mut config = ImageConfigurationBuilder::default()
        .architecture(Arch::Amd64)
        .os(Os::Linux)
        .config(ConfigBuilder::default().labels(labels.clone()).build()?)
        .rootfs(RootFsBuilder::default().diff_ids([format!("sha256:{}", sha256(&files))]).build()?);
    if let Some(time) = &revision.time {
        history = history.created(time);
        config = config.created(time);
    }
    let config = json_text(&config.history([history.build()?]).build()?)?;
    let config = blobs.add(MediaType::ImageConfig, config)?;

    // For docker load, before the manifest joins the blobs.
    let paths = [&config, &layer].map(path);
    let docker = json!([{"Config": paths[0], "RepoTags": [tag], "Layers": [paths[1]]}]);

    let mut annotations = labels;
    annotations.insert("module.wasm.image/variant".to_owned(), "compat".to_owned());
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers([layer])
        .annotations(annotations)
        .build()?;
    let mut manifest = blobs.add(MediaType::ImageManifest, json_text(&manifest)?)?;
    let digest = manifest.digest().digest().to_owned();
    manifest.set_platform(Some(PlatformBuilder::default().architecture(Arch::Amd64).os(Os::Linux).build()?));
    manifest.set_annotations(Some(HashMap::from([
        (ANNOTATION_REF_NAME.to_owned(), VERSION.to_owned()),
        ("io.containerd.image.name".to_owned(), format!("docker.io/library/{tag}")),
    ])));

    let index = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests([manifest])
        .build()?;
    let layout = OciLayoutBuilder::default().image_layout_version("1.0.0").build()?;
    let mut files = blobs.0;
    files.insert("index.json".to_owned(), json_text(&index)?);
    files.insert("manifest.json".to_owned(), json_text(&docker)?);
    files.insert("oci-layout".to_owned(), json_text(&layout)?);
    let files = files.iter().map(|(name, content)| (name.as_str(), content.as_slice()));
    Ok((tar(files)?, digest))
}

/// What the image says of itself.
fn labels(revision: &Revision) -> HashMap<String, String> {
    let known = [
        (ANNOTATION_TITLE, env!("CARGO_PKG_NAME")),
        (ANNOTATION_DESCRIPTION, env!("CARGO_PKG_DESCRIPTION")),
        (ANNOTATION_LICENSES, env!("CARGO_PKG_LICENSE")),
        (ANNOTATION_SOURCE, env!("CARGO_PKG_REPOSITORY")),
        (ANNOTATION_VERSION, VERSION),
        (ANNOTATION_REVISION, revision.commit.as_str()),
        (ANNOTATION_CREATED, revision.time.as_deref().unwrap_or_default()),
    ];
    let known = known.into_iter().filter(|(_, value)| !value.is_empty());
    known.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Contents by their paths in the layout.
#[derive(Default)]
struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    fn add(&mut self, media_type: MediaType, content: Vec<u8>) -> Result<Descriptor> {
        let digest: Sha256Digest = sha256(&content).parse()?;
        let descriptor = Descriptor::new(media_type, u64::try_from(content.len())?, digest);
        self.0.insert(path(&descriptor), content);
        Ok(descriptor)
    }
}

/// Where a layout keeps a blob.
pub fn path(descriptor: &Descriptor) -> String {
    format!("blobs/{}/{}", descriptor.digest().algorithm(), descriptor.digest().digest())
}

/// JSON with sorted keys: the maps of the specification's types have a random order.
fn json_text(value: &impl Serialize) -> Result<Vec<u8>> {
    Ok(serde_json::to_value(value)?.to_string().into_bytes())
}

/// These files, readable by everybody, of nobody and no time.
fn tar<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(u64::try_from(content.len())?);
        archive.append_data(&mut header, name, content)?;
    }
    Ok(archive.into_inner()?)
}
