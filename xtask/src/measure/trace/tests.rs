//! Every form that a traced call takes, and what is none.

use super::*;

/// Lines as the init writes them, one for each form.
const LINES: [&str; 22] = [
    r#"toehold: [1] +2515243 clock_gettime(1, {5, 2515243}) = 0 28"#,
    r#"toehold: [1] +56 getpid() = 1 2"#,
    r#"toehold: [1] +357 recvfrom(-1, ..., 3072, 64, NULL, NULL) = -9 306"#,
    r#"toehold: [1] +385 mkdirat(AT_FDCWD, "/proc", 493) = EEXIST 193"#,
    r#"toehold: [1] +2239 mount("proc", "/proc", "proc", MS_NOSUID|MS_NODEV|MS_NOEXEC, "") = 0 1322"#,
    r#"toehold: [1] +5 mount("a", "a", NULL, MS_RDONLY|2147483648, NULL) = 0 5"#,
    r#"toehold: [1] +839 write(4, "on\x0a", 3) = 3 811"#,
    r#"toehold: [1] +839 write(2, "a \x22word\x22 \x5c {, } ) = \xff", 25) = 25 811"#,
    r#"toehold: [1] +619 read(4, "console=ttyS0"..., 3072) = 238 574"#,
    r#"toehold: [1] +41 openat(AT_FDCWD, "/toehold.plan", O_CLOEXEC, 420) = 4 41"#,
    r#"toehold: [1] +124 mmap(NULL, 2639, PROT_READ, MAP_PRIVATE, 4, 0) = 139706136604672 117"#,
    r#"toehold: [86] +6871 clone(17, NULL, NULL, NULL, NULL) = 0 5636"#,
    r#"toehold: [86] +12 exit_group(3) = ? 0"#,
    r#"toehold: [1] +12 umount2("/x", MNT_DETACH) = 0 3"#,
    r#"toehold: [1] +12 ioctl(4, DM_TABLE_LOAD, {"usr", "verity", "1 254:2 254:2 4096"...}) = 0 3"#,
    r#"toehold: [1] +12 ioctl(4, DM_DEV_CREATE, {"usr"}) = EBUSY 3"#,
    r#"toehold: [1] +12 ioctl(4, BLKGETSIZE64, 16777216) = 0 3"#,
    r#"toehold: [1] +12 ioctl(4, LOOP_CTL_GET_FREE) = 2 3"#,
    r#"toehold: [1] +12 ioctl(4, LOOP_CONFIGURE, {7, LO_FLAGS_READ_ONLY|LO_FLAGS_AUTOCLEAR}) = 0 3"#,
    r#"toehold: [1] +12 ioctl(4, 43981, 7) = -133 3"#,
    r#"toehold: [1] +12 ioctl(4, BLKPG, {1, {1048576, 2097152, 130}}) = 0 3"#,
    r#"toehold: [1] +12 syscall(9999, 1, 2, 0, 0, 0, 0) = ENOSYS 3"#,
];

fn read(line: &str) -> Call<'_> {
    parse(line).unwrap().unwrap()
}

#[test]
fn every_form_is_displayed_as_it_was_read() {
    for line in LINES {
        assert_eq!(format!("toehold: {}", read(line)), line);
    }
}

#[test]
fn parts_of_a_call() {
    let line = "[    2.493497] toehold: [1] +2239 mount(\"proc\", \"/proc\", \"proc\", MS_NOSUID|128, \"\") = 0 1322\r";
    let call = read(line);
    assert_eq!(call.logged, Some(Duration::from_micros(2_493_497)));
    assert_eq!((call.pid, call.gap, call.duration), (1, 2239, 1322));
    assert_eq!(call.name, "mount");
    assert_eq!(call.path(1), Some("/proc"));
    assert_eq!(call.arguments[3], Argument::Names("MS_NOSUID|128"));
    assert_eq!(call.arguments[4], Argument::Text(Vec::new(), false));
    assert_eq!(call.value(), Some(0));

    let call = read(LINES[2]);
    assert_eq!(call.logged, None);
    assert_eq!(call.number(0), Some(-1));
    assert_eq!(call.arguments[1], Argument::Elsewhere);
    assert_eq!((call.result, call.value()), (Outcome::Error(9), None));

    assert_eq!(read(LINES[7]).path(1), None, "what is no UTF-8 is no path");
    assert_eq!(
        read(LINES[7]).arguments[1],
        Argument::Text(b"a \"word\" \\ {, } ) = \xff".to_vec(), false)
    );
    assert_eq!(read(LINES[8]).path(1), None, "what was cut is no path");
    assert_eq!(read(LINES[12]).result, Outcome::NoReturn);
    assert_eq!(
        read(LINES[14]).arguments[2],
        Argument::Braces(vec![
            Argument::Text(b"usr".to_vec(), false),
            Argument::Text(b"verity".to_vec(), false),
            Argument::Text(b"1 254:2 254:2 4096".to_vec(), true),
        ])
    );
    assert_eq!(read(LINES[15]).result, Outcome::Errno("EBUSY"));
}

