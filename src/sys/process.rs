//! The process itself: its start, its arguments, what it becomes, and its end.

use super::call::*;
use core::ffi::{CStr, c_char};
use linux_raw_sys::general::*;
use rustix::io::Errno;
use toehold::failure::Error;

/// What the kernel put on the stack, to be handed on unchanged.
pub struct Arguments {
    arguments: *const *const c_char,
    environment: *const *const c_char,
}

/// First Rust code, called by the entry point with the initial stack.
///
/// # Safety
/// `stack` is the stack pointer as the kernel sets it: argument count, arguments, NULL, environment, NULL.
pub unsafe extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: the argument count is there.
    let count = unsafe { *stack };
    // SAFETY: the arguments follow their count.
    let arguments = unsafe { stack.add(1) }.cast();
    // SAFETY: the environment follows the arguments and their NULL.
    let environment = unsafe { stack.add(count + 2) }.cast();
    crate::main(&Arguments {
        arguments,
        environment,
    })
}

impl Arguments {
    /// Becomes another program, with the arguments and environment that we were given. Returns only on failure.
    pub fn execute(&self, path: &CStr) -> Error {
        // SAFETY: the path is NUL-terminated, both vectors are the kernel's own.
        let answer = unsafe {
            value3(
                __NR_execve,
                path.as_ptr() as usize,
                self.arguments as usize,
                self.environment as usize,
            )
        };
        check(answer).err().unwrap_or(Errno::IO.into())
    }
}

pub fn id() -> usize {
    // SAFETY: takes nothing, cannot fail.
    unsafe { value0(__NR_getpid) }
}

/// Restarts the machine at once. Returns only if the kernel will not.
pub fn restart() {
    /// linux/reboot.h.
    const MAGIC1: usize = 0xFEE1_DEAD;
    const MAGIC2: usize = 0x2812_1969;
    const RESTART: usize = 0x0123_4567;
    // SAFETY: the fourth argument is not used by this command.
    let _ = unsafe { value3(__NR_reboot, MAGIC1, MAGIC2, RESTART) };
}

pub fn exit(code: usize) -> ! {
    loop {
        // SAFETY: does not return.
        unsafe { value1(__NR_exit_group, code) };
    }
}
