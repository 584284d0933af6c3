//! Unified kernel images: kernel, command line and initrd in one file that UEFI firmware starts, made from systemd's stub.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use object::LittleEndian as LE;
use object::pe;
use object::read::pe::PeFile64;

use crate::arch::Arch;

pub mod kernel;
pub mod pe_image;

use pe_image::Section;

/// Where firmware looks on an EFI system partition if nothing tells it what to start.
pub fn fallback_path(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "EFI/BOOT/BOOTX64.EFI",
        Arch::Aarch64 => "EFI/BOOT/BOOTAA64.EFI",
    }
}

/// What goes into an image.
#[derive(Clone, Debug)]
pub struct Request {
    /// systemd-stub, or another PE image that takes the same sections.
    pub stub: PathBuf,
    pub vmlinuz: PathBuf,
    pub initrd: PathBuf,
    pub cmdline: String,
    /// An os-release(5) file, by which boot loaders name the image; systemd-boot leaves out images that have none.
    pub os_release: Option<PathBuf>,
    /// The kernel's release, where its image does not tell.
    pub uname: Option<String>,
}

/// An image, and what it consists of.
#[derive(Clone, Debug)]
pub struct Uki {
    pub image: Vec<u8>,
    /// Names and bytes of the sections that the stub got, in their order.
    pub sections: Vec<(&'static str, usize)>,
}

/// Makes an image: the same bytes for the same files.
pub fn build(request: &Request) -> Result<Uki> {
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let (stub, vmlinuz) = (read(&request.stub)?, read(&request.vmlinuz)?);
    let initrd = read(&request.initrd)?;
    let os_release = request.os_release.as_deref().map(read).transpose()?;

    let kernel = kernel::read(&vmlinuz).with_context(|| {
        format!(
            "{} is no kernel for a unified kernel image",
            request.vmlinuz.display()
        )
    })?;
    let of_stub = || format!("{} is no stub", request.stub.display());
    let machine = machine(&stub).with_context(of_stub)?;
    ensure!(
        machine == kernel.machine,
        "the stub {} is for another machine than the kernel (PE machine types {machine:#x} and {:#x}); --stub names another one",
        request.stub.display(),
        kernel.machine
    );
    ensure!(
        !initrd.is_empty(),
        "the initrd {} is empty",
        request.initrd.display()
    );
    let cmdline = command_line(&request.cmdline, kernel.cmdline_max)?;
    let uname = request.uname.clone().or(kernel.release);
    let uname = uname.with_context(|| {
        let path = request.vmlinuz.display();
        format!("{path} does not tell its release; --uname does")
    })?;

    let mut sections = vec![
        Section {
            name: ".cmdline",
            data: cmdline.as_bytes(),
        },
        Section {
            name: ".uname",
            data: uname.as_bytes(),
        },
        Section {
            name: ".initrd",
            data: &initrd,
        },
        // The last: a kernel that is started where it lies unpacks itself behind its end.
        Section {
            name: ".linux",
            data: &vmlinuz,
        },
    ];
    if let Some(data) = &os_release {
        sections.insert(
            0,
            Section {
                name: ".osrel",
                data,
            },
        );
    }
    Ok(Uki {
        image: pe_image::append(&stub, &sections).with_context(of_stub)?,
        sections: sections
            .iter()
            .map(|section| (section.name, section.data.len()))
            .collect(),
    })
}

/// The initrd in a file, and where it begins there: a unified kernel image has it in a section, any
/// other file is one.
pub fn initrd(file: &[u8]) -> Result<(usize, &[u8])> {
    if !file.starts_with(b"MZ") {
        return Ok((0, file));
    }
    let image = PeFile64::parse(file).context("it is a damaged PE image, or one of 32 bits")?;
    let mut sections = image.section_table().iter();
    let section = sections.find(|section| section.raw_name() == b".initrd");
    let section = section.context("it is a PE image without a section .initrd")?;
    let (start, padded) = section.pe_file_range();
    // What pads the section in the file is not loaded.
    let len = section.virtual_size.get(LE).min(padded) as usize;
    let bytes = file.get(start as usize..).and_then(|rest| rest.get(..len));
    let bytes = bytes.context("the image is damaged: it ends within its section .initrd")?;
    Ok((start as usize, bytes))
}

/// The command line as one line, if the kernel takes all of it.
fn command_line(text: &str, max: usize) -> Result<String> {
    let line = text.lines().collect::<Vec<_>>().join(" ");
    ensure!(
        !line.contains('\0'),
        "the command line has a zero byte in it"
    );
    ensure!(
        line.len() <= max,
        "the command line is {} bytes long, of which the kernel takes {max}",
        line.len()
    );
    Ok(line)
}

fn machine(stub: &[u8]) -> Result<pe::Machine> {
    let file = PeFile64::parse(stub).context("not a PE image of 64 bits")?;
    let headers = file.nt_headers();
    let subsystem = headers.optional_header.subsystem.get(LE);
    ensure!(
        subsystem == pe::IMAGE_SUBSYSTEM_EFI_APPLICATION,
        "it is a PE image that UEFI firmware does not start (subsystem {subsystem})"
    );
    Ok(headers.file_header.machine.get(LE))
}