#[test]
fn other_lines_are_none() {
    for line in [
        "",
        "[    2.504004] toehold: stage=kernel-fs done us=28312",
        "[    2.504004] random: crng init done",
        "[1] +56 getpid() = 1 2",
        "toehold: FAILED stage=verity step=probe errno=EIO subject=[1]",
    ] {
        assert_eq!(parse(line), None, "{line}");
    }
}

#[test]
fn errors_name_the_column() {
    for (line, column, expected) in [
        ("toehold: [x] +56 getpid() = 1 2", 11, "a process"),
        ("toehold: [4294967296] +56 getpid() = 1 2", 11, "a process"),
        ("toehold: [1] 56 getpid() = 1 2", 12, "] +"),
        ("toehold: [1] +0x10 getpid() = 1 2", 16, " "),
        ("toehold: [1] +056 getpid() = 1 2", 15, "microseconds"),
        ("toehold: [1] +56 GETPID() = 1 2", 18, "the name of a call"),
        ("toehold: [1] +56 getpid) = 1 2", 24, "("),
        ("toehold: [1] +56 close(3 = 0 2", 25, "`, ` or `)`"),
        ("toehold: [1] +56 close(3, ) = 0 2", 27, "an argument"),
        ("toehold: [1] +56 close(O_RDONLY|) = 0 2", 33, "an argument"),
        ("toehold: [1] +56 close(-x) = 0 2", 25, "a number"),
        ("toehold: [1] +56 close(012) = 0 2", 24, "a number"),
        ("toehold: [1] +56 close(0x12) = 0 2", 25, "`, ` or `)`"),
        ("toehold: [1] +56 close(..) = 0 2", 24, "..."),
        (
            "toehold: [1] +56 chdir(\"/a) = 0 2",
            34,
            "the closing quote",
        ),
        ("toehold: [1] +56 chdir(\"\\n\") = 0 2", 25, "an escape"),
        ("toehold: [1] +56 chdir(\"\\\\\") = 0 2", 25, "an escape"),
        (
            "toehold: [1] +56 chdir(\"\\xFF\") = 0 2",
            25,
            "`\\x` and two hexadecimal digits",
        ),
        (
            "toehold: [1] +56 chdir(\"ä\") = 0 2",
            25,
            "a printable character",
        ),
        ("toehold: [1] +56 ioctl({\"a\") = 0 2", 28, "`, ` or `}`"),
        ("toehold: [1] +56 getpid() = one 2", 29, "a result"),
        ("toehold: [1] +56 getpid() = -E 2", 30, "an error's number"),
        ("toehold: [1] +56 getpid() = 1", 30, " "),
        ("toehold: [1] +56 getpid() = 1 ", 31, "microseconds"),
        (
            "toehold: [1] +56 getpid() = 1 2 ",
            32,
            "the end of the line",
        ),
        (
            "toehold: [1] +56 getpid() = 99999999999999999999 2",
            29,
            "a result",
        ),
    ] {
        assert_eq!(parse(line), Some(Err(Error { column, expected })), "{line}");
    }
    let log = format!("boot\n{}\ntoehold: [1] +5 x\n", LINES[0]);
    let error = parse_all(&log).unwrap_err().to_string();
    assert_eq!(error, "line 3, column 18: ( expected");
    assert_eq!(parse_all(&log[..log.len() - 18]).unwrap().len(), 1);
}

#[test]
fn no_beginning_of_a_line_parses_as_another_or_panics() {
    for line in LINES {
        let whole = read(line);
        for len in 0..line.len() {
            if let Some(Ok(call)) = parse(&line[..len]) {
                // Only the last number can be cut.
                assert_eq!(
                    Call {
                        duration: whole.duration,
                        ..call
                    },
                    whole
                );
            }
        }
    }
}
