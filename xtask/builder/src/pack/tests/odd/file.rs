//! Small modules, made as a compiler makes them, and changed where they are to be odd.

const AMD: u16 = 62;
const AARCH: u16 = 183;

const PROGRAM: u32 = 1;
const SYMBOL_TABLE: u32 = 2;
const STRING_TABLE: u32 = 3;
const RELA: u32 = 4;
const NOBITS: u32 = 8;
/// Flags of a section that is loaded, and of one with machine code.
const LOADED: u64 = 2;
const CODE_FLAGS: u64 = 6;

/// Bytes of the fields of a section header.
pub const ADDRESS: usize = 16;
pub const OFFSET: usize = 24;
pub const SIZE: usize = 32;
pub const LINK: usize = 40;
pub const ALIGN: usize = 48;

/// A section of a file.
#[derive(Clone)]
pub struct Part {
    name: &'static str,
    kind: u32,
    flags: u64,
    pub bytes: Vec<u8>,
    link: u32,
    info: u32,
}

/// A file in the making.
#[derive(Clone)]
pub struct Odd {
    machine: u16,
    parts: Vec<Part>,
}

// Numbers of the sections of `amd` and `aarch`. Every file begins with an empty one, so that the first part is section 1.
pub const TEXT_SECTION: usize = 1;
pub const RELA_SECTION: usize = 2;
pub const BTF_SECTION: usize = 3;
pub const SYMBOLS_SECTION: usize = 5;
pub const NAMES_SECTION: usize = 6;

impl Odd {
    /// Code with these relocations, types, an orc table, and symbols.
    fn new(machine: u16, code: &[u8], relocations: &[[u64; 4]]) -> Self {
        let part = |name, kind, flags, bytes: &[u8], link, info| Part {
            name,
            kind,
            flags,
            bytes: bytes.to_vec(),
            link,
            info,
        };
        let (symbols, names) = (SYMBOLS_SECTION as u32, NAMES_SECTION as u32);
        // So that these relocations are not of code.
        let types_section = BTF_SECTION as u32;
        let orc = table(&[[0, 2, 1, 0], [4, 2, 1, 7]]);
        let relocations = table(relocations);
        let symbol = |name: u32, info: u32, value: u64, size: u64| {
            let mut bytes = words(&[name, info]);
            bytes.extend([value, size].map(u64::to_le_bytes).as_flattened());
            bytes
        };
        let all = [
            symbol(0, 0, 0, 0),
            symbol(1, 1 << 16 | 0x12, 0, 20),
            symbol(7, 1 << 16 | 0x12, 32, 5),
            symbol(11, 0x10, 0, 0),
        ];
        Self {
            machine,
            parts: vec![
                part(".text", PROGRAM, CODE_FLAGS, code, 0, 0),
                part(".rela.text", RELA, 0, &relocations, symbols, 1),
                part(".BTF", PROGRAM, 0, &types(&TYPE_WORDS), 0, 0),
                part(".rela.orc_unwind_ip", RELA, 0, &orc, symbols, types_section),
                part(".symtab", SYMBOL_TABLE, 0, &all.concat(), names, 3),
                part(".strtab", STRING_TABLE, 0, b"\0start\0end\0printk\0", 0, 0),
                part(".modinfo", PROGRAM, LOADED, b"name=odd\0", 0, 0),
                part(".bss", NOBITS, LOADED, &[], 0, 0),
            ],
        }
    }

    /// A function with a call (type 4) and two addresses (type 2).
    pub fn amd() -> Self {
        let code = b"\x55\xE8\0\0\0\0\x48\x8B\x05\0\0\0\0\x48\x8D\x3D\0\0\0\0\x5D\xC3\x90\x90\
\x90\x90\x90\x90\x90\x90\x90\x90\xE8\0\0\0\0";
        let relocations = [[2, 4, 3, FOUR_LESS], [9, 2, 1, FOUR_LESS], [16, 2, 2, 60]];
        Self::new(AMD, code, &relocations)
    }

    /// A page's address (type 275), what is added to it (277), a call (283), and an instruction that is not relocated.
    pub fn aarch() -> Self {
        let code = words(&[0x9000_0000, 0x9100_0000, 0x9400_0000, 0xD65F_03C0]);
        let relocations = [[0, 275, 1, 8], [4, 277, 1, 8], [8, 283, 3, 0]];
        Self::new(AARCH, &code, &relocations)
    }

    pub fn part(&mut self, number: usize) -> &mut Part {
        &mut self.parts[number - 1]
    }

    pub fn part_bytes(&self, number: usize) -> &[u8] {
        &self.parts[number - 1].bytes
    }

