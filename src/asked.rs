//! What the kernel command line asks for, word by word. Once it is parsed nothing changes it.

use crate::failure::Stage;
use crate::format::cmdline;
use crate::format::glob::place_of;
use crate::table::{owners, place};
use crate::text::{boolean, word};
use crate::{list, table};

table! {
    /// The words that the init takes. Beside each stand its names for an init that mounts /usr, the
    /// other ones last, the same for one that mounts the root itself, and what it is where the
    /// command line does not have it.
    ///
    /// No word of a command line can be called `==`. The words that ask for verity by being there
    /// come first, then those that need no value.
    pub enum Word [5] {
        /// SPEC of the device with data and hash tree.
        Verity: "verity.usr", "", "verity.root", "", "";
        /// Hexadecimal.
        RootHash: "verity.usrhash", "usrhash", "roothash", "==", "";
        /// SPEC of the device with the data.
        Data: "systemd.verity_usr_data", "", "systemd.verity_root_data", "", "";
        /// SPEC of the device with the hash tree.
        Tree: "systemd.verity_usr_hash", "", "systemd.verity_root_hash", "", "";
        /// As in veritytab(5).
        VerityOptions: "systemd.verity_usr_options", "", "systemd.verity_root_options", "", "";
        /// Verity's words in the other mode. They are meant for stage 2, and ask for verity here,
        /// too.
        Elsewhere: "==",
            "verity.root roothash systemd.verity_root_* ==", "==",
            "verity.usr verity.usrhash systemd.verity_usr_* usrhash", "";
        /// What else begins like verity's words. Its value is the name that it has.
        Stray: "==", "verity.* systemd.verity_* usrhash* roothash*",
            "==", "verity.* systemd.verity_* usrhash* roothash*", "";
        /// Whether there may be a shell, a boolean.
        Shell: "rd.shell", "", "rd.shell", "", "yes";
        /// Whether system calls are traced: a boolean, or `file`: also into a file.
        Trace: "rd.earlytrace", "", "rd.earlytrace", "", "no";
        /// Where to stop for a person: digits of breakpoints, or a boolean.
        Breakpoints: "rd.earlyshell", "", "rd.earlyshell", "", "no";
        /// SPEC of what to mount.
        Mount: "mount.usr", "usr", "root", "==", "";
        /// For mount(2), or `auto`.
        Fstype: "mount.usrfstype", "usrfstype", "rootfstype", "==", "auto";
        /// As fstab would have them.
        MountOptions: "mount.usrflags", "usrflags", "rootflags", "==", "ro";
        /// Seconds to wait for a device.
        Timeout: "rd.earlytimeout", "", "rd.earlytimeout", "", "300";
        /// One of [`ACTIONS`].
        Emergency: "rd.emergency", "", "rd.emergency", "", "";
        /// Program to execute in the root, absolute.
        Init: "==", "", "init", "", "";
        /// Names of modules, a comma between them, that hardware is not to ask for. Each list adds
        /// to those before.
        Blacklist: "modprobe.blacklist", "", "modprobe.blacklist", "", "";
    }
}

/// How many there are.
const COUNT: usize = Word::ROWS.len();
/// How many rows have other names.
const OTHERS: usize = {
    let (mut others, mut row) = (0, 0);
    while row < COUNT {
        others += !Word::ROWS[row][1].is_empty() as usize;
        row += 1;
    }
    others
};

/// The words that an init knows which mounts /usr, as the plan has them: first the name of each
/// [`Word`], in their order, and behind these the other names.
pub const USR_WORDS: &[u8] = list!(&names(0), 0, b' ');

/// The same for one that mounts the root itself.
pub const ROOT_WORDS: &[u8] = list!(&names(2), 0, b' ');

/// For each of the other names the number of its [`Word`].
const OWNERS: [u8; place(Word::ROWS, 1, COUNT)] = owners(Word::ROWS, 1);

const DEFAULTS: &[u8] = list!(Word::ROWS, 4, b' ');

/// What a column and the one behind it have, where they have something.
const fn names(column: usize) -> [[&'static str; 1]; COUNT + OTHERS] {
    let (mut names, mut at, mut row) = ([[""]; COUNT + OTHERS], COUNT, 0);
    while row < COUNT {
        names[row] = [Word::ROWS[row][column]];
        let other = Word::ROWS[row][column + 1];
        if !other.is_empty() {
            names[at] = [other];
            at += 1;
        }
        row += 1;
    }
    names
}

const STRAY: usize = Word::Stray as usize;
/// Those before ask for verity by being there.
const FIRST_FLAG: usize = Word::Shell as usize;
/// Those before, from [`FIRST_FLAG`] on, need no value.
const FIRST_OTHER: usize = Word::Mount as usize;

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
                let mut place = place_of(names.unwrap_or_default(), word.name);
                if let Some(owner) = OWNERS.get(place.wrapping_sub(COUNT)) {
                    place = usize::from(*owner);
                }
                let mut given = word.value;
                if place < FIRST_OTHER && given.is_none() {
                    given = Some(b"yes");
                }
                if place == STRAY {
                    given = Some(word.name);
                }
                if let (Some(value), Some(given)) = (self.values.get_mut(place), given) {
                    *value = Some(given);
                    if place == Word::Blacklist as usize {
                        bar(given);
                    }
                }
            }
        }
    }

    /// A word as it stands on the command line.
    #[inline(always)] // size: inline
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

    /// A boolean word; `None`: its value is none. Whoever asks takes the stricter one then.
    #[inline(always)] // size: inline
    pub fn boolean(&self, word: Word) -> Option<bool> {
        boolean(self.value(word))
    }

    /// Whether any word is there that only makes sense with verity.
    pub fn is_about_verity(&self) -> bool {
        let mut words = self.values.iter().take(FIRST_FLAG);
        words.any(Option::is_some)
    }

    /// The digit of the breakpoint before a stage, if the boot is to stop there.
    pub fn breakpoint(&self, stage: Stage) -> Option<u8> {
        let mut wanted = self.value(Word::Breakpoints);
        // `1` is the first of them, as a boolean it is written otherwise.
        if wanted != b"1" && boolean(wanted) == Some(true) {
            wanted = b"1234";
        }
        let point = stage.breakpoint().first().copied();
        // Not `contains`: that is 250 bytes of a search for long texts.
        let is_wanted = |point: &u8| wanted.iter().any(|byte| byte == point);
        point.filter(|point| *point != b'-' && is_wanted(point))
    }
}
