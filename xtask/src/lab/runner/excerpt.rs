//! What a test that failed said, cut to what tells why.

/// Lines that are kept of the beginning, where the assertion stands, and of the end, where a machine's console does.
const FIRST: usize = 10;
const LAST: usize = 30;

/// The part of a test's output from its panic to the backtrace, or all of it where there is none; of a long one the beginning and the end.
pub fn of(output: &str) -> String {
    let lines: Vec<&str> = output.trim_end().lines().collect();
    let panic = lines.iter().position(|line| line.contains("panicked at "));
    let lines = &lines[panic.unwrap_or(0)..];
    let is_backtrace = |line: &&str| {
        let starts = [
            "stack backtrace:",
            "Stack backtrace:",
            "note: run with `RUST_BACKTRACE",
        ];
        starts.iter().any(|start| line.starts_with(start))
    };
    let end = lines.iter().position(is_backtrace).unwrap_or(lines.len());
    let lines = &lines[..end];
    let Some(left_out) = lines.len().checked_sub(FIRST + LAST + 1) else {
        return lines.join("\n");
    };
    let note = format!("[... {} lines ...]", left_out + 1);
    let first = lines.iter().take(FIRST).copied();
    let last = lines.iter().skip(lines.len() - LAST).copied();
    let kept: Vec<&str> = first.chain([note.as_str()]).chain(last).collect();
    kept.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_the_panic_to_the_backtrace() {
        let output = "\nrunning 1 test\nshown before\n\nthread 'a' (7) panicked at b.rs:1:2:\nno text\n[1.0] last\n\
            stack backtrace:\n   0: main\n\nfailures:\n";
        assert_eq!(
            of(output),
            "thread 'a' (7) panicked at b.rs:1:2:\nno text\n[1.0] last"
        );
        assert_eq!(of("killed\n"), "killed");
        assert_eq!(of(""), "");
    }

    #[test]
    fn a_long_one_keeps_its_beginning_and_its_end() {
        let text = |numbers: std::ops::Range<usize>| {
            let lines: Vec<String> = numbers.map(|number| number.to_string()).collect();
            lines.join("\n")
        };
        assert_eq!(of(&text(0..40)), text(0..40));
        let cut = format!("{}\n[... 60 lines ...]\n{}", text(0..10), text(70..100));
        assert_eq!(of(&text(0..100)), cut);
    }
}
