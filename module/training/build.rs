//! The module finds Envoy's functions in the program that loads it: here, in this one.

fn main() {
    println!("cargo::rustc-link-arg-bins=-Wl,--export-dynamic");
}
