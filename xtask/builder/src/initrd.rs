//! The builder: from a kernel's modules and a profile to an initrd with its plan and manifest.

mod firmware;
pub mod manifest;
pub mod payload;
pub mod strip;
#[cfg(test)]
mod tests;
mod tree;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    arch::Arch,
    archive::{
        compress::Compression,
        cpio::{self, Entry},
        list, microcode, pieces, read,
    },
    kernel::{catalogue::Catalogue, config::Config, modinfo},
    pack::Keep,
    plan,
    profile::{Pack, Profile},
    progress,
    select::{self, Selection, groups},
};
use manifest::{Builtin, Item, Kind, Manifest, Totals};
use payload::Packing;
use toehold::{
    format::plan::Key,
    shared::{self, inside},
};
use tree::Tree;

/// The plan's name in the archive.
pub const PLAN_NAME: &str = inside(shared::PLAN);
/// The module pack's.
pub const PACK_NAME: &str = inside(shared::PACK);

/// What to build an initrd from.
#[derive(Debug, Clone)]
pub struct Request {
    /// `…/lib/modules/<release>`.
    pub modules_dir: PathBuf,
    pub profile: PathBuf,
    pub arch: Arch,
    /// The stripped init.
    pub init: PathBuf,
    pub compress: Compression,
    /// Compression of each module; by default as the kernel's package has them, if that kernel can decompress them.
    pub module_compress: Option<Compression>,
    /// Whether they go into the module pack, instead of what the profile says.
    pub module_pack: Option<Pack>,
    /// Bytes of modules in a group of it, instead of [`groups::BYTES`]: for comparisons.
    pub group_bytes: Option<u64>,
    /// The kernel's build configuration, instead of the one beside its modules.
    pub kernel_config: Option<PathBuf>,
    /// Searched for firmware before the `firmware` directory beside `modules_dir`'s parent.
    pub firmware_dir: Option<PathBuf>,
    /// Where microcode is, for an archive in front: see [`microcode::archive`].
    pub microcode: Vec<PathBuf>,
    /// More files: path in the initrd, and the file to take.
    pub extra: Vec<(String, PathBuf)>,
}

impl Request {
    /// For x86_64, compressed with zstd, with no files besides the profile's.
    pub fn new(modules_dir: &Path, profile: PathBuf, init: PathBuf) -> Self {
        Self {
            modules_dir: modules_dir.to_owned(),
            profile,
            arch: Arch::X86_64,
            init,
            compress: Compression::Zstd,
            module_compress: None,
            module_pack: None,
            group_bytes: None,
            kernel_config: None,
            firmware_dir: None,
            microcode: Vec::new(),
            extra: Vec::new(),
        }
    }
}

/// An initrd and what is in it.
#[derive(Debug)]
pub struct Built {
    /// As it ships: compressed.
    pub archive: Vec<u8>,
    pub manifest: Manifest,
}

impl Built {
    /// Writes the initrd to `out` and its manifest to `out` with `.json` behind it.
    pub fn write(&self, out: &Path) -> Result<()> {
        fs::write(out, &self.archive).with_context(|| format!("cannot write {}", out.display()))?;
        self.manifest.write(out)
    }
}

/// Builds an initrd: the same bytes for the same request and files.
pub fn build(request: &Request) -> Result<Built> {
    let compress = request.compress;
    Contents::gather(request)?.pack(|archive| {
        let step = (compress != Compression::None)
            .then(|| progress::step(format!("packing an initrd of {} bytes", archive.len())));
        let packed = compress.pack(archive)?;
        step.into_iter().for_each(progress::Step::done);
        Ok(packed)
    })
}

/// Lists an initrd's files at `out` instead of packing them, for the kernel's own build; tells what is in it.
pub fn build_list(request: &Request, out: &Path) -> Result<Manifest> {
    ensure!(
        request.microcode.is_empty(),
        "microcode lies in front of an archive that the boot loader brings; a list is for one that the kernel's build makes"
    );
    let contents = Contents::gather(request)?;
    let entries = contents.pack.iter();
    let entries: Vec<&Entry> = entries
        .chain(contents.entries.iter().map(|(entry, _)| entry))
        .collect();
    list::write(out, &entries)?;
    let archive_bytes = cpio::pack(entries)?.len();
    let manifest = contents.manifest(archive_bytes);
    manifest.write(out)?;
    Ok(manifest)
}

