//! What can fail, why, and what to change: the table of toehold(8). The steps and the line behind `FAILED` are the init's own.

use toehold::failure::{Error, Failure, Step};
use toehold::text::Line;

/// The table in Markdown, a row for each step in the order of the init.
pub fn table() -> String {
    let mut table =
        "| step | the line behind it | what went wrong, and what to change |\n|---|---|---|\n"
            .to_owned();
    for step in Step::ALL {
        let failure = Failure::new(*step, Error::REFUSED);
        let (name, advice) = (name(failure), String::from_utf8_lossy(failure.advice()));
        let (cause, remedy) = explained(*step);
        table += &format!("| `{name}` | {advice} | {cause}. {} |\n", sentence(remedy));
    }
    table
}

/// It begins with a capital letter, and ends with a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    format!("{first}{}.", letters.as_str())
}

/// As `FAILED` spells the step.
fn name(failure: Failure) -> String {
    let mut line = Line::new();
    failure.push(b"", &mut line);
    let line = String::from_utf8_lossy(&line);
    let name = line
        .strip_prefix("step=")
        .and_then(|rest| rest.split(' ').next());
    name.unwrap_or_default().to_owned()
}

/// The cause, and what whoever builds the image, or stands before the machine, changes.
#[rustfmt::skip]
fn explained(step: Step) -> (&'static str, &'static str) {
    match step {
        Step::Mount => (
            "the kernel refuses the mount of the subject",
            "`EINVAL` is an option that the filesystem does not know, or an image that is none of this type; `ENODEV` a filesystem whose \
             module is missing from `modules.names` (`fs-erofs`); `E2BIG` options of more than a page. The kernel's own message, in the \
             report, says which",
        ),
        Step::Read => (
            "/proc/cmdline cannot be read",
            "the kernel needs `CONFIG_PROC_FS`",
        ),
        Step::Plan => (
            "`/toehold.plan` is missing, damaged, or of another version than the init",
            "build the initrd again with one release of toehold-mkinitrd, and write it to the boot partition again",
        ),
        Step::Socket => (
            "the kernel's device events cannot be listened to",
            "the kernel needs `CONFIG_NET` and `CONFIG_SIGNALFD`",
        ),
        Step::Options => (
            "a word of the command line or a verity option is missing, wrong, or against another word or the profile; the subject is its name",
            "correct the word where the boot loader's entry is made: *Kernel command line* lists all, *What is refused* the limits",
        ),
        Step::Wait => (
            "no device answered to the SPEC that is the subject within `rd.earlytimeout`, or a module that the boot needs did not return",
            "compare it with the report's block devices; if the disk is not among them, its driver is missing: the report names the module of \
             the hardware that has none, to be put into `modules.names` or `modules.paths`",
        ),
        Step::Ambiguous => (
            "several devices answer to the subject, and no verification can tell which is the right one",
            "take the copy out, give it other identifiers (`sgdisk -G`, `tune2fs -U`), or name a device by its `/dev` path",
        ),
        Step::Module => (
            "a module that the boot needs (dm-verity, loop, overlay, the filesystem's) could not be loaded; the subject is its name",
            "`ENOEXEC` and `ENOENT` are modules of another kernel: build the initrd from the modules directory of the kernel that boots; \
             `EKEYREJECTED` is a signature that this kernel does not trust, or that `modules.strip = \"always\"` has removed",
        ),
        Step::Open => (
            "the device or the image that is the subject cannot be opened",
            "`ENOENT` is a stage-2 image that does not lie at `usr.image` of the profile; `ENXIO` and `ENOMEDIUM` are a device without a \
             medium",
        ),
        Step::Superblock => (
            "the verity superblock is missing, or not the one that was asked for",
            "compare `veritysetup dump` of the device with `verity.hash_offset` (or `hash-offset=`) and the other options; of a tree that was \
             made with `--no-superblock`, say `verity.superblock = false` and its parameters",
        ),
        Step::Key => (
            "the root hash has no signature by a key that this kernel trusts",
            "sign the root hash with a key that is in the kernel's keyring when the init runs, and name the signature in \
             `verity.root_hash_signature`",
        ),
        Step::Control => (
            "there is no device-mapper",
            "put `dm-mod` and `dm-verity` into `modules.always`, or boot a kernel with `CONFIG_BLK_DEV_DM` and `CONFIG_DM_VERITY`",
        ),
        Step::Create => (
            "the kernel refuses to make the verity device",
            "`EBUSY` is another one of this name, which nothing but an earlier attempt can have made: restart",
        ),
        Step::Load => (
            "the kernel refuses the verity table, which the report shows",
            "an option that this kernel does not know (`EINVAL`, with its message in the report), a root hash whose length is not the \
             algorithm's, or a tree that does not fit on the device: make the tree again, or leave out the option",
        ),
        Step::Algorithm => (
            "the kernel has no such hash algorithm",
            "put its module (`crypto-sha256`, `sha256_generic`) into `modules.always`, or make the tree with another `--hash`",
        ),
        Step::Resume => (
            "the verity device cannot be started",
            "the kernel's own message, in the report, says why",
        ),
        Step::Probe => (
            "the first block fails verification",
            "the root hash or the salt is not the tree's, or the image was changed after `veritysetup format`: a filesystem that was mounted \
             writable once has to be made again, and the new root hash put on the command line",
        ),
        Step::Data => (
            "the data cannot be read",
            "the disk answers with errors: look at the kernel's messages and the disk's own (`smartctl`), and boot the other slot",
        ),
        Step::Tree => (
            "the hash tree cannot be read",
            "as for `data`; if the tree is on a partition of its own, check that one",
        ),
        Step::Node => (
            "the verity device's name below /dev/mapper, or the rule for udev in stage 2, cannot be written",
            "/dev and /run have to be writable: the kernel needs `CONFIG_DEVTMPFS` and `CONFIG_TMPFS`",
        ),
        Step::Detect => (
            "no known filesystem is on the device, so that its type and the place of the tree are not known",
            "name them: `mount.usrfstype=` (`rootfstype=`), and `verity.hash_offset` in the profile. An image that was written short, or is \
             compressed (`.img.xz`), is no filesystem either",
        ),
        Step::Loop => (
            "the stage-2 image cannot be attached to a loop device",
            "a kernel before 5.8 has no `LOOP_CONFIGURE`; `EBUSY` is a `max_loop` too small",
        ),
        Step::Overlay => (
            "the writable layer cannot be mounted",
            "`EINVAL` is an `overlay_size` that tmpfs does not take; `ENODEV` a kernel without tmpfs or overlay, whose module belongs into \
             `modules.always`",
        ),
        Step::Move => (
            "a mount, or a file that is carried along, cannot be taken into the new root; the subject is its path",
            "a root that cannot be written to needs the directories `/dev`, `/proc`, `/sys` and `/run` in it, or `overlay_size`",
        ),
        Step::Chroot => (
            "the root cannot be switched",
            "the kernel's own message, in the report, says why",
        ),
        Step::Exec => (
            "the program is not in the stage-2 image, or not in the root",
            "correct `usr.init` or `root.init`, or `init=`. `ENOENT` of a file that is there is its interpreter: the dynamic loader that it \
             names is missing; `ENOEXEC` a program for another architecture; `EACCES` one without the x bit",
        ),
    }
}
