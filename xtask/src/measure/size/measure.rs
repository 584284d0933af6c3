//! Makes and measures what a budget is about.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use object::{Object, ObjectSection};

use super::budget::{self, Budget};
use super::initrd::Initrd;
use super::{Artifact, Item, Report, View, init};
use crate::lab::build;
use crate::lab::{cache, kernels, paths, uki};
use builder::arch::Arch;
use builder::archive::compress::Compression;
use builder::initrd::manifest::Manifest;
use builder::initrd::{Built, Contents, Request};
use builder::progress;

/// Measures every artifact of the budget, or those only whose names begin with one of `only`.
pub fn measure(budget: &Budget, only: &[String]) -> Result<Report> {
    let wanted =
        |name: &str| only.is_empty() || only.iter().any(|only| name.starts_with(only.as_str()));
    let mut artifacts = Vec::new();
    for (name, entry) in &budget.init {
        let name = format!("init.{name}");
        if wanted(&name) {
            artifacts.push(of_init(&name, entry)?);
        }
    }
    for (name, entry) in &budget.initrd {
        let name = format!("initrd.{name}");
        if wanted(&name) {
            let (built, about) = build_initrd(budget, entry)?;
            artifacts.push(of_initrd(
                budget,
                &name,
                about,
                &built.archive,
                Some(&built.manifest),
            )?);
        }
    }
    for (name, entry) in &budget.uki {
        let name = format!("uki.{name}");
        if wanted(&name) {
            artifacts.push(of_uki(budget, &name, entry)?);
        }
    }
    for (name, entry) in &budget.other {
        let name = format!("file.{name}");
        if wanted(&name) {
            artifacts.push(of_file(budget, &name, entry)?);
        }
    }
    if artifacts.is_empty() {
        return Err(anyhow!(
            "nothing to measure: the budget has no artifact whose name begins with {}",
            only.join(" or ")
        ));
    }
    let checks = budget.check(&artifacts);
    Ok(Report::new(artifacts, checks))
}

/// Counted up when the way to pack or to measure changes, so that nothing made in another way is taken for it.
const VERSION: &[u8] = b"3";

/// What was measured of the same bytes before, or what `make` measures now.
fn kept(name: &str, inputs: &[&[u8]], make: impl FnOnce() -> Result<Artifact>) -> Result<Artifact> {
    let key = cache::key(&[&[VERSION, name.as_bytes()], inputs].concat());
    let file = paths::output()
        .join("sizes")
        .join(key)
        .with_extension("json");
    let json = cache::file(&file, || Ok(serde_json::to_vec(&make()?)?))?;
    serde_json::from_slice(&json)
        .with_context(|| format!("{} is damaged: remove it", file.display()))
}

fn of_init(name: &str, entry: &budget::Init) -> Result<Artifact> {
    let path = build::init(entry.arch)?;
    let about = entry.arch.to_string();
    let twin = fs::read(path.with_extension("debug"))?;
    let inputs = [about.as_bytes(), &fs::read(&path)?, &twin];
    kept(name, &inputs, || init::measure(name, about.clone(), &path))
}

/// The initrd, packed now or found where it was packed before.
fn build_initrd(budget: &Budget, entry: &budget::Initrd) -> Result<(Built, String)> {
    let profile = budget.existing(&entry.profile)?;
    let (modules_dir, arch) = match (entry.kernel, &entry.modules_dir) {
        (Some(series), _) => (kernels::fetch(series)?.modules_dir, series.arch()),
        (None, Some(path)) => (budget.existing(path)?, Arch::X86_64),
        (None, None) => return Err(anyhow!("an initrd needs a kernel")),
    };
    let init = build::init(arch)?;
    let compress = entry.compress.unwrap_or(Compression::Zstd);
    let microcode = entry.microcode.iter().map(|path| budget.existing(path));
    let microcode = microcode.collect::<Result<_>>()?;
    let request = Request {
        arch,
        compress,
        module_compress: entry.module_compress,
        microcode,
        ..Request::new(&modules_dir, profile, init)
    };
    let contents = Contents::gather(&request)?;
    let release = contents.release().to_owned();
    let built = contents.pack(|archive| packed(compress, archive))?;
    let settings = compress.settings(built.manifest.totals.archive_bytes);
    Ok((built, format!("Linux {release}, {settings}")))
}

