//! What went wrong, and the lines that say it.

use crate::text::{Line, item, placed, push, push_placed, word};
use crate::{list, places, table};
use core::num::{NonZeroU64, NonZeroUsize};
use linux_raw_sys::errno::*;
use rustix::io::Errno;

table! {
    /// The stages of the boot, in order: as the log calls them, and the digit of the breakpoint
    /// before each.
    pub enum Stage [2] {
        KernelFs: "kernel-fs", "-";
        Modules: "modules", "1";
        Device: "device", "-";
        Verity: "verity", "2";
        Usr: "usr", "3";
        Stage2: "stage2", "-";
        SwitchRoot: "switch-root", "4";
    }
}

const STAGES: &[u8] = list!(Stage::ROWS, 0, b' ');
const BREAKPOINTS: &[u8] = list!(Stage::ROWS, 1, b' ');

table! {
    /// What was being done: as the log calls it, and what to do when it failed. There is no advice
    /// where the kernel's own messages say more.
    pub enum Step [2] {
        Mount: "mount", "";
        Read: "read", "no /proc in this kernel";
        Plan: "plan", "missing or damaged: rebuild the initrd";
        Socket: "socket", "";
        Options: "options", "missing, wrong, or against another word or profile";
        Wait: "wait", "compare devices below, check driver and rd.earlytimeout";
        Ambiguous: "ambiguous", "several devices answer: name one by its /dev path";
        Module: "module", "see below, rebuild the initrd";
        Open: "open", "";
        Superblock: "superblock",
            "missing, or not as asked for: check hash-offset and image";
        Key: "key", "no signature by a key this kernel trusts";
        Control: "control", "are dm-mod and dm-verity in the initrd?";
        Create: "create", "";
        Load: "load", "see below, check options and length of root hash";
        Algorithm: "algorithm", "is its module in the initrd?";
        Resume: "resume", "";
        Probe: "probe", "wrong root hash or salt, or the image was changed";
        Data: "data", "data not readable: check the disk";
        Tree: "tree", "hash tree not readable: check the disk";
        Node: "node", "";
        Detect: "detect", "no known filesystem: name usrfstype or hash-offset";
        Loop: "loop", "";
        Overlay: "overlay", "";
        Move: "move", "";
        Chroot: "chroot", "";
        Exec: "exec", "not in the stage-2 image: check usr.init";
    }
}

const STEPS: &[u8] = list!(Step::ROWS, 0, b' ');
const ADVICE: &[u8] = list!(Step::ROWS, 1, b'\n');

/// An error number of the kernel. As it is never zero, a `Result<(), Error>` is one register in
/// which zero is success.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Error(NonZeroUsize);

impl Error {
    /// No system call has failed: the init itself refuses something. Linux has no error with this
    /// number.
    pub const REFUSED: Self = Self(NonZeroUsize::new(41).unwrap());

    /// As errno(3) numbers them; 0: [`Error::REFUSED`].
    pub fn from_number(number: usize) -> Self {
        NonZeroUsize::new(number).map_or(Self::REFUSED, Self)
    }

    /// The result of a system call that has no value, from the number that it left: zero, or the
    /// error's.
    #[inline(always)] // size: inline
    pub fn in_number(number: usize) -> Result<(), Self> {
        match NonZeroUsize::new(number) {
            None => Ok(()),
            Some(number) => Err(Self(number)),
        }
    }

    /// As errno(3) numbers them.
    #[inline(always)] // size: inline
    pub fn number(self) -> usize {
        self.0.get()
    }

    /// Whether it is the error with this name.
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

    /// The digit of the breakpoint before it, or `-`.
    pub fn breakpoint(self) -> &'static [u8] {
        word(BREAKPOINTS, self as usize)
    }
}

/// What went wrong: the step, the error, and who or what it happened to. One word as well, which is
/// never zero.
///
/// | bits | |
/// |---|---|
/// | 0 to 15 | the [`Error`] |
/// | 16 to 23 | the [`Step`] |
/// | 24 to 31 | one more than the [`Stage`], or 0 before that is known |
/// | 32 to 63 | the subject, as a number that its giver can turn into a text |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure(NonZeroU64);

impl Failure {
    /// The subject and the stage are not known yet.
    pub fn new(step: Step, error: Error) -> Self {
        let number = error.number() as u64 | (step as u64) << 16;
        Self(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }

    /// It happened in this stage, unless it is said already that it was another one.
    pub fn in_stage(self, stage: Stage) -> Self {
        match self.part(24) {
            0 => Self(self.0 | (stage as u64 + 1) << 24),
            _ => self,
        }
    }

    /// It happened to this subject. To be said once.
    pub fn about(self, subject: u32) -> Self {
        Self(self.0 | u64::from(subject) << 32)
    }

    fn part(self, shift: u32) -> usize {
        (self.0.get() >> shift) as u8 as usize
    }

    pub fn error(self) -> Error {
        Error::from_number(self.0.get() as u16 as usize)
    }

    pub fn subject(self) -> u32 {
        (self.0.get() >> 32) as u32
    }

    /// Whether it happened in a later stage than this one.
    pub fn is_after(self, stage: Stage) -> bool {
        self.part(24) > stage as usize + 1
    }

    /// The name of its stage.
    pub fn stage(self) -> &'static [u8] {
        word(STAGES, self.part(24).wrapping_sub(1))
    }

