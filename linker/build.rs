//! Link arguments of the freestanding init, each with its reason. Nothing else in the workspace is affected.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=linker/init.ld");
    println!("cargo::rerun-if-changed=linker/build.rs");
    if env::var_os("CARGO_FEATURE_FREESTANDING").is_none() {
        return;
    }
    let script = format!(
        "{}/linker/init.ld",
        env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")
    );
    for argument in [
        // Our own _start; neither crt1.o nor a C library.
        "-nostartfiles",
        "-nostdlib",
        // No interpreter, no .dynamic, and nothing to relocate: the kernel maps it and jumps.
        "-static",
        "-no-pie",
        "-Wl,--no-dynamic-linker",
        // Every byte of the file is placed by the script.
        "-Wl,-T",
        &script,
        // 36 bytes that nobody reads.
        "-Wl,--build-id=none",
        // Nothing is relocated, so there is nothing to protect after relocation.
        "-Wl,-z,norelro",
        // The segments carry their own alignment; padding the file to whole pages is for shared page caches.
        "-Wl,-z,noseparate-code",
        // String merging across sections, and the strongest identical code folding.
        "-Wl,-O2",
        "-Wl,--icf=all",
        "-Wl,--gc-sections",
        // An undefined symbol is how a reachable panic shows itself.
        "-Wl,--no-undefined",
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
