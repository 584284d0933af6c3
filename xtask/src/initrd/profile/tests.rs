//! Profiles: defaults, what goes into the plan, and refusals.

use super::{HashOffset, Profile};
use toehold::format::plan::Key;

const SMALL: &str = "mode = \"usr\"\n[usr]\nmountpoint = \"/usr\"\nimage = \"stage2\"\n";

/// A profile with these rules for modules.
pub fn profile(modules: &str) -> Profile {
    Profile::parse(&format!("{SMALL}[modules]\n{modules}\n")).unwrap()
}

#[test]
fn defaults_and_settings() {
    let profile = Profile::parse(SMALL).unwrap();
    assert_eq!(profile.verity.hash_offset, HashOffset::Auto);
    let settings = profile.settings("6.1");
    let get = |key| {
        settings
            .iter()
            .find(|(found, _)| *found == key)
            .map(|(_, value)| value.as_slice())
    };
    assert_eq!(get(Key::Release), Some(&b"6.1"[..]));
    assert_eq!(get(Key::VerityName), Some(&b"usr"[..]));
    assert_eq!(get(Key::VerityRequired), None);
    assert_eq!(get(Key::HashOffset), None);
    assert_eq!(get(Key::OnCorruption), Some(&b"panic_on_corruption"[..]));
    assert_eq!(get(Key::OverlayOptions), Some(&b"mode=0755,size=50%"[..]));
    assert_eq!(get(Key::Init), Some(&b"/init"[..]));
    assert_eq!(get(Key::PromptSeconds), Some(&60u32.to_le_bytes()[..]));
    assert_eq!(get(Key::Jobs), None);
}

#[test]
fn jobs() {
    let jobs = |jobs| Profile::parse(&format!("{SMALL}[modules]\njobs = {jobs}\n"));
    let settings = jobs(3).unwrap().settings("6.1");
    assert!(settings.contains(&(Key::Jobs, vec![3, 0, 0, 0])));
    let error = format!("{:#}", jobs(0).unwrap_err());
    assert!(
        error.contains("jobs") && error.contains("nonzero"),
        "{error}"
    );
}

#[test]
fn verity_settings() {
    let text =
        format!("{SMALL}[verity]\nrequired = true\nhash_offset = 1024\non_corruption = \"eio\"\n");
    let settings = Profile::parse(&text).unwrap().settings("6.1");
    for (key, value) in [
        (Key::VerityRequired, &[][..]),
        (Key::HashOffset, &[0, 4, 0, 0, 0, 0, 0, 0]),
        (Key::OnCorruption, &[]),
    ] {
        assert!(settings.contains(&(key, value.to_vec())), "{key:?}");
    }
}

#[test]
fn refusals_name_the_key() {
    for (text, want) in [
        (SMALL.replace("\"usr\"", "\"root\""), "not supported yet"),
        (SMALL.replace("\"usr\"", "\"both\""), "mode = \"both\""),
        (SMALL.replace("\"/usr\"", "\"usr\""), "usr.mountpoint"),
        (SMALL.replace("\"stage2\"", "\"/stage2\""), "usr.image"),
        (format!("{SMALL}colour = 1\n"), "colour"),
        (
            format!("{SMALL}[netboot]\ncarry = []\n"),
            "`netboot` is not supported yet",
        ),
        (
            format!("{SMALL}[emergency]\nshell = true\n"),
            "`emergency.shell` is not supported yet",
        ),
        (
            format!("{SMALL}[emergency]\naction = \"halt\"\n"),
            "emergency.action = \"halt\"",
        ),
        (
            format!("{SMALL}[verity]\nsalt = \"00\"\n"),
            "`verity.salt` is not supported yet",
        ),
        (
            format!("{SMALL}[verity]\nhash_offset = 100\n"),
            "multiple of 512",
        ),
        (
            format!("{SMALL}[verity]\nhash_offset = \"end\"\n"),
            "\"auto\"",
        ),
    ] {
        let error = format!("{:#}", Profile::parse(&text).unwrap_err());
        assert!(error.contains(want), "{error}\nlacks {want}");
    }
}
