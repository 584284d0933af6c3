//! A profile as text, drawn from what a machine says of itself: as narrow as that machine, with comments for whoever edits it.

mod modules;
mod verity;

use std::fmt::Write as _;

use toehold::format::cmdline;

use crate::{
    kernel::catalogue::Catalogue,
    machine::{Block, Machine, Mount},
    profile::Mode,
};

/// A profile, and what could not be known for it.
pub struct Draft {
    pub text: String,
    /// They stand in the text, too.
    pub notes: Vec<String>,
}

/// What is booted: /usr or the root, and what that lies on.
struct Target<'a> {
    mode: Mode,
    mount: Option<&'a Mount>,
    /// A writable layer is above it.
    has_overlay: bool,
    block: Option<(&'a str, &'a Block)>,
}

/// Draws the profile; `notes` has what is not known already. Without the kernel's modules it has the names that drivers give.
pub fn draw(machine: &Machine, catalogue: Option<&Catalogue>, mut notes: Vec<String>) -> Draft {
    let target = Target::of(machine, &mut notes);
    let name = target.name();
    let mut text = String::new();
    let modules = modules::section(machine, &target, catalogue, &mut notes);
    let verity = verity::section(machine, &target, &mut notes);
    let release = catalogue.and_then(|catalogue| catalogue.release().ok());
    let kernel = release.or(machine.release.as_deref());
    let kernel = kernel.map_or(String::new(), |release| format!(" with Linux {release}"));
    let narrow = match notes.is_empty() {
        true => ": the drivers of its disk and consoles, and no others",
        false => "",
    };
    text += &format!("# Made by `profile` from a machine{kernel}{narrow}.\n");
    text += "# `check` says what is wrong with it when it was edited; the manual has every key, toehold.profile(5).\n";
    for note in &notes {
        let _ = writeln!(text, "# Not known: {}", plain(note));
    }
    let _ = writeln!(text, "\n# {name}: {}.", plain(&target.place(machine)));
    text += match target.mode {
        Mode::Usr => "# The stage-2 image, a full initrd, is a file in it.\nmode = \"usr\"\n",
        Mode::Root => "# The root itself: there is no stage 2.\nmode = \"root\"\n",
    };
    text += &modules;
    text += &verity;
    text += &target.section(machine);
    text += EMERGENCY;
    Draft { text, notes }
}

