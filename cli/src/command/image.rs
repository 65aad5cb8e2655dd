//! `latchkey image`: the filter as an OCI image layout, from which a registry gets it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result, ensure};
use clap::Args;
use flate2::{Compression, GzBuilder};
use oci_spec::image::{
    Arch, Descriptor, DescriptorBuilder, ImageConfigurationBuilder, ImageIndexBuilder,
    ImageManifestBuilder, MediaType, OciLayoutBuilder, Os, RootFsBuilder, SCHEMA_VERSION,
    Sha256Digest,
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::style::warn;
use crate::{Exit, atomic, filter};

/// The only file of the image, by the name under which Istio and Envoy Gateway look for it.
const FILE: &str = "plugin.wasm";

/// How every WebAssembly module begins (WebAssembly core specification, section 5.5.16).
const MAGIC: &[u8] = b"\0asm";

/// Write the filter as an OCI image layout
///
/// The image has one layer, a gzipped tar with `plugin.wasm`, as Istio and Envoy Gateway pull it. From
/// one module the same image comes, whenever and wherever it is made. What is printed is the digest of
/// its manifest, to pin it by: `@sha256:…` behind the image's name.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  \
    latchkey image --wasm dist/latchkey.wasm --out dist/image\n  \
    skopeo copy oci:dist/image docker://registry.example.com/latchkey:0.1.0")]
pub struct Arguments {
    /// The filter
    #[arg(long, value_name = "FILE")]
    wasm: PathBuf,
    /// The folder to write, which must not be there yet or must be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes the layout and prints the digest of its manifest.
///
/// # Errors
/// The filter cannot be read or is not a WebAssembly module; the folder has something in it or cannot be
/// written. Nothing is left behind then.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let place = arguments.wasm.display();
    let module = fs::read(&arguments.wasm).with_context(|| format!("cannot read `{place}`"))?;
    ensure!(module.starts_with(MAGIC), "`{place}` is not a WebAssembly module");
    let (out, out_place) = (&arguments.out, arguments.out.display());
    let is_free = match fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    ensure!(is_free, "`{out_place}` is not an empty folder");
    if !filter::is_filter(&module) {
        warn(format_args!("`{place}` is a WebAssembly module, but not Latchkey's filter"));
    }
    let temporary = atomic::beside(out, &format!("{}.new", process::id()));
    let written = write(&module, &temporary).and_then(|digest| {
        fs::rename(&temporary, out)?;
        Ok(digest)
    });
    if written.is_err() {
        let _ = fs::remove_dir_all(&temporary);
    }
    let digest = written.with_context(|| format!("cannot write `{out_place}`"))?;
    writeln!(output, "{digest}")?;
    Ok(Exit::Fine)
}

/// Writes the layout (OCI image specification 1.1, `image-layout.md`) and returns the digest of its manifest.
fn write(module: &[u8], folder: &Path) -> Result<String> {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let tar = tar(module)?;
    // No name and no time in it, so that it is the same each time.
    let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
    gzip.write_all(&tar)?;
    let layer = blob(&blobs, MediaType::ImageLayerGzip, &gzip.finish()?)?;
    let configuration = ImageConfigurationBuilder::default()
        .architecture(Arch::Wasm)
        .os(Os::Other("wasip1".to_owned()))
        .rootfs(RootFsBuilder::default().diff_ids([format!("sha256:{}", sha256(&tar))]).build()?)
        .build()?;
    let configuration = blob(&blobs, MediaType::ImageConfig, &json(&configuration)?)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(configuration)
        .layers([layer])
        .build()?;
    let manifest = blob(&blobs, MediaType::ImageManifest, &json(&manifest)?)?;
    let digest = manifest.digest().to_string();
    let index = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests([manifest])
        .build()?;
    fs::write(folder.join("index.json"), json(&index)?)?;
    let layout = OciLayoutBuilder::default().image_layout_version("1.0.0").build()?;
    fs::write(folder.join("oci-layout"), json(&layout)?)?;
    Ok(digest)
}

/// An archive of the module alone, which tells nothing of who made it and when.
fn tar(module: &[u8]) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(module.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, FILE, module)?;
    archive.into_inner()
}

/// Writes a blob under its digest.
fn blob(folder: &Path, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor> {
    let digest: Sha256Digest = sha256(bytes).parse()?;
    fs::write(folder.join(digest.digest()), bytes)?;
    let descriptor = DescriptorBuilder::default();
    Ok(descriptor.media_type(media_type).size(bytes.len() as u64).digest(digest).build()?)
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// With the members of each object in the order of their names: annotations and labels are kept without one.
fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    Ok(serde_json::to_value(value)?.to_string().into_bytes())
}
