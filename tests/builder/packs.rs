//! The module pack, with every module of Debian's kernels: each has to come back unchanged.

use builder::{
    kernel::{catalogue::Catalogue, modinfo},
    pack,
};
use toehold::format::pack::{
    group,
    modules::{Modules, Tables},
};
use xtask::lab::kernels::{self, Series};

/// How many bytes of modules a group has, about.
const GROUP: usize = 4 << 20;
/// LZMA's level: the lowest. What is tried here is how modules are taken apart.
const LEVEL: u32 = 0;

/// Packs all modules of a kernel, those that stand together in a group, and compares what is unpacked.
fn every_module_comes_back(series: Series) {
    let catalogue = Catalogue::read(&kernels::fetch(series).unwrap().modules_dir).unwrap();
    let mut paths: Vec<_> = catalogue
        .modules
        .iter()
        .map(|module| &module.path)
        .collect();
    paths.sort_unstable();
    let mut groups: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut room = 0;
    for path in &paths {
        let file = modinfo::load(&catalogue.directory.join(path)).unwrap();
        if file.len() > room {
            groups.push(Vec::new());
            room = GROUP;
        }
        room = room.saturating_sub(file.len());
        groups.last_mut().unwrap().push(file);
    }
    let files: Vec<Vec<&[u8]>> = groups
        .iter()
        .map(|group| group.iter().map(Vec::as_slice).collect())
        .collect();
    let packed = pack::encode(&files, LEVEL, &|_, make| make()).unwrap();
    let bytes = pack::write(&packed).unwrap();
    for (number, files) in files.iter().enumerate() {
        let group = group(&bytes, number).unwrap();
        let (mut room, mut tables) = (vec![0; group.room], Box::new(Tables::NONE));
        let mut modules = Modules::none(&mut tables);
        modules.unpack(group, &mut room).unwrap();
        for file in files {
            assert!(modules.take() == Some(*file), "in group {number}");
        }
    }
    let before: usize = files.iter().flatten().map(|file| file.len()).sum();
    let whole: usize = packed.iter().map(|group| group.whole).sum();
    println!(
        "{}: {} modules, {} groups, {before} bytes, packed {}; as they are: {whole}",
        series.name(),
        paths.len(),
        groups.len(),
        bytes.len(),
    );
    assert!(paths.len() > 500, "{} modules only", paths.len());
    assert!(
        whole * 100 <= paths.len(),
        "{whole} modules are not taken apart"
    );
}

/// Makes one test of each kernel.
macro_rules! kernels {
    ($($name:ident $series:ident;)*) => {$(
        #[test]
        #[ignore = "slow: a hundred megabytes of modules and more"]
        fn $name() {
            every_module_comes_back(Series::$series);
        }
    )*};
}

kernels! {
    linux_6_1_cloud Cloud61;
    linux_6_1_generic Generic61;
    linux_6_12_cloud Cloud612;
    linux_7_2_cloud Cloud72;
    linux_6_1_arm64 Arm61;
    linux_6_12_arm64 Arm612;
    linux_7_2_arm64 Arm72;
}
