//! Takes out of a module what the kernel does not need to run it: debug information and BTF.

use anyhow::{Context, Result};
use object::build::elf::Builder;

use crate::profile::Strip;

/// Ends a signed module file.
const SIGNED: &[u8] = b"~Module signature appended~\n";

/// Whether a module (not compressed) has a signature.
pub fn is_signed(module: &[u8]) -> bool {
    module.ends_with(SIGNED)
}

/// The module (not compressed) without what the kernel can do without; none if it is to stay as it is. Stripping costs a
/// signature, so `auto` leaves signed modules alone.
pub fn apply(module: &[u8], strip: Strip) -> Result<Option<Vec<u8>>> {
    match strip {
        Strip::Never => Ok(None),
        Strip::Auto if is_signed(module) => Ok(None),
        Strip::Auto | Strip::Always => stripped(module)
            .context("cannot strip it; strip = \"never\" takes it as it is")
            .map(Some),
    }
}

fn stripped(module: &[u8]) -> Result<Vec<u8>> {
    let mut elf = Builder::read(module)?;
    // Modules with functions for BPF programs look up their own BTF when they start.
    let needs_btf = elf
        .sections
        .iter()
        .any(|section| section.name.as_slice() == b".BTF_ids");
    let dead: Vec<_> = elf
        .sections
        .iter()
        .filter(|section| !section.is_alloc())
        .filter(|section| match section.name.as_slice() {
            b".BTF" => !needs_btf,
            b".comment" => true,
            name => name.starts_with(b".debug_"),
        })
        .map(|section| section.id())
        .collect();
    for section in elf.sections.iter_mut() {
        let applies_to_dead = section
            .sh_info_section
            .is_some_and(|applies| dead.contains(&applies));
        if dead.contains(&section.id()) || applies_to_dead {
            section.delete = true;
        }
    }
    elf.delete_orphans();
    let mut bytes = Vec::new();
    elf.write(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{SIGNED, Strip, apply};
    use object::{
        Architecture, BinaryFormat, Endianness, Object as _, ObjectSection, ObjectSymbol,
        RelocationFlags, SectionKind, elf,
        write::{Object, Relocation, Symbol, SymbolSection},
    };

    /// Code that is relocated against a symbol, and what stripping is about.
    fn module(more: &[&str]) -> Vec<u8> {
        let mut elf = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let mut section = |name: &str, kind, data: &[u8]| {
            let section = elf.add_section(Vec::new(), name.as_bytes().to_vec(), kind);
            elf.append_section_data(section, data, 16);
            section
        };
        let text = section(".text", SectionKind::Text, &[0x90; 32]);
        section(".modinfo", SectionKind::ReadOnlyData, b"name=x\0");
        section(".BTF", SectionKind::Other, &[1; 500]);
        section(".comment", SectionKind::OtherString, b"compiler\0");
        let debug = section(".debug_info", SectionKind::Debug, &[2; 500]);
        for name in more {
            section(name, SectionKind::ReadOnlyData, &[3; 8]);
        }
        let symbol = elf.add_symbol(Symbol {
            name: b"start".to_vec(),
            value: 16,
            size: 16,
            kind: object::SymbolKind::Text,
            scope: object::SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Section(text),
            flags: object::SymbolFlags::None,
        });
        for section in [text, debug] {
            let flags = RelocationFlags::Elf {
                r_type: elf::R_X86_64_64,
            };
            elf.add_relocation(
                section,
                Relocation {
                    offset: 8,
                    symbol,
                    addend: 4,
                    flags,
                },
            )
            .unwrap();
        }
        elf.write().unwrap()
    }

    fn names(module: &[u8]) -> Vec<String> {
        let file = object::File::parse(module).unwrap();
        let name = |section: object::Section| section.name().unwrap().to_owned();
        file.sections()
            .map(name)
            .filter(|name| !name.is_empty())
            .collect()
    }

    #[test]
    fn takes_out_debug_information_and_nothing_else() {
        let stripped = apply(&module(&[]), Strip::Always).unwrap().unwrap();
        let want = [
            ".text",
            ".modinfo",
            ".rela.text",
            ".symtab",
            ".strtab",
            ".shstrtab",
        ];
        let mut got = names(&stripped);
        got.sort_unstable();
        let mut want = want.map(str::to_owned);
        want.sort_unstable();
        assert_eq!(got, want);
        let file = object::File::parse(stripped.as_slice()).unwrap();
        let text = file.section_by_name(".text").unwrap();
        assert_eq!(text.data().unwrap(), [0x90; 32]);
        let (offset, relocation) = text.relocations().next().unwrap();
        assert_eq!((offset, relocation.addend()), (8, 4));
        let object::RelocationTarget::Symbol(symbol) = relocation.target() else {
            panic!("{:?}", relocation.target());
        };
        let symbol = file.symbol_by_index(symbol).unwrap();
        assert_eq!((symbol.name().unwrap(), symbol.address()), ("start", 16));
    }

    #[test]
    fn leaves_alone_what_would_be_harmed() {
        let signed = [&module(&[]), &b"signature"[..], SIGNED].concat();
        let apply = |module: &[u8], strip| apply(module, strip).unwrap();
        assert_eq!(apply(&signed, Strip::Auto), None);
        assert!(apply(&signed, Strip::Always).unwrap().len() < signed.len() - 1000);
        assert!(apply(&module(&[]), Strip::Auto).unwrap().len() < signed.len() - 1000);
        assert_eq!(apply(&module(&[]), Strip::Never), None);
        let with_functions = names(&apply(&module(&[".BTF_ids"]), Strip::Always).unwrap());
        assert!(
            with_functions.contains(&".BTF".to_owned()),
            "{with_functions:?}"
        );
    }
}
