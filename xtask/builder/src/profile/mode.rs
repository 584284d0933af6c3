//! What is mounted and started: a /usr that holds stage 2, or the root itself; and what a network boot has instead of a disk.

use anyhow::{Result, bail, ensure};
use serde::Deserialize;
use toehold::asked::{ROOT_WORDS, USR_WORDS};
use toehold::format::plan::Key;
use toehold::shared::{STAGE2_IMAGE, STAGE2_ROOT, text};

use super::Profile;

/// What the verified filesystem is.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// /usr, with the stage-2 image in it.
    Usr,
    /// The root, without a stage 2.
    Root,
}

/// The profile's `[usr]`, in mode `usr`.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Usr {
    /// Where /usr is mounted, absolute.
    pub mountpoint: String,
    /// Stage-2 image, relative to the mount point.
    pub image: String,
    /// Bound of the writable layer above the image, as tmpfs's `size=` takes it.
    #[serde(default = "half")]
    pub overlay_size: String,
    /// What to execute in stage 2, absolute.
    #[serde(default = "slash_init")]
    pub init: String,
}

/// The profile's `[root]`, in mode `root`.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct Root {
    /// Bound of a writable layer above the root, as tmpfs's `size=` takes it; absent for none.
    pub overlay_size: Option<String>,
    /// What to execute where the command line has no `init=`, absolute.
    pub init: String,
}

impl Default for Root {
    fn default() -> Self {
        Self {
            overlay_size: None,
            init: "/sbin/init".to_owned(),
        }
    }
}

/// The profile's `[netboot]`: where the command line does not say what /usr is, it is an image in the initramfs.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Netboot {
    /// The image, absolute, whatever its filesystem. It is taken over into stage 2.
    #[serde(default = "usr_squashfs")]
    pub squashfs: String,
    /// What else of the initramfs is taken over.
    #[serde(default)]
    pub carry: Vec<Carry>,
}

/// A file or a directory: its path, absolute, or several, of which the first that is there and no empty directory is what is at the first path in
/// stage 2.
#[derive(Deserialize, Debug)]
#[serde(untagged)]
pub enum Carry {
    One(String),
    First(Vec<String>),
}

impl Carry {
    fn paths(&self) -> &[String] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::First(paths) => paths,
        }
    }
}

fn half() -> String {
    "50%".to_owned()
}

fn slash_init() -> String {
    "/init".to_owned()
}

fn usr_squashfs() -> String {
    "/usr.squashfs".to_owned()
}

impl Profile {
    /// Where the filesystem is mounted that is looked for.
    pub fn mountpoint(&self) -> &str {
        match (&self.usr, &self.root) {
            (Some(usr), _) => &usr.mountpoint,
            (None, Some(root)) if root.overlay_size.is_some() => text(STAGE2_IMAGE),
            (None, _) => text(STAGE2_ROOT),
        }
    }

    /// Paths that are taken over into stage 2, in the initrd itself empty directories: what is appended to it takes their place.
    pub fn carried(&self) -> impl Iterator<Item = &str> {
        let carry = self.netboot.iter().flat_map(|netboot| &netboot.carry);
        carry.filter_map(|carry| carry.paths().first().map(String::as_str))
    }

    /// Refuses what contradicts the mode or itself.
    pub(super) fn check_mode(&self) -> Result<()> {
        match self.mode {
            Mode::Usr => {
                ensure!(
                    self.root.is_none(),
                    "mode = \"usr\" has no [root]: what it boots is in [usr]"
                );
                ensure!(
                    self.usr.is_some(),
                    "mode = \"usr\" needs [usr] with mountpoint and image"
                );
            }
            Mode::Root => {
                ensure!(
                    self.usr.is_none(),
                    "mode = \"root\" has no [usr]: what it boots is in [root]"
                );
                ensure!(
                    self.netboot.is_none(),
                    "[netboot] brings a /usr: it needs mode = \"usr\""
                );
            }
        }
        let absolute = |key: &str, path: &str| {
            ensure!(
                path.starts_with('/'),
                "{key} = \"{path}\" is not an absolute path"
            );
            Ok(())
        };
        let size = |key: &str, size: &str| {
            ensure!(
                !size.contains(','),
                "{key} = \"{size}\" is not a size as tmpfs takes it"
            );
            Ok(())
        };
        if let Some(usr) = &self.usr {
            absolute("usr.mountpoint", &usr.mountpoint)?;
            absolute("usr.init", &usr.init)?;
            size("usr.overlay_size", &usr.overlay_size)?;
            ensure!(
                usr.mountpoint != "/",
                "usr.mountpoint cannot be /, where the initrd itself lies"
            );
            ensure!(
                !usr.image.starts_with('/') && !usr.image.is_empty(),
                "usr.image = \"{}\" is not a path relative to usr.mountpoint",
                usr.image
            );
        }
        if let Some(root) = &self.root {
            absolute("root.init", &root.init)?;
            size(
                "root.overlay_size",
                root.overlay_size.as_deref().unwrap_or_default(),
            )?;
        }
        match &self.netboot {
            Some(netboot) => self.check_netboot(netboot),
            None => Ok(()),
        }
    }

    fn check_netboot(&self, netboot: &Netboot) -> Result<()> {
        ensure!(
            !self.verity.is_required() && !self.cmdline.locked,
            "[netboot] boots a /usr that verity does not verify: it contradicts verity.required, verity.root_hash and cmdline.locked"
        );
        let carried = netboot
            .carry
            .iter()
            .map(|carry| ("netboot.carry", carry.paths()));
        let image = ("netboot.squashfs", std::slice::from_ref(&netboot.squashfs));
        for (key, paths) in carried.chain([image]) {
            ensure!(!paths.is_empty(), "{key} has an entry without a path");
            for path in paths {
                // The plan has a list of them.
                let is_plain = |part: &str| !matches!(part, "" | "." | "..");
                let parts = path.strip_prefix('/');
                if !parts.is_some_and(|parts| parts.split('/').all(is_plain))
                    || path.contains([' ', ','])
                {
                    bail!(
                        "{key}: \"{path}\" is not an absolute path without blank, comma, `.` and `..`"
                    );
                }
            }
        }
        Ok(())
    }

    /// The settings of the plan that the mode gives.
    pub(super) fn mode_settings(&self) -> Vec<(Key, Vec<u8>)> {
        let text = |text: &str| text.as_bytes().to_vec();
        let words = match self.mode {
            Mode::Usr => USR_WORDS,
            Mode::Root => ROOT_WORDS,
        };
        let mut settings = vec![
            (Key::Words, words.to_vec()),
            (Key::Mountpoint, text(self.mountpoint())),
        ];
        let (mut init, mut overlay) = (Root::default().init, None);
        if let Some(usr) = &self.usr {
            settings.push((Key::Image, text(&usr.image)));
            (init, overlay) = (usr.init.clone(), Some(&usr.overlay_size));
        }
        if let Some(root) = &self.root {
            (init, overlay) = (root.init.clone(), root.overlay_size.as_ref());
        }
        settings.push((Key::Init, text(&init)));
        if let Some(size) = overlay {
            let options = format!("mode=0755,size={size}");
            settings.push((Key::OverlayOptions, text(&options)));
        }
        if let Some(netboot) = &self.netboot {
            settings.push((Key::Netboot, text(&netboot.squashfs)));
            let carried = netboot.carry.iter().map(|carry| carry.paths().join(","));
            let all: Vec<String> = [netboot.squashfs.clone()]
                .into_iter()
                .chain(carried)
                .collect();
            settings.push((Key::Carry, text(&all.join(" "))));
        }
        settings
    }
}
