//! What went wrong, small enough to be copied, and the one line that says it.

use crate::text::{push, push_number, word};
use heapless::VecView;
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
    Open,
    Superblock,
    Control,
    Create,
    Load,
    Resume,
    Probe,
    Arm,
    Node,
    Detect,
    Loop,
    Overlay,
    Move,
    Chroot,
    Exec,
}

const STEPS: &[u8] = b"mount read plan socket options wait ambiguous open superblock control create load resume probe \
arm node detect loop overlay move chroot exec";

/// A step that failed, the kernel's reason if it gave one, and what it failed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    pub stage: Stage,
    pub step: Step,
    pub errno: Option<Errno>,
    pub subject: &'static [u8],
}

/// A failure before its stage and subject are known: small enough for a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Problem {
    step: Step,
    errno: Option<Errno>,
}

impl Step {
    /// A problem that the init found by itself.
    pub fn refused(self) -> Problem {
        Problem {
            step: self,
            errno: None,
        }
    }
}

/// Says at which step a system call failed.
pub trait At<T> {
    fn at(self, step: Step) -> Result<T, Problem>;
}

impl<T> At<T> for Result<T, Errno> {
    fn at(self, step: Step) -> Result<T, Problem> {
        self.map_err(|errno| Problem {
            step,
            errno: Some(errno),
        })
    }
}

impl Problem {
    /// The whole failure.
    pub fn on(self, stage: Stage, subject: &'static [u8]) -> Failure {
        Failure {
            stage,
            step: self.step,
            errno: self.errno,
            subject,
        }
    }
}

impl Stage {
    /// A failure with the kernel's reason.
    pub fn failed(self, step: Step, errno: Errno, subject: &'static [u8]) -> Failure {
        Failure {
            stage: self,
            step,
            errno: Some(errno),
            subject,
        }
    }

    /// A failure that the init found by itself.
    pub fn refused(self, step: Step, subject: &'static [u8]) -> Failure {
        Failure {
            stage: self,
            step,
            errno: None,
            subject,
        }
    }

    /// As the log spells it.
    pub fn name(self) -> &'static [u8] {
        word(STAGES, self as usize)
    }
}

impl Failure {
    /// Appends `FAILED stage=… step=… errno=… subject=…`.
    pub fn describe(&self, line: &mut VecView<u8>) {
        push(line, b"FAILED stage=");
        push(line, self.stage.name());
        push(line, b" step=");
        push(line, word(STEPS, self.step as usize));
        push(line, b" errno=");
        match self.errno {
            Some(errno) => push_errno(line, errno),
            None => push(line, b"-"),
        }
        push(line, b" subject=");
        push(line, self.subject);
    }
}

impl Failure {
    /// What to do about it.
    pub fn advice(&self) -> &'static [u8] {
        match (self.step, self.stage) {
            (Step::Plan, _) => b"the plan is missing or damaged: build the initrd again",
            (Step::Options, _) => b"this word of the kernel command line is missing, wrong, or contradicts another",
            (Step::Wait, _) => {
                b"it did not come up: compare with the devices above; is its driver in the initrd? is rd.earlytimeout long enough?"
            }
            (Step::Ambiguous, _) => b"several devices answer: give the copy another identifier, or name one by its /dev path",
            (Step::Superblock, _) => b"no dm-verity superblock there: check the profile's hash_offset and how the image was written",
            (Step::Probe, _) => {
                b"the first block fails verification: the root hash belongs to another image, or this one was changed: write it again"
            }
            (Step::Control, _) => b"device-mapper does not answer: are dm-mod and dm-verity in the initrd?",
            (Step::Detect, _) => b"no filesystem that is known here: btrfs, ext4, squashfs or erofs",
            (Step::Open, Stage::Stage2) => b"not in /usr: check the profile's usr.image and the contents of /usr",
            (Step::Exec, _) => b"the stage-2 image cannot be started: check the profile's usr.init",
            _ => b"the kernel's own message, if there is one, is above",
        }
    }
}

/// Error names 1 to 40, as errno(3) has them; 35 and above that a boot can meet follow as `number` byte + name.
const ERRNO_NAMES: &[u8] = b"EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT \
ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK \
EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP";
const HIGH_ERRNO_NAMES: &[u8] =
    b"=ENODATA JEBADMSG KEOVERFLOW TEILSEQ _EOPNOTSUPP iENOBUFS nETIMEDOUT tESTALE \
uEUCLEAN yEREMOTEIO {ENOMEDIUM ~ENOKEY \x7fEKEYEXPIRED \x80EKEYREVOKED \x81EKEYREJECTED";

/// Appends the error's name, or its number where the name is not one that a boot meets.
pub fn push_errno(line: &mut VecView<u8>, errno: Errno) {
    let number = errno.raw_os_error() as usize;
    let low = word(ERRNO_NAMES, number.wrapping_sub(1));
    let name = if low != b"?" {
        Some(low)
    } else {
        HIGH_ERRNO_NAMES
            .split(|byte| *byte == b' ')
            .find_map(|entry| {
                entry
                    .split_first()
                    .filter(|(code, _)| usize::from(**code) == number)
                    .map(|(_, name)| name)
            })
    };
    match name {
        Some(name) => push(line, name),
        None => push_number(line, number as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Line;

    fn line(failure: Failure) -> String {
        let mut text = Line::new();
        failure.describe(&mut text);
        String::from_utf8(text.to_vec()).unwrap()
    }

    #[test]
    fn the_line_of_the_contract() {
        assert_eq!(
            line(Stage::Verity.failed(Step::Probe, Errno::IO, b"/dev/vda2")),
            "FAILED stage=verity step=probe errno=EIO subject=/dev/vda2"
        );
        assert_eq!(
            line(Stage::SwitchRoot.refused(Step::Exec, b"/init")),
            "FAILED stage=switch-root step=exec errno=- subject=/init"
        );
        assert_eq!(
            line(Stage::Device.failed(Step::Wait, Errno::TIMEDOUT, b"PARTUUID=x")),
            "FAILED stage=device step=wait errno=ETIMEDOUT subject=PARTUUID=x"
        );
    }

    #[test]
    fn errors_by_name() {
        let name = |errno| {
            let mut text = Line::new();
            push_errno(&mut text, errno);
            String::from_utf8(text.to_vec()).unwrap()
        };
        for (errno, want) in [
            (Errno::PERM, "EPERM"),
            (Errno::IO, "EIO"),
            (Errno::RANGE, "ERANGE"),
            (Errno::LOOP, "ELOOP"),
            (Errno::NODATA, "ENODATA"),
            (Errno::BADMSG, "EBADMSG"),
            (Errno::OVERFLOW, "EOVERFLOW"),
            (Errno::ILSEQ, "EILSEQ"),
            (Errno::OPNOTSUPP, "EOPNOTSUPP"),
            (Errno::NOBUFS, "ENOBUFS"),
            (Errno::TIMEDOUT, "ETIMEDOUT"),
            (Errno::STALE, "ESTALE"),
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
