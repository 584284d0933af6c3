//! The init as a file and as a program on the host: what it must not have, and what it says when it is not PID 1.

use std::process::Command;

use iced_x86::{Decoder, DecoderOptions, Mnemonic};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use xtask::commands::build;

/// The shipped binary, and its twin with symbols.
fn built() -> (std::path::PathBuf, Vec<u8>) {
    let path = build::init("x86_64", &[]).expect("the init");
    let twin = std::fs::read(path.with_extension("debug")).expect("the init with symbols");
    (path, twin)
}

#[test]
fn refuses_to_be_a_command() {
    let (path, _) = built();
    let output = Command::new(path).arg("--help").output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "toehold: this is the /init of an initramfs: it runs as PID 1 only\n"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn one_system_call_instruction() {
    let (_, twin) = built();
    let file = object::File::parse(&*twin).expect("an ELF file");
    let text = file.section_by_name(".text").expect("code");
    let bytes = text.data().expect("code");
    let mut callers = Vec::new();
    for symbol in file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
    {
        let from = (symbol.address() - text.address()) as usize;
        let code = &bytes[from..from + symbol.size() as usize];
        let decoder = Decoder::with_ip(64, code, symbol.address(), DecoderOptions::NONE);
        let is_gate = |mnemonic| {
            assert_ne!(mnemonic, Mnemonic::INVALID, "{:?}", symbol.name());
            use Mnemonic::{Int, Int1, Int3, Syscall, Sysenter};
            matches!(mnemonic, Syscall | Sysenter | Int | Int1 | Int3)
        };
        if decoder.into_iter().any(|next| is_gate(next.mnemonic())) {
            callers.push(symbol.name().expect("a name").to_owned());
        }
    }
    assert_eq!(callers.len(), 1, "{callers:?}");
    assert!(callers[0].contains("4gate"), "{callers:?}");
}

#[test]
fn no_formatting_and_no_panic_machinery() {
    let (_, twin) = built();
    let file = object::File::parse(&*twin).expect("an ELF file");
    for symbol in file.symbols() {
        let name = symbol.name().expect("a name");
        assert!(
            !name.contains("core3fmt") && !name.contains("panicking"),
            "{name}"
        );
    }
}
