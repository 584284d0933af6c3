//! The same verity device once more, made by veritysetup from the words that the init had.

use toehold_stage2::{Oracle, Output};

use crate::machine::file;
use crate::{DMSETUP, VERITYSETUP, run, word};

/// Names of the device, and of the one that it has its data from.
const NAME: &str = "oracle";
const DATA: &str = "data";

/// Opens what `devices` says: nodes of data and tree, then what only a program that gets nodes has to be told
/// (`--hash-offset=…`, `--fec-device=…`). Everything else is what the command line told the init.
pub fn open(devices: &str, cmdline: &str) -> Oracle {
    let mut devices = devices.split(',');
    let [data, hash] = [(); 2].map(|()| devices.next().unwrap_or_default());
    let root_hash = word(cmdline, "verity.usrhash").unwrap_or_default();
    // veritysetup wants the data for itself, and the init's device has it: it gets it through another one.
    let sectors = file(format!(
        "/sys/class/block/{}/size",
        data.trim_start_matches("/dev/")
    ));
    let window = format!("0 {sectors} linear {data} 0");
    let made = run(DMSETUP, &["create", DATA, "--readonly", "--table", &window]);
    if made.code != Some(0) {
        return Oracle {
            open: made,
            ..Oracle::default()
        };
    }
    let data = format!("/dev/mapper/{DATA}");
    let mut arguments = vec![
        "open",
        &data,
        NAME,
        hash,
        root_hash,
        "--panic-on-corruption",
    ];
    arguments.extend(devices);
    let options = word(cmdline, "systemd.verity_usr_options").unwrap_or_default();
    let options: Vec<String> = options
        .split(',')
        .filter(|option| !option.is_empty() && !option.starts_with("fec-device="))
        .map(|option| match option {
            "superblock=no" => "--no-superblock".to_owned(),
            option => format!("--{option}"),
        })
        .collect();
    arguments.extend(options.iter().map(String::as_str));
    Oracle {
        open: run(VERITYSETUP, &arguments),
        data: info(DATA, "major,minor"),
        uuid: info(NAME, "uuid"),
        table: run(DMSETUP, &["table", NAME]),
        status: run(VERITYSETUP, &["status", NAME]),
    }
}

/// Fields of a device, with colons between them.
fn info(name: &str, fields: &str) -> String {
    let columns = [
        "info",
        "--columns",
        "--noheadings",
        "--separator",
        ":",
        "-o",
    ];
    let Output { stdout, .. } = run(DMSETUP, &[&columns[..], &[fields, name]].concat());
    stdout.trim().to_owned()
}
