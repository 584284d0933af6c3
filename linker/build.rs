//! Link arguments of the freestanding init, each with its reason and what it saves. Nothing else in
//! the workspace is affected.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=linker/init.ld");
    println!("cargo::rerun-if-changed=linker/build.rs");
    if env::var_os("CARGO_FEATURE_FREESTANDING").is_none() {
        return;
    }
    let directory = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    for argument in [
        // Our own _start and memory functions: neither startup files nor libraries.
        "-nostdlib",
        // No interpreter and no .dynamic: the kernel maps the file and jumps into it.
        "-static",
        // At a fixed address, so there is nothing to relocate. Address randomisation would cost
        // relocations, or code that does without them, and protect a program that reads nothing
        // from the network and lives for a second.
        "-no-pie",
        // Every byte of the file is placed by the script: 8,144 bytes of unwind tables, notes,
        // headers and padding less than by default.
        &format!("-Wl,-T,{directory}/linker/init.ld"),
        // Merges equal tails of strings: 24 bytes.
        "-Wl,-O2",
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    // Refused, because they change nothing here: --build-id=none (the script drops notes), -z
    // norelro, -z noseparate-code and --no-dynamic-linker (the script lists the segments),
    // --icf=all (the optimiser has merged what is equal), --gc-sections (rustc passes it).
}
