//! Lists against `cpio`, and packs made on the spot.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use super::*;
use crate::look::extract::Tree;
use crate::{
    archive::{compress::Compression, cpio},
    plan::{
        self,
        tests::{chosen, module, settings},
    },
    select::{Chosen, Rank},
};
use toehold::format::pack::ENTRY;

fn mixed() -> Vec<Entry> {
    vec![
        Entry::directory("dev"),
        Entry::character_device("dev/console", 0o600, (5, 1)),
        Entry::file("bin/one", 0o4755, b"same".to_vec()),
        Entry::file("bin/two", 0o4755, b"same".to_vec()),
        Entry::symlink("sbin", "bin"),
        Entry::file("odd\x1b[1mname", 0o640, Vec::new()),
    ]
}

/// Names of modules with the groups that they are in, and their pack and plan.
pub fn packed(modules: &[(&str, Option<usize>, &[u8])], groups: usize) -> [Entry; 2] {
    let known: Vec<_> = modules.iter().map(|(name, ..)| module(name, &[])).collect();
    let chosen: Vec<Chosen> = known
        .iter()
        .zip(modules)
        .map(|(known, (_, group, _))| Chosen {
            group: *group,
            ..chosen(known, Rank::Always, "", Vec::new())
        })
        .collect();
    let plan = plan::encode(&chosen, &[], &settings()).unwrap();
    let files = |number| {
        let modules = modules
            .iter()
            .filter(move |(_, group, _)| *group == Some(number));
        modules.map(|(.., file)| *file).collect()
    };
    let groups: Vec<Vec<&[u8]>> = (0..groups).map(files).collect();
    let groups = pack::encode(&groups, pack::SHIPPED, &|_, make| make()).unwrap();
    let pack = pack::write(&groups).unwrap();
    [
        Entry::file(PACK_NAME, 0o644, pack),
        Entry::file(&format!("./{PLAN_NAME}"), 0o644, plan),
    ]
}

/// Two groups, and a module that is in none.
pub fn sample() -> [Entry; 2] {
    let modules: [(&str, Option<usize>, &[u8]); 4] = [
        ("loop", Some(0), b"\x7fELF, nearly"),
        ("dm_mod", Some(1), b"first"),
        ("plain", None, b""),
        ("ext4", Some(1), &[7; 5000]),
    ];
    packed(&modules, 2)
}

fn listed(initrd: &[u8]) -> Contents {
    let (contents, result) = Contents::read(0, initrd);
    result.unwrap();
    contents
}

