//! The size gate: passes within the budget, and catches what makes something grow, by its name.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use builder::arch::Arch;
use builder::archive::compress::Compression;
use builder::archive::cpio::{self, Entry};
use serde_json::Value;
use toehold_samples::noise::noise;
use xtask::lab::microcode;
use xtask::lab::{kernels, paths};
use xtask::measure::size::table::grouped;

/// `xtask size` with a budget in a folder of its own.
struct Gate(tempfile::TempDir);

impl Gate {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.0.path().join(name), bytes).unwrap();
    }

    fn run(&self, budget: &str, arguments: &[&str]) -> Output {
        self.write("budget.toml", budget);
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["size", "--budget", "budget.toml"])
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    /// The sizes of the artifact of this budget that is to become larger, kept as the baseline.
    fn baseline(&self, budget: &str) -> Value {
        let output = self.run(budget, &["--json", "--save", "baseline.json"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["artifacts"][0].clone()
    }

    /// What the gate says to people when this budget does not hold, compared with the baseline.
    fn refused(&self, budget: &str) -> String {
        let output = self.run(budget, &["--baseline", "baseline.json"]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        stderr(&output)
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn bytes(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn within_the_budget() {
    let budget = r#"
[init.small]
raw = { limit = 1000000, reason = "a" }
packed = { limit = 1000000, reason = "b" }
"#;
    let small = Gate::new().baseline(budget);
    let ships = fs::metadata(paths::init(Arch::X86_64)).unwrap().len();
    assert_eq!(bytes(&small["raw"]), ships);
    assert!(bytes(&small["packed"]) < ships);
    for view in small["views"].as_array().unwrap() {
        let items = view["items"].as_array().unwrap();
        let raw: u64 = items.iter().map(|item| bytes(&item["raw"])).sum();
        assert_eq!(raw, ships, "{}: every byte is somebody's", view["by"]);
        let packed: u64 = items.iter().map(|item| bytes(&item["packed"])).sum();
        // What pieces have in common is no one's.
        assert!(packed * 100 > bytes(&small["packed"]) * 70, "{packed}");
    }
    let stages = small["views"][0]["items"].as_array().unwrap();
    assert!(stages.iter().any(|item| item["name"] == "stage/verity"));
}

#[test]
fn a_symbol_that_grew_is_named() {
    let gate = Gate::new();
    let budget = |arch: &str, limit: u64| {
        format!(
            "[init.it]\narch = \"{arch}\"\nraw = {{ limit = {limit}, reason = \"the reason\" }}\n"
        )
    };
    let other = bytes(&gate.baseline(&budget("x86_64", 1 << 20))["packed"]);
    let small = gate.baseline(&budget("aarch64", 1 << 20));
    let (before, packed) = (bytes(&small["raw"]), bytes(&small["packed"]));
    let now = fs::metadata(paths::init(Arch::X86_64));
    let text = gate.refused(&budget("x86_64", before));
    let now = now
        .or_else(|_| fs::metadata(paths::init(Arch::X86_64)))
        .unwrap()
        .len();
    let want = format!(
        "over budget: init.it (raw) takes {} bytes, {} more than its limit of {} (line 3 of the budget)\n  the limit: the reason\n\
        init.it: +{} bytes raw, {:+} packed since the baseline\n",
        grouped(now),
        grouped(now - before),
        grouped(before),
        grouped(now - before),
        other as i64 - packed as i64,
    );
    assert!(
        text.starts_with(&want),
        "{text}\ndoes not start with\n{want}"
    );
    // Of each view that has one of the ten largest changes; which crate has, if any, differs from day to day.
    for piece in [
        "stage machine/modules ",
        "symbol init::machine::modules::load_one ",
    ] {
        assert!(text.contains(piece), "{text}\nlacks {piece}");
    }
}

#[test]
#[ignore = "slow: an initrd is taken apart three times"]
fn a_folder_of_modules_that_was_added_is_named() {
    let gate = Gate::new();
    let modules = kernels::fetch(kernels::Series::Cloud61)
        .unwrap()
        .modules_dir;
    let budget = |limit: u64| {
        format!(
            "[initrd.it]\nprofile = \"profile.toml\"\nmodules_dir = {modules:?}\ncompress = \"gzip\"\nmodule_compress = \"none\"\n\
            packed = {{ limit = {limit}, reason = \"the reason\" }}\n"
        )
    };
    let profile = fs::read_to_string(paths::root().join("xtask/profiles/qemu.toml")).unwrap();
    gate.write("profile.toml", &profile);
    let before = bytes(&gate.baseline(&budget(1 << 30))["packed"]);
    let paths = "paths = [\"kernel/drivers/net/ethernet/**\", ";
    gate.write("profile.toml", profile.replace("paths = [", paths));
    let text = gate.refused(&budget(before));
    let want = "over budget: initrd.it (packed) takes ";
    assert!(text.contains(want), "{text}\nlacks {want}");
    let rows: Vec<&str> = text.lines().filter(|line| line.contains(" new ")).collect();
    assert!(
        rows[0].contains("new rule paths: kernel/drivers/net/ethernet/**")
            || rows[0].contains("new folder modules/kernel/drivers/net"),
        "{text}"
    );
    assert!(
        rows.iter()
            .any(|row| row.contains("new folder modules/kernel/drivers/net ")),
        "{text}"
    );
}

#[test]
fn microcode_is_a_part() {
    let gate = Gate::new();
    let modules = kernels::fetch(kernels::Series::Cloud61)
        .unwrap()
        .modules_dir;
    let profile = paths::root().join("xtask/profiles/qemu.toml");
    let firmware = microcode::debian().unwrap();
    let budget = |limit: u64| {
        format!(
            "[initrd.it]\nprofile = {profile:?}\nmodules_dir = {modules:?}\ncompress = \"gzip\"\nmicrocode = [{firmware:?}]\n\
            [initrd.it.parts.microcode]\npacked = {{ limit = {limit}, reason = \"the reason\" }}\n"
        )
    };
    let it = gate.baseline(&budget(1 << 30));
    let front = microcode::archive(std::slice::from_ref(&firmware))
        .unwrap()
        .len() as u64;
    let part = &it["parts"][0];
    // Without the archive's trailer.
    assert_eq!(
        (bytes(&part["raw"]), bytes(&part["packed"])),
        (front - 124, front - 124)
    );
    let text = gate.refused(&budget(1000));
    let want = format!(
        "over budget: initrd.it, microcode (packed) takes {} bytes",
        grouped(front - 124)
    );
    assert!(text.starts_with(&want), "{text}");
}

/// An initrd that something else has made.
fn foreign(firmware: usize, level: i32) -> Vec<u8> {
    let text: Vec<u8> = (0..200_000_u32)
        .flat_map(|number| (number / 3).to_le_bytes())
        .collect();
    let archive = cpio::pack(&[
        Entry::file("init", 0o755, text),
        Entry::directory("lib"),
        Entry::directory("lib/firmware"),
        Entry::file("lib/firmware/card.bin", 0o644, noise(1, firmware)),
    ]);
    zstd::encode_all(archive.unwrap().as_slice(), level).unwrap()
}

#[test]
fn firmware_that_doubled_is_named() {
    let gate = Gate::new();
    let budget = "[file.boot]\npath = \"boot.img\"\n[file.boot.parts.firmware]\nraw = { limit = 12000, reason = \"the reason\" }\n";
    gate.write("boot.img", foreign(10_000, 19));
    gate.baseline(budget);
    gate.write("boot.img", foreign(20_000, 19));
    let text = gate.refused(budget);
    for want in [
        "over budget: file.boot, firmware (raw) takes 20,132 bytes, 8,132 more than its limit of 12,000 (line 4 of the budget)",
        "file firmware/card.bin",
        "+10,000",
    ] {
        assert!(text.contains(want), "{text}\nlacks {want}");
    }
}

#[test]
fn a_lower_level_of_the_compressor_is_named() {
    let gate = Gate::new();
    gate.write("boot.img", foreign(1000, 19));
    let budget = |limit: u64| {
        format!(
            "[file.boot]\npath = \"boot.img\"\npacked = {{ limit = {limit}, reason = \"the reason\" }}\n"
        )
    };
    let before = bytes(&gate.baseline(&budget(1 << 20))["packed"]);
    gate.write("boot.img", foreign(1000, 1));
    let text = gate.refused(&budget(before));
    for want in [
        "over budget: file.boot (packed) takes ",
        "file.boot: as many bytes raw, +",
        "packed, with the same content: the compressor or its level is another one",
    ] {
        assert!(text.contains(want), "{text}\nlacks {want}");
    }
}

#[test]
fn near_a_limit_is_said_and_passes() {
    let gate = Gate::new();
    gate.write("boot.img", foreign(1000, 3));
    let size = foreign(1000, 3).len();
    let budget = format!(
        "[file.boot]\npath = \"boot.img\"\npacked = {{ limit = {}, reason = \"r\", margin = 5 }}\n",
        size + 1
    );
    let output = gate.run(&budget, &[]);
    assert_eq!(output.status.code(), Some(0));
    let want = format!(
        "near its limit: file.boot (packed) takes {} bytes of {}; 1 are left, less than 5 %\n",
        grouped(size),
        grouped(size + 1)
    );
    assert_eq!(stderr(&output), want);
}

#[test]
fn a_broken_budget_is_no_verdict() {
    let gate = Gate::new();
    gate.write("text", "no initrd");
    for (budget, want) in [
        ("", "nothing to measure"),
        (
            "[init.it]\nraw = { limit = 1, reason = \"\" }\n",
            "budget budget.toml: line 2: init.it (raw): a limit needs a reason",
        ),
        (
            "[file.it]\npath = \"none\"\n",
            "budget budget.toml: line 2: there is no none",
        ),
        (
            "[file.it]\npath = \"text\"\n",
            "text: no initrd at offset 0",
        ),
        (
            "[initrd.it]\nprofile = \"none.toml\"\nkernel = \"6.1\"\n",
            "line 2: there is no none.toml",
        ),
        (
            "[file.it]\npath = \"boot.img\"\n[file.it.parts.microcode]\nraw = { limit = 1, reason = \"r\" }\n",
            "line 4: file.it has nothing that is microcode",
        ),
    ] {
        gate.write("boot.img", foreign(1000, 1));
        let output = gate.run(budget, &[]);
        assert_eq!(output.status.code(), Some(2), "{budget}");
        assert!(
            stderr(&output).contains(want),
            "{}\nlacks {want}",
            stderr(&output)
        );
    }
    gate.write("baseline.json", "{}");
    let output = gate.run(
        "[file.it]\npath = \"boot.img\"\n",
        &["--baseline", "baseline.json"],
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("save it anew"),
        "{}",
        stderr(&output)
    );
}

/// What `--json` prints has the form that `--schema` tells, every key of it.
#[test]
fn the_schema_tells_every_key() {
    let gate = Gate::new();
    gate.write("boot.img", foreign(1000, 3));
    let budget = "[file.boot]\npath = \"boot.img\"\npacked = { limit = 1000000, reason = \"r\" }\n";
    gate.baseline(budget);
    gate.write("boot.img", foreign(2000, 3));
    let json = |arguments: &[&str]| -> Value {
        let output = gate.run(budget, arguments);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let schema = json(&["--schema"]);
    let report = json(&["--json", "--baseline", "baseline.json"]);
    let of = |name: &str| &schema["$defs"][name]["properties"];
    let change = &report["changes"][0];
    for (value, properties) in [
        (&report, &schema["properties"]),
        (&report["artifacts"][0], of("Artifact")),
        (&report["artifacts"][0]["views"][0], of("View")),
        (&report["artifacts"][0]["views"][0]["items"][0], of("Item")),
        (&report["checks"][0], of("Check")),
        (change, of("Change")),
        (&change["pieces"][0], of("Piece")),
    ] {
        for key in value.as_object().unwrap().keys() {
            let property = &properties[key];
            assert!(property.is_object(), "{key}: {properties}");
        }
    }
}

/// The page for people who would rather look, and the comment on a pull request.
#[test]
fn page_and_comment() {
    let gate = Gate::new();
    gate.write("boot.img", foreign(1000, 3));
    let budget =
        "[file.boot]\npath = \"boot.img\"\npacked = { limit = 1000000, reason = \"<r>\" }\n";
    let output = gate.run(budget, &["--markdown", "--html", "size.html"]);
    let comment = String::from_utf8(output.stdout).unwrap();
    assert!(comment.starts_with("### Sizes\n\n| "), "{comment}");
    assert!(comment.contains("| file.boot (packed) |"), "{comment}");
    let page = fs::read_to_string(gate.0.path().join("size.html")).unwrap();
    let parsed = roxmltree::Document::parse(
        page.trim_start_matches("<!DOCTYPE html>\n")
            .replace("<meta charset=\"utf-8\">", "")
            .leak(),
    )
    .unwrap();
    let titles: Vec<&str> = parsed
        .descendants()
        .filter(|node| node.has_tag_name("title"))
        .filter_map(|node| node.text())
        .collect();
    assert!(
        titles
            .iter()
            .any(|title| title.starts_with("firmware/lib")
                || title.starts_with("firmware/card.bin\n")),
        "{titles:?}"
    );
    assert!(
        !page.contains("http"),
        "the page needs nothing from elsewhere"
    );
}

#[test]
fn the_pieces_of_this_initrd_are_taken_from_its_manifest() {
    let gate = Gate::new();
    let archive = cpio::pack(&[Entry::file("lib/modules/a.ko", 0o644, noise(1, 500))]).unwrap();
    gate.write("boot.img", Compression::Gzip.pack(archive).unwrap());
    let manifest = r#"{"release":"6.1","arch":"x86_64","profile":"p","totals":{"modules":1,"module_bytes":500,"aliases":0,"firmware":0,
        "firmware_bytes":0,"archive_bytes":0,"compressed_bytes":0},"missing_firmware":[],"warnings":[],"builtin":{"names":[],"aliases":[]},
        "entries":[{"path":"lib/modules/a.ko","kind":"module","bytes":500,"source":"kernel/fs/a.ko","why":"names"}]}"#;
    gate.write("boot.img.json", manifest);
    let artifact = gate.baseline("[file.boot]\npath = \"boot.img\"\n");
    let names: Vec<&str> = artifact["views"]
        .as_array()
        .unwrap()
        .iter()
        .map(|view| view["items"][0]["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["modules/kernel/fs", "names", "modules/kernel/fs/a.ko"]
    );
}

/// What the GitHub Action runs, with a `gh` that keeps what it is told: GitHub itself is not here.
#[test]
fn the_action_comments_and_fails() {
    let gate = Gate::new();
    let room = gate.0.path();
    gate.write("boot.img", foreign(1000, 3));
    gate.write(
        "gh",
        "#!/bin/sh\ncase \"$*\" in *--paginate*) cat earlier;; *) echo \"$@\" >>calls;; esac\n",
    );
    gate.write("earlier", "");
    fs::set_permissions(room.join("gh"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", room.display(), std::env::var("PATH").unwrap());
    let script = paths::root().join(".github/actions/size/gate.sh");
    let run = |limit: u64, pull_request: &str| {
        gate.write("budget.toml", format!("[file.boot]\npath = \"boot.img\"\npacked = {{ limit = {limit}, reason = \"the reason\" }}\n"));
        let output = Command::new(&script)
            .current_dir(room)
            .env("PATH", &path)
            .env("XTASK", env!("CARGO_BIN_EXE_xtask"))
            .env("BUDGET", "budget.toml")
            .env("FOLDER", room)
            .env("PULL_REQUEST", pull_request)
            .env("GITHUB_REPOSITORY", "some/where")
            .env("GITHUB_STEP_SUMMARY", room.join("summary"))
            .output()
            .unwrap();
        (output.status.code(), stderr(&output))
    };
    let read = |name: &str| fs::read_to_string(room.join(name)).unwrap_or_default();
    assert_eq!(run(1 << 20, ""), (Some(0), String::new()));
    assert!(
        read("summary").contains("| file.boot (packed) |"),
        "{}",
        read("summary")
    );
    assert_eq!(read("calls"), "");

    fs::rename(room.join("report.json"), room.join("baseline.json")).unwrap();
    gate.write("boot.img", foreign(3000, 3));
    let (code, text) = run(2000, "7");
    assert_eq!(code, Some(1));
    assert!(text.contains("over budget: file.boot (packed)"), "{text}");
    let body = format!("--field body=@{}/comment.md\n", room.display());
    assert_eq!(
        read("calls"),
        format!("api --silent --method POST repos/some/where/issues/7/comments {body}")
    );
    for want in [
        "<!-- sizes of budget.toml -->\n### Sizes",
        "packed since the baseline",
        "| file firmware/card.bin",
        "```\nover budget",
    ] {
        assert!(
            read("comment.md").contains(want),
            "{}\nlacks {want}",
            read("comment.md")
        );
    }

    gate.write("earlier", "repos/some/where/issues/comments/9\n");
    gate.write("calls", "");
    run(2000, "7");
    assert_eq!(
        read("calls"),
        format!("api --silent --method PATCH repos/some/where/issues/comments/9 {body}")
    );
}

#[test]
fn the_example_for_other_repositories_is_a_budget() {
    let page = fs::read_to_string(paths::root().join(".github/actions/size/README.md")).unwrap();
    let (_, example) = page.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let gate = Gate::new();
    fs::create_dir(gate.0.path().join("out")).unwrap();
    let entry = |path: &str| Entry::file(path, 0o644, noise(1, 500));
    let archive = cpio::pack(&[
        entry("lib/firmware/a.bin"),
        entry("lib/modules/6.1/kernel/drivers/net/a.ko"),
    ])
    .unwrap();
    gate.write("out/initrd.img", Compression::Zstd.pack(archive).unwrap());
    let output = gate.run(example, &["--only", "file.initrd"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
