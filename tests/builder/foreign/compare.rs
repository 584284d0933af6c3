//! Two programs list and extract one initrd: the builder, and the tool of whoever made it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use builder::look::{contents::Contents, extract::Tree};
use walkdir::WalkDir;
use xtask::lab::debian;

/// A file as it was extracted. Files with one content and several names have all of them.
#[derive(Debug, PartialEq, Eq)]
struct File {
    mode: u32,
    owner: (u32, u32),
    device: u64,
    /// What it holds; where a link leads.
    content: Vec<u8>,
    names: BTreeSet<PathBuf>,
}

/// All that lies below a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, File> {
    let mut found = BTreeMap::new();
    let mut names: BTreeMap<u64, BTreeSet<PathBuf>> = BTreeMap::new();
    let mut inodes = Vec::new();
    for entry in WalkDir::new(folder).min_depth(1) {
        let entry = entry.expect("an entry");
        let path = entry.path().strip_prefix(folder).expect("below").to_owned();
        let about = entry.path().symlink_metadata().expect("a file");
        let kind = about.file_type();
        let content = if kind.is_symlink() {
            let target = fs::read_link(entry.path()).expect("a link");
            target.into_os_string().into_encoded_bytes()
        } else if kind.is_file() {
            fs::read(entry.path()).expect("a file")
        } else {
            Vec::new()
        };
        if kind.is_file() {
            names.entry(about.ino()).or_default().insert(path.clone());
            inodes.push((path.clone(), about.ino()));
        }
        let is_device = kind.is_char_device() || kind.is_block_device();
        let file = File {
            mode: about.mode(),
            owner: (about.uid(), about.gid()),
            device: if is_device { about.rdev() } else { 0 },
            content,
            names: BTreeSet::new(),
        };
        found.insert(path, file);
    }
    for (path, inode) in inodes {
        found.get_mut(&path).expect("a file").names = names[&inode].clone();
    }
    found
}

/// What a line of `cpio -tv` tells: `mode links owner group size month day time name -> target`, with two numbers in the place of a device's size.
fn listed(listing: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for line in listing.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_entry =
            |mode: &str| mode.len() == 10 && mode.starts_with(['-', 'd', 'l', 'c', 'b', 'p', 's']);
        let Some(mode) = words.first().filter(|mode| is_entry(mode)) else {
            continue;
        };
        let name = if mode.starts_with(['c', 'b']) { 9 } else { 8 };
        let name = words[name..].join(" ");
        if name != "." {
            found.insert(((*mode).to_owned(), name));
        }
    }
    found
}

/// The same of what the builder lists for tools.
fn own(contents: &Contents) -> BTreeSet<(String, String)> {
    let json = serde_json::to_value(contents).expect("JSON");
    let pieces = json["pieces"].as_array().expect("pieces").iter();
    let entries = pieces.flat_map(|piece| piece["entries"].as_array().expect("entries"));
    let mut found = BTreeSet::new();
    for entry in entries {
        let path = entry["path"].as_str().expect("a path");
        let target = entry["target"]
            .as_str()
            .map(|target| format!(" -> {target}"));
        let mode = mode(entry["mode"].as_u64().expect("a mode"));
        if path != "." {
            found.insert((mode, format!("{path}{}", target.unwrap_or_default())));
        }
    }
    found
}

/// As ls(1) has it.
fn mode(mode: u64) -> String {
    let kinds = BTreeMap::from([
        (0o04, 'd'),
        (0o12, 'l'),
        (0o02, 'c'),
        (0o06, 'b'),
        (0o01, 'p'),
        (0o14, 's'),
    ]);
    let mut text = String::from(*kinds.get(&(mode >> 12)).unwrap_or(&'-'));
    for (shift, special, letters) in [(6, 0o4000, "sS"), (3, 0o2000, "sS"), (0, 0o1000, "tT")] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => letters.chars().next().expect("a letter"),
            (true, false) => letters.chars().next_back().expect("a letter"),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// An initrd to be made: how, by what it is listed and extracted (into `out`), and how it is compressed.
pub struct Case {
    pub make: String,
    pub list: &'static str,
    pub extract: &'static str,
    pub compression: Option<&'static str>,
    pub early: bool,
}

/// Makes it, and holds the builder against the others' own tools.
pub fn check(root: &Path, name: &str, case: &Case) {
    let script = format!(
        "rm -rf /{name} && mkdir -p /{name}/out && cd /{name} && {} && {} > list && cd out && {}",
        case.make, case.list, case.extract
    );
    debian::run(root, &script).expect("an initrd");
    let folder = root.join(name);
    let initrd = fs::read(folder.join("initrd")).expect("an initrd");
    let (contents, result) = Contents::read(0, &initrd);
    result.expect("read to its end");
    let last = contents.pieces.last().expect("a piece");
    assert_eq!(last.compression.as_deref(), case.compression, "{name}");
    let has_microcode = contents.pieces.len() > 1;
    assert_eq!(has_microcode, case.early, "{name}");

    let listing = fs::read_to_string(folder.join("list")).expect("a list");
    let (theirs, own) = (listed(&listing), own(&contents));
    assert!(theirs.len() > 20, "{name}: {listing}");
    let others: Vec<_> = own.symmetric_difference(&theirs).collect();
    assert!(others.is_empty(), "{name}: not in both lists: {others:?}");
    // For people, every path is there, too.
    let text = contents.text();
    for (_, path) in &theirs {
        assert!(text.contains(path), "{name}: no {path}");
    }

    let tree = Tree::of(&initrd).expect("files");
    assert_eq!(tree.refused, [""; 0], "{name}");
    let out = folder.join("own");
    fs::create_dir(&out).expect("a folder");
    let written = tree.write(&out, true).expect("files");
    assert_eq!(written.skipped, [""; 0], "{name}");
    let (theirs, own) = (files(&folder.join("out")), files(&out));
    let (named, own_named): (Vec<_>, Vec<_>) = (theirs.keys().collect(), own.keys().collect());
    assert_eq!(named, own_named, "{name}");
    for (path, file) in &theirs {
        let other = &own[path];
        let place = path.display();
        assert!(
            file.content == other.content,
            "{name}: {place}: the content"
        );
        let rest = |file: &File| (file.mode, file.owner, file.device, file.names.clone());
        assert_eq!(rest(other), rest(file), "{name}: {place}");
    }
    let has = |kind: fn(&File) -> bool| theirs.values().any(kind);
    assert!(
        has(|file| file.mode & 0o170000 == 0o120000),
        "{name}: no link"
    );
    assert!(
        has(|file| file.content.len() > 10_000),
        "{name}: no program"
    );
    assert_eq!(
        theirs.contains_key(Path::new("kernel/x86/microcode/GenuineIntel.bin")),
        case.early,
        "{name}"
    );
    fs::remove_dir_all(folder).expect("a folder");
}
