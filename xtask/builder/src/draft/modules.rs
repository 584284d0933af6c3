//! `[modules]` of a drawn profile: what drives the way to the disk and to consoles, and the filesystems.

use std::fmt::Write as _;

use super::{Target, plain, quoted};
use crate::{
    kernel::catalogue::{Catalogue, Found, folded},
    machine::{Device, Machine},
    profile::{self, Mode},
    select::Rule,
};

/// What disks hang on where nothing is known of them: virtual machines', and the most common ones.
const COMMON: [&str; 16] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "nvme",
    "ahci",
    "ata_piix",
    "sd_mod",
    "xen_blkfront",
    "hv_storvsc",
    "pci_hyperv",
    "vmw_pvscsi",
    "mmc_block",
    "sdhci_pci",
    "xhci_pci",
    "uas",
    "usb_storage",
];
/// The same for people.
const CONSOLES: [&str; 5] = ["i8042", "atkbd", "usbhid", "hid_generic", "virtio_console"];

/// A list of names, each with why it is there.
#[derive(Default)]
struct List(Vec<(String, String)>);

impl List {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(own, _)| folded(own) == folded(name))
    }

    fn add(&mut self, name: &str, why: &str) {
        if !self.has(name) {
            self.0.push((name.to_owned(), why.to_owned()));
        }
    }

    /// As `key` has it, if anything is in it.
    fn text(&self, about: &str, key: &str) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let mut text = format!("# {about}\n{key} = [\n");
        for (name, why) in &self.0 {
            let name = quoted(name) + ",";
            let _ = match why.is_empty() {
                true => writeln!(text, "    {name}"),
                false => writeln!(text, "    {name} # {}", plain(why)),
            };
        }
        text + "]\n"
    }
}

/// Looks modules up.
struct Drivers<'a> {
    machine: &'a Machine,
    catalogue: Option<&'a Catalogue>,
}

impl Drivers<'_> {
    /// The name of a module, or of what is built in, as its file has it; none where the kernel has nothing of that name: that can only be built in.
    fn named(&self, name: &str) -> Option<String> {
        let Some(catalogue) = self.catalogue else {
            return Some(name.to_owned());
        };
        match catalogue.find(name) {
            Found::Modules(found) => {
                let module = catalogue.modules.get(*found.first()?)?;
                Some(module.name.clone())
            }
            Found::Builtin => Some(name.to_owned()),
            Found::Nothing => None,
        }
    }

    /// What drives a device: its driver's module or, where that does not say, what its modalias asks for and is there.
    fn of(&self, device: &Device) -> Vec<String> {
        if let Some(module) = &device.module {
            return self.named(module).into_iter().collect();
        }
        let (Some(alias), Some(catalogue)) = (&device.modalias, self.catalogue) else {
            return Vec::new();
        };
        match catalogue.find(alias) {
            Found::Modules(found) => {
                let modules = found.into_iter().map(|number| &catalogue.modules[number]);
                let is_there = |name: String| {
                    let loaded = self.machine.loaded.as_ref();
                    loaded.is_none_or(|loaded| loaded.contains(&name))
                };
                let there = modules.filter(|module| is_there(module.kernel_name()));
                there.map(|module| module.name.clone()).collect()
            }
            _ => {
                let names = catalogue.builtins(alias).into_iter();
                names.map(str::to_owned).collect()
            }
        }
    }

    fn add(&self, list: &mut List, way: Vec<(&str, &Device)>, but: &List) {
        for (path, device) in way {
            let name = path.rsplit('/').next().unwrap_or(path);
            for module in self.of(device).iter().filter(|module| !but.has(module)) {
                list.add(module, name);
            }
        }
    }

    /// Where the way to the disk is not known: what is loaded or asked for by what is there, and disks and keyboards hang on.
    fn likely(&self) -> List {
        let mut list = List::default();
        let patterns = profile::known();
        if let (Some(catalogue), Ok(rules)) = (self.catalogue, Rule::list(&patterns)) {
            let loaded = self.machine.loaded.iter().flatten().cloned();
            let asked = self
                .machine
                .devices
                .values()
                .flat_map(|device| self.of(device));
            for name in loaded.chain(asked) {
                if let Found::Modules(found) = catalogue.find(&name) {
                    for module in found.iter().map(|number| &catalogue.modules[*number]) {
                        if rules.iter().any(|rule| rule.takes(module)) {
                            list.add(&module.name, "");
                        }
                    }
                }
            }
        }
        if list.0.is_empty() {
            COMMON.iter().for_each(|name| list.add(name, ""));
        }
        list
    }

    fn filesystem(&self, names: &mut List, fstype: &str, what: &str) {
        let alias = format!("fs-{fstype}");
        let by_alias = self.named(&alias).map(|_| alias.clone());
        // Built in, and no list says which aliases that has.
        let name = by_alias.or_else(|| self.named(fstype)).unwrap_or(alias);
        names.add(&name, what);
    }

    /// Whether any of them wants firmware.
    fn want_firmware(&self, lists: [&List; 2]) -> bool {
        let names = lists.into_iter().flat_map(|list| &list.0);
        let found = names.filter_map(|(name, _)| match self.catalogue?.find(name) {
            Found::Modules(found) => Some(found),
            _ => None,
        });
        let modules = self.catalogue.map(|catalogue| &catalogue.modules);
        found.flatten().any(|number| {
            let module = modules.and_then(|modules| modules.get(number));
            module.is_some_and(|module| !module.info.firmware.is_empty())
        })
    }
}

