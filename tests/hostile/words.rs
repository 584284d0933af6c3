//! uevents, device specifications and command lines, cut off and with each bit flipped.

use toehold::failure::Stage;
use toehold::format::plan::{Key, Plan};
use toehold::format::uevent;
use toehold::options::{Options, Word};
use toehold::spec::Spec;

use crate::{each_flip, samples};

const EVENT: &[u8] =
    b"add@/devices/pci0000:00/0000:00:02.0/virtio0/block/vda/vda2\0ACTION=add\0SUBSYSTEM=block\0\
MAJOR=254\0MINOR=2\0DEVNAME=vda2\0DEVTYPE=partition\0DISKSEQ=9\0PARTN=2\0PARTNAME=USR-A\0\
PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132\0MODALIAS=virtio:d00000002v00001AF4\0";

const SPECS: [&[u8]; 3] = [
    b"PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132",
    b"PARTLABEL=Gr\xC3\xB6\xC3\x9Fe \xF0\x9F\x92\xBE",
    b"/dev/vda2",
];

/// Everything that is asked of an event.
pub fn ask(event: &[u8]) {
    for key in [
        &b"MAJOR"[..],
        b"PARTN",
        b"DISKSEQ",
        b"MODALIAS",
        b"DEVNAME",
        b"",
    ] {
        assert!(uevent::value(event, key).len() <= event.len());
        uevent::number(event, key);
    }
    for text in SPECS {
        let mut spec = Spec::none();
        spec.read(text).unwrap();
        spec.matches(event);
    }
}

#[test]
fn uevents_and_specs() {
    each_flip(&mut EVENT.to_vec(), 0..EVENT.len(), |event, _| ask(event));
    (0..EVENT.len()).for_each(|len| ask(&EVENT[..len]));
    for text in SPECS {
        let read = |text: &[u8]| Spec::none().read(text).is_some();
        each_flip(&mut text.to_vec(), 0..text.len(), |text, _| {
            read(text);
        });
        (0..text.len()).for_each(|len| {
            read(&text[..len]);
        });
    }
}

/// The options of a line. They refer to the command line for ever, as the init's do, so each line is leaked.
pub fn options(line: &[u8], plan: &Plan<'static>) -> Option<Options> {
    let mut options = Options::none();
    options
        .read(line.to_vec().leak(), plan, &mut Stage::KernelFs)
        .ok()
        .map(|()| options)
}

/// However a line that asks for verification is damaged, what comes of it is a verified boot or none.
#[test]
fn command_lines() {
    let line = b"verity.usr=PARTLABEL=USR-A verity.usrhash=00ff \"mount.usr=/dev/mapper/usr\" rd.earlytimeout=30 \
mount.usrflags=\"ro,nodev\" -- init=/x\n";
    for extra in [&[][..], &[Key::VerityRequired as u8, 0]] {
        let plan = Plan::parse(samples::plan(b"", b"", extra).leak())
            .ok()
            .unwrap();
        let verified = |line: &[u8]| {
            if let Some(options) = options(line, &plan) {
                let line = line.escape_ascii();
                assert_ne!(options.value(Word::RootHash, b""), b"", "{line}");
                let device = options.device.text.unwrap_or_default();
                assert_eq!(device, options.value(Word::Verity, b""), "{line}");
            }
        };
        assert!(options(line, &plan).is_some());
        each_flip(&mut line.to_vec(), 0..line.len(), |line, _| verified(line));
        (0..line.len()).for_each(|len| verified(&line[..len]));
    }
}
