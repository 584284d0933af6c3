use std::path::Path;

use super::{Draft, draw};
use crate::{
    kernel::{
        catalogue::{Catalogue, Module},
        modinfo::Modinfo,
    },
    machine::{Machine, sample::Tree},
    profile::{Mode, Profile},
};

/// A kernel with modules: path, and the alias that each has.
fn kernel(modules: &[(&str, &str)]) -> Catalogue {
    let mut catalogue = Catalogue::new(Path::new("/lib/modules/6.1.0"));
    for (path, alias) in modules {
        let name = path.rsplit('/').next().unwrap();
        catalogue.add(Module {
            name: name.to_owned(),
            path: format!("kernel/{path}.ko").into(),
            bytes: 1,
            info: Modinfo {
                aliases: vec![(*alias).to_owned()],
                ..Modinfo::default()
            },
        });
    }
    catalogue
}

fn usual() -> Catalogue {
    let mut catalogue = kernel(&[
        ("drivers/block/virtio_blk", "virtio:d00000002v*"),
        ("drivers/input/keyboard/atkbd", "serio:ty06pr*id*ex*"),
        ("drivers/input/serio/i8042", ""),
        ("drivers/net/ethernet/e1000", "pci:v00008086d0000100E*"),
        ("drivers/scsi/megaraid_sas", "pci:v00001000*"),
        ("drivers/tty/serial/8250/serial", "acpi:PNP0501:*"),
        ("fs/ext4", "fs-ext4"),
        ("fs/squashfs", "fs-squashfs"),
    ]);
    catalogue.add_builtin("kernel/drivers/virtio/virtio_pci.ko\n");
    catalogue
}

fn drawn(tree: &Tree, catalogue: Option<&Catalogue>) -> (Draft, Profile) {
    let machine = Machine::read(tree.root()).unwrap();
    let draft = draw(&machine, catalogue, Vec::new());
    let profile = Profile::parse(&draft.text).unwrap();
    (draft, profile)
}

#[test]
fn a_machine_with_verity() {
    let (draft, profile) = drawn(&Tree::verity(), Some(&usual()));
    assert_eq!(draft.notes, [""; 0], "{}", draft.text);
    assert_eq!(profile.mode, Mode::Usr);
    // What is built in is there, too: the next kernel may have it as a module. The network card is not.
    let modules = &profile.modules;
    let names = ["virtio_blk", "virtio_pci", "fs-ext4", "fs-squashfs"];
    assert_eq!(modules.names, names);
    assert_eq!(modules.optional, ["atkbd", "i8042", "serial"]);
    assert_eq!(modules.always, ["dm-verity", "loop", "overlay"]);
    assert!(profile.verity.required && profile.verity.root_hash.is_none());
    assert_eq!(profile.usr.unwrap().image, "lib/toehold/stage2.img");
    let place = "# /usr: ext4 on /dev/mapper/usr (dm-verity), on /dev/vda2.\n";
    assert!(draft.text.contains(place), "{}", draft.text);
    let pin = format!("\n# root_hash = \"{}\"\n", "ab".repeat(32));
    assert!(draft.text.contains(&pin), "{}", draft.text);
}

/// The text of a tree whose files were changed.
fn changed(files: &[(&str, &str)]) -> (Draft, Profile) {
    let tree = Tree::verity();
    for (path, text) in files {
        tree.file(path, text);
    }
    drawn(&tree, Some(&usual()))
}

#[test]
fn verity_as_the_command_line_has_it() {
    let options = "systemd.verity_usr_options=hash-offset=1048576,superblock=no,hash=sha512,salt=00,panic-on-error,ignore-corruption,check-at-most-once";
    let line = format!("usrhash=00 {options}");
    let (draft, profile) = changed(&[("proc/cmdline", &line)]);
    assert_eq!(draft.notes, [""; 0]);
    let expected = "ignore-corruption,panic-on-error,check-at-most-once,superblock=no,hash-offset=1048576,hash=sha512";
    assert_eq!(profile.verity.options(), expected);

    // XFS does not tell its size, and nobody else the offset.
    let mounts = "1 0 254:0 / /usr ro - xfs /dev/mapper/usr ro\n";
    let files = [
        ("proc/cmdline", "usrhash=00"),
        ("proc/self/mountinfo", mounts),
    ];
    let (_, profile) = changed(&files);
    assert_eq!(profile.verity.hash_offset_fallback, Some(4096));

    let (draft, profile) = changed(&[("proc/cmdline", "quiet")]);
    assert!(profile.verity.required);
    assert!(draft.notes[0].starts_with("the root hash: verity.usrhash= is not on"));
    let line = "usrhash=00 systemd.verity_usr_options=hash-offset=x";
    let (draft, _) = changed(&[("proc/cmdline", line)]);
    assert!(
        draft.notes[0].contains("what \"hash-offset=x\" means"),
        "{:?}",
        draft.notes
    );
}

