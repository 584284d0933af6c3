use super::*;
use crate::asked::ROOT_WORDS;
use crate::format::plan::sample;
use crate::schedule::{Schedule, State};

/// Reads a command line, and what was set at the console, with a schedule for the modules of the
/// plan.
fn read_with(
    plan: &Plan<'static>,
    lines: [&'static str; 2],
    schedule: &mut Schedule,
) -> Result<Request, (Stage, String)> {
    let mut request = Request::NONE;
    let lines = lines.map(str::as_bytes);
    match request.read(lines, plan, &mut |list| schedule.bar(plan, list)) {
        Ok(()) => Ok(request),
        Err((stage, word)) => Err((stage, String::from_utf8(word.to_vec()).unwrap())),
    }
}

pub fn read(line: &'static str, required: bool) -> Result<Request, (Stage, String)> {
    let plan = sample::plan(
        b"",
        if required {
            &[Key::VerityRequired as u8, 0]
        } else {
            &[]
        },
    );
    read_with(&plan, [line, ""], &mut Schedule::none())
}

pub fn text(options: &Request, role: Role) -> &[u8] {
    &options.spec(role).text
}

const HASH: &str = "verity.usrhash=00ff";

#[test]
fn verified() {
    for line in [
        "verity.usr=PARTLABEL=USR-A verity.usrhash=00ff",
        "verity.usr=PARTLABEL=USR-A verity.usrhash=00ff mount.usr=/dev/mapper/usr",
        "verity.usr=PARTLABEL=USR-A verity.usrhash=00ff usr=/dev/mapper/usr mount.usrflags=ro",
        "verity.usr=/dev/x verity.usrhash=zz verity.usr=PARTLABEL=USR-A verity.usrhash=00ff",
    ] {
        for required in [false, true] {
            let options = read(line, required).ok().unwrap();
            assert_eq!(text(&options, Role::Data), b"PARTLABEL=USR-A");
            assert_eq!(options.root_hash.unwrap_or_default(), b"00ff");
            assert_eq!(options.timeout, 300);
        }
    }
}

#[test]
fn never_unverified_when_verification_is_asked_for() {
    for (line, subject) in [
        ("verity.usr=/dev/vda", "verity.usrhash"),
        ("verity.usr=/dev/vda verity.usrhash", "verity.usrhash"),
        ("verity.usr=/dev/vda verity.usrhash=", "verity.usrhash"),
        ("verity.usr=/dev/vda verity.usrhash=00f", "verity.usrhash"),
        ("verity.usr=/dev/vda verity.usrhash=00fg", "verity.usrhash"),
        ("mount.usr=/dev/mapper/usr", "verity.usrhash"),
        (
            "verity.usrhash=00ff mount.usr=/dev/mapper/usr",
            "verity.usr",
        ),
        ("verity.usrhash=00ff", "verity.usr"),
        (
            "verity.usr=/dev/vda verity.usrhash=00ff mount.usr=/dev/vda",
            "mount.usr",
        ),
        (
            "verity.usr=/dev/vda verity.usrhash=00ff usr=/dev/mapper/usr2",
            "mount.usr",
        ),
    ] {
        for required in [false, true] {
            let why = read(line, required).err().unwrap();
            assert_eq!(why, (Stage::Verity, subject.to_string()), "{line}");
        }
    }
    assert_eq!(
        read("mount.usr=/dev/vda", true).err().unwrap().1,
        "verity.usrhash"
    );
    assert_eq!(read("", true).err().unwrap().1, "verity.usrhash");
    assert_eq!(read(HASH, true).err().unwrap().1, "verity.usr");
}

#[test]
fn unverified() {
    let options = read(
        "usr=/dev/vda2 usrfstype=ext4 usrflags=ro,noatime rd.earlytimeout=7",
        false,
    )
    .ok()
    .unwrap();
    assert_eq!(text(&options, Role::Data), b"/dev/vda2");
    assert_eq!(options.root_hash.unwrap_or_default(), b"");
    assert_eq!(options.asked.value(Word::Fstype), b"ext4");
    assert_eq!(options.asked.value(Word::MountOptions), b"ro,noatime");
    assert_eq!(options.timeout, 7);
    let options = read(
        "mount.usr=/dev/vda2 usr=/dev/vdb2 mount.usr=/dev/vdc2",
        false,
    )
    .ok()
    .unwrap();
    assert_eq!(text(&options, Role::Data), b"/dev/vdc2");
}

/// A name that has a blank is no word of the table; in what becomes one, a blank would add words.
#[test]
fn blanks_in_options() {
    let options = |value: &str| {
        let line = format!("verity.usr=/dev/a {HASH} systemd.verity_usr_options=\"{value}\"");
        read(line.leak(), false)
    };
    let named = options("fec-device=PARTLABEL=Größe 2,fec-roots=24")
        .ok()
        .unwrap();
    assert_eq!(
        text(&named, Role::Correction),
        "PARTLABEL=Größe 2".as_bytes()
    );
    for option in [
        "hash=sha256 x",
        "salt=00 1 ignore_corruption",
        "format=1\u{1}",
    ] {
        let refused = (Stage::Verity, option.to_owned());
        assert_eq!(options(option).err().unwrap(), refused);
    }
}

#[test]
fn refused_words() {
    for (line, subject) in [
        ("", "mount.usr"),
        ("mount.usr=UUID=", "mount.usr"),
        ("mount.usr=/dev/vda rd.earlytimeout=5m", "rd.earlytimeout"),
    ] {
        assert_eq!(
            read(line, false).err().unwrap(),
            (Stage::Device, subject.to_string())
        );
    }
}

#[test]
fn breakpoints() {
    for (words, points) in [
        ("", ""),
        ("rd.earlyshell", "1234"),
        ("rd.earlyshell=yes", "1234"),
        ("rd.earlyshell=On", "1234"),
        ("rd.earlyshell=", ""),
        ("rd.earlyshell=no", ""),
        ("rd.earlyshell=0", ""),
        ("rd.earlyshell=1", "1"),
        ("rd.earlyshell=all", ""),
        ("rd.earlyshell=2,4", "24"),
        ("rd.earlyshell=2,4 rd.earlyshell=1", "1"),
        ("rd.earlyshell=-", ""),
    ] {
        let line = format!("mount.usr=/dev/vda {words}");
        let options = read(line.leak(), false).ok().unwrap();
        let stops = Stage::ALL
            .iter()
            .map(|stage| options.asked.breakpoint(*stage));
        let stops: Vec<u8> = stops.flatten().collect();
        assert_eq!(stops, points.as_bytes(), "{words}");
    }
}

/// The same decisions by the names that a root has.
#[test]
fn root() {
    let plan = || {
        let words = [
            &[Key::Words as u8, ROOT_WORDS.len() as u8 | 0x80, 2],
            ROOT_WORDS,
        ]
        .concat();
        assert_eq!(ROOT_WORDS.len() >> 7, 2);
        let name = [Key::VerityName as u8, 4, b'r', b'o', b'o', b't'];
        sample::plan(b"", &[&words[..], &name].concat())
    };
    let read = |line: &'static str| read_with(&plan(), [line, ""], &mut Schedule::none());
    for line in [
        "verity.root=/dev/a roothash=00ff root=/dev/mapper/root init=/bin/sh rootflags=noatime",
        "systemd.verity_root_data=/dev/a systemd.verity_root_hash=/dev/a roothash=00ff \
        init=/bin/sh rootflags=noatime usrhash=11 mount.usr=/dev/b",
    ] {
        let options = read(line).ok().unwrap();
        assert_eq!(text(&options, Role::Data), b"/dev/a");
        assert_eq!(text(&options, Role::Tree), b"");
        assert_eq!(options.root_hash, Some(&b"00ff"[..]));
        assert_eq!(options.asked.value(Word::Init), b"/bin/sh");
        assert_eq!(options.asked.value(Word::MountOptions), b"noatime");
    }
    let options = read("root=PARTLABEL=root rootfstype=ext4 rd.earlytimeout=3")
        .ok()
        .unwrap();
    assert_eq!(text(&options, Role::Data), b"PARTLABEL=root");
    assert_eq!(options.asked.value(Word::Fstype), b"ext4");
    assert_eq!(options.asked.value(Word::Init), b"");
    assert_eq!((options.root_hash, options.timeout), (None, 3));
    for (line, stage, subject) in [
        ("usr=/dev/a", Stage::Device, "root"),
        ("root=/dev/mapper/root", Stage::Verity, "roothash"),
        ("roothash=00ff", Stage::Verity, "verity.root"),
        (
            "verity.root=/dev/a roothash=00ff root=/dev/a",
            Stage::Verity,
            "root",
        ),
    ] {
        assert_eq!(
            read(line).err().unwrap(),
            (stage, subject.to_owned()),
            "{line}"
        );
    }
    // `==` is where a root has `init`: no word is called so.
    assert_eq!(
        self::read(
            "mount.usr=/dev/a init=/a ==/a ===/a ====/a \"====/a\"",
            false
        )
        .ok()
        .unwrap()
        .asked
        .value(Word::Init),
        b""
    );
}

/// Without a disk, /usr is an image in the initramfs, but never where verification is asked for.
#[test]
fn netboot() {
    let read = |line: &'static str, more: &[u8]| {
        let netboot = [&[Key::Netboot as u8, 2, b'/', b'u'], more].concat();
        let plan = sample::plan(b"", &netboot);
        read_with(&plan, [line, ""], &mut Schedule::none()).map_err(|(_, word)| word)
    };
    assert_eq!(
        text(&read("flatcar.first_boot=1", b"").ok().unwrap(), Role::Data),
        b""
    );
    assert_eq!(
        text(&read("usr=/dev/a", b"").ok().unwrap(), Role::Data),
        b"/dev/a"
    );
    for (line, more, subject) in [
        ("verity.usr=/dev/a", &b""[..], "verity.usrhash"),
        ("mount.usr=/dev/mapper/usr", b"", "verity.usrhash"),
        ("", &[Key::VerityRequired as u8, 0], "verity.usrhash"),
        ("usr=", b"", "mount.usr"),
    ] {
        assert_eq!(read(line, more).err().unwrap(), subject, "{line}");
    }
}