/// What a profile means for a kernel, before any module's file is read.
pub struct Decision<'a> {
    pub selection: Selection<'a>,
    pub packing: Packing,
    /// The plan's bytes.
    pub plan: Vec<u8>,
}

impl<'a> Decision<'a> {
    /// Chooses the modules and how their files go in, and makes the plan.
    pub fn make(
        catalogue: &'a Catalogue,
        profile: &Profile,
        config: Option<&Config>,
        module_compress: Option<Compression>,
    ) -> Result<Self> {
        let selection = select::resolve(catalogue, &profile.modules);
        let mut selection = selection.map_err(|error| profile.place(error))?;
        let packing = Packing::decide(
            module_compress,
            &profile.modules,
            config,
            &catalogue.directory,
            &selection.modules,
        )?;
        if packing.in_groups {
            let limit = profile.modules.group_bytes.unwrap_or(groups::BYTES);
            let all = profile.modules.pack == Pack::Always;
            groups::form(&mut selection.modules, limit, all);
        }
        let mut settings = profile.settings(catalogue.release()?);
        let suffix = packing.compression.module_suffix();
        settings.push((Key::Suffix, suffix.as_bytes().to_vec()));
        let plan = plan::encode(&selection.modules, &selection.known, &settings)?;
        Ok(Self {
            selection,
            packing,
            plan,
        })
    }
}

/// The configuration in `file`, or the one that the kernel's package left.
pub fn kernel_config(file: Option<&Path>, modules_dir: &Path) -> Result<Option<Config>> {
    match file {
        Some(file) => Config::read(file).map(Some),
        None => Config::find(modules_dir),
    }
}

/// Refuses an init or modules that are another architecture's.
fn check_arch(request: &Request, init: &[u8], selection: &Selection) -> Result<()> {
    let wanted = request.arch;
    let check = |path: &Path, file: &[u8]| match Arch::of(file) {
        Some(other) if other != wanted => {
            let path = path.display();
            bail!("{path} is for {other}, the initrd for {wanted}: --arch says which")
        }
        _ => Ok(()),
    };
    check(&request.init, init)?;
    let Some(chosen) = selection.modules.first() else {
        return Ok(());
    };
    let file = request.modules_dir.join(&chosen.module.path);
    check(&file, &modinfo::load(&file)?)
}

/// Everything that will be in the archive, in its order, each with its line for the manifest.
pub struct Contents {
    pub entries: Vec<(Entry, Item)>,
    /// The archive with microcode that lies in front.
    microcode: Vec<u8>,
    /// What lies in an archive of its own behind that, so that it is not compressed.
    pub pack: Option<Entry>,
    /// The pack, and the modules in it.
    packed: Vec<Item>,
    manifest: Manifest,
}

impl Contents {
    /// Reads the modules, makes the plan, and puts everything into order: init and plan first, then parents before children.
    pub fn gather(request: &Request) -> Result<Self> {
        Self::gather_kept(request, &|_, make| make())
    }

    /// The same; `keep` may know what a group of modules is packed to.
    pub fn gather_kept(request: &Request, keep: Keep) -> Result<Self> {
        let mut profile = Profile::read(&request.profile)?;
        profile.modules.pack = request.module_pack.unwrap_or(profile.modules.pack);
        profile.modules.group_bytes = request.group_bytes;
        let catalogue = Catalogue::read(&request.modules_dir)?;
        let config = kernel_config(request.kernel_config.as_deref(), &request.modules_dir)?;
        let config = config.as_ref();
        let Decision {
            selection,
            packing,
            plan,
        } = Decision::make(&catalogue, &profile, config, request.module_compress)?;

        ensure!(
            request.microcode.is_empty() || request.arch == Arch::X86_64,
            "microcode is for x86_64, and this initrd for {}",
            request.arch
        );
        let mut tree = Tree::default();
        let init = read(&request.init)?;
        check_arch(request, &init, &selection)?;
        tree.file("init", 0o755, init, Kind::Init, None, "init");
        tree.file(PLAN_NAME, 0o644, plan, Kind::Plan, None, "plan");
        tree.skeleton(profile.mountpoint());
        for path in profile.carried() {
            tree.directory(path.trim_matches('/'), "netboot.carry");
        }
        tree.modprobe(config);
        let (mut unsigned, mut in_groups) = (Vec::new(), Vec::new());
        for chosen in &selection.modules {
            let file = catalogue.directory.join(&chosen.module.path);
            let (data, signed) = packing.pack(&file)?;
            if !signed {
                unsigned.push(chosen.module.name.as_str());
            }
            if chosen.group.is_some() {
                in_groups.push((chosen, data));
            } else {
                tree.module(chosen, data, packing.compression);
            }
        }
        payload::check_signatures(&unsigned, config)?;
        let (pack, packed) = payload::pack(&in_groups, keep)?;
        let mut missing_firmware = Vec::new();
        if profile.modules.firmware {
            missing_firmware = tree.firmware(request, &selection)?;
        }
        for (path, file) in profile.extra_files(&request.profile)? {
            tree.extra(path, &file, "emergency.extra_files")?;
        }
        for (path, file) in &request.extra {
            profile.verity.check_signature(path, file)?;
            tree.extra(path, file, "asked for")?;
        }

        let manifest = Manifest {
            release: catalogue.release()?.to_owned(),
            arch: request.arch.to_string(),
            profile: request
                .profile
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            totals: Totals {
                aliases: selection
                    .modules
                    .iter()
                    .map(|chosen| chosen.module.info.aliases.len())
                    .sum(),
                ..Totals::default()
            },
            missing_firmware,
            warnings: selection
                .warnings
                .into_iter()
                .chain(unpacks(config, request.compress))
                .chain(loads(config, selection.modules.len()))
                .collect(),
            builtin: Builtin::of(&catalogue),
            entries: Vec::new(),
        };
        Ok(Self {
            entries: tree.ordered()?,
            microcode: microcode::archive(&request.microcode)?,
            pack,
            packed,
            manifest,
        })
    }

