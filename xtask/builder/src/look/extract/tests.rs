//! Trees against `cpio`, and entries that lead out of one.

use std::{
    os::unix::fs::{FileTypeExt, MetadataExt},
    process::{Command, Stdio},
};

use super::*;
use crate::{archive::cpio, look::contents::tests::sample};

fn file(path: &str, data: &[u8]) -> Entry {
    Entry::file(path, 0o640, data.to_vec())
}

/// The tree of these archives.
fn tree(archives: &[&[Entry]]) -> Tree {
    let mut tree = Tree::default();
    for entries in archives {
        let archive = cpio::pack(*entries).unwrap();
        tree.add(cpio::read(&archive).unwrap().members);
    }
    tree
}

/// Path, mode, links, device and content of all that is below a folder.
fn found(folder: &Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(folder)
        .min_depth(1)
        .sort_by_file_name();
    let line = |entry: walkdir::DirEntry| {
        let (path, about) = (entry.path(), entry.metadata().unwrap());
        let content = match about.file_type() {
            kind if kind.is_file() => String::from_utf8_lossy(&fs::read(path).unwrap()).into(),
            kind if kind.is_symlink() => fs::read_link(path).unwrap().display().to_string(),
            _ => String::new(),
        };
        let links = if about.is_dir() { 0 } else { about.nlink() };
        let inside = path.strip_prefix(folder).unwrap().display();
        format!(
            "{inside} {:o} {links} {:x} {content}",
            about.mode(),
            about.rdev()
        )
    };
    entries
        .into_iter()
        .map(|entry| line(entry.unwrap()))
        .collect()
}

#[test]
fn the_files_that_cpio_extracts() {
    let entries = [
        Entry::directory("bin"),
        Entry::file("bin/one", 0o4755, b"same".to_vec()),
        Entry::file("bin/two", 0o4755, b"same".to_vec()),
        Entry::directory("etc"),
        file("etc/empty", b""),
        Entry::symlink("init", "/bin/one"),
        Entry::symlink("sbin", "bin"),
        Entry {
            mode: DIRECTORY | 0o1555,
            ..Entry::directory("tmp")
        },
        file("tmp/inside", b"text"),
    ];
    let archive = cpio::pack(&entries).unwrap();
    let room = tempfile::tempdir().unwrap();
    let [theirs, ours] = ["theirs", "ours"].map(|name| room.path().join(name));
    for folder in [&theirs, &ours] {
        fs::create_dir(folder).unwrap();
    }
    let mut cpio = Command::new("cpio")
        .args(["--extract", "--quiet"])
        .current_dir(&theirs)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    cpio.stdin.take().unwrap().write_all(&archive).unwrap();
    assert!(cpio.wait().unwrap().success());
    let tree = tree(&[&entries]);
    assert_eq!(tree.refused, [""; 0]);
    for _ in 0..2 {
        // The second time it replaces what is there.
        let written = tree.write(&ours, false).unwrap();
        assert_eq!((written.count, written.skipped.len()), (9, 0));
        assert_eq!(found(&ours), found(&theirs));
    }
}

#[test]
fn later_archives_replace_earlier_ones() {
    let first = [
        Entry::directory("."),
        Entry::directory("usr"),
        Entry::directory("usr/lib"),
        Entry::symlink("lib", "/usr/lib"),
        file("one", b"same"),
        file("two", b"same"),
        file("link", b"old"),
        Entry::directory("empty"),
        Entry::directory("full"),
        file("full/file", b""),
    ];
    let second = [
        // Through a link, and into a folder that nobody made.
        file("lib/a.ko", b"module"),
        file("/new/./folder/file", b"new"),
        // A file keeps its other names.
        file("./one", b"other"),
        Entry::symlink("link", "one"),
        file("empty", b"file"),
        file("full", b"file"),
    ];
    let tree = tree(&[&first, &second]);
    let refused = "full: there is a directory with files in it";
    assert_eq!(tree.refused, [refused]);
    let room = tempfile::tempdir().unwrap();
    tree.write(room.path(), false).unwrap();
    assert_eq!(
        found(room.path()),
        [
            "empty 100640 1 0 file",
            "full 40755 0 0 ",
            "full/file 100640 1 0 ",
            "lib 120777 1 0 /usr/lib",
            "link 120777 1 0 one",
            "new 40755 0 0 ",
            "new/folder 40755 0 0 ",
            "new/folder/file 100640 1 0 new",
            "one 100640 2 0 other",
            "two 100640 2 0 other",
            "usr 40755 0 0 ",
            "usr/lib 40755 0 0 ",
            "usr/lib/a.ko 100640 1 0 module",
        ]
    );
}

