//! The init as a file and as a program on the host: what it must not have, and what it says when it is not PID 1.

use std::process::Command;

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic};
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

/// In every init that can ship: the one instruction that enters the kernel lies in the gate, nothing leads to it but the gate's first instruction, and
/// where the trace is built in, the gate asks for it before it.
#[test]
fn no_system_call_but_through_the_gate() {
    use Mnemonic::{Cmp, Int, Int1, Int3, Je, Ret, Syscall, Sysenter};
    for chosen in 0..1 << build::FEATURES.len() {
        let features = (0..).zip(build::FEATURES);
        let features = features.filter(|(bit, _)| chosen >> bit & 1 != 0);
        let features: Vec<&str> = features.map(|(_, name)| name).collect();
        let path = build::init("x86_64", &features).expect("the init");
        let twin = std::fs::read(path.with_extension("debug")).expect("the init with symbols");
        let file = object::File::parse(&*twin).expect("an ELF file");
        let functions = functions(&file);
        let enters =
            |next: &Instruction| matches!(next.mnemonic(), Syscall | Sysenter | Int | Int1 | Int3);
        let entering: Vec<_> = functions
            .iter()
            .filter(|(_, code)| code.iter().any(enters))
            .collect();
        let [(name, gate)] = entering[..] else {
            panic!("{features:?}: {entering:?}");
        };
        assert!(name.contains("4gate"), "{name}");

        let first = gate[0].ip();
        let inside = first + 1..gate[gate.len() - 1].next_ip();
        for (name, code) in &functions {
            for next in code.iter().filter(|next| next.near_branch_target() != 0) {
                let target = next.near_branch_target();
                assert!(!inside.contains(&target), "{name} jumps into the gate");
                let code = functions.iter().any(|(_, code)| {
                    (code[0].ip()..code[code.len() - 1].next_ip()).contains(&target)
                });
                assert!(code, "{name} jumps to what is no code, {target:#x}");
            }
        }

        let steps: Vec<Mnemonic> = gate.iter().map(Instruction::mnemonic).collect();
        if !features.contains(&"trace") {
            assert_eq!(steps, [Syscall, Ret]);
            continue;
        }
        assert_eq!(steps, [Cmp, Je, Syscall, Ret]);
        let address = |part: &str| {
            let mut symbols = file.symbols();
            let symbol = symbols.find(|symbol| symbol.name().is_ok_and(|name| name.contains(part)));
            symbol.unwrap_or_else(|| panic!("no {part}")).address()
        };
        assert_eq!(gate[0].memory_displacement64(), address("5trace5TRACE"));
        assert_eq!(gate[1].near_branch_target(), address("11traced_gate"));
    }
}

/// The instructions of each function, by its name.
fn functions(file: &object::File) -> Vec<(String, Vec<Instruction>)> {
    let text = file.section_by_name(".text").expect("code");
    let bytes = text.data().expect("code");
    let functions = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0);
    functions
        .map(|symbol| {
            let name = symbol.name().expect("a name").to_owned();
            let from = (symbol.address() - text.address()) as usize;
            let code = &bytes[from..from + symbol.size() as usize];
            let decoder = Decoder::with_ip(64, code, symbol.address(), DecoderOptions::NONE);
            let code: Vec<Instruction> = decoder.into_iter().collect();
            assert!(code.iter().all(|next| !next.is_invalid()), "{name}");
            (name, code)
        })
        .collect()
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
