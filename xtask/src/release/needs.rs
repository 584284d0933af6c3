//! What a program for GNU/Linux needs of Debian: the packages with the libraries that it is linked with, and of which version.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use object::Endianness;
use object::elf::DT_NEEDED;
use object::read::elf::ElfFile64;

/// Libraries, and the packages that have them.
const LIBRARIES: [(&str, &str); 4] = [
    ("ld-linux-aarch64.so.1", "libc6"),
    ("ld-linux-x86-64.so.2", "libc6"),
    ("libc.so.6", "libc6"),
    ("libgcc_s.so.1", "libgcc-s1"),
];
/// How glibc names the versions of its symbols: behind it stands that of the first glibc with them.
const GLIBC: &str = "GLIBC_";

/// The packages, as a control file's `Depends:` has them.
pub fn packages(program: &[u8]) -> Result<Vec<String>> {
    let file = ElfFile64::<Endianness>::parse(program)?;
    let (endian, data) = (file.endian(), file.data());
    let sections = file.elf_section_table();
    let mut needed: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    let table = sections.dynamic_table(endian, data)?;
    for entry in table.iter().filter(|entry| entry.tag == DT_NEEDED) {
        needed.entry(package(table.string(entry)?)?).or_default();
    }
    if let Some((libraries, names)) = sections.gnu_verneed(endian, data)? {
        let names = sections.strings(endian, data, names)?;
        for library in libraries {
            let (library, versions) = library?;
            let least = needed.entry(package(library.file(endian, names)?)?);
            let least = least.or_default();
            for version in versions {
                let version = glibc(version?.name(endian, names)?);
                *least = (*least).max(version.unwrap_or_default());
            }
        }
    }
    let packages = needed.into_iter().map(|(package, version)| match version {
        (0, 0) => package.to_owned(),
        (major, minor) => format!("{package} (>= {major}.{minor})"),
    });
    Ok(packages.collect())
}

fn package(library: &[u8]) -> Result<&'static str> {
    let library = String::from_utf8_lossy(library);
    let found = LIBRARIES.iter().find(|(name, _)| *name == library);
    let (_, package) = found.with_context(|| format!("no package is known for {library}"))?;
    Ok(package)
}

/// The first two numbers in a symbol's version, which are enough to tell releases of glibc apart.
fn glibc(version: &[u8]) -> Option<(u32, u32)> {
    let version = str::from_utf8(version).ok()?.strip_prefix(GLIBC)?;
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_tell_of_one() {
        assert_eq!(glibc(b"GLIBC_2.34"), Some((2, 34)));
        assert_eq!(glibc(b"GLIBC_2.2.5"), Some((2, 2)));
        for other in [
            &b"GLIBC_ABI_DT_RELR"[..],
            b"GLIBC_PRIVATE",
            b"GCC_3.0",
            b"\xFF",
        ] {
            assert_eq!(glibc(other), None);
        }
    }

    /// This program is linked as the builder is.
    #[test]
    fn what_programs_like_this_one_need() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let packages = packages(&own).unwrap();
        assert!(
            packages
                .iter()
                .any(|package| package.starts_with("libc6 (>= 2.")),
            "{packages:?}"
        );
    }
}
