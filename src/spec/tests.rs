use super::*;

const GUID: &str = "7130c94a-213a-4e5a-8e26-6cce9662f132";

fn parse(text: &str) -> Option<Spec> {
    let mut spec = Spec::NONE;
    spec.read(text.as_bytes()).map(|()| spec)
}

fn says(text: &str, fields: &str) -> bool {
    let mut line = Line::new();
    push(&mut line, fields.as_bytes());
    parse(text).expect(text).is(&line)
}

#[test]
fn kinds() {
    let guid = format!("PARTUUID={GUID}");
    for (text, source) in [
        (guid.as_str(), Source::Table),
        ("PARTUUID=12345678-0a", Source::Table),
        ("PARTLABEL=USR-A", Source::Table),
        ("PARTLABEL=a=b/c", Source::Table),
        ("UUID=1234-ABCD", Source::Superblock),
        ("LABEL=x", Source::Superblock),
        ("/dev/disk/by-label/x", Source::Superblock),
        ("/dev/disk/by-partlabel/x", Source::Table),
        ("/dev/cciss/c0d0p1", Source::Kernel),
        ("/dev/etherd/e0.0p1", Source::Kernel),
        ("254:2", Source::Kernel),
        (r#"PARTLABEL="USR-A""#, Source::Table),
        (r#"LABEL='a b'"#, Source::Superblock),
        (r#"PARTUUID="12345678-0a""#, Source::Table),
    ] {
        assert_eq!(parse(text).expect(text).source(), source, "{text}");
    }
}

#[test]
fn what_cannot_name_a_device() {
    for bad in [
        "",
        "=",
        "/dev/",
        "/dev/disk/by-label/",
        "/dev/disk/by-label",
        r"/dev/disk/by-label/a\xzz",
        "/dev/disk/by-path/pci-0",
        "/dev/mapper/other",
        "/dev/vg/lv",
        "/dev/block/8:1",
        "/dev/etherd/",
        r#"PARTLABEL="USR-A"#,
        r#"PARTLABEL=""#,
        r#"PARTLABEL="""#,
        r#"LABEL='USR-A""#,
        r#"PARTUUID="7""#,
        r"PARTLABEL=a\xz0",
        "UUID=usr",
        "UUID=1234-ABC",
        "UUID=12345678-AB",
        "UUID=7130c94a213a4e5a8e266cce9662f132",
        "PARTUUID=1234-ABCD",
        "/dev/disk/by-partuuid/7",
        "PARTUUID=",
        "PARTLABEL=",
        "UUID=",
        "LABEL=",
        "label=x",
        "ID=x",
        "sda1",
        "8",
        "8:",
        ":1",
        "8:x",
        "PARTUUID=7130c94a213a4e5a8e266cce9662f132",
        "PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f13",
        "PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f1322",
        "PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f13g",
        "PARTUUID=12345678-1",
        "PARTUUID=12345678-01/",
        "PARTUUID=12345678-01/PARTNROFF=",
        "PARTUUID=12345678-01/PARTNROFF=x",
    ] {
        assert!(parse(bad).is_none(), "{bad}");
    }
}

#[test]
fn exactly() {
    let upper = GUID.to_uppercase();
    assert!(says(
        &format!("PARTUUID={GUID}"),
        &format!("PARTN=2\0PARTUUID={upper}\0")
    ));
    assert!(says(
        &format!("PARTUUID={upper}"),
        &format!("PARTUUID={GUID}\n")
    ));
    assert!(says(
        &format!("/dev/disk/by-partuuid/{GUID}"),
        &format!("PARTUUID={GUID}")
    ));
    assert!(!says(&format!("PARTUUID={GUID}"), &format!("UUID={GUID}")));
    assert!(!says(&format!("PARTUUID={GUID}"), "PARTUUID="));
    assert!(says("UUID=1234-abcd", "\nUUID=1234-ABCD\nTYPE=vfat"));
    assert!(!says("UUID=1234-abcd", "UUID=1234-ABC"));
    assert!(says(r#"PARTLABEL="USR-A""#, "PARTLABEL=USR-A\n"));
    assert!(says("LABEL='a b'", "LABEL=a b\n"));
    assert!(says(r"PARTLABEL=USR\x20A", "PARTLABEL=USR A\n"));
    assert!(says(r#"PARTLABEL=5"disk"#, "PARTLABEL=5\"disk\n"));
    assert!(says("PARTLABEL=USR-A", "PARTLABEL=USR-A\n"));
    for other in ["USR-a", "USR-", "USR-A ", "USR-A1"] {
        assert!(
            !says("PARTLABEL=USR-A", &format!("PARTLABEL={other}")),
            "{other}"
        );
    }
    assert!(says(r"/dev/disk/by-label/a\x20b\x2fc\y", "LABEL=a b/c\\y"));
    assert!(says("LABEL=a b", "LABEL=a b"));
    assert!(says("/dev/cciss/c0d0p1", "DEVNAME=cciss/c0d0p1\n"));
    assert!(!says("/dev/vda2", "DEVNAME=vda22\n"));
    assert!(says("254:2", "MAJOR=254\0MINOR=2\0"));
    assert!(!says("254:2", "MAJOR=254\0MINOR=22\0"));
}

#[test]
fn places_behind() {
    let shift = |text| parse(text).map(|spec| spec.shift);
    assert_eq!(shift("PARTUUID=12345678-01"), Some(0));
    assert_eq!(shift("PARTUUID=12345678-01/PARTNROFF=3"), Some(3));
    assert!(says(
        "PARTUUID=12345678-01/PARTNROFF=3",
        "PARTUUID=12345678-01"
    ));
}

/// Where a name comes from: what the kernel says of a partition itself needs no reading, but never
/// stands for a neighbour.
#[test]
fn facts() {
    let line = |text: &str| {
        let mut line = Line::new();
        push(&mut line, text.as_bytes());
        line
    };
    let told = format!("PARTN=3\nPARTUUID={GUID}\n");
    let other = format!("PARTN=3\nPARTUUID={}\n", GUID.replace('7', "8"));
    let (itself, neighbour) = (
        format!("PARTUUID={GUID}"),
        format!("PARTUUID={GUID}/PARTNROFF=1"),
    );
    let (here, before) = (Needs::Partition { shift: 0 }, Needs::Partition { shift: 1 });
    for (spec, event, read, needs, want) in [
        (itself.as_str(), told.as_str(), "", Needs::Nothing, true),
        (&itself, &other, &told, Needs::Nothing, false),
        (&itself, "PARTN=3", &told, here, true),
        (&itself, "PARTN=3", &other, here, false),
        (&neighbour, &told, "", before, false),
        (&neighbour, &other, &told, before, true),
        ("UUID=1234-a00b", "UUID=1-a", "", Needs::Superblock, false),
        (
            "UUID=1234-a00b",
            "UUID=1234-b00b",
            "UUID=1234-A00B",
            Needs::Superblock,
            true,
        ),
        (
            "/dev/vda",
            "DEVNAME=vda",
            "DEVNAME=vdb",
            Needs::Nothing,
            true,
        ),
        ("254:2", "MAJOR=254\nMINOR=2", "", Needs::Nothing, true),
    ] {
        let (spec, event, read) = (parse(spec).expect(spec), line(event), line(read));
        assert_eq!(spec.needs(&event), needs);
        let facts = Facts {
            event: &event,
            read,
        };
        assert_eq!(spec.matches(needs, &facts), want, "{:?}", spec.text);
    }
    // Nothing is looked for.
    let event = line(&told);
    assert!(!Spec::NONE.matches(Needs::Nothing, &Facts::of(&event)));
}