const EMERGENCY: &str = "
# What follows a failure: reboot, poweroff, halt, panic, or shell, which waits for a person.
[emergency]
action = \"reboot\"
prompt_seconds = 60
# Whether the command line and the keyboard can open a shell.
shell = true
";

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A text as a comment can have it, in one line.
fn plain(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// The last value of the words with these names on a command line, and which of them it was.
fn word<'a>(line: &'a str, names: &[&'static str]) -> Option<(&'static str, &'a str)> {
    let words = cmdline::words(line.as_bytes()).filter_map(|word| {
        let name = names.iter().find(|name| name.as_bytes() == word.name)?;
        Some((*name, str::from_utf8(word.value?).ok()?))
    });
    words.last()
}

/// Words by which a command line says that it is /usr that is mounted.
const USR: [&str; 5] = [
    "mount.usr",
    "verity.usr",
    "verity.usrhash",
    "usrhash",
    "systemd.verity_usr_data",
];

impl<'a> Target<'a> {
    fn of(machine: &'a Machine, notes: &mut Vec<String>) -> Self {
        let line = machine.cmdline.as_deref().unwrap_or_default();
        let usr = machine.usr();
        let mode = match usr.is_some() || word(line, &USR).is_some() {
            true => Mode::Usr,
            false => Mode::Root,
        };
        let mount = match mode {
            Mode::Usr => usr,
            Mode::Root => machine.root(),
        };
        let lower = mount.and_then(|mount| machine.below(mount));
        let has_overlay = mount.is_some_and(|mount| mount.fstype == "overlay");
        let mount = lower.or(mount.filter(|_| !has_overlay));
        // Where what is mounted does not tell, the device of its name does.
        let mut target = Self {
            mode,
            mount,
            has_overlay,
            block: None,
        };
        let mapped = |block: &Block| {
            let name = block.mapper.as_ref().map(|(name, _)| name.as_str());
            block.is_verity() && name == Some(target.mapped())
        };
        let mut blocks = machine.blocks.iter();
        let by_name = blocks.find(|(_, block)| mapped(block));
        let by_name = by_name.map(|(name, block)| (name.as_str(), block));
        target.block = mount.and_then(|mount| machine.block(mount)).or(by_name);
        let name = target.name();
        if target.block.is_none() {
            notes.push(match mount {
                Some(mount) => format!("which disk {name} lies on: {} is none here", mount.source),
                None => format!("which disk {name} lies on: nothing says what is mounted"),
            });
        }
        if target.mount.is_none() {
            notes.push(format!(
                "the filesystem of {name}: add its driver, as \"fs-ext4\""
            ));
        }
        let made_of = target
            .block
            .map_or(Vec::new(), |(name, _)| machine.made_of(name));
        for (own, block) in made_of {
            if let Some(why) = not_set_up(own, block) {
                notes.push(format!("how {name} is reached: it lies on {why}"));
            }
        }
        target
    }

    fn name(&self) -> &'static str {
        match self.mode {
            Mode::Usr => "/usr",
            Mode::Root => "the root",
        }
    }

    /// The name that the init gives a verity device.
    fn mapped(&self) -> &'static str {
        match self.mode {
            Mode::Usr => "usr",
            Mode::Root => "root",
        }
    }

    /// What it is and what it lies on, for people.
    fn place(&self, machine: &Machine) -> String {
        let fstype = self.mount.map_or("a filesystem", |mount| &mount.fstype);
        let Some((block, _)) = self.block else {
            return format!("{fstype}, on what is not known");
        };
        let made_of = machine.made_of(block).into_iter().map(|(name, block)| {
            match block.mapper.as_ref().filter(|_| block.is_verity()) {
                Some((name, _)) => format!("/dev/mapper/{name} (dm-verity)"),
                None => format!("/dev/{}", name.replace('!', "/")),
            }
        });
        format!("{fstype} on {}", made_of.collect::<Vec<_>>().join(", on "))
    }

    /// `[usr]` or `[root]`.
    fn section(&self, machine: &Machine) -> String {
        match self.mode {
            Mode::Root if self.has_overlay => {
                "\n[root]\n# Bound of the writable layer above the root.\noverlay_size = \"50%\"\n"
                    .to_owned()
            }
            Mode::Root => String::new(),
            Mode::Usr => {
                let (image, about) = match machine.image() {
                    Some((path, _)) => (path, "The stage-2 image in /usr."),
                    None => (
                        "lib/toehold/stage2.img".to_owned(),
                        "The stage-2 image in /usr. There is none at a usual place: put yours here.",
                    ),
                };
                format!(
                    "\n[usr]\nmountpoint = \"/sysusr/usr\"\n# {about}\nimage = {}\n",
                    quoted(&image)
                )
            }
        }
    }
}

/// Why the init does not set a device up, if it does not.
fn not_set_up(name: &str, block: &Block) -> Option<String> {
    let kind = match &block.mapper {
        Some((mapped, uuid)) if !block.is_verity() => format!("/dev/mapper/{mapped} ({uuid})"),
        None if block.backing_file.is_some() || !block.slaves.is_empty() => format!("/dev/{name}"),
        _ => return None,
    };
    Some(format!("{kind}, which this init does not set up"))
}

impl Machine {
    /// The stage-2 image: the file of a loop device where that lies in /usr, else what lies at a usual place; with its filesystem.
    fn image(&self) -> Option<(String, Option<String>)> {
        let usr = self.usr().map_or("/usr", |usr| &usr.point);
        let looped = self.blocks.iter().find_map(|(name, block)| {
            let below = block.backing_file.as_ref()?.strip_prefix(usr)?;
            let device = format!("/dev/{name}");
            let mount = self.mounts.iter().find(|mount| mount.source == device);
            let path = below.strip_prefix('/')?.to_owned();
            Some((path, mount.map(|mount| mount.fstype.clone())))
        });
        looped.or_else(|| self.images.first().cloned())
    }
}

#[cfg(test)]
mod tests;