/// What was set at the console stands behind the command line, even behind its `--`.
#[test]
fn words_that_were_set() {
    let plan = sample::plan(b"", &[]);
    let line = "mount.usr=/dev/vda rd.earlytimeout=1 -- usr=/dev/vdz";
    let lines = [line, "usr=/dev/vdb "];
    let options = read_with(&plan, lines, &mut Schedule::none()).ok().unwrap();
    assert_eq!(text(&options, Role::Data), b"/dev/vdb");
    assert_eq!(options.timeout, 1);
}

/// Every list counts, by names as modprobe takes them; what is not in the plan, and a word without
/// a list, change nothing.
#[test]
fn modules_barred() {
    // Without options and dependencies.
    let module = |flags: u8, name: &str| {
        let head = [flags, name.len() as u8];
        [&head, name.as_bytes(), &[0, 0]].concat()
    };
    let names = ["snd_pcm", "nouveau", "xen_fbfront", "snd", "virtio_blk"];
    let modules: Vec<u8> = names.iter().flat_map(|name| module(0, name)).collect();
    let plan = sample::plan(&modules, &[]);
    let mut schedule = Schedule::none();
    schedule.settle(3, State::ABSENT);
    let line = "modprobe.blacklist=xen-fbfront,none,,snd-pcm usr=/dev/vda modprobe.blacklist \
        modprobe.blacklist=snd -- modprobe.blacklist=virtio_blk";
    let more = "modprobe.blacklist=nouveau ";
    assert!(read_with(&plan, [line, more], &mut schedule).is_ok());
    let states: Vec<State> = (0..names.len()).map(|at| schedule.state(at)).collect();
    let [barred, absent, unasked] = [State::BARRED, State::ABSENT, State::UNASKED];
    assert_eq!(states, [barred, barred, barred, absent, unasked]);
}
