//! Where the builder finds ready profiles and inits in a checkout: cargo builds an init.

use std::path::PathBuf;

use anyhow::Result;
use builder::{arch::Arch, shipped::Source};

use super::{build, paths};

/// This repository.
pub struct Checkout;

impl Source for Checkout {
    fn profiles(&self) -> PathBuf {
        paths::root().join("xtask/profiles")
    }

    fn init(&self, arch: Arch) -> Result<PathBuf> {
        build::init(arch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_profiles_by_name() {
        let ready = Checkout.profile("flatcar".as_ref()).unwrap();
        assert_eq!(ready, paths::root().join("xtask/profiles/flatcar.toml"));
    }
}
