//! Files, directories and block devices.

use super::call::*;
use super::memory::end;
use core::ffi::{CStr, c_char};
use linux_raw_sys::general::*;
use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;
use toehold::format::ReadAt;
use toehold::text::{Line, push_format};

/// An open file. Dropping it does not close it: what is opened once stays open until execve, and
/// what is opened again and again is closed by [`File::close`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct File(usize);

/// The directory that relative paths start from.
pub const CWD: File = File(AT_FDCWD as usize);

/// Standard input. It is also what a file in zeroed memory is before it is opened.
pub const STDIN: File = File(0);

/// Standard output: what a person at the console sees.
pub const STDOUT: File = File(1);

/// Standard error: where messages go before there is a log.
pub const STDERR: File = File(2);

/// No file: every system call fails with it.
pub const NONE: File = File(usize::MAX);

/// What stat(2) tells.
pub struct Status {
    /// The device that the file lies on.
    pub device: u64,
    /// Bytes.
    pub size: usize,
}

/// Opens `path`, below `directory` if it is relative. Files that are made have mode 0644. Always
/// close-on-exec.
pub fn open_at(directory: File, path: &CStr, flags: OFlags) -> Result<File> {
    open_thin(directory, path.as_ptr(), flags)
}

/// Opens an absolute path.
pub fn open(path: &CStr, flags: OFlags) -> Result<File> {
    open_here(path.as_ptr(), flags)
}

/// Opens the file whose path is `template` with the `parts` in place of its `%`. There is none if
/// that is too long.
pub fn open_formatted(template: &[u8], parts: &[&[u8]], flags: OFlags) -> Result<File> {
    let mut path = Line::new();
    push_format(&mut path, template, parts);
    open(end(&mut path), flags)
}

#[inline(never)] // size: inline
fn open_here(path: *const c_char, flags: OFlags) -> Result<File> {
    open_thin(CWD, path, flags)
}

// A `&CStr` is two words, address and length, and the kernel wants the address only. So the
// function that is called from many places takes just that.
fn open_thin(directory: File, path: *const c_char, flags: OFlags) -> Result<File> {
    let flags = flags | OFlags::CLOEXEC;
    // SAFETY: the path comes from a CStr.
    unsafe {
        result4(
            __NR_openat,
            directory.number(),
            path as usize,
            flags.bits() as usize,
            0o644,
        )
    }
    .map(File)
}

/// Makes a file with this content, or replaces it.
pub fn write_file(path: &CStr, content: &[u8]) -> Result {
    let file = open(path, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC)?;
    let result = file.write(content);
    file.close();
    result
}

/// Reads the beginning of a file, as much as `text` holds. Its path is `path` with the `parts` in
/// place of its `%`.
pub fn read(text: &mut Line, path: &[u8], parts: &[&[u8]]) -> Result {
    let file = open_formatted(path, parts, OFlags::RDONLY)?;
    let result = file.read(text);
    file.close();
    result
}

/// As [`read`], for the small files of kernel filesystems, which end in a newline: what cannot be
/// read is empty.
pub fn contents<'a>(text: &'a mut Line, path: &[u8], parts: &[&[u8]]) -> &'a [u8] {
    match (read(text, path, parts), text.as_slice()) {
        (Ok(()), [line @ .., b'\n'] | line) => line,
        (Err(_), _) => b"",
    }
}

/// Calls `visit` with the name of each entry of a directory, whose path is given as for [`read`].
/// One that cannot be read has none.
pub fn each_entry(path: &[u8], parts: &[&[u8]], visit: &mut dyn FnMut(&[u8])) {
    if let Ok(directory) = open_formatted(path, parts, OFlags::RDONLY) {
        each_entry_of(directory, &mut |name| visit(name.to_bytes()));
        directory.close();
    }
}

/// Calls `visit` with the name of each entry, `.` and `..` left out. Entries may be removed
/// meanwhile.
#[inline(always)] // size: inline
pub fn each_entry_of(directory: File, visit: &mut dyn FnMut(&CStr)) {
    /// Offset of `d_name` in `struct linux_dirent64`; before it the record's length (u16) and the
    /// type (u8).
    const NAME: usize = 19;
    let mut records = Line::new();
    while directory.fill(__NR_getdents64, &mut records).is_ok() && !records.is_empty() {
        let mut rest = records.as_slice();
        while let Some((head, name)) = rest.split_first_chunk::<NAME>() {
            let [.., low, high, _] = *head;
            rest = rest
                .get(u16::from_ne_bytes([low, high]).into()..)
                .unwrap_or_default();
            // SAFETY: the kernel ends each name with a NUL inside its record.
            let name = unsafe { CStr::from_ptr(name.as_ptr().cast()) };
            if !matches!(name.to_bytes(), b"." | b"..") {
                visit(name);
            }
        }
    }
}

/// Makes a directory, mode 0755; one that is there is good.
pub fn make_directory(path: &CStr) -> Result {
    make_directory_thin(path.as_ptr())
}

fn make_directory_thin(path: *const c_char) -> Result {
    // SAFETY: the path comes from a CStr.
    match unsafe { done3(__NR_mkdirat, CWD.number(), path as usize, 0o755) } {
        Err(error) if !error.is(Errno::EXIST) => Err(error),
        _ => Ok(()),
    }
}