#[test]
fn lines_as_ls_has_them() {
    let archive = cpio::pack(&mixed()).unwrap();
    let mut initrd = archive.clone();
    initrd.resize(1024, 0);
    let packed = Compression::Zstd.pack(archive.clone()).unwrap();
    initrd.extend(&packed);
    let lines = "\
drwxr-xr-x 0/0                0 dev
crw------- 0/0             5, 1 dev/console
-rwsr-xr-x 0/0                4 bin/one
-rwsr-xr-x 0/0                4 bin/two link to bin/one
lrwxrwxrwx 0/0                3 sbin -> bin
-rw-r----- 0/0                0 odd\\u{1b}[1mname
";
    let (len, plain) = (packed.len(), archive.len());
    assert_eq!(
        listed(&initrd).text(),
        format!(
            "offset 0, {plain} bytes: not compressed\n{lines}\n\
            offset 1024, {len} bytes: zstd, {plain} bytes unpacked\n{lines}\n"
        )
    );
    let json = serde_json::to_value(listed(&initrd)).unwrap();
    assert_eq!(json["pieces"][1]["compression"], "zstd");
    let entries = &json["pieces"][0]["entries"];
    assert_eq!(entries[1]["device"], serde_json::json!([5, 1]));
    assert_eq!(entries[3]["link"], "bin/one");
    assert_eq!(entries[4]["target"], "bin");
    assert!(json.get("pack").is_none());
}

/// Names of what `cpio` lists.
#[test]
fn the_names_that_cpio_lists() {
    let archive = cpio::pack(&mixed()[..5]).unwrap();
    let mut cpio = Command::new("cpio")
        .args(["--list", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    cpio.stdin.take().unwrap().write_all(&archive).unwrap();
    let want = String::from_utf8(cpio.wait_with_output().unwrap().stdout).unwrap();
    for compression in [Compression::None, Compression::Xz] {
        let contents = listed(&compression.pack(archive.clone()).unwrap());
        let entries = contents.pieces[0].entries.iter();
        let got: String = entries.map(|line| line.path.clone() + "\n").collect();
        assert_eq!(got, want);
    }
}

#[test]
fn groups_of_a_pack_with_their_modules() {
    let [pack, plan] = sample();
    let front = cpio::pack([&pack]).unwrap();
    let behind = Compression::Gzip.pack(cpio::pack([&plan]).unwrap());
    let initrd = [front, behind.unwrap()].concat();
    let contents = listed(&initrd).pack.unwrap();
    let names = |group: &Group| -> Vec<(String, usize)> {
        let modules = group.modules.iter();
        modules
            .map(|module| (module.name.clone(), module.bytes))
            .collect()
    };
    assert_eq!(contents.groups.len(), 2);
    assert_eq!(names(&contents.groups[0]), [("loop".to_owned(), 12)]);
    let want = [("dm_mod".to_owned(), 5), ("ext4".to_owned(), 5000)];
    assert_eq!(names(&contents.groups[1]), want);
    assert!(contents.groups[1].unpacked_bytes >= 5005);
    let text = listed(&initrd).text();
    let lines = "                              5 dm_mod\n                           5000 ext4\n";
    assert!(text.ends_with(lines), "{text}");
}

#[test]
fn a_damaged_pack_is_refused_by_its_group() {
    let [pack, plan] = sample();
    let mut damaged = pack.clone();
    *damaged.data.last_mut().unwrap() ^= 1;
    let mut huge = pack.clone();
    huge.data[MAGIC.len() + 8..][..4].fill(0xFF);
    let mut small = pack.clone();
    small.data[MAGIC.len() + 8..][..4].fill(0);
    let (mut short, mut no_pack) = (pack.clone(), pack.clone());
    short.data.truncate(MAGIC.len() + ENTRY);
    no_pack.data.truncate(3);
    let mut no_plan = plan.clone();
    no_plan.data.truncate(99);
    for (entries, want) in [
        (
            [&damaged, &plan],
            "/toehold.pack: group 1 of the pack is damaged, or not there",
        ),
        (
            [&short, &plan],
            "/toehold.pack: group 0 of the pack is damaged, or not there",
        ),
        (
            [&no_pack, &plan],
            "/toehold.pack is no module pack, or one of another version",
        ),
        (
            [&huge, &plan],
            "/toehold.pack: group 0 of the pack is damaged: it cannot take 4294967295 bytes to unpack it",
        ),
        (
            [&small, &plan],
            "/toehold.pack: group 0 of the pack is damaged: it takes more bytes than it says",
        ),
        ([&pack, &no_plan], "/toehold.plan is damaged (Truncated)"),
        (
            [&pack, &pack],
            "/toehold.pack is there without /toehold.plan, which names its modules",
        ),
    ] {
        let initrd = cpio::pack(entries).unwrap();
        let (contents, result) = Contents::read(0, &initrd);
        assert_eq!(format!("{:#}", result.unwrap_err()), want);
        assert_eq!(contents.pieces[0].entries.len(), 2);
    }
}

#[test]
fn what_stands_before_damage_is_listed() {
    let archive = cpio::pack(&mixed()).unwrap();
    let (contents, result) = Contents::read(0, &[&archive[..], b"damage"].concat());
    assert_eq!(contents.pieces.len(), 1);
    let error = result.unwrap_err().to_string();
    let want = format!("no initrd at offset {}: ", archive.len());
    assert!(error.starts_with(&want), "{error}");
}

/// Whatever is wrong with an initrd, it is told, and nothing panics.
#[test]
fn damage_anywhere() {
    let mut initrd = cpio::pack(&mixed()).unwrap();
    for compression in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
        let [pack, plan] = sample();
        let packed = compression.pack(cpio::pack([&pack, &plan]).unwrap());
        initrd.extend(packed.unwrap());
    }
    let look = |initrd: &[u8]| {
        let result = Contents::read(0, initrd).1;
        // Extracting reads the same, and may find more to refuse.
        assert!(Tree::of(initrd).is_ok() == result.is_ok());
    };
    for place in 0..initrd.len() {
        let mut damaged = initrd.clone();
        for value in [0, b'0', b'f', 0xFF] {
            damaged[place] = value;
            look(&damaged);
        }
        look(&initrd[..place]);
    }
}
