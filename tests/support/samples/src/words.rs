//! uevents, device specifications and command lines: fields are found where they are, devices named by what they have, and no
//! line weakens what a profile asks for.

use std::sync::LazyLock;

use toehold::asked::Word;
use toehold::format::plan::{Key as Setting, Plan};
use toehold::format::uevent::{self, Key};
use toehold::format::verity::Parameter;
use toehold::format::{cmdline, mount_options};
use toehold::request::{Request, Role};
use toehold::spec::{Facts, Needs, Spec};
use toehold::text::{Line, push};

use crate::layouts;
use crate::target::Target;

const EVENT: &[u8] =
    b"add@/devices/pci0000:00/0000:00:02.0/virtio0/block/vda/vda2\0ACTION=add\0SUBSYSTEM=block\0\
MAJOR=254\0MINOR=2\0DEVNAME=vda2\0DEVTYPE=partition\0DISKSEQ=9\0PARTN=2\0PARTNAME=USR-A\0\
PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132\0MODALIAS=virtio:d00000002v00001AF4\0";

/// What can be known of one device.
const FACTS: &[u8] =
    b"MAJOR=254\nMINOR=2\nDEVNAME=vda2\nPARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132\n\
PARTLABEL=USR A\nUUID=01234567-89ab-cdef-0123-456789abcdef\nLABEL=usr=\\x41";

pub const UEVENT: Target = Target {
    name: "uevent",
    seeds: || vec![EVENT.to_vec(), FACTS.to_vec()],
    fields: &[],
    words: &[
        b"\0",
        b"\n",
        b"=",
        b"MAJOR=",
        b"\0PARTN=18446744073709551616\0",
        b"\nDEVNAME=vdb\n",
        b"PARTUUID",
        b"UUID=",
        b"\0\0",
        b"ACTION=remove",
    ],
    seal: |_| {},
    check: check_event,
};

