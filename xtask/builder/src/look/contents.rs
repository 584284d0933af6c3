//! What an initrd holds, piece by piece, whoever made it.

use std::fmt::Write as _;

use anyhow::{Context, Result, anyhow, ensure};
use serde::Serialize;
use toehold::format::{
    pack::{MAGIC, group},
    plan::Plan,
};

use crate::{
    archive::{
        compress::Compression,
        cpio::{
            Archive, BLOCK_DEVICE, CHARACTER_DEVICE, DIRECTORY, Entry, FILE, KIND, Member, SYMLINK,
        },
        pieces,
    },
    initrd::{PACK_NAME, PLAN_NAME},
    pack::{self, Unpacked},
};

/// An initrd, as `list --json` tells of it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Contents {
    /// Where it begins in its file, which may be a unified kernel image.
    pub offset: usize,
    /// Its length there.
    pub bytes: usize,
    /// In their order.
    pub pieces: Vec<Piece>,
    /// The module pack, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pack: Option<Pack>,
}

/// A piece of it: a plain archive, or a compressed stream of archives.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Piece {
    /// From the initrd's begin.
    pub offset: usize,
    /// Its length there.
    pub bytes: usize,
    /// `gzip`, `zstd` and so on; absent where it is not compressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// Its length when it is unpacked.
    pub unpacked_bytes: usize,
    /// Its files, in the order of the archive.
    pub entries: Vec<Line>,
}

/// One entry of an archive.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Line {
    /// As the archive has it.
    pub path: String,
    /// Kind and permissions, as in stat(2).
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Of its data.
    pub bytes: usize,
    /// Of a symbolic link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The entry in the same archive that is an earlier name of this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Major and minor number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<(u32, u32)>,
}

/// The module pack.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pack {
    /// Its length.
    pub bytes: usize,
    /// What is unpacked together.
    pub groups: Vec<Group>,
}

/// A group of the module pack.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Group {
    /// Counted from 0.
    pub number: usize,
    /// What it takes in the pack.
    pub packed_bytes: usize,
    /// What it takes to unpack it.
    pub unpacked_bytes: usize,
    /// In their order.
    pub modules: Vec<Module>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Module {
    /// As the kernel has it.
    pub name: String,
    /// Of its file.
    pub bytes: usize,
}

/// The pack of an initrd and its plan, which names the modules: the last of each, as the kernel
/// leaves them.
#[derive(Debug, Default)]
struct Packed {
    pack: Option<Vec<u8>>,
    plan: Option<Vec<u8>>,
}

impl Packed {
    /// Notes the entry if it is one of both.
    fn note(&mut self, entry: &Entry) {
        match entry.inside() {
            PACK_NAME => self.pack = Some(entry.data.clone()),
            PLAN_NAME => self.plan = Some(entry.data.clone()),
            _ => {}
        }
    }

    /// The pack and the plan: none where there is no pack.
    fn both(&self) -> Result<Option<(&[u8], Plan<'_>)>> {
        let Some(pack) = &self.pack else {
            return Ok(None);
        };
        let plan = self.plan.as_ref();
        let plan = plan.with_context(|| {
            format!("/{PACK_NAME} is there without /{PLAN_NAME}, which names its modules")
        })?;
        let plan = Plan::parse(plan)
            .map_err(|refused| anyhow!("/{PLAN_NAME} is damaged ({refused:?})"))?;
        ensure!(
            pack.starts_with(&MAGIC),
            "/{PACK_NAME} is no module pack, or one of another version"
        );
        Ok(Some((pack, plan)))
    }

    /// The modules out of the pack.
    fn modules(&self) -> Result<Vec<Unpacked>> {
        let Some((pack, plan)) = self.both()? else {
            return Ok(Vec::new());
        };
        unpack(pack, &plan)
    }

    fn groups(&self) -> Result<Option<Pack>> {
        let Some((pack, plan)) = self.both()? else {
            return Ok(None);
        };
        let modules = unpack(pack, &plan)?;
        let mut groups: Vec<Group> = Vec::new();
        for number in 0..plan.groups_of_pack().count() {
            let group = group(pack, number).context("it was unpacked just now")?;
            let modules = modules.iter().filter(|module| module.group == number);
            groups.push(Group {
                number,
                packed_bytes: group.packed.len(),
                unpacked_bytes: group.room,
                modules: modules
                    .map(|module| Module {
                        name: module.name.clone(),
                        bytes: module.file.len(),
                    })
                    .collect(),
            });
        }
        Ok(Some(Pack {
            bytes: pack.len(),
            groups,
        }))
    }
}

/// The modules out of a pack.
fn unpack(pack: &[u8], plan: &Plan) -> Result<Vec<Unpacked>> {
    pack::decode(pack, plan).with_context(|| format!("/{PACK_NAME}"))
}

