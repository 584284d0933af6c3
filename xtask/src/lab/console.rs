//! A boot's console, read back: kernel timestamps, Toehold's stable lines, and what to show when it went wrong.

use std::time::Duration;

use toehold::shared::LOG_PREFIX;

/// The lines of a console, in order.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub lines: Vec<String>,
}

/// A stage that was done, `at` after the start of init.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stage {
    pub name: String,
    pub at: Duration,
}

/// Splits `[    1.234567] text`; the time is the kernel's since its own start. What is shown to a person or typed can stand before it: the
/// kernel does not wait for the end of a line.
pub fn message(line: &str) -> Option<(Duration, &str)> {
    let mut starts = line.match_indices('[');
    starts.find_map(|(start, _)| message_at(line.get(start + 1..)?))
}

fn message_at(rest: &str) -> Option<(Duration, &str)> {
    let (time, text) = rest.split_once("] ")?;
    let (seconds, micros) = time.trim().split_once('.')?;
    let micros = format!("{micros:0<6}").parse().ok()?;
    let time = Duration::from_secs(seconds.parse().ok()?) + Duration::from_micros(micros);
    Some((time, text))
}

/// A line without what moves the cursor, clears the screen and the like (ECMA-48's control sequences), as firmware sends it.
pub fn plain(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let end = part.find(|letter| matches!(letter, '@'..='~'));
        text + end.map_or("", |end| &part[end + 1..])
    })
}

impl Log {
    fn messages(&self) -> impl Iterator<Item = (Duration, &str)> {
        self.lines.iter().filter_map(|line| message(line))
    }

    /// Kernel time of the first message that begins with `text`.
    pub fn time(&self, text: &str) -> Option<Duration> {
        self.messages()
            .find_map(|(time, message)| message.starts_with(text).then_some(time))
    }

    /// What Toehold said, without its prefix.
    pub fn toehold(&self) -> impl Iterator<Item = &str> {
        self.messages()
            .filter_map(|(_, message)| message.strip_prefix(LOG_PREFIX))
    }

    /// The stages that were done.
    pub fn stages(&self) -> Vec<Stage> {
        self.toehold()
            .filter_map(|message| {
                let (name, micros) = message.strip_prefix("stage=")?.split_once(" done us=")?;
                Some(Stage {
                    name: name.to_owned(),
                    at: Duration::from_micros(micros.parse().ok()?),
                })
            })
            .collect()
    }

    /// When stage 2 was executed, after the start of init.
    pub fn stage2(&self) -> Option<Duration> {
        self.toehold().find_map(|message| {
            let (_, micros) = message.strip_prefix("stage2 exec=")?.split_once(" us=")?;
            Some(Duration::from_micros(micros.parse().ok()?))
        })
    }

    /// The failure line, from `FAILED` on.
    pub fn failed(&self) -> Option<&str> {
        self.toehold()
            .find(|message| message.starts_with("FAILED "))
    }

    /// Whether any line contains `text`.
    pub fn contains(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.contains(text))
    }

    /// From the kernel's `Run /init` to the line that stage 2 begins with.
    pub fn boot_time(&self) -> Option<Duration> {
        let end = self.time_of_stage2()?;
        end.checked_sub(self.time("Run /init as init process")?)
    }

    /// From the kernel's entry to the line that stage 2 begins with.
    pub fn time_of_stage2(&self) -> Option<Duration> {
        self.time(toehold_stage2::HELLO)
    }

    /// How long the kernel took to unpack the initrd.
    pub fn unpacking(&self) -> Option<Duration> {
        let start = self
            .time("Unpacking initramfs")
            .or_else(|| self.time("Trying to unpack rootfs image"))?;
        self.time("Freeing initrd memory")?.checked_sub(start)
    }

    /// The last lines, for a failure.
    pub fn tail(&self, lines: usize) -> String {
        let start = self.lines.len().saturating_sub(lines);
        self.lines.get(start..).unwrap_or_default().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "\
SeaBIOS
[    0.500000] Trying to unpack rootfs image as initramfs...
[    0.750000] Freeing initrd memory: 9000K
[    2.000100] Run /init as init process
[    2.001000] toehold: stage=kernel-fs done us=412
[    2.900000] toehold: stage=switch-root done us=900000
[    2.900100] toehold: stage2 exec=/init us=900100
[    3.000000] toehold-stage2: hello";

    fn log(text: &str) -> Log {
        let lines = text.lines().map(str::to_owned).collect();
        Log { lines }
    }

    #[test]
    fn a_whole_boot() {
        let log = log(CONSOLE);
        let stages = log.stages();
        assert_eq!(stages.len(), 2);
        assert_eq!(stages[0].name, "kernel-fs");
        assert_eq!(stages[0].at, Duration::from_micros(412));
        assert_eq!(log.stage2(), Some(Duration::from_micros(900_100)));
        assert_eq!(log.boot_time(), Some(Duration::from_micros(999_900)));
        assert_eq!(log.time_of_stage2(), Some(Duration::from_secs(3)));
        assert_eq!(log.unpacking(), Some(Duration::from_millis(250)));
        assert_eq!(log.failed(), None);
        assert_eq!(log.tail(1), "[    3.000000] toehold-stage2: hello");
    }

    #[test]
    fn a_line_without_control_sequences() {
        let line = "\x1b[2J\x1b[01;01Hone\x1b[=3h two[2J\x1b[0";
        assert_eq!(plain(line), "one two[2J");
        assert_eq!(plain("nothing"), "nothing");
    }

    #[test]
    fn a_message_in_the_middle_of_a_line() {
        let at = Duration::from_micros(72_885_716);
        let line = "toehold> [Kx\x1b[K [   72.885716] virtio0: [vda] 512";
        assert_eq!(message(line), Some((at, "virtio0: [vda] 512")));
        assert_eq!(message("[K"), None);
    }

    #[test]
    fn a_failure() {
        let log =
            log("[    2.1] toehold: FAILED stage=verity step=probe errno=EIO subject=/dev/vda2");
        assert_eq!(
            log.failed(),
            Some("FAILED stage=verity step=probe errno=EIO subject=/dev/vda2")
        );
        assert_eq!(log.boot_time(), None);
    }
}
