//! Has the functions that an allowed request runs stand next to each other: `request.ld` says why.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/request.ld");
    println!("cargo::rerun-if-changed={script}");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-T,{script}");
}