#[test]
fn a_root_that_nothing_verifies() {
    let mounts = "1 0 253:2 / / rw - ext4 /dev/vda2 rw\n";
    let files = [
        ("proc/cmdline", "root=/dev/vda2"),
        ("proc/self/mountinfo", mounts),
    ];
    let (draft, profile) = changed(&files);
    assert_eq!(draft.notes, [""; 0]);
    assert_eq!(profile.mode, Mode::Root);
    assert_eq!(
        profile.modules.names,
        ["virtio_blk", "virtio_pci", "fs-ext4"]
    );
    assert_eq!(profile.modules.always, [""; 0]);
    assert!(!profile.verity.required);
}

/// The overlay shows what it is mounted from, or the device has the name that the init gives it.
#[test]
fn a_root_below_an_overlay() {
    let overlay = "2 1 0:40 / / rw - overlay overlay rw,lowerdir=/low,upperdir=/up\n";
    let lower = "1 0 254:0 / /low ro - erofs /dev/dm-0 ro\n";
    for (mounts, known) in [
        (format!("{lower}{overlay}"), true),
        (overlay.to_owned(), false),
    ] {
        let files = [
            ("proc/cmdline", "roothash=00"),
            ("proc/self/mountinfo", &*mounts),
            ("sys/devices/virtual/block/dm-0/dm/name", "root"),
        ];
        let (draft, profile) = changed(&files);
        assert_eq!(profile.mode, Mode::Root);
        assert_eq!(profile.modules.names[..2], ["virtio_blk", "virtio_pci"]);
        assert_eq!(profile.modules.always, ["dm-verity", "overlay"]);
        assert_eq!(profile.root.unwrap().overlay_size.as_deref(), Some("50%"));
        assert_eq!(draft.notes.is_empty(), known, "{:?}", draft.notes);
    }
}

#[test]
fn what_the_init_does_not_set_up_is_told() {
    let (draft, profile) = changed(&[("sys/devices/virtual/block/dm-0/dm/uuid", "LVM-1")]);
    let expected =
        "how /usr is reached: it lies on /dev/mapper/usr (LVM-1), which this init does not set up";
    assert_eq!(draft.notes, [expected]);
    assert_eq!(profile.modules.names[..2], ["virtio_blk", "virtio_pci"]);
}

/// A root directory that no kernel runs in.
#[test]
fn without_a_machine() {
    let tree = Tree::new();
    tree.file("etc/kernel/cmdline", "usrhash=00\n")
        .file("etc/fstab", "LABEL=usr /usr erofs ro\n");
    let (draft, profile) = drawn(&tree, Some(&usual()));
    assert_eq!(profile.mode, Mode::Usr);
    // No kernel without one of them is refused, no loaded modules narrow it down.
    assert!(profile.modules.optional.contains(&"nvme".to_owned()));
    assert!(profile.modules.optional.contains(&"atkbd".to_owned()));
    assert!(profile.modules.names.contains(&"fs-erofs".to_owned()));
    let what: Vec<&str> = draft.notes.iter().map(|note| &note[..11]).collect();
    assert_eq!(
        what,
        ["which disk /", "which driver"].map(|text| &text[..11])
    );
    for note in &draft.notes {
        assert!(
            draft.text.contains(&format!("# Not known: {note}\n")),
            "{}",
            draft.text
        );
    }
}

/// A root directory of which nothing is known but its kernel.
#[test]
fn nothing_is_claimed_of_what_is_not_known() {
    let (draft, profile) = drawn(&Tree::new(), Some(&usual()));
    assert_eq!(profile.mode, Mode::Root);
    assert!(!draft.text.contains("no others") && !draft.text.contains("Nothing verifies"));
    let expected = "which disk the root lies on: nothing says what is mounted";
    assert_eq!(draft.notes[0], expected);
}

/// In a container there are the machine's devices and modules, and no disk.
#[test]
fn what_is_loaded_where_the_disk_is_not_known() {
    let loaded = "megaraid_sas 1 0 - Live\ne1000 1 0 - Live\n";
    let mounts = "1 0 0:40 / / rw - overlay overlay rw\n";
    let files = [
        ("proc/modules", loaded),
        ("proc/self/mountinfo", mounts),
        ("proc/cmdline", "quiet"),
        ("sys/devices/virtual/block/dm-0/dm/name", "other"),
    ];
    let (draft, profile) = changed(&files);
    let optional = &profile.modules.optional;
    assert!(
        optional.starts_with(&["megaraid_sas".to_owned()]),
        "{}",
        draft.text
    );
    assert!(!optional.contains(&"e1000".to_owned()));
    assert!(!optional.contains(&"nvme".to_owned()));
}

/// Names from outside cannot end a comment or a text.
#[test]
fn hostile_names() {
    let mounts = "1 0 254:0 / /usr ro - e\\012xt4\" /dev/mapper/usr ro\n";
    let files = [
        ("proc/self/mountinfo", mounts),
        ("sys/devices/virtual/block/dm-0/dm/name", "a' # b'''"),
        ("proc/cmdline", "usrhash=\"\nx = 1\""),
    ];
    let (draft, profile) = changed(&files);
    assert_eq!(
        profile.verity.name.as_deref(),
        Some("a' # b'''"),
        "{}",
        draft.text
    );
    assert!(profile.modules.names.contains(&"fs-e\nxt4\"".to_owned()));
}
