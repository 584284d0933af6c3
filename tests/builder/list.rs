//! Lists of files, as the kernel's own program takes them.

use std::{fs, process::Command};

use builder::{
    arch::Arch,
    archive::{
        cpio::{self, Entry, KIND, SYMLINK},
        list::write,
    },
};
use xtask::lab::{apt::Apt, cache, paths, tools};

/// The kernel's own program makes of the list what the builder makes of the entries. It comes with the kernel's whole source only.
#[test]
#[ignore = "fetches the kernel's source, 140 MB"]
fn the_kernels_program_takes_it() {
    let source = cache::folder(&paths::output().join("gen_init_cpio"), |folder| {
        let name = "linux-source-6.1";
        let apt = Apt::open("bookworm", Arch::X86_64)?;
        apt.fresh(|| apt.unpack(name, folder))?;
        let archive = folder.join(format!("usr/src/{name}.tar.xz"));
        let file = format!("{name}/usr/gen_init_cpio.c");
        let mut tar = Command::new("tar");
        tar.arg("-xf").arg(&archive).args(["--occurrence=1", &file]);
        tools::run(tar.current_dir(folder))?;
        fs::remove_file(archive)?;
        let mut gcc = tools::GCC.command()?;
        tools::run(
            gcc.arg("-o")
                .arg(folder.join("program"))
                .arg(folder.join(file)),
        )?;
        Ok(())
    });
    let room = tempfile::tempdir().unwrap();
    let list = room.path().join("list");
    let entries = [
        Entry::file("init", 0o755, vec![7; 5000]),
        Entry::directory("lib"),
        Entry::file("lib/a", 0o644, b"same".to_vec()),
        Entry::character_device("null", 0o666, (1, 3)),
        Entry::symlink("sbin", "lib"),
        Entry::file("lib/b", 0o644, b"same".to_vec()),
    ];
    write(&list, &entries.each_ref()).unwrap();
    let mut program = Command::new(source.unwrap().join("program"));
    let archive = tools::run(program.args(["-t", "0"]).arg(&list))
        .unwrap()
        .stdout;
    let [mut got, mut want] =
        [archive, cpio::pack(&entries).unwrap()].map(|archive| cpio::unpack(&archive).unwrap());
    // It puts the names of one file behind each other.
    for entries in [&mut got, &mut want] {
        entries.sort_by(|one, other| one.path.cmp(&other.path));
    }
    // Its paths begin with a slash, and targets of links end with a zero; the kernel takes both.
    for entry in &mut got {
        entry.path = entry.path.trim_start_matches('/').to_owned();
        if entry.mode & KIND == SYMLINK {
            entry.data.pop();
        }
    }
    assert_eq!(got, want);
}
