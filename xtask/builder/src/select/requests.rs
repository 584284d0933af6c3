//! What modules ask the kernel for while they run, and say in no tag.
//!
//! A module that calls `crypto_alloc_…` or `request_module` makes the kernel run modprobe for an alias (`crypto-NAME`,
//! crypto/api.c). Most name it as a soft dependency: ext4 and jbd2 `crypto-crc32c`, btrfs its four checksums, libcrc32c
//! (for erofs and xfs) `crc32c`. `nm -u` over the modules of Linux 6.1, 6.12 and 7.2 shows who calls and does not: a test does that again for the
//! kernels at hand, so that none is overlooked. Squashfs and overlayfs ask for nothing. What the kernel itself asks for
//! (`fs-TYPE`, `dm-TARGET`) follows from the disk and the command line, and is for the profile to name.

/// Modules with their requests.
const REQUESTS: [(&str, &[&str]); 3] = [
    // verity_ctr allocates the algorithm that the superblock names, sha256 unless its maker chose another. Loaded first, a variant for
    // the processor is at hand when the table is. (drivers/md/dm-verity-target.c)
    ("dm_verity", &["crypto-sha256"]),
    // Header and data digests. (drivers/nvme/host/tcp.c, drivers/scsi/iscsi_tcp.c)
    ("nvme_tcp", &["crypto-crc32c"]),
    ("iscsi_tcp", &["crypto-crc32c"]),
];

/// Aliases that a module (its name with `_` for `-`) requests: as good as soft dependencies.
pub fn of(module: &str) -> &'static [&'static str] {
    REQUESTS
        .iter()
        .find(|(name, _)| *name == module)
        .map_or(&[], |(_, aliases)| aliases)
}