pub const SPEC: Target = Target {
    name: "spec",
    seeds: || {
        [
            "PARTUUID=7130C94A-213a-4e5a-8e26-6cce9662f132",
            "PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132/PARTNROFF=1",
            "PARTUUID=7130c94a-02",
            "PARTLABEL=USR A",
            "UUID=01234567-89AB-cdef-0123-456789abcdef",
            "LABEL=usr=\\x41",
            "/dev/vda2",
            "/dev/disk/by-partlabel/USR\\x20A",
            "/dev/disk/by-label/usr=\\x5cx41",
            "/dev/disk/by-uuid/01234567-89ab-cdef-0123-456789abcdef",
            "254:2",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    },
    fields: &[],
    words: &[
        b"/dev/",
        b"/dev/disk/",
        b"/dev/disk/by-partuuid/",
        b"PARTUUID=",
        b"UUID=",
        b"LABEL=",
        b"/PARTNROFF=",
        b"/PARTNROFF=4294967297",
        b"\\x",
        b"\\x00",
        b"=",
        b":",
        b"\n",
        b"%",
    ],
    seal: |_| {},
    check: check_spec,
};

/// What parts the pieces of an input of [`FACTS_OF_A_DEVICE`].
const PART: u8 = 1;

/// A SPEC, a uevent, and what was read of the device besides.
pub const FACTS_OF_A_DEVICE: Target = Target {
    name: "facts",
    seeds: || {
        let specs = [
            "PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132",
            "PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132/PARTNROFF=1",
            "PARTLABEL=USR A",
            "UUID=01234567-89AB-cdef-0123-456789abcdef",
            "/dev/vda2",
            "254:2",
        ];
        let input = |spec: &str| [spec.as_bytes(), EVENT, FACTS].join(&PART);
        specs.map(input).to_vec()
    },
    fields: &[],
    words: &[
        &[PART],
        b"/PARTNROFF=1",
        b"PARTUUID=",
        b"\nPARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132",
        b"\nUUID=01234567-89ab-cdef-0123-456789abcdef",
        b"LABEL=",
        b"\nDEVNAME=vda2",
        b"\0MAJOR=254",
        b"\n",
        b"\0",
    ],
    seal: |_| {},
    check: check_facts,
};

pub const CMDLINE: Target = Target {
    name: "cmdline",
    seeds: || {
        [
            "mount.usr=/dev/mapper/usr verity.usr=PARTLABEL=USR-A verity.usrhash=00ff rd.earlytimeout=30\n",
            "\"usr=/dev/mapper/usr\" usrhash=\"00ff\" systemd.verity_usr_data=/dev/vda2 \
systemd.verity_usr_hash=/dev/vda3 mount.usrflags=\"ro,nodev\" -- init=/x",
            "root=/dev/x mount.usr=LABEL=usr systemd.verity_usr_options=ignore-corruption,fec-device=/dev/vda4",
        ]
        .map(|line| line.as_bytes().to_vec())
        .to_vec()
    },
    fields: &[],
    words: &[
        b" ",
        b"\"",
        b"=",
        b" -- ",
        b"\n",
        b" verity.usrhash=",
        b" usrhash",
        b" usrhash=\"\" ",
        b" usrhash=00FF ",
        b" mount.usr=/dev/vda2 ",
        b" usr=/dev/mapper/usr2 ",
        b" \"usr=/dev/vda2\" ",
        b" verity.usr=/dev/vdb ",
        b" systemd.verity_usr_options=ignore-corruption ",
        b" systemd.verity_usr_options= ",
        b" usrflags=device=/dev/vdb ",
        b" usrfstype=overlay ",
        b" rd.earlytimeout=18446744073709551615 ",
    ],
    seal: |_| {},
    check: check_line,
};

fn line(bytes: &[u8]) -> Line {
    let mut text = Line::new();
    push(&mut text, bytes);
    text
}

/// Whether a device is meant of which the kernel and what was read say the same.
fn says(spec: &Spec, fields: &Line) -> bool {
    let mut facts = Facts::of(fields);
    push(&mut facts.read, fields);
    matches(spec, &facts)
}

/// Whether the device with these facts is meant, as who looks at it finds out.
fn matches(spec: &Spec, facts: &Facts) -> bool {
    spec.matches(spec.needs(facts.event), facts)
}

/// The value of the first field of this name.
fn first<'a>(event: &'a [u8], name: &str) -> &'a [u8] {
    let mut fields = event.split(|byte| matches!(byte, 0 | b'\n'));
    let name = format!("{name}=");
    fields
        .find_map(|field| field.strip_prefix(name.as_bytes()))
        .unwrap_or_default()
}

fn check_event(bytes: &[u8]) {
    let event = line(bytes);
    for (key, name) in [
        (Key::ACTION, "ACTION"),
        (Key::MODALIAS, "MODALIAS"),
        (Key::DISKSEQ, "DISKSEQ"),
        (Key::PARTN, "PARTN"),
        (Key::MAJOR, "MAJOR"),
        (Key::DEVNAME, "DEVNAME"),
        (Key::PARTUUID, "PARTUUID"),
        (Key::UUID, "UUID"),
        (Key::LABEL, "LABEL"),
    ] {
        let want = first(&event, name);
        assert_eq!(uevent::value(&event, key), want, "{name}");
        let number = str::from_utf8(want)
            .ok()
            .filter(|text| !text.starts_with('+'));
        let number = number.and_then(|text| text.parse().ok());
        assert_eq!(uevent::number(&event, key), number.unwrap_or(uevent::NONE));
    }
    let mut spec = Spec::NONE;
    spec.read(b"PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132")
        .expect("a good one");
    let is =
        first(&event, "PARTUUID").eq_ignore_ascii_case(b"7130c94a-213a-4e5a-8e26-6cce9662f132");
    assert_eq!(says(&spec, &event), is);
}

