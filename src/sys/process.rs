//! Processes: our own start, arguments and end, and children.

use super::call::*;
use super::files::{File, open, poll};
use core::ffi::{CStr, c_char};
use core::mem::size_of;
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::TIOCSCTTY;
use rustix::fs::OFlags;
use rustix::io::Errno;
use toehold::failure::Error;

/// The commands of reboot(2) (linux/reboot.h) for each of [`ACTIONS`](toehold::asked::ACTIONS). For
/// `panic` there is none: 0 stands for ending PID 1, which the kernel answers with a panic.
const ENDS: [u32; 4] = [0x0123_4567, 0x4321_FEDC, 0xCDEF_0123, 0];

/// What the kernel put on the stack, to be handed on unchanged: argument count, arguments, NULL,
/// environment, NULL.
#[derive(Clone, Copy)]
pub struct Arguments(*const usize);

/// Says what the program is: a function that gets the program's whole state, which starts as
/// `$none`, and its arguments. It must not return.
macro_rules! entry {
    ($main:path, $state:ty, $none:expr) => {
        mod entry {
            #![allow(unsafe_code)]
            use super::*;

            /// All state. In zeroed memory: on the stack it would have to be cleared, and be larger
            /// than a page.
            struct State(core::cell::UnsafeCell<$state>);

            // SAFETY: the program has one thread.
            unsafe impl Sync for State {}

            static STATE: State = State(core::cell::UnsafeCell::new($none));

            /// First Rust code, called by the entry point with the initial stack.
            ///
            /// # Safety
            /// `stack` is the stack pointer as the kernel sets it.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn toehold_start(stack: *const usize) -> ! {
                // SAFETY: one thread, and this is called once.
                let state = unsafe { &mut *STATE.0.get() };
                // SAFETY: the caller's promise.
                $main(state, unsafe { Arguments::on(stack) })
            }
        }
    };
}
pub(crate) use entry;

unsafe extern "C" {
    /// What [`entry`] makes.
    pub fn toehold_start(stack: *const usize) -> !;
}

impl Arguments {
    /// Of a program that was not started.
    pub const NONE: Self = Self(core::ptr::null());

    /// Those on the initial stack.
    ///
    /// # Safety
    /// `stack` is the stack pointer as the kernel sets it.
    pub unsafe fn on(stack: *const usize) -> Self {
        Self(stack)
    }

    /// The word at `index` of the stack.
    fn at(self, index: usize) -> *const usize {
        // SAFETY: indices are the argument count, and what is found behind it.
        unsafe { self.0.add(index) }
    }

    /// How many arguments there are. The kernel itself sees to it that there is one.
    fn count(self) -> usize {
        // SAFETY: it is there, see `on`.
        unsafe { *self.0 }
    }

    fn text(self, index: usize) -> &'static CStr {
        // SAFETY: arguments are the words from 1 to their count.
        let address = unsafe { *self.at(index) };
        // SAFETY: each is NUL-terminated, and stays.
        unsafe { CStr::from_ptr(address as *const c_char) }
    }

    /// The name that the program was called by.
    pub fn first(self) -> &'static [u8] {
        self.text(1).to_bytes()
    }

    /// The last argument: for modprobe, the name that is asked for.
    pub fn last(self) -> &'static [u8] {
        self.text(self.count()).to_bytes()
    }

    /// Becomes another program, with the arguments and environment that we were given, but for its
    /// own name. Returns only on failure.
    pub fn execute(self, path: &CStr) -> Error {
        // SAFETY: the vector is on our own stack, and there is a first argument.
        unsafe { *self.at(1).cast_mut() = path.as_ptr() as usize };
        self.execute_with(path, self.at(1))
    }

    /// Executes the init again, as the kernel started it. Returns only on failure.
    pub fn start_over(self) {
        let _ = self.execute(self.text(1));
    }

    /// Becomes a shell. Returns only on failure.
    pub fn execute_shell(self, path: &CStr) {
        let arguments = [c"sh".as_ptr() as usize, 0];
        let _ = self.execute_with(path, arguments.as_ptr());
    }

    fn execute_with(self, path: &CStr, arguments: *const usize) -> Error {
        execute(path, arguments, self.at(self.count() + 2))
    }
}

/// Becomes another program, with its own name as the only argument, and without any environment.
/// Returns only on failure.
pub fn execute_alone(path: &CStr) -> Error {
    let vectors = [path.as_ptr() as usize, 0];
    let [_, end] = &vectors;
    execute(path, vectors.as_ptr(), end)
}

#[inline(never)] // size: inline
fn execute(path: &CStr, arguments: *const usize, environment: *const usize) -> Error {
    // SAFETY: the path is NUL-terminated, both vectors end with null.
    let answer = unsafe {
        done3(
            __NR_execve,
            path.as_ptr() as usize,
            arguments as usize,
            environment as usize,
        )
    };
    answer.err().unwrap_or(Errno::IO.into())
}