/// What these bytes are packed to, from an earlier time if there was one.
pub fn packed(compress: Compression, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let key = cache::key(&[VERSION, compress.settings(bytes.len()).as_bytes(), &bytes]);
    let file = paths::output().join("packed").join(key);
    cache::file(&file, || {
        let step = progress::step(format!("packing {} bytes", bytes.len()));
        let packed = compress.pack(bytes)?;
        step.done();
        Ok(packed)
    })
}

fn of_initrd(
    budget: &Budget,
    name: &str,
    about: String,
    initrd: &[u8],
    manifest: Option<&Manifest>,
) -> Result<Artifact> {
    let why = manifest.map(serde_json::to_vec).transpose()?;
    let parts = budget.parts(name);
    let mut taken_apart = None;
    let read = || -> Result<Initrd> { Initrd::read(initrd, manifest) };
    let inputs = [about.as_bytes(), initrd, &why.unwrap_or_default()];
    let mut artifact = kept(name, &inputs, || {
        let step = progress::step(format!("measuring {name}"));
        let artifact = taken_apart.insert(read()?).measure(name, about.clone())?;
        step.done();
        Ok(artifact)
    })?;
    if parts.is_empty() {
        return Ok(artifact);
    }
    let apart = match taken_apart {
        Some(apart) => apart,
        None => read()?,
    };
    for (part, is_packed, span) in parts {
        let Some(bytes) = apart.part(part) else {
            return Err(budget.at(span, format!("{name} has nothing that is {part}")));
        };
        let raw = bytes.len() as u64;
        let packed = match part {
            "microcode" => raw,
            _ if is_packed => packed(apart.compression, bytes)?.len() as u64,
            _ => 0,
        };
        artifact.parts.push(Item {
            name: part.to_owned(),
            group: String::new(),
            raw,
            packed,
        });
    }
    Ok(artifact)
}

fn of_uki(budget: &Budget, name: &str, entry: &budget::Uki) -> Result<Artifact> {
    let initrd = budget
        .initrd
        .get(entry.initrd.get_ref())
        .context("checked when it was read")?;
    let series = initrd.kernel.context("checked when it was read")?;
    let (built, about) = build_initrd(budget, initrd)?;
    let room = tempfile::tempdir()?;
    let path = room.path().join("initrd");
    fs::write(&path, built.archive)?;
    let image = uki::build(&uki::Request {
        stub: uki::stub(series.arch())?,
        vmlinuz: kernels::fetch(series)?.vmlinuz,
        initrd: path,
        cmdline: entry.cmdline.clone(),
        os_release: None,
        uname: None,
    })?;
    image_by_section(name, about, &image.image)
}

/// A PE image by its sections, whose bytes are packed already.
fn image_by_section(name: &str, about: String, image: &[u8]) -> Result<Artifact> {
    let file = object::File::parse(image)?;
    let mut items = Vec::new();
    for section in file.sections() {
        let bytes = section.file_range().map_or(0, |(_, bytes)| bytes);
        items.push(Item {
            name: section.name()?.to_owned(),
            group: String::new(),
            raw: bytes,
            packed: bytes,
        });
    }
    items.sort_by_key(|item| std::cmp::Reverse(item.raw));
    let bytes = image.len() as u64;
    Ok(Artifact {
        name: name.to_owned(),
        about,
        raw: bytes,
        packed: bytes,
        content: cache::digest(image),
        parts: Vec::new(),
        views: vec![View {
            by: "section".to_owned(),
            items,
        }],
    })
}

fn of_file(budget: &Budget, name: &str, entry: &budget::File) -> Result<Artifact> {
    let path: PathBuf = budget.existing(&entry.path)?;
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let about = entry.path.get_ref().display().to_string();
    let parts = budget.parts(name);
    let manifest = Manifest::beside(&path)?;
    let artifact = match bytes.as_slice() {
        [b'M', b'Z', ..] => image_by_section(name, about, &bytes),
        _ => of_initrd(budget, name, about, &bytes, manifest.as_ref()),
    };
    match (artifact, parts.first()) {
        (Ok(artifact), Some((part, _, span))) if artifact.parts.is_empty() => {
            let path = path.display();
            Err(budget.at(
                span.clone(),
                format!("{path} is no initrd, and has no part {part}"),
            ))
        }
        (artifact, _) => artifact.with_context(|| path.display().to_string()),
    }
}