/// What a device has to have to be meant, and whether capitals count.
fn meaning(text: &[u8]) -> Option<(&'static str, Vec<u8>, bool)> {
    let forms = [
        ("PARTUUID", "PARTUUID=", "/dev/disk/by-partuuid/", false),
        ("PARTLABEL", "PARTLABEL=", "/dev/disk/by-partlabel/", true),
        ("UUID", "UUID=", "/dev/disk/by-uuid/", false),
        ("LABEL", "LABEL=", "/dev/disk/by-label/", true),
    ];
    for (key, plain, link, exact) in forms {
        for prefix in [plain, link] {
            if let Some(value) = text.strip_prefix(prefix.as_bytes()) {
                return Some((key, unescape(unquote(value))?, exact));
            }
        }
    }
    let node = text.strip_prefix(b"/dev/")?;
    Some(("DEVNAME", unescape(unquote(node))?, true))
}

fn unquote(text: &[u8]) -> &[u8] {
    match text {
        [first @ (b'"' | b'\''), inside @ .., last] if first == last => inside,
        _ => text,
    }
}

fn unescape(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    while let Some((byte, rest)) = text.split_first() {
        if let [b'\\', b'x', digits @ ..] = text
            && let Some((digits, rest)) = digits.split_first_chunk::<2>()
        {
            let digits = str::from_utf8(digits).ok()?;
            plain.push(u8::from_str_radix(digits, 16).ok()?);
            text = rest;
        } else {
            plain.push(*byte);
            text = rest;
        }
    }
    Some(plain)
}

fn check_spec(text: &[u8]) {
    let mut spec = Spec::NONE;
    let is_good = spec.read(text).is_some();
    let facts = line(FACTS);
    if !is_good || !says(&spec, &facts) {
        return;
    }
    assert!(!says(&spec, &line(b"")));
    // What it is has to be what it says.
    let Some((key, mut value, exact)) = meaning(text) else {
        return assert_eq!(unescape(unquote(text)).as_deref(), Some(&b"254:2"[..]));
    };
    if key == "PARTUUID" && spec.shift != 0 {
        let slash = value.iter().position(|byte| *byte == b'/');
        value.truncate(slash.expect("a /PARTNROFF="));
    }
    let has = first(FACTS, key);
    let offset = b"/PARTNROFF=";
    let is_plain = value == has || !exact && value.eq_ignore_ascii_case(has);
    let is_offset = key == "PARTUUID" && value.windows(offset.len()).any(|part| part == offset);
    assert!(is_plain || is_offset, "{key}={}", value.escape_ascii());
}

/// A device is meant only for what was read where reading was needed, and only for what the kernel says where it was not.
fn check_facts(bytes: &[u8]) {
    let mut pieces = bytes.splitn(3, |byte| *byte == PART);
    let mut next = || pieces.next().unwrap_or_default();
    let (text, event, read) = (next(), line(next()), line(next()));
    let mut spec = Spec::NONE;
    let is_good = spec.read(text).is_some();
    let facts = |event, read: &Line| Facts {
        event,
        read: read.clone(),
    };
    let (nothing, needs) = (line(b""), spec.needs(&event));
    let wanted = matches(&spec, &facts(&event, &read));
    assert!(!matches(&Spec::NONE, &facts(&event, &read)));
    assert!(!is_good || !matches(&spec, &Facts::of(&nothing)));
    match needs {
        Needs::Nothing => assert_eq!(matches(&spec, &facts(&event, &nothing)), wanted),
        Needs::Partition { shift } => {
            assert_eq!(shift, spec.shift);
            assert_eq!(matches(&spec, &facts(&nothing, &read)), wanted);
            assert!(!is_good || !matches(&spec, &Facts::of(&event)));
        }
        Needs::Superblock => {
            assert_eq!(matches(&spec, &facts(&nothing, &read)), wanted);
            assert!(!is_good || !matches(&spec, &Facts::of(&event)));
        }
        Needs::Partitions => panic!("no SPEC needs that"),
    }
}