    /// What to do about it; empty where the kernel's own messages say more.
    pub fn advice(self) -> &'static [u8] {
        item(ADVICE, b'\n', self.part(16))
    }

    /// Appends `step=… errno=… subject=…`.
    pub fn push(self, subject: &[u8], line: &mut Line) {
        push(line, b"step=");
        push(line, word(STEPS, self.part(16)));
        push(line, b" errno=");
        self.error().push(line);
        push(line, b" subject=");
        push(line, subject);
    }
}

/// The names of errors that a boot or a traced call can meet.
const ERRORS: [(u32, &str); 38] = [
    (EPERM, "EPERM"),
    (ENOENT, "ENOENT"),
    (EINTR, "EINTR"),
    (EIO, "EIO"),
    (ENXIO, "ENXIO"),
    (ENOEXEC, "ENOEXEC"),
    (EBADF, "EBADF"),
    (ECHILD, "ECHILD"),
    (EAGAIN, "EAGAIN"),
    (ENOMEM, "ENOMEM"),
    (EACCES, "EACCES"),
    (EFAULT, "EFAULT"),
    (EBUSY, "EBUSY"),
    (EEXIST, "EEXIST"),
    (ENODEV, "ENODEV"),
    (ENOTDIR, "ENOTDIR"),
    (EISDIR, "EISDIR"),
    (EINVAL, "EINVAL"),
    (EMFILE, "EMFILE"),
    (ENOTTY, "ENOTTY"),
    (ENOSPC, "ENOSPC"),
    (ESPIPE, "ESPIPE"),
    (EROFS, "EROFS"),
    (ERANGE, "ERANGE"),
    (ENAMETOOLONG, "ENAMETOOLONG"),
    (ENOSYS, "ENOSYS"),
    (ENOTEMPTY, "ENOTEMPTY"),
    (ELOOP, "ELOOP"),
    (Error::REFUSED.0.get() as u32, "-"),
    (EBADMSG, "EBADMSG"),
    (EOPNOTSUPP, "EOPNOTSUPP"),
    (ENOBUFS, "ENOBUFS"),
    (ETIMEDOUT, "ETIMEDOUT"),
    (EUCLEAN, "EUCLEAN"),
    (EREMOTEIO, "EREMOTEIO"),
    (ENOMEDIUM, "ENOMEDIUM"),
    (ENOKEY, "ENOKEY"),
    (EKEYREJECTED, "EKEYREJECTED"),
];

/// The names at the places of their numbers.
const ERRNO_NAMES: &[u8] = places!(ERRORS);

/// The name of the error with this number; `-` for [`Error::REFUSED`].
pub fn errno_name(number: usize) -> Option<&'static [u8]> {
    placed(ERRNO_NAMES, number)
}

/// Appends the error's name, or its number where the name is not one that a boot meets.
pub fn push_errno(line: &mut Line, number: usize) {
    push_placed(line, ERRNO_NAMES, number, number);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Line;

    fn line(step: Step, error: impl Into<Error>, subject: &str) -> String {
        let mut text = Line::new();
        Failure::new(step, error.into()).push(subject.as_bytes(), &mut text);
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
        let advice = |step: Step| {
            let failure = Failure::new(step, Error::REFUSED);
            std::str::from_utf8(failure.advice()).unwrap()
        };
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
        // It is logged as a template.
        assert!(!ADVICE.contains(&b'%'));
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
            (Errno::RANGE, "ERANGE"),
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

    /// Each part is read back as it was put in, and the stage that was named first stays.
    #[test]
    fn parts_of_a_failure() {
        let failure = Failure::new(Step::Exec, Errno::KEYREJECTED.into()).about(u32::MAX);
        assert_eq!(failure.error(), Errno::KEYREJECTED.into());
        assert_eq!(failure.subject(), u32::MAX);
        assert!(failure.advice().ends_with(b"usr.init"));
        let failure = failure.in_stage(Stage::Verity);
        assert_eq!(failure.in_stage(Stage::Usr).stage(), b"verity");
        assert!(failure.is_after(Stage::Device) && !failure.is_after(Stage::Verity));
        assert_eq!(failure.error(), Errno::KEYREJECTED.into());
        let first = Failure::new(Step::Mount, Error::REFUSED).in_stage(Stage::KernelFs);
        assert_eq!((first.stage(), first.subject()), (&b"kernel-fs"[..], 0));
    }

    #[test]
    fn every_step_has_its_name() {
        assert_eq!(word(STEPS, Step::Mount as usize), b"mount");
        assert_eq!(word(STEPS, Step::Exec as usize), b"exec");
        assert_eq!(word(STEPS, Step::Probe as usize), b"probe");
        assert_eq!(Stage::SwitchRoot.name(), b"switch-root");
        assert_eq!(Stage::SwitchRoot.breakpoint(), b"4");
    }
}