/// The entries of each archive of an initrd, and at the end, as one more, the modules out of the
/// pack: where the init would find them if they were in none.
pub fn archives(initrd: &[u8]) -> Result<Vec<Vec<Member>>> {
    let (mut archives, mut packed) = (Vec::new(), Packed::default());
    for piece in pieces::read(initrd) {
        for archive in piece?.archives()? {
            for member in &archive.members {
                packed.note(&member.entry);
            }
            archives.push(archive.members);
        }
    }
    let member = |module: Unpacked| {
        let suffix = Compression::None.module_suffix();
        let path = format!("lib/modules/{}{suffix}", module.name);
        Member {
            entry: Entry::file(&path, 0o644, module.file),
            place: 0..0,
            owner: (0, 0),
            link: None,
        }
    };
    archives.push(packed.modules()?.into_iter().map(member).collect());
    Ok(archives)
}

impl Contents {
    /// Reads the initrd that begins there in its file. Where it is damaged, what stands before that
    /// is told nevertheless.
    pub fn read(offset: usize, initrd: &[u8]) -> (Self, Result<()>) {
        let mut contents = Self {
            offset,
            bytes: initrd.len(),
            pieces: Vec::new(),
            pack: None,
        };
        let result = contents.fill(initrd);
        (contents, result)
    }

    fn fill(&mut self, initrd: &[u8]) -> Result<()> {
        let mut packed = Packed::default();
        for piece in pieces::read(initrd) {
            let piece = piece?;
            let mut entries = Vec::new();
            for archive in piece.archives()? {
                for member in &archive.members {
                    packed.note(&member.entry);
                    entries.push(Line::of(member, &archive));
                }
            }
            self.pieces.push(Piece {
                offset: piece.place.start,
                bytes: piece.place.len(),
                compression: piece.method.map(|method| method.to_string()),
                unpacked_bytes: piece.unpacked.len(),
                entries,
            });
        }
        self.pack = packed.groups()?;
        Ok(())
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.offset > 0 {
            let (offset, bytes) = (self.offset, self.bytes);
            let _ = writeln!(text, "section .initrd at offset {offset}, {bytes} bytes\n");
        }
        for piece in &self.pieces {
            let how = match &piece.compression {
                Some(method) => format!("{method}, {} bytes unpacked", piece.unpacked_bytes),
                None => "not compressed".to_owned(),
            };
            let (offset, bytes) = (piece.offset, piece.bytes);
            let _ = writeln!(text, "offset {offset}, {bytes} bytes: {how}");
            for line in &piece.entries {
                let _ = writeln!(text, "{}", line.text());
            }
            text.push('\n');
        }
        if let Some(pack) = &self.pack {
            let _ = writeln!(text, "/{PACK_NAME}, {} bytes", pack.bytes);
            for group in &pack.groups {
                let (count, number) = (group.modules.len(), group.number);
                let _ = writeln!(
                    text,
                    "group {number}, {} bytes: {count} module{}, {} bytes to unpack",
                    group.packed_bytes,
                    if count == 1 { "" } else { "s" },
                    group.unpacked_bytes
                );
                for module in &group.modules {
                    let _ = writeln!(text, "{:>31} {}", module.bytes, shown(&module.name));
                }
            }
        }
        text
    }
}

impl Line {
    fn of(member: &Member, archive: &Archive) -> Self {
        let entry = &member.entry;
        let kind = entry.mode & KIND;
        let target = || String::from_utf8_lossy(entry.target()).into_owned();
        let first = member.link.and_then(|first| archive.members.get(first));
        Self {
            path: entry.path.clone(),
            mode: entry.mode,
            uid: member.owner.0,
            gid: member.owner.1,
            bytes: entry.data.len(),
            target: (kind == SYMLINK).then(target),
            link: first.map(|first| first.entry.path.clone()),
            device: matches!(kind, CHARACTER_DEVICE | BLOCK_DEVICE).then_some(entry.device),
        }
    }

    /// As `ls -l` has it.
    fn text(&self) -> String {
        let size = match self.device {
            Some((major, minor)) => format!("{major}, {minor}"),
            None => self.bytes.to_string(),
        };
        let owner = format!("{}/{}", self.uid, self.gid);
        let path = shown(&self.path);
        let mut text = format!("{} {owner:<9} {size:>10} {path}", permissions(self.mode));
        if let Some(target) = &self.target {
            let _ = write!(text, " -> {}", shown(target));
        }
        if let Some(first) = &self.link {
            let _ = write!(text, " link to {}", shown(first));
        }
        text
    }
}

/// A name as a terminal may have it: what is no letter is written as an escape.
pub fn shown(name: &str) -> String {
    let letters = name.chars().map(|letter| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    });
    letters.collect()
}

/// A mode as `ls -l` has it.
fn permissions(mode: u32) -> String {
    let kind = match mode & KIND {
        FILE => '-',
        DIRECTORY => 'd',
        SYMLINK => 'l',
        CHARACTER_DEVICE => 'c',
        BLOCK_DEVICE => 'b',
        0o010000 => 'p',
        0o140000 => 's',
        _ => '?',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
pub mod tests;