pub fn id() -> usize {
    // SAFETY: takes nothing, cannot fail.
    unsafe { value0(__NR_getpid) }
}

/// Ends the boot by the action that has this place in [`ACTIONS`](toehold::asked::ACTIONS); any
/// other number restarts the machine.
pub fn end(action: usize) -> ! {
    let [restart, ..] = &ENDS;
    let command = *ENDS.get(action).unwrap_or(restart) as usize;
    if command == 0 {
        exit(1);
    }
    // What is still to be written may hang with a disk: it is not waited for by this process.
    let _ = spawn(|| {
        // SAFETY: takes nothing.
        unsafe { value0(__NR_sync) };
        reboot(command);
        0
    });
    loop {
        // This kernel may be unable to do it, and PID 1 must not end.
        poll(&[], 10_000_000);
        reboot(command);
    }
}

/// Source: reboot(2). The fourth argument is not used by these commands.
fn reboot(command: usize) {
    const MAGIC1: usize = 0xFEE1_DEAD;
    const MAGIC2: usize = 0x2812_1969;
    // SAFETY: numbers only.
    let _ = unsafe { value3(__NR_reboot, MAGIC1, MAGIC2, command) };
}

/// Closes everything but standard input, output and error.
pub fn close_all() {
    // SAFETY: numbers only; what is closed is not used any more.
    let _ = unsafe { value3(__NR_close_range, 3, u32::MAX as usize, 0) };
}

/// Makes this process the leader of a session whose terminal that is, as standard input, output and
/// error.
///
/// Source: tty_ioctl(4), credentials(7).
pub fn take_terminal(path: &CStr) -> Result {
    // SAFETY: takes nothing.
    let _ = unsafe { value0(__NR_setsid) };
    let terminal = open(path, OFlags::RDWR)?;
    // SAFETY: takes a number. Where opening did it already, nothing changes.
    let _ = unsafe { terminal.ioctl(TIOCSCTTY, 0) };
    for standard in 0..3 {
        // SAFETY: numbers only.
        unsafe { done3(__NR_dup3, terminal.number(), standard, 0) }?;
    }
    Ok(())
}

/// Runs `work` in a child with a copy of everything, whose exit code is what it returns. Returns
/// the child's number.
pub fn spawn(work: impl FnOnce() -> usize) -> Result<usize> {
    match fork()? {
        0 => exit(work()),
        child => Ok(child),
    }
}

#[inline(never)] // size: inline
fn fork() -> Result<usize> {
    // SAFETY: a child with memory of its own, on the same stack; nothing else is shared. Further
    // arguments are not looked at, since no flag asks for that.
    unsafe { result2(__NR_clone, SIGCHLD as usize, 0) }
}

/// Sets of signals as the kernel takes them: the end of a child, and ^Z, after which nobody would
/// wake the child up; and no signal at all.
static CHILD: u64 = 1 << (SIGCHLD - 1) | 1 << (SIGTSTP - 1);
static NONE: u64 = 0;

fn set_mask(mask: &u64) {
    let (mask, len) = (&raw const *mask as usize, size_of::<u64>());
    // SAFETY: reads a u64; the old mask is not wanted. Cannot fail.
    let _ = unsafe { value4(__NR_rt_sigprocmask, SIG_SETMASK as usize, mask, 0, len) };
}

/// A descriptor that can be read when a child has ended, until [`forget_children`].
pub fn watch_children() -> Result<File> {
    const CLOEXEC_NONBLOCK: usize = 0o2004000;
    set_mask(&CHILD);
    let (mask, len) = (&raw const CHILD as usize, size_of::<u64>());
    // SAFETY: reads a u64; makes a new descriptor.
    unsafe { result4(__NR_signalfd4, !0, mask, len, CLOEXEC_NONBLOCK) }.map(File::new)
}

/// Blocks all signals: no key that is pressed ends this process.
pub fn block_signals() {
    static ALL: u64 = !0;
    set_mask(&ALL);
}

/// Unblocks all signals, as the kernel starts a process: what is executed inherits the mask.
pub fn forget_children() {
    set_mask(&NONE);
}

/// A child that ended, and its exit code; `None` for one that was killed.
pub fn ended() -> Option<(usize, Option<usize>)> {
    wait_for(!0, WNOHANG as usize)
}

/// Waits for a child, as wait4(2) takes it.
pub fn wait_for(child: usize, options: usize) -> Option<(usize, Option<usize>)> {
    let mut status = 0u32;
    // SAFETY: writes a u32; the usage of resources is not wanted.
    let child = unsafe { result4(__NR_wait4, child, &raw mut status as usize, options, 0) };
    let code = (status & 0x7F == 0).then_some((status >> 8 & 0xFF) as usize);
    child
        .ok()
        .filter(|child| *child != 0)
        .map(|child| (child, code))
}

#[inline(always)] // size: inline
pub fn exit(code: usize) -> ! {
    loop {
        // SAFETY: does not return.
        unsafe { value1(__NR_exit_group, code) };
    }
}