pub fn section(
    machine: &Machine,
    target: &Target,
    catalogue: Option<&Catalogue>,
    notes: &mut Vec<String>,
) -> String {
    let drivers = Drivers { machine, catalogue };
    let (mut names, mut optional) = (List::default(), List::default());
    let way = target.block.map(|(block, _)| machine.way_to_block(block));
    let way = way.unwrap_or_default();
    let is_known = !way.is_empty();
    drivers.add(&mut names, way, &List::default());
    // Drivers that are built in do not all say whose they are.
    if !is_known || names.0.is_empty() && catalogue.is_none() {
        notes.push(
            "which drivers the disk needs: leave those in modules.optional that it has".to_owned(),
        );
        optional = drivers.likely();
    }
    if let Some(mount) = target.mount {
        drivers.filesystem(&mut names, &mount.fstype, target.name());
    }
    if target.mode == Mode::Usr {
        let found = machine.image().and_then(|(_, fstype)| fstype);
        let fstype = found.as_deref().unwrap_or("squashfs");
        drivers.filesystem(&mut names, fstype, "the stage-2 image");
    }
    people(&drivers, &mut optional, &names);
    let firmware = drivers.want_firmware([&names, &optional]);
    let mut text = "\n[modules]\n".to_owned();
    text += &names.text("The way to the disk, and the filesystems.", "names");
    text += &optional.text(
        "Consoles and keyboards, and what this machine may have: no error where a kernel has none of that name.",
        "optional",
    );
    text += &always(target).text("What every boot loads, whatever the hardware.", "always");
    if firmware {
        text += "# Some of them want firmware.\nfirmware = true\n";
    }
    text
}

/// Adds what drives consoles and keyboards.
fn people(drivers: &Drivers, optional: &mut List, names: &List) {
    let machine = drivers.machine;
    if machine.devices.is_empty() {
        for name in CONSOLES {
            optional.add(name, "");
        }
    }
    let consoles = machine.consoles.iter().map(|(_, path)| path);
    for path in machine.keyboards.iter().chain(consoles) {
        drivers.add(optional, machine.way(path), names);
    }
    // A console of the hypervisor is not where its device is.
    let is_hypervisors = |(name, _): &(String, String)| name.starts_with("hvc");
    if machine.consoles.iter().any(is_hypervisors) {
        optional.add("virtio_console", "hvc0");
    }
}

fn always(target: &Target) -> List {
    let mut always = List::default();
    if target.block.is_none_or(|(_, block)| block.is_verity()) {
        always.add("dm-verity", "it brings the hash");
    }
    if target.mode == Mode::Usr {
        always.add("loop", "");
    }
    if target.mode == Mode::Usr || target.has_overlay {
        always.add("overlay", "");
    }
    always
}