#[test]
fn nothing_leads_out() {
    let entries = [
        file("../above", b""),
        file("a/../../above", b""),
        Entry::symlink("up", ".."),
        Entry::symlink("a/far", "../../etc"),
        Entry::symlink("a/near", "../b"),
        Entry::symlink("absolute", "/../etc"),
        Entry::symlink("root", "/"),
        file("root/file", b"inside"),
        Entry::symlink("one", "two"),
        Entry::symlink("two", "one"),
        file("two/file", b""),
        file("root/file/below", b""),
        // Above the folder that a link leads to, seen from where the link is.
        Entry::symlink("deep/link", "/a"),
        Entry::symlink("deep/beside", "link/../../x"),
        file("deep/beside/file", b""),
    ];
    let tree = tree(&[&entries]);
    let dots = "its path has `..` in it, which may lead out of the initrd";
    let link = "it is a link that leads out of the initrd, to";
    assert_eq!(
        tree.refused,
        [
            format!("../above: {dots}"),
            format!("a/../../above: {dots}"),
            format!("up: {link} .."),
            format!("a/far: {link} ../../etc"),
            format!("absolute: {link} /../etc"),
            "two/file: too many links on its path".to_owned(),
            "root/file/below: file is no directory".to_owned(),
            "deep/beside/file: a link on its path leads out of the initrd".to_owned(),
        ]
    );
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("a/b");
    // What is there already is no way out either.
    fs::create_dir_all(&folder).unwrap();
    symlink(room.path(), folder.join("a")).unwrap();
    symlink(room.path().join("file"), folder.join("file")).unwrap();
    tree.write(&folder, false).unwrap();
    assert_eq!(found(&folder)[0], "a 40755 0 0 ");
    assert_eq!(fs::read(folder.join("file")).unwrap(), b"inside");
    assert_eq!(fs::read_dir(room.path()).unwrap().count(), 1);
}

#[test]
fn devices_take_root() {
    let fifo = Entry {
        mode: FIFO | 0o622,
        ..file("fifo", b"")
    };
    let console = Entry::character_device("console", 0o600, (5, 1));
    let tree = tree(&[&[console, fifo]]);
    let room = tempfile::tempdir().unwrap();
    let written = tree.write(room.path(), false).unwrap();
    assert_eq!(written.skipped, ["console"]);
    assert_eq!(found(room.path()), ["fifo 10622 1 0 "]);
    if rustix::process::geteuid().is_root() {
        let written = tree.write(room.path(), true).unwrap();
        let console = fs::metadata(room.path().join("console"));
        // Root of a container is not root enough.
        if written.skipped.is_empty() {
            let console = console.unwrap();
            assert!(console.file_type().is_char_device());
            assert_eq!((console.rdev(), console.mode()), (0x501, 0o20600));
        }
    }
}

#[test]
fn modules_come_out_of_the_pack() {
    let archives = sample().map(|entry| cpio::pack([&entry]).unwrap());
    let tree = Tree::of(&archives.concat()).unwrap();
    let room = tempfile::tempdir().unwrap();
    tree.write(room.path(), false).unwrap();
    let read = |name: &str| fs::read(room.path().join("lib/modules").join(name)).unwrap();
    assert_eq!(read("dm_mod.ko"), b"first");
    assert_eq!(read("loop.ko"), b"\x7fELF, nearly");
    assert_eq!(read("ext4.ko"), [7; 5000]);
    // Pack and plan are files, too; and there are two folders.
    assert_eq!(found(room.path()).len(), 7);
}
