//! Profiles: defaults, what goes into the plan, and refusals.

use super::{HashOffset, Profile};
use toehold::asked::{ROOT_WORDS, USR_WORDS};
use toehold::format::plan::Key;

const SMALL: &str = "mode = \"usr\"\n[usr]\nmountpoint = \"/usr\"\nimage = \"stage2\"\n";

/// A profile with these rules for modules.
pub fn profile(modules: &str) -> Profile {
    Profile::parse(&format!("{SMALL}[modules]\n{modules}\n")).unwrap()
}

#[test]
fn defaults_and_settings() {
    let profile = Profile::parse(SMALL).unwrap();
    assert_eq!(profile.verity.hash_offset, HashOffset::Auto);
    let settings = profile.settings("6.1");
    let get = |key| {
        settings
            .iter()
            .find(|(found, _)| *found == key)
            .map(|(_, value)| value.as_slice())
    };
    assert_eq!(get(Key::Release), Some(&b"6.1"[..]));
    assert_eq!(get(Key::VerityName), Some(&b"usr"[..]));
    assert_eq!(get(Key::VerityRequired), None);
    assert_eq!(get(Key::OverlayOptions), Some(&b"mode=0755,size=50%"[..]));
    assert_eq!(get(Key::Init), Some(&b"/init"[..]));
    assert_eq!(get(Key::PromptSeconds), Some(&60u32.to_le_bytes()[..]));
    assert_eq!(get(Key::Jobs), None);
    assert_eq!(get(Key::VerityOptions), Some(&b"panic-on-corruption"[..]));
    assert_eq!(get(Key::HashOffsetFallback), None);
    assert_eq!(get(Key::Locked), None);
    assert_eq!(get(Key::RootHash), None);
}

#[test]
fn jobs() {
    let jobs = |jobs| Profile::parse(&format!("{SMALL}[modules]\njobs = {jobs}\n"));
    let settings = jobs(3).unwrap().settings("6.1");
    assert!(settings.contains(&(Key::Jobs, vec![3, 0, 0, 0])));
    let error = format!("{:#}", jobs(0).unwrap_err());
    assert!(
        error.contains("jobs") && error.contains("nonzero"),
        "{error}"
    );
}

#[test]
fn verity_settings() {
    let text =
        format!("{SMALL}[verity]\nrequired = true\nhash_offset = 1024\non_corruption = \"eio\"\n");
    let settings = Profile::parse(&text).unwrap().settings("6.1");
    for (key, value) in [
        (Key::VerityRequired, &[][..]),
        (Key::VerityOptions, b"hash-offset=1024"),
    ] {
        assert!(settings.contains(&(key, value.to_vec())), "{key:?}");
    }
}

/// The settings of a profile with this `[verity]`.
fn verity(text: &str) -> Vec<(Key, Vec<u8>)> {
    let profile = Profile::parse(&format!("{SMALL}[verity]\n{text}\n")).unwrap();
    profile.settings("6.1")
}

#[test]
fn every_parameter_of_verity() {
    let settings = verity(
        r#"
        name = "root"
        required = true
        root_hash = "00FF"
        root_hash_signature = "/usr.sig"
        hash_offset = 1048576
        superblock = false
        format = 0
        data_blocks = 200
        data_block_size = 512
        hash_block_size = 512
        algorithm = "blake2b-512"
        salt = "AB"
        fec_device = "PARTLABEL=Größe 2"
        fec_roots = 24
        fec_offset = 512
        on_corruption = "restart"
        on_error = "panic"
        ignore_zero_blocks = true
        check_at_most_once = true
        try_verify_in_tasklet = true
        [emergency]
        shell = false
        [cmdline]
        locked = true
        "#,
    );
    let options = "restart-on-corruption,panic-on-error,ignore-zero-blocks,check-at-most-once,try-verify-in-tasklet,\
        superblock=no,format=0,hash-offset=1048576,data-blocks=200,data-block-size=512,hash-block-size=512,\
        hash=blake2b-512,salt=ab,fec-device=PARTLABEL=Größe 2,fec-roots=24,fec-offset=512,root-hash-signature=/usr.sig";
    for (key, value) in [
        (Key::VerityName, &b"root"[..]),
        (Key::VerityRequired, b""),
        (Key::VerityOptions, options.as_bytes()),
        (Key::RootHash, b"00ff"),
        (Key::Locked, b""),
    ] {
        assert!(
            settings.contains(&(key, value.to_vec())),
            "{key:?} in {settings:?}"
        );
    }
}

