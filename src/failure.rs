//! What went wrong, and the lines that say it.

use crate::text::{Line, item, push, push_named, word};
use core::num::NonZeroUsize;
use rustix::io::Errno;

/// The stages of the boot, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Stage {
    KernelFs,
    Modules,
    Device,
    Verity,
    Usr,
    Stage2,
    SwitchRoot,
}

const STAGES: &[u8] = b"kernel-fs modules device verity usr stage2 switch-root";

/// What was being done. The names, in the same order, are in [`STEPS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Step {
    Mount,
    Read,
    Plan,
    Socket,
    Options,
    Wait,
    Ambiguous,
    Module,
    Open,
    Superblock,
    Key,
    Control,
    Create,
    Load,
    Algorithm,
    Resume,
    Probe,
    Data,
    Tree,
    Arm,
    Node,
    Detect,
    Loop,
    Overlay,
    Move,
    Chroot,
    Exec,
}

const STEPS: &[u8] = b"mount read plan socket options wait ambiguous module open superblock key control create load algorithm resume \
probe data tree arm node detect loop overlay move chroot exec";

/// An error number of the kernel. A word that is never zero: results with it live in registers, and success costs nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Error(NonZeroUsize);

impl Error {
    /// No call failed, the init itself says no. Linux has no error with this number.
    pub const REFUSED: Self = Self(NonZeroUsize::new(41).unwrap());

    /// As errno(3) numbers them; 0: [`Error::REFUSED`].
    pub fn from_number(number: usize) -> Self {
        NonZeroUsize::new(number).map_or(Self::REFUSED, Self)
    }

    /// What a system call left that returns nothing: the error's number, or zero.
    #[inline(always)]
    pub fn in_number(number: usize) -> Result<(), Self> {
        match NonZeroUsize::new(number) {
            None => Ok(()),
            Some(number) => Err(Self(number)),
        }
    }

    /// As errno(3) numbers them.
    #[inline(always)]
    pub fn number(self) -> usize {
        self.0.get()
    }

    /// Whether it is this one.
    #[inline(always)]
    pub fn is(self, errno: Errno) -> bool {
        self.0.get() == errno.raw_os_error() as usize
    }

    /// Appends its name, or its number where the name is not one that a boot meets.
    pub fn push(self, line: &mut Line) {
        push_errno(line, self.0.get());
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self(NonZeroUsize::new(errno.raw_os_error() as usize).unwrap_or(NonZeroUsize::MIN))
    }
}

impl Stage {
    /// As the log spells it.
    pub fn name(self) -> &'static [u8] {
        word(STAGES, self as usize)
    }
}

/// Appends `step=… errno=… subject=…`.
pub fn describe(step: Step, error: Error, subject: &[u8], line: &mut Line) {
    push(line, b"step=");
    push(line, word(STEPS, step as usize));
    push(line, b" errno=");
    error.push(line);
    push(line, b" subject=");
    push(line, subject);
}

impl Step {
    /// What to do when it failed; empty where the kernel's own messages say more.
    pub fn advice(self) -> &'static [u8] {
        item(ADVICE, b'\n', self as usize)
    }
}

/// For each step of [`Step`], a line.
const ADVICE: &[u8] = b"
no /proc in this kernel
missing or damaged: rebuild the initrd

missing, wrong, or against another word or the profile
compare with the devices below, check driver and rd.earlytimeout
several devices answer: name one by its /dev path
see below, rebuild the initrd

missing, or not the one asked for: check hash-offset and the image
no signature by a key that this kernel trusts
are dm-mod and dm-verity in the initrd?

see below, check options and length of the root hash
is its module in the initrd?

wrong root hash or salt, or the image was changed
data not readable: check the disk
hash tree not readable: check the disk


no known filesystem: name usrfstype or hash-offset




not in the stage-2 image: check usr.init";