/// A plan with settings in addition to those that every plan has.
fn plan(settings: &[(Setting, &[u8])]) -> Plan<'static> {
    let mut extra = Vec::new();
    for (key, value) in settings {
        extra.extend([*key as u8, value.len() as u8]);
        extra.extend(*value);
    }
    let file = layouts::plan(b"", b"", &extra).leak();
    Plan::parse(file).unwrap_or_else(|why| panic!("{why:?}"))
}

static OPEN: LazyLock<Plan> = LazyLock::new(|| plan(&[]));
static REQUIRED: LazyLock<Plan> = LazyLock::new(|| plan(&[(Setting::VerityRequired, b"")]));
static LOCKED: LazyLock<Plan> =
    LazyLock::new(|| plan(&[(Setting::VerityRequired, b""), (Setting::Locked, b"")]));
static PINNED: LazyLock<Plan> = LazyLock::new(|| {
    let locked = [(Setting::VerityRequired, &b""[..]), (Setting::Locked, b"")];
    plan(&[&locked[..], &[(Setting::RootHash, b"00fF")]].concat())
});

/// What comes of a line, unless it is refused. Request refer to the command line for ever, as the init's do: it is leaked.
fn options(bytes: &[u8], plan: &Plan<'static>) -> Option<Request> {
    let mut request = Request::NONE;
    let line = bytes.to_vec().leak();
    let read = request.read([line, b""], plan, &mut |_| ());
    read.ok().map(|()| request)
}

fn check_line(bytes: &[u8]) {
    for word in cmdline::words(bytes) {
        let len = word.name.len() + word.value.map_or(0, <[u8]>::len);
        assert!(len <= bytes.len());
    }
    let verified = |options: &Request| {
        let root_hash = options.root_hash.expect("a root hash");
        assert!(root_hash.len() >= 2 && root_hash.iter().all(u8::is_ascii_hexdigit));
        assert!(!options.spec(Role::Data).text.is_empty());
    };
    if let Some(options) = options(bytes, &OPEN) {
        assert!(!options.spec(Role::Data).text.is_empty());
        if options.root_hash.is_some() {
            verified(&options);
        }
    }
    if let Some(options) = options(bytes, &REQUIRED) {
        verified(&options);
    }
    for plan in [&LOCKED, &PINNED] {
        if let Some(options) = options(bytes, plan) {
            verified(&options);
            let get = |parameter| options.parameters.get(parameter);
            // The policy that every plan of the samples has, and nothing else.
            assert_eq!(
                get(Parameter::OnCorruption),
                Some(&b"panic-on-corruption"[..])
            );
            for parameter in [
                Parameter::Hash,
                Parameter::DataBlocks,
                Parameter::HasSuperblock,
                Parameter::FecDevice,
                Parameter::Once,
            ] {
                assert_eq!(get(parameter), None);
            }
            // No filesystem's options, through which another device could come in.
            let mut data = Line::new();
            mount_options::split(options.asked.value(Word::MountOptions), &mut data);
            assert!(data.is_empty() && options.asked.value(Word::Fstype) == b"auto");
        }
    }
    if let Some(options) = options(bytes, &PINNED) {
        let root_hash = options.root_hash.unwrap_or_default();
        assert!(root_hash.eq_ignore_ascii_case(b"00ff"));
    }
}

/// However a line that asks for verification is damaged, what comes of it is a verified boot or none.
#[test]
fn no_damage_takes_verification_away() {
    let line = b"verity.usr=PARTLABEL=USR-A verity.usrhash=00ff \"mount.usr=/dev/mapper/usr\" rd.earlytimeout=30 \
mount.usrflags=\"ro,nodev\" -- init=/x\n";
    assert!(options(line, &OPEN).is_some());
    let verified = |line: &[u8]| {
        if let Some(options) = options(line, &OPEN) {
            assert!(options.root_hash.is_some(), "{}", line.escape_ascii());
        }
    };
    (0..line.len()).for_each(|len| verified(&line[..len]));
    let mut damaged = line.to_vec();
    for bit in 0..line.len() * 8 {
        damaged[bit / 8] ^= 1 << (bit % 8);
        verified(&damaged);
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
}
