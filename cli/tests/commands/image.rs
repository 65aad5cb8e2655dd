//! `latchkey image`.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Directory, TestCommand};

const MODULE: &str = "\0asm\u{1}\0\0\0";

/// The blob that a descriptor tells of, which must be what it says.
fn blob(image: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let bytes = fs::read(image.join("blobs/sha256").join(digest)).unwrap();
    assert_eq!(hex::encode(Sha256::digest(&bytes)), digest);
    assert_eq!(bytes.len(), usize::try_from(descriptor["size"].as_u64().unwrap()).unwrap());
    bytes
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn an_image_has_the_module_as_its_only_file() {
    let directory = Directory::new();
    directory.write("latchkey.wasm", MODULE);
    let printed = TestCommand::new(&directory, "image --wasm latchkey.wasm --out image").output();
    let image = directory.path().join("image");
    let layout = json(&fs::read(image.join("oci-layout")).unwrap());
    assert_eq!(layout["imageLayoutVersion"], "1.0.0");
    let index = json(&fs::read(image.join("index.json")).unwrap());
    let [descriptor] = index["manifests"].as_array().unwrap().as_slice() else { panic!() };
    assert_eq!(descriptor["digest"], printed.trim_end());
    assert_eq!(descriptor["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    let manifest = json(&blob(&image, descriptor));
    let [layer] = manifest["layers"].as_array().unwrap().as_slice() else { panic!() };
    assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    let mut tar = Vec::new();
    GzDecoder::new(&*blob(&image, layer)).read_to_end(&mut tar).unwrap();
    let configuration = json(&blob(&image, &manifest["config"]));
    assert_eq!(
        configuration["rootfs"]["diff_ids"],
        Value::from([format!("sha256:{}", hex::encode(Sha256::digest(&tar)))].as_slice())
    );
    let mut archive = tar::Archive::new(&*tar);
    let files = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        (entry.path().unwrap().display().to_string(), content)
    });
    assert_eq!(files.collect::<Vec<_>>(), [("plugin.wasm".to_owned(), MODULE.to_owned())]);
}

#[test]
fn an_image_is_the_same_each_time() {
    let directory = Directory::new();
    directory.write("latchkey.wasm", MODULE);
    let [one, other] = ["one", "other"].map(|out| {
        let command = format!("image --wasm latchkey.wasm --out {out}");
        let digest = TestCommand::new(&directory, &command).output();
        let image = directory.path().join(out);
        let blobs = fs::read_dir(image.join("blobs/sha256")).unwrap();
        let mut names: Vec<_> = blobs.map(|blob| blob.unwrap().file_name()).collect();
        names.sort_unstable();
        (digest, names, fs::read(image.join("index.json")).unwrap())
    });
    assert_eq!(one, other);
    // On each machine; another release of flate2 may make another.
    assert_eq!(one.0, "sha256:091de58e98b9adab0fbfb7ebd59446d0bd0c732686c003c92e022fa4098b09a4\n");
}

#[test]
fn a_module_that_is_not_the_filter_is_told() {
    let directory = Directory::new();
    directory.write("other.wasm", MODULE);
    let told = TestCommand::new(&directory, "image --wasm other.wasm --out image").everything();
    let warning = "warning: `other.wasm` is a WebAssembly module, but not Latchkey's filter\n";
    assert!(told.contains(warning), "{told}");
}

#[test]
fn what_is_not_a_module_or_not_an_empty_folder_is_told() {
    let directory = Directory::new();
    directory.write("latchkey.wasm", MODULE);
    directory.write("policy.yaml", "keys: []\n");
    directory.write("full/file", "");
    fs::create_dir(directory.path().join("empty")).unwrap();
    let image = |arguments: &str| TestCommand::new(&directory, &format!("image {arguments}"));
    image("--wasm missing.wasm --out image").prints_error(
        1,
        "error: cannot read `missing.wasm`: No such file or directory (os error 2)\n",
    );
    image("--wasm policy.yaml --out image")
        .prints_error(1, "error: `policy.yaml` is not a WebAssembly module\n");
    image("--wasm latchkey.wasm --out full")
        .prints_error(1, "error: `full` is not an empty folder\n");
    image("--wasm latchkey.wasm --out policy.yaml")
        .prints_error(1, "error: `policy.yaml` is not an empty folder\n");
    image("--wasm latchkey.wasm --out no/such/image").output();
    image("--wasm latchkey.wasm --out empty").output();
    assert!(directory.path().join("empty/index.json").exists());
    // Nothing is left beside what was written or refused.
    let entries = fs::read_dir(directory.path()).unwrap();
    let hidden = |name: &std::ffi::OsString| name.to_string_lossy().starts_with('.');
    assert!(!entries.map(|entry| entry.unwrap().file_name()).any(|name| hidden(&name)));
}