/// The names of errors that a boot can meet, as errno(3) has them, each behind its number; `-` is [`Error::REFUSED`].
pub const ERRNO_NAMES: &[u8] = b"\x01EPERM \x02ENOENT \x05EIO \x06ENXIO \x08ENOEXEC \x0BEAGAIN \x0CENOMEM \x0DEACCES \x10EBUSY \x11EEXIST \x13ENODEV \
\x14ENOTDIR \x15EISDIR \x16EINVAL \x1CENOSPC \x1EEROFS &ENOSYS 'ENOTEMPTY (ELOOP )- \
JEBADMSG _EOPNOTSUPP nETIMEDOUT uEUCLEAN yEREMOTEIO {ENOMEDIUM ~ENOKEY \x81EKEYREJECTED";

/// Appends the error's name, or its number where the name is not one that a boot meets.
pub fn push_errno(line: &mut Line, number: usize) {
    push_named(line, ERRNO_NAMES, number, number);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Line;

    fn line(step: Step, error: impl Into<Error>, subject: &str) -> String {
        let mut text = Line::new();
        describe(step, error.into(), subject.as_bytes(), &mut text);
        String::from_utf8(text.to_vec()).unwrap()
    }

    #[test]
    fn the_line_of_the_contract() {
        assert_eq!(
            line(Step::Probe, Errno::IO, "/dev/vda2"),
            "step=probe errno=EIO subject=/dev/vda2"
        );
        assert_eq!(
            line(Step::Exec, Error::REFUSED, "/init"),
            "step=exec errno=- subject=/init"
        );
        assert_eq!(
            line(Step::Wait, Errno::TIMEDOUT, "PARTUUID=x"),
            "step=wait errno=ETIMEDOUT subject=PARTUUID=x"
        );
    }

    #[test]
    fn advice_stands_with_its_step() {
        let advice = |step: Step| std::str::from_utf8(step.advice()).unwrap();
        assert!(advice(Step::Plan).contains("rebuild"));
        assert!(advice(Step::Options).contains("against"));
        assert!(advice(Step::Load).contains("length"));
        assert!(advice(Step::Probe).contains("root hash"));
        assert!(advice(Step::Key).contains("signature"));
        assert!(advice(Step::Algorithm).contains("module"));
        assert!(advice(Step::Data).contains("data"));
        assert!(advice(Step::Tree).contains("hash tree"));
        assert!(advice(Step::Detect).contains("filesystem"));
        assert!(advice(Step::Exec).contains("usr.init"));
        assert_eq!(advice(Step::Mount), "");
        assert_eq!(
            ADVICE.iter().filter(|byte| **byte == b'\n').count(),
            Step::Exec as usize
        );
    }

    #[test]
    fn errors_by_name() {
        let name = |errno: Errno| {
            let mut text = Line::new();
            Error::from(errno).push(&mut text);
            String::from_utf8(text.to_vec()).unwrap()
        };
        for (errno, want) in [
            (Errno::PERM, "EPERM"),
            (Errno::IO, "EIO"),
            (Errno::RANGE, "34"),
            (Errno::LOOP, "ELOOP"),
            (Errno::BADMSG, "EBADMSG"),
            (Errno::OPNOTSUPP, "EOPNOTSUPP"),
            (Errno::TIMEDOUT, "ETIMEDOUT"),
            (Errno::UCLEAN, "EUCLEAN"),
            (Errno::REMOTEIO, "EREMOTEIO"),
            (Errno::NOMEDIUM, "ENOMEDIUM"),
            (Errno::NOKEY, "ENOKEY"),
            (Errno::KEYREJECTED, "EKEYREJECTED"),
            (Errno::XFULL, "54"),
        ] {
            assert_eq!(name(errno), want);
        }
    }

    #[test]
    fn every_step_has_its_name() {
        let count = |list: &[u8]| list.split(|byte| *byte == b' ').count();
        assert_eq!(count(STEPS), Step::Exec as usize + 1);
        assert_eq!(word(STEPS, Step::Exec as usize), b"exec");
        assert_eq!(word(STEPS, Step::Probe as usize), b"probe");
        assert_eq!(count(STAGES), Stage::SwitchRoot as usize + 1);
    }
}