#[test]
fn options_of_verity() {
    for (text, want) in [
        ("", "panic-on-corruption"),
        ("on_corruption = \"eio\"", ""),
        ("on_corruption = \"ignore\"", "ignore-corruption"),
        (
            "on_error = \"restart\"",
            "panic-on-corruption,restart-on-error",
        ),
        (
            "on_error = \"eio\"\nsuperblock = true",
            "panic-on-corruption",
        ),
        ("salt = \"\"", "panic-on-corruption,salt=-"),
        ("salt = \"-\"", "panic-on-corruption,salt=-"),
        (
            "uuid = \"7130C94A-213A-4e5a-8e26-6cce9662f132\"",
            "panic-on-corruption,uuid=7130c94a-213a-4e5a-8e26-6cce9662f132",
        ),
        (
            "hash_offset_fallback = 1024\nformat = 1",
            "panic-on-corruption,format=1",
        ),
    ] {
        let settings = verity(text);
        let found = settings.iter().find(|(key, _)| *key == Key::VerityOptions);
        assert_eq!(
            found.map(|(_, value)| value.as_slice()),
            Some(want.as_bytes()),
            "{text}"
        );
    }
    let fallback = (Key::HashOffsetFallback, 1024u64.to_le_bytes().to_vec());
    assert!(verity("hash_offset_fallback = 1024").contains(&fallback));
}