    /// The same with other relocations of the code.
    pub fn relocated(mut self, relocations: &[[u64; 4]]) -> Self {
        self.part(RELA_SECTION).bytes = table(relocations);
        self
    }

    /// The same with another byte in a section.
    pub fn with(mut self, number: usize, at: usize, byte: u8) -> Self {
        self.part(number).bytes[at] = byte;
        self
    }

    /// The same with other BTF.
    pub fn typed(mut self, bytes: Vec<u8>) -> Self {
        self.part(BTF_SECTION).bytes = bytes;
        self
    }

    /// The file, with its section headers behind so many of its sections, and a signature.
    pub fn file_with_headers_behind(&self, before: usize) -> Vec<u8> {
        let mut names = vec![0];
        let mut parts = self.parts.clone();
        let count = parts.len() as u16 + 2;
        let mut headers = vec![[0; 64]];
        let mut file = vec![0; 64];
        let mut table = 0;
        parts.push(Part {
            name: ".shstrtab",
            kind: STRING_TABLE,
            flags: 0,
            bytes: Vec::new(),
            link: 0,
            info: 0,
        });
        for (number, part) in parts.iter_mut().enumerate() {
            let name = names.len() as u32;
            names.extend(part.name.as_bytes());
            names.push(0);
            if part.name == ".shstrtab" {
                part.bytes = names.clone();
            }
            file.resize(file.len().next_multiple_of(8), 0);
            if number == before {
                table = file.len();
                file.resize(table + usize::from(count) * 64, 0);
            }
            let mut header = words(&[name, part.kind]);
            header.extend(part.flags.to_le_bytes());
            let size = if part.kind == NOBITS {
                5000
            } else {
                part.bytes.len()
            };
            header.extend(
                [0, file.len() as u64, size as u64]
                    .map(u64::to_le_bytes)
                    .as_flattened(),
            );
            header.extend(words(&[part.link, part.info, 8, 0, 0, 0]));
            headers.push(header.try_into().unwrap());
            file.extend(&part.bytes);
        }
        file.resize(file.len().next_multiple_of(8), 0);
        if table == 0 {
            table = file.len();
            file.resize(table + headers.len() * 64, 0);
        }
        file[table..][..headers.len() * 64].copy_from_slice(headers.as_flattened());
        file[..7].copy_from_slice(b"\x7FELF\x02\x01\x01");
        file[16] = 1;
        file[18..20].copy_from_slice(&self.machine.to_le_bytes());
        file[40..48].copy_from_slice(&(table as u64).to_le_bytes());
        file[60..62].copy_from_slice(&count.to_le_bytes());
        file[62..64].copy_from_slice(&(count - 1).to_le_bytes());
        file.extend(b"signature");
        file
    }

    pub fn file(&self) -> Vec<u8> {
        self.file_with_headers_behind(usize::MAX)
    }

    /// The file with other bytes in the header of a section.
    pub fn with_header(&self, number: usize, at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut file = self.file();
        let start = header(&file, number) + at;
        file[start..start + bytes.len()].copy_from_slice(bytes);
        file
    }

    /// The file with a section that is so many bytes longer, over what follows it.
    pub fn longer(&self, number: usize, by: u64) -> Vec<u8> {
        let file = self.file();
        let at = header(&file, number) + SIZE;
        let size = u64::from_le_bytes(*file[at..].first_chunk().unwrap());
        self.with_header(number, SIZE, &(size + by).to_le_bytes())
    }
}

/// An addend of -4.
pub const FOUR_LESS: u64 = 4u64.wrapping_neg();

/// A structure whose member is a pointer to it, behind a kernel's types.
pub const TYPE_WORDS: [u32; 9] = [1001, 4 << 24 | 1, 8, 1006, 101, 0, 0, 2 << 24, 100];

pub fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Relocations: place, type, symbol, addend.
fn table(relocations: &[[u64; 4]]) -> Vec<u8> {
    let record = |[place, kind, symbol, addend]: &[u64; 4]| {
        [*place, symbol << 32 | kind, *addend].map(u64::to_le_bytes)
    };
    let records: Vec<_> = relocations.iter().map(record).collect();
    records.as_flattened().concat()
}

/// BTF with these words.
pub fn types(types: &[u32]) -> Vec<u8> {
    let len = 4 * types.len() as u32;
    let mut bytes = words(&[0x0001_EB9F, 24, 0, len, len, 11]);
    bytes.extend(words(types));
    bytes.extend(b"\0unit\0next\0");
    bytes
}

/// Where the header of a section is.
pub fn header(file: &[u8], number: usize) -> usize {
    u64::from_le_bytes(*file[40..].first_chunk().unwrap()) as usize + 64 * number
}