/// Makes a symbolic link.
pub fn symlink(target: &CStr, path: &CStr) -> Result {
    // SAFETY: both are NUL-terminated.
    unsafe {
        done3(
            __NR_symlinkat,
            target.as_ptr() as usize,
            CWD.number(),
            path.as_ptr() as usize,
        )
    }
}

/// Gives a file or a directory another name; what has that is replaced, unless it is a directory
/// that is not empty.
pub fn rename(from: &CStr, to: &CStr) -> Result {
    // SAFETY: both are NUL-terminated.
    unsafe {
        done5(
            __NR_renameat2,
            CWD.number(),
            from.as_ptr() as usize,
            CWD.number(),
            to.as_ptr() as usize,
            0,
        )
    }
}

/// Removes a file, or with [`AtFlags::REMOVEDIR`] an empty directory.
pub fn remove_at(directory: File, name: &CStr, flags: AtFlags) -> Result {
    // SAFETY: the name is NUL-terminated.
    unsafe {
        done3(
            __NR_unlinkat,
            directory.number(),
            name.as_ptr() as usize,
            flags.bits() as usize,
        )
    }
}

/// Waits until one of the files, ten at most, can be read, `microseconds` at most. Returns early on
/// whatever the kernel thinks a reason.
pub fn poll(files: &[File], microseconds: u64) {
    const POLLIN: i16 = 1;
    let mut polls = [const {
        pollfd {
            fd: -1,
            events: POLLIN,
            revents: 0,
        }
    }; 10];
    for (poll, file) in polls.iter_mut().zip(files) {
        poll.fd = file.number() as i32;
    }
    let time = timespec {
        tv_sec: (microseconds / 1_000_000) as i64,
        tv_nsec: (microseconds % 1_000_000) as i64 * 1000,
    };
    // SAFETY: ten pollfds, one timespec; no signal mask.
    let _ = unsafe {
        value5(
            __NR_ppoll,
            polls.as_mut_ptr() as usize,
            polls.len(),
            &raw const time as usize,
            0,
            0,
        )
    };
}

impl File {
    /// From a system call that made a descriptor.
    pub fn new(number: usize) -> Self {
        Self(number)
    }

    /// Waits until nobody else has this file locked. The lock ends with the process at the latest.
    pub fn lock(self) -> Result {
        // SAFETY: numbers only.
        unsafe { done2(__NR_flock, self.number(), LOCK_EX as usize) }
    }

    /// Locks this file, or fails where somebody else has done it.
    pub fn try_lock(self) -> Result {
        // SAFETY: numbers only.
        unsafe { done2(__NR_flock, self.number(), (LOCK_EX | LOCK_NB) as usize) }
    }

    /// As system calls take it.
    pub fn number(self) -> usize {
        self.0
    }

    /// Gives the descriptor back.
    pub fn close(self) {
        // SAFETY: the caller does not use it any more. There is nothing to do about an error.
        let _ = unsafe { value1(__NR_close, self.number()) };
    }

    /// Reads once, as much as `text` holds, in place of what it had.
    pub fn read(self, text: &mut Line) -> Result {
        self.fill(__NR_read, text)
    }

    /// The same by a call that takes what read(2) takes.
    fn fill(self, call: u32, text: &mut Line) -> Result {
        let (to, room) = (text.as_mut_ptr() as usize, text.capacity());
        // SAFETY: a text is as long as its capacity.
        let len = unsafe { result3(call, self.number(), to, room) }?;
        // SAFETY: so many bytes were written, not more than there is room for.
        unsafe { text.set_len(len) };
        Ok(())
    }

    /// Fills the whole buffer from a byte offset; EIO at the end of the file.
    pub fn read_exact_at(self, offset: u64, buffer: &mut [u8]) -> Result {
        // SAFETY: the buffer is as long as it says.
        let read = unsafe {
            result4(
                __NR_pread64,
                self.number(),
                buffer.as_mut_ptr() as usize,
                buffer.len(),
                offset as usize,
            )
        }?;
        if read == buffer.len() {
            Ok(())
        } else {
            Err(Errno::IO.into())
        }
    }

    /// Writes once: files and the log take all of it, or there is no room.
    pub fn write(self, bytes: &[u8]) -> Result {
        // SAFETY: the slice is as long as it says.
        let written = unsafe {
            result3(
                __NR_write,
                self.number(),
                bytes.as_ptr() as usize,
                bytes.len(),
            )
        }?;
        match written == bytes.len() {
            true => Ok(()),
            false => Err(Errno::NOSPC.into()),
        }
    }

    #[inline(always)] // size: inline
    pub fn status(self) -> Result<Status> {
        let mut status = core::mem::MaybeUninit::<stat>::uninit();
        // SAFETY: room for a stat.
        unsafe { done2(__NR_fstat, self.number(), status.as_mut_ptr() as usize) }?;
        // SAFETY: the kernel has written it.
        let status = unsafe { status.assume_init() };
        Ok(Status {
            device: status.st_dev,
            size: status.st_size as usize,
        })
    }

    /// An ioctl whose argument is a number or the address of something that the caller keeps alive.
    ///
    /// # Safety
    /// `argument` must be what `request` asks for.
    pub unsafe fn ioctl(self, request: u32, argument: usize) -> Result {
        // SAFETY: the caller's promise.
        unsafe { done3(__NR_ioctl, self.number(), request as usize, argument) }
    }
}

impl ReadAt for File {
    #[inline(always)] // size: inline
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        self.read_exact_at(offset, buffer).ok()
    }
}