#[test]
fn refused_parameters_of_verity() {
    for (text, want) in [
        ("name = \"a/b\"", "verity.name = \"a/b\""),
        ("root_hash = \"0\"", "verity.root_hash = \"0\""),
        ("root_hash = \"xy\"", "verity.root_hash = \"xy\""),
        (
            "root_hash_signature = \"sig\"",
            "verity.root_hash_signature = \"sig\"",
        ),
        (
            "root_hash_signature = \"/a,b\"",
            "verity.root_hash_signature = \"/a,b\"",
        ),
        ("hash_offset = 100", "verity.hash_offset = 100"),
        ("hash_offset = \"end\"", "\"auto\""),
        (
            "hash_offset_fallback = 511",
            "verity.hash_offset_fallback = 511",
        ),
        (
            "hash_offset_fallback = 512\nhash_offset = 512",
            "verity.hash_offset_fallback has a meaning only",
        ),
        ("superblock = 1", "superblock = 1"),
        ("format = 2", "verity.format = 2"),
        ("data_blocks = 0", "verity.data_blocks = 0"),
        (
            "data_blocks = 9223372036854775807\ndata_block_size = 512",
            "verity.data_blocks = 9223372036854775807",
        ),
        ("data_block_size = 256", "verity.data_block_size = 256"),
        ("data_block_size = 4097", "verity.data_block_size = 4097"),
        (
            "hash_block_size = 131072",
            "verity.hash_block_size = 131072",
        ),
        ("algorithm = \"\"", "verity.algorithm = \"\""),
        ("algorithm = \"SHA256\"", "verity.algorithm = \"SHA256\""),
        ("algorithm = \"sha 256\"", "verity.algorithm = \"sha 256\""),
        ("algorithm = \"a,b\"", "verity.algorithm = \"a,b\""),
        (
            "algorithm = \"12345678901234567890123456789012\"",
            "verity.algorithm = \"1234",
        ),
        ("salt = \"0\"", "verity.salt = \"0\""),
        ("salt = \"0x\"", "verity.salt = \"0x\""),
        (
            &format!("salt = \"{}\"", "ab".repeat(257)),
            "verity.salt has 257 bytes",
        ),
        ("uuid = \"1\"", "verity.uuid = \"1\""),
        (
            "uuid = \"7130c94a-213a-4e5a-8e26-6cce9662f132\"\nsuperblock = false",
            "verity.uuid is what a superblock has",
        ),
        ("fec_device = \"\"", "verity.fec_device = \"\""),
        (
            "fec_device = \"PARTLABEL=a,b\"",
            "verity.fec_device = \"PARTLABEL=a,b\"",
        ),
        (
            "fec_device = \"PARTUUID=1\"",
            "verity.fec_device = \"PARTUUID=1\" names no device",
        ),
        ("fec_device = \"sda1\"", "verity.fec_device = \"sda1\""),
        (
            "fec_roots = 2",
            "verity.fec_roots has no meaning without verity.fec_device",
        ),
        (
            "fec_offset = 512",
            "verity.fec_offset has no meaning without",
        ),
        (
            "fec_device = \"/dev/a\"\nfec_roots = 1",
            "verity.fec_roots = 1",
        ),
        (
            "fec_device = \"/dev/a\"\nfec_roots = 25",
            "verity.fec_roots = 25",
        ),
        (
            "fec_device = \"/dev/a\"\nfec_offset = 1",
            "verity.fec_offset = 1",
        ),
        (
            "fec_device = \"/dev/a\"\ndata_block_size = 1024\nsuperblock = false",
            "verity.fec_device needs verity.data_block_size and",
        ),
        ("on_corruption = \"reboot\"", "on_corruption = \"reboot\""),
        ("on_error = \"ignore\"", "on_error = \"ignore\""),
        (
            "check_at_most_once = \"yes\"",
            "check_at_most_once = \"yes\"",
        ),
        ("version = 1", "version"),
    ] {
        let refused = Profile::parse(&format!("{SMALL}[verity]\n{text}\n"));
        let error = format!("{:#}", refused.unwrap_err());
        assert!(error.contains(want), "{text}: {error}\nlacks {want}");
    }
}

#[test]
fn emergency() {
    let settings = |text: &str| {
        let profile = Profile::parse(&format!("{SMALL}[emergency]\n{text}")).unwrap();
        let keys = [Key::Action, Key::NoShell, Key::Shell];
        let mut settings = profile.settings("6.1");
        settings.retain(|(key, _)| keys.contains(key));
        settings
    };
    assert_eq!(settings(""), []);
    let panic = (Key::Action, 3u32.to_le_bytes().to_vec());
    assert_eq!(settings("action = \"panic\""), [panic]);
    assert_eq!(settings("shell = false"), [(Key::NoShell, Vec::new())]);
    let shells = "extra_files = { \"/bin/busybox\" = \"b\", \"/bin/sh\" = \"s\" }";
    assert_eq!(settings(shells), [(Key::Shell, b"/bin/sh".to_vec())]);
    let numbers = ["poweroff", "halt", "panic", "shell"].map(|action| {
        let settings = settings(&format!("action = \"{action}\""));
        settings.into_iter().next()
    });
    let wanted = [1u32, 2, 3, 4].map(|number| Some((Key::Action, number.to_le_bytes().to_vec())));
    assert_eq!(numbers, wanted);
}

