//! A web server with the filter, which is a registry as well.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use sha2::{Digest, Sha256};

use latchkey_testing::{Scratch, wasm};

use super::process::local;
use super::site::{Site, latchkey};

/// A web server with the filter, and a registry with its image.
pub(crate) struct Files {
    port: u16,
    image_digest: String,
}

impl Files {
    /// Serves until the tests end, `GET` only: `/…/latchkey.wasm`, and the images `…/latchkey` by the OCI distribution API.
    pub(crate) fn serve(scratch: &Scratch) -> Files {
        let layout = scratch.file("image");
        let wasm = wasm();
        let printed = latchkey(
            scratch,
            &format!("image --wasm {} --out {}", wasm.display(), layout.display()),
        );
        let image_digest = printed.trim().to_owned();
        let digest = image_digest.clone();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let module = fs::read(wasm).unwrap();
        let answer = Arc::new(move |path: &str| -> Option<(&'static str, Vec<u8>)> {
            let blob = |digest: &str| {
                fs::read(layout.join("blobs/sha256").join(digest.strip_prefix("sha256:")?)).ok()
            };
            let manifest = "application/vnd.oci.image.manifest.v1+json";
            match path.strip_prefix("/v2/") {
                Some("") => Some(("application/json", b"{}".to_vec())),
                Some(path) => {
                    let (_, path) = path.split_once("/latchkey/")?;
                    if let Some(reference) = path.strip_prefix("manifests/") {
                        let name =
                            if reference.starts_with("sha256:") { reference } else { &digest };
                        Some((manifest, blob(name)?))
                    } else {
                        Some(("application/octet-stream", blob(path.strip_prefix("blobs/")?)?))
                    }
                }
                None => {
                    path.ends_with("/latchkey.wasm").then(|| ("application/wasm", module.clone()))
                }
            }
        });
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let answer = Arc::clone(&answer);
                thread::spawn(move || {
                    let mut request = Vec::new();
                    let mut bytes = [0; 4096];
                    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                        match stream.read(&mut bytes) {
                            Ok(count @ 1..) => request.extend_from_slice(&bytes[..count]),
                            _ => return,
                        }
                    }
                    let text = String::from_utf8_lossy(&request).into_owned();
                    let mut words = text.split(' ');
                    let (method, path) =
                        (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                    let (status, kind, body) = match answer(path) {
                        Some((kind, body)) => ("200 OK", kind, body),
                        None => ("404 Not Found", "text/plain", Vec::new()),
                    };
                    let digest = hex::encode(Sha256::digest(&body));
                    let head = format!(
                        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\
                         docker-content-digest: sha256:{digest}\r\nconnection: close\r\n\r\n",
                        body.len()
                    );
                    let _ = stream.write_all(head.as_bytes());
                    if method != "HEAD" {
                        let _ = stream.write_all(&body);
                    }
                });
            }
        });
        Files { port, image_digest }
    }

    /// A workload whose filter is fetched from here, `arguments` being those of `render`. It has a place of its own here,
    /// since agents of Istio's keep modules by their places, and those of a test do it in one folder.
    pub(crate) fn site(&self, port: u16, arguments: &str) -> Site {
        let server = format!("http://127.0.0.1:{}/{port}", self.port);
        let image = format!("127.0.0.1:{}/{port}/latchkey", self.port);
        let digest = hex::encode(Sha256::digest(fs::read(wasm()).unwrap()));
        let missing = format!("--wasm {server}/none.wasm --sha256 {digest}");
        let other = format!("--wasm {server}/latchkey.wasm --sha256 {}", "0".repeat(64));
        Site {
            address: local(port),
            arguments: arguments.to_owned(),
            filter: format!("--wasm {server}/latchkey.wasm --sha256 {digest}"),
            bad: vec![
                ("a module that cannot be had", missing),
                ("a module of another digest", other),
            ],
            images: vec![
                format!("--wasm {image}:0.1.0"),
                format!("--wasm oci://{image}@{}", self.image_digest),
            ],
        }
    }
}
