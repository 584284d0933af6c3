//! The init as a file and as a program on the host: what it must not have, and what it says when it is not PID 1.

use std::process::Command;

use builder::arch::Arch;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use xtask::lab::build;

/// The shipped binary, and its twin with symbols.
fn built() -> (std::path::PathBuf, Vec<u8>) {
    let path = build::init(Arch::X86_64).expect("the init");
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
        "toehold: this /init runs as PID 1 only\n"
    );
    assert!(output.stdout.is_empty());
}

/// The one instruction that enters the kernel lies in the gate, nothing leads to it but the gate's first instruction, and
/// before it the gate asks for the trace.
#[test]
fn no_system_call_but_through_the_gate() {
    use Mnemonic::{Cmp, Int, Int1, Int3, Je, Ret, Syscall, Sysenter};
    let (_, twin) = built();
    let file = object::File::parse(&*twin).expect("an ELF file");
    let functions = functions(&file);
    let enters =
        |next: &Instruction| matches!(next.mnemonic(), Syscall | Sysenter | Int | Int1 | Int3);
    let entering: Vec<_> = functions
        .iter()
        .filter(|(_, code)| code.iter().any(enters))
        .collect();
    let [(name, gate)] = entering[..] else {
        panic!("{entering:?}");
    };
    assert!(name.contains("4gate"), "{name}");

    let first = gate[0].ip();
    let inside = first + 1..gate[gate.len() - 1].next_ip();
    for (name, code) in &functions {
        for next in code.iter().filter(|next| next.near_branch_target() != 0) {
            let target = next.near_branch_target();
            assert!(!inside.contains(&target), "{name} jumps into the gate");
            let code = functions
                .iter()
                .any(|(_, code)| (code[0].ip()..code[code.len() - 1].next_ip()).contains(&target));
            assert!(code, "{name} jumps to what is no code, {target:#x}");
        }
    }

    let steps: Vec<Mnemonic> = gate.iter().map(Instruction::mnemonic).collect();
    assert_eq!(steps, [Cmp, Je, Syscall, Ret]);
    let address = |part: &str| {
        let mut symbols = file.symbols();
        let symbol = symbols.find(|symbol| symbol.name().is_ok_and(|name| name.contains(part)));
        symbol.unwrap_or_else(|| panic!("no {part}")).address()
    };
    assert_eq!(gate[0].memory_displacement64(), address("5trace5TRACE"));
    assert_eq!(gate[1].near_branch_target(), address("11traced_gate"));
}

/// The same on aarch64, where an instruction is four bytes. Source: Arm Architecture Reference Manual, A64 instruction set encoding.
#[test]
fn no_system_call_but_through_the_gate_on_aarch64() {
    const SVC: u32 = 0xD400_0001;
    const RET: u32 = 0xD65F_03C0;
    let path = build::init(Arch::Aarch64).expect("the init");
    let twin = std::fs::read(path.with_extension("debug")).expect("the init with symbols");
    let file = object::File::parse(&*twin).expect("an ELF file");
    let symbol = |part: &str| {
        let mut symbols = file.symbols();
        let symbol = symbols.find(|symbol| symbol.name().is_ok_and(|name| name.contains(part)));
        symbol.unwrap_or_else(|| panic!("no {part}"))
    };
    let text = file.section_by_name(".text").expect("code");
    let bytes = text.data().expect("code");
    let mut words: Vec<(u64, u32)> = Vec::new();
    for symbol in file.symbols() {
        if symbol.kind() == SymbolKind::Text && symbol.size() > 0 {
            let from = (symbol.address() - text.address()) as usize;
            let code = &bytes[from..from + symbol.size() as usize];
            let code = code.as_chunks().0.iter();
            let code = code.map(|word| u32::from_le_bytes(*word));
            words.extend((symbol.address()..).step_by(4).zip(code));
        }
    }
    assert!(words.len() > 6000, "{} instructions", words.len());
    // Exceptions that are made: svc, hvc, smc, brk, hlt.
    let enters: Vec<&(u64, u32)> = words
        .iter()
        .filter(|(_, word)| word >> 24 == 0xD4)
        .collect();
    let [(at, SVC)] = enters[..] else {
        panic!("{enters:x?}");
    };
    let gate = symbol("4gate17");
    let inside = gate.address() + 4..gate.address() + gate.size();
    for (address, word) in &words {
        if let Some(target) = target(*address, *word) {
            assert!(
                !inside.contains(&target),
                "{address:#x} jumps into the gate"
            );
        }
    }
    let word = |address: u64| {
        let found = words.iter().find(|(at, _)| *at == address);
        found.expect("an instruction").1
    };
    assert_eq!(word(at + 4), RET);
    assert_eq!(gate.address() + gate.size(), at + 8);
    // adrp x16 and ldrb w16, or adr and the same, then cbz w16 to the other way.
    assert_eq!(gate.size(), 20);
    assert_eq!(word(at - 4) & 0xFF00_001F, 0x3400_0010);
    let other = symbol("11traced_gate").address();
    assert_eq!(target(at - 4, word(at - 4)), Some(other));
}

/// Where an instruction of A64 branches to, if it says that itself.
fn target(address: u64, word: u32) -> Option<u64> {
    // How far, in instructions, is a signed field of so many bits at this place.
    let (bits, place) = match word {
        // b, bl
        word if word >> 26 & 0x1F == 0b00101 => (26, 0),
        // b.cond; cbz, cbnz
        word if word >> 24 == 0b0101_0100 || word >> 25 & 0x3F == 0b01_1010 => (19, 5),
        // tbz, tbnz
        word if word >> 25 & 0x3F == 0b01_1011 => (14, 5),
        _ => return None,
    };
    let away = (word << (32 - bits - place)) as i32 >> (32 - bits);
    Some(address.wrapping_add_signed(i64::from(away) * 4))
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
