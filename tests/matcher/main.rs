//! The matcher's time, as a gate: all modaliases of a machine within a millisecond, and each for itself.

use builder::{kernel::catalogue::Catalogue, plan, profile::Profile, select};
use toehold::format::plan::{Key, Plan};
use xtask::lab::{
    kernels::{self, Series},
    paths,
};
use xtask::measure::matcher;

#[test]
fn a_machine_within_a_millisecond_and_linear_in_modaliases() {
    let kernel = kernels::fetch(Series::Generic61).expect("a kernel");
    let profile = Profile::read(&paths::root().join("xtask/profiles/flatcar.toml"));
    let profile = profile.expect("the profile");
    let catalogue = Catalogue::read(&kernel.modules_dir).expect("the kernel's modules");
    let selection = select::resolve(&catalogue, &profile.modules).expect("a selection");
    let mut settings = profile.settings(&kernel.release);
    settings.push((Key::Suffix, b".ko".to_vec()));
    let bytes = plan::encode(&selection.modules, &selection.known, &settings).expect("a plan");
    let figures = matcher::measure(&Plan::parse(&bytes).expect("a plan"));
    println!("{figures:?}, growth {:.3}", figures.growth());
    assert!(figures.good(), "{figures:?}");
}
