//! The log: each message one line and one write to /dev/kmsg, so that dmesg keeps it.

use super::files::{File, STDIN, open, write_file};
use rustix::fs::OFlags;
use toehold::shared::LOG_PREFIX;
use toehold::text::{Line, push, push_format};

/// A longer line than this is refused by the kernel (LOG_LINE_MAX less its own prefix).
const LINE: usize = 900;

/// What stands before a line in the kernel's log; `%` is the level, as printk takes it.
const KERNEL: &[u8] = b"<%>toehold: ";

/// Where messages go.
#[derive(Clone, Copy)]
pub struct Log {
    pub file: File,
    /// What stands before each, if it is not just our name.
    pub prefix: Option<&'static [u8]>,
}

impl Log {
    /// None yet: all zeros, which take no room in the file.
    pub const NONE: Self = Self {
        file: STDIN,
        prefix: None,
    };

    /// A file, or a terminal, that gets the messages as they are.
    pub fn plain(file: File) -> Self {
        let prefix = Some(b"".as_slice());
        Self { file, prefix }
    }

    /// Opens the kernel's log, and has it take every line: it would drop all but ten in five
    /// seconds.
    pub fn open(&mut self) {
        if let Ok(file) = open(c"/dev/kmsg", OFlags::WRONLY) {
            let prefix = Some(KERNEL);
            *self = Self { file, prefix };
        }
        // Where the command line fixed it (printk.devkmsg=), it stays as it is.
        let _ = write_file(c"/proc/sys/kernel/printk_devkmsg", b"on\n");
    }

    pub fn info(&self, template: &[u8], parts: &[&[u8]]) {
        self.write(b"6", template, parts);
    }

    /// Logs `template` with the `parts` in place of its `%`.
    pub fn error(&self, template: &[u8], parts: &[&[u8]]) {
        self.write(b"3", template, parts);
    }

    fn write(&self, level: &[u8], template: &[u8], parts: &[&[u8]]) {
        let mut line = Line::new();
        push_format(
            &mut line,
            self.prefix.unwrap_or(LOG_PREFIX.as_bytes()),
            &[level],
        );
        push_format(&mut line, template, parts);
        line.truncate(LINE);
        push(&mut line, b"\n");
        // Where the log cannot be written to there is no other place to say so.
        let _ = self.file.write(&line);
    }
}