    /// The kernel's release.
    pub fn release(&self) -> &str {
        &self.manifest.release
    }

    /// The initrd, as it ships: its archive compressed by `pack`.
    pub fn pack(self, pack: impl FnOnce(Vec<u8>) -> Result<Vec<u8>>) -> Result<Built> {
        let mut front = self.microcode.clone();
        if let Some(entry) = &self.pack {
            front.extend(cpio::pack([entry])?);
        }
        let archive = cpio::pack(self.entries.iter().map(|(entry, _)| entry))?;
        let archive_bytes = front.len() - self.microcode.len() + archive.len();
        front.extend(pack(archive)?);
        // An archive that is put behind has to begin at a multiple of this.
        front.resize(front.len().next_multiple_of(pieces::ALIGNMENT), 0);
        let mut manifest = self.manifest(archive_bytes);
        manifest.totals.compressed_bytes = front.len();
        Ok(Built {
            archive: front,
            manifest,
        })
    }

    /// What is in it.
    fn manifest(self, archive_bytes: usize) -> Manifest {
        let mut manifest = self.manifest;
        let totals = &mut manifest.totals;
        totals.archive_bytes = archive_bytes;
        totals.microcode_bytes = self.microcode.len();
        for item in self
            .entries
            .iter()
            .map(|(_, item)| item)
            .chain(&self.packed)
        {
            match item.kind {
                Kind::Module => {
                    totals.modules += 1;
                    totals.module_bytes += item.bytes;
                }
                Kind::Firmware => {
                    totals.firmware += 1;
                    totals.firmware_bytes += item.bytes;
                }
                _ => {}
            }
        }
        let entries = self.entries.into_iter().map(|(_, item)| item);
        manifest.entries = self.packed.into_iter().chain(entries).collect();
        manifest
    }
}

/// What people should know about a kernel that gets so many modules.
fn loads(config: Option<&Config>, modules: usize) -> Option<String> {
    let config = config.filter(|config| modules != 0 && config.appraises_modules())?;
    Some(format!(
        "this kernel loads no module of an initrd: IMA wants a signature in an extended attribute, which no archive for the initramfs \
         has, with or without the module pack (CONFIG_IMA_APPRAISE_REQUIRE_MODULE_SIGS=y in {})",
        config.file.display()
    ))
}

/// What people should know about a kernel that gets an initrd of this compression.
fn unpacks(config: Option<&Config>, compress: Compression) -> Vec<String> {
    let Some(config) = config else {
        return Vec::new();
    };
    let mut needed = vec![("BLK_DEV_INITRD".to_owned(), "takes no initrd")];
    if compress != Compression::None {
        let option = format!("RD_{}", compress.to_string().to_uppercase());
        needed.push((
            option,
            "does not unpack it: --compress names another compression",
        ));
    }
    needed.retain(|(option, _)| !config.is_set(option));
    let file = config.file.display();
    let warning =
        |(option, why)| format!("this kernel {why} (CONFIG_{option} is not set in {file})");
    needed.into_iter().map(warning).collect()
}
