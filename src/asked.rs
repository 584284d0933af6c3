//! What the kernel command line asks for, word by word. Once it is parsed nothing changes it.

use crate::failure::Stage;
use crate::format::cmdline;
use crate::table::{owners, place};
use crate::text::{position, word};
use crate::{list, table};

table! {
    /// The words that the init takes. Beside each stand its names for an init that mounts /usr, the
    /// other one last, its name for one that mounts the root itself, and what it is where the
    /// command line does not have it.
    ///
    /// No word of a command line can be called `==`.
    pub enum Word [4] {
        /// SPEC of the device with data and hash tree.
        Verity: "verity.usr", "", "verity.root", "";
        /// Hexadecimal.
        RootHash: "verity.usrhash", "usrhash", "roothash", "";
        /// SPEC of what to mount.
        Mount: "mount.usr", "usr", "root", "";
        /// For mount(2), or `auto`.
        Fstype: "mount.usrfstype", "usrfstype", "rootfstype", "auto";
        /// As fstab would have them.
        MountOptions: "mount.usrflags", "usrflags", "rootflags", "ro";
        /// Seconds to wait for a device.
        Timeout: "rd.earlytimeout", "", "rd.earlytimeout", "300";
        /// SPEC of the device with the data.
        Data: "systemd.verity_usr_data", "", "systemd.verity_root_data", "";
        /// SPEC of the device with the hash tree.
        Tree: "systemd.verity_usr_hash", "", "systemd.verity_root_hash", "";
        /// Whether system calls are traced: `0`: no; `file`: also into a file. The word alone is
        /// enough.
        Trace: "rd.earlytrace", "", "rd.earlytrace", "0";
        /// Where to stop for a person: digits of breakpoints, or nothing for all of them. The word
        /// alone is enough.
        Breakpoints: "rd.earlyshell", "", "rd.earlyshell", "none";
        /// `0`: no shell, whatever happens.
        Shell: "rd.shell", "", "rd.shell", "";
        /// One of [`ACTIONS`].
        Emergency: "rd.emergency", "", "rd.emergency", "";
        /// Program to execute in the root, absolute.
        Init: "==", "", "init", "";
        /// As in veritytab(5).
        VerityOptions: "systemd.verity_usr_options", "", "systemd.verity_root_options", "";
        /// Names of modules, a comma between them, that hardware is not to ask for. Each list adds
        /// to those before.
        Blacklist: "modprobe.blacklist", "", "modprobe.blacklist", "";
    }
}

/// How many there are.
const COUNT: usize = Word::ROWS.len();

const USR: &[u8] = list!(Word::ROWS, 0, b' ');
const OTHERS: &[[&str; 1]] = &others::<{ place(Word::ROWS, 1, COUNT) }>();
const OTHER: &[u8] = list!(OTHERS, 0, b' ');

/// The words that an init takes which mounts /usr, as the plan has them: first the name of each
/// [`Word`], in their order, and behind these the other names.
pub const USR_WORDS: &[u8] = &both::<{ USR.len() + 1 + OTHER.len() }>();

/// The same for one that mounts the root itself. Its words have no other names.
pub const ROOT_WORDS: &[u8] = list!(Word::ROWS, 2, b' ');

/// For each of the other names the number of its [`Word`].
const OWNERS: [u8; OTHERS.len()] = owners(Word::ROWS, 1);

const DEFAULTS: &[u8] = list!(Word::ROWS, 3, b' ');

/// The other names that there are.
const fn others<const LENGTH: usize>() -> [[&'static str; 1]; LENGTH] {
    let (mut others, mut at, mut row) = ([[""]; LENGTH], 0, 0);
    while row < COUNT {
        let other = Word::ROWS[row][1];
        if !other.is_empty() {
            others[at] = [other];
            at += 1;
        }
        row += 1;
    }
    others
}

/// All names.
const fn both<const LENGTH: usize>() -> [u8; LENGTH] {
    let (mut list, mut at) = ([b' '; LENGTH], 0);
    while at < LENGTH {
        if at < USR.len() {
            list[at] = USR[at];
        } else if at > USR.len() {
            list[at] = OTHER[at - USR.len() - 1];
        }
        at += 1;
    }
    list
}

/// Words that ask for verity by being there.
const ABOUT_VERITY: [Word; 5] = [
    Word::Verity,
    Word::RootHash,
    Word::Data,
    Word::Tree,
    Word::VerityOptions,
];

/// What can follow a failure.
pub const ACTIONS: &[u8] = b"reboot poweroff halt panic shell";
/// The last of them: wait for a person, however long.
pub const SHELL: usize = 4;

impl Word {
    /// What it is where the command line does not have it.
    pub fn default(self) -> Text {
        word(DEFAULTS, self as usize)
    }
}

pub(crate) type Text = &'static [u8];

/// The values that the command line gives.
pub struct Asked {
    /// What the plan calls each [`Word`].
    names: Option<Text>,
    values: [Option<Text>; COUNT],
}

impl Asked {
    /// By an empty command line.
    pub const NONE: Self = Self {
        names: None,
        values: [None; COUNT],
    };

    /// Parses the command line, and what was set at the rescue console, which stands behind it.
    /// Names are as the plan has them. Of a word that is there several times the last counts, but
    /// `bar` gets every list of [`Word::Blacklist`].
    pub(crate) fn parse(
        &mut self,
        names: Option<Text>,
        lines: [Text; 2],
        bar: &mut dyn FnMut(Text),
    ) {
        self.names = names;
        for line in &lines {
            for word in cmdline::words(line) {
                let mut place = position(names.unwrap_or_default(), word.name);
                if let Some(owner) = OWNERS.get(place.wrapping_sub(COUNT)) {
                    place = usize::from(*owner);
                }
                let is_enough =
                    place == Word::Trace as usize || place == Word::Breakpoints as usize;
                let alone = is_enough.then_some(b"".as_slice());
                if let (Some(value), Some(given)) =
                    (self.values.get_mut(place), word.value.or(alone))
                {
                    *value = Some(given);
                    if place == Word::Blacklist as usize {
                        bar(given);
                    }
                }
            }
        }
    }

    /// A word as it stands on the command line.
    pub fn name(&self, asked: Word) -> Text {
        word(self.names.unwrap_or_default(), asked as usize)
    }

    /// What the command line gives for a word.
    #[inline(never)] // size: inline
    pub fn get(&self, word: Word) -> Option<Text> {
        self.values.get(word as usize).copied().flatten()
    }

    /// What the command line gives for a word, or else the default.
    pub fn value(&self, word: Word) -> Text {
        self.get(word).unwrap_or(word.default())
    }

    /// Whether any word is there that only makes sense with verity.
    pub fn is_about_verity(&self) -> bool {
        ABOUT_VERITY.iter().any(|word| self.get(*word).is_some())
    }

    /// The digit of the breakpoint before a stage, if the boot is to stop there.
    pub fn breakpoint(&self, stage: Stage) -> Option<u8> {
        let wanted = self.value(Word::Breakpoints);
        let point = stage.breakpoint().first().copied();
        // Not `contains`: that is 250 bytes of a search for long texts.
        let is_wanted = |point: &u8| wanted.is_empty() || wanted.iter().any(|byte| byte == point);
        point.filter(|point| *point != b'-' && is_wanted(point))
    }
}