#[test]
fn modes() {
    let settings = |text: &str| {
        let mut settings = Profile::parse(text).unwrap().settings("6.1");
        let first = settings
            .iter()
            .position(|(key, _)| *key == Key::Words)
            .unwrap();
        let last = settings
            .iter()
            .position(|(key, _)| *key == Key::PromptSeconds)
            .unwrap();
        settings.truncate(last);
        settings.split_off(first)
    };
    let text = |key, text: &str| (key, text.as_bytes().to_vec());
    let root = (Key::Words, ROOT_WORDS.to_vec());
    let want = [
        root.clone(),
        text(Key::Mountpoint, "/stage2/root"),
        text(Key::Init, "/sbin/init"),
    ];
    assert_eq!(settings("mode = \"root\""), want);
    let want = [
        root,
        text(Key::Mountpoint, "/stage2/image"),
        text(Key::Init, "/init"),
        text(Key::OverlayOptions, "mode=0755,size=8M"),
    ];
    assert_eq!(
        settings("mode = \"root\"\n[root]\ninit = \"/init\"\noverlay_size = \"8M\""),
        want
    );
    let want = [
        (Key::Words, USR_WORDS.to_vec()),
        text(Key::Mountpoint, "/usr"),
        text(Key::Image, "stage2"),
        text(Key::Init, "/init"),
        text(Key::OverlayOptions, "mode=0755,size=50%"),
        text(Key::Netboot, "/usr.squashfs"),
        text(Key::Carry, "/usr.squashfs /oem,/usr/share/oem /etc/x"),
    ];
    let netboot = "[netboot]\ncarry = [[\"/oem\", \"/usr/share/oem\"], \"/etc/x\"]";
    assert_eq!(settings(&format!("{SMALL}{netboot}")), want);
}

#[test]
fn refusals_name_the_key() {
    for (text, want) in [
        (SMALL.replace("\"usr\"", "\"root\""), "no [usr]"),
        (SMALL.replace("\"usr\"", "\"both\""), "mode = \"both\""),
        ("mode = \"usr\"".to_owned(), "needs [usr]"),
        (format!("{SMALL}[root]"), "no [root]"),
        (
            "mode = \"root\"\n[root]\ninit = \"sh\"".to_owned(),
            "root.init",
        ),
        (
            "mode = \"root\"\n[root]\noverlay_size = \"1,2\"".to_owned(),
            "root.overlay_size",
        ),
        (
            "mode = \"root\"\n[netboot]".to_owned(),
            "[netboot] brings a /usr",
        ),
        (SMALL.replace("\"/usr\"", "\"usr\""), "usr.mountpoint"),
        (SMALL.replace("\"stage2\"", "\"/stage2\""), "usr.image"),
        (format!("{SMALL}colour = 1\n"), "colour"),
        (
            format!("{SMALL}[netboot]\nsquashfs = \"u\""),
            "netboot.squashfs: \"u\"",
        ),
        (
            format!("{SMALL}[netboot]\ncarry = [\"/a b\"]"),
            "netboot.carry: \"/a b\"",
        ),
        (
            format!("{SMALL}[netboot]\ncarry = [[\"/a\", \"/../b\"]]"),
            "netboot.carry: \"/../b\"",
        ),
        (
            format!("{SMALL}[netboot]\ncarry = [[]]"),
            "an entry without a path",
        ),
        (
            format!("{SMALL}[netboot]\n[cmdline]\nlocked = true"),
            "contradicts verity.required",
        ),
        (
            format!("{SMALL}[verity]\nroot_hash = \"00ff\"\n[cmdline]\nlocked = true\n"),
            "set emergency.shell = false",
        ),
        (
            format!("{SMALL}[emergency]\nshell = false\n[cmdline]\nlocked = true\n"),
            "without verity.root_hash or verity.root_hash_signature",
        ),
        (
            format!("{SMALL}[emergency]\nshell = false\naction = \"shell\"\n"),
            "contradict each other",
        ),
        (
            format!("{SMALL}[emergency]\naction = \"Halt\"\n"),
            "emergency.action = \"Halt\": the actions are reboot, poweroff, halt, panic, shell",
        ),
        (format!("{SMALL}[cmdline]\nopen = true\n"), "open"),
    ] {
        let error = format!("{:#}", Profile::parse(&text).unwrap_err());
        assert!(error.contains(want), "{error}\nlacks {want}");
    }
}
