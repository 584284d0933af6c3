//! Which mirror the machine's own apt sources name, and the private source list made from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Environment variable with the URL of a Debian mirror, for machines whose own apt sources name none (Ubuntu's).
pub const MIRROR: &str = "TOEHOLD_DEBIAN_MIRROR";
/// The keys of Debian's archive, on machines that have them.
const KEYRING: &str = "usr/share/keyrings/debian-archive-keyring.gpg";
/// Suites of Debian's, without what follows a `-`.
const SUITES: &[&str] = &[
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

/// One place to fetch from, as a machine's apt sources give it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    /// Value of `Signed-By` and `Trusted`, verbatim; a key in the file itself spans lines.
    kept: BTreeMap<&'static str, String>,
}

/// The private source list (deb822) for `suite`: from the mirrors that the apt sources below `root` name for Debian, with
/// the security and update suites where they name those and `suite` has any; otherwise from `mirror`, the value of
/// [`MIRROR`]. A suite like `bookworm-backports` is not complete by itself: its base comes with it.
pub fn private(root: &Path, suite: &str, mirror: Option<String>) -> Result<String> {
    let mut stanzas = BTreeMap::new();
    for source in machine(root)? {
        if !source
            .components
            .iter()
            .any(|component| component == "main")
        {
            continue;
        }
        for named in &source.suites {
            let (base, pocket) = named.split_at(named.find(['-', '/']).unwrap_or(named.len()));
            let pocket = match pocket {
                "/updates" => "-security",
                other => other,
            };
            if SUITES.contains(&base) && ["", "-updates", "-security"].contains(&pocket) {
                stanzas
                    .entry(pocket.to_owned())
                    .or_insert_with(|| source.clone());
            }
        }
    }
    if !stanzas.contains_key("") {
        let Some(mirror) = mirror else {
            bail!(
                "this machine's apt sources name no Debian mirror: set {MIRROR} to the URL of one, or bring a kernel of \
                 your own (--vmlinuz, --modules-dir)"
            );
        };
        let keyring = root.join(KEYRING);
        if !keyring.exists() {
            bail!(
                "the keys to check {mirror} are missing; install the package debian-archive-keyring"
            );
        }
        let source = Source {
            uris: vec![mirror],
            kept: BTreeMap::from([("Signed-By", keyring.display().to_string())]),
            ..Source::default()
        };
        stanzas = BTreeMap::from([(String::new(), source)]);
    }
    let base = base(suite);
    // The development suite has neither security nor updates.
    if ["sid", "unstable"].contains(&base) {
        stanzas.retain(|pocket, _| pocket.is_empty());
    }
    if let Some(pocket) = suite.strip_prefix(base).filter(|rest| !rest.is_empty()) {
        stanzas.insert(pocket.to_owned(), stanzas[""].clone());
    }
    let stanzas: Vec<String> = stanzas
        .iter()
        .map(|(pocket, source)| {
            let uris = source.uris.join(" ");
            let kept: String = source
                .kept
                .iter()
                .map(|(key, value)| format!("{key}: {value}\n"))
                .collect();
            format!("Types: deb\nURIs: {uris}\nSuites: {base}{pocket}\nComponents: main non-free-firmware\n{kept}")
        })
        .collect();
    Ok(stanzas.join("\n"))
}

/// The suite that another one adds to, or that is complete by itself.
pub fn base(suite: &str) -> &str {
    suite.split('-').next().unwrap_or(suite)
}

/// Every enabled binary source of the machine whose root folder is `root`.
fn machine(root: &Path) -> Result<Vec<Source>> {
    let apt = root.join("etc/apt");
    let mut files: Vec<PathBuf> = fs::read_dir(apt.join("sources.list.d"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    files.insert(0, apt.join("sources.list"));
    let mut sources = Vec::new();
    for file in files.iter().filter(|file| file.is_file()) {
        let parse = match file.extension().and_then(|extension| extension.to_str()) {
            Some("sources") => stanzas,
            Some("list") => lines,
            _ => continue,
        };
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        sources.extend(parse(&text));
    }
    Ok(sources)
}

/// Reads the format of `*.sources` files (deb822).
fn stanzas(text: &str) -> Vec<Source> {
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    text.split(|line| line.trim().is_empty())
        .filter_map(|stanza| {
            let mut fields: BTreeMap<String, String> = BTreeMap::new();
            let mut last = String::new();
            for line in stanza {
                if line.starts_with([' ', '\t']) {
                    let value = fields.entry(last.clone()).or_default();
                    value.push('\n');
                    value.push_str(line);
                } else if let Some((key, value)) = line.split_once(':') {
                    last = key.to_ascii_lowercase();
                    fields.insert(last.clone(), value.trim().to_owned());
                }
            }
            let words = |key: &str| -> Vec<String> {
                let value = fields.get(key).map_or("", String::as_str);
                value.split_whitespace().map(str::to_owned).collect()
            };
            let off =
                ["no", "false", "0"].contains(&fields.get("enabled").map_or("yes", String::as_str));
            let kept = [("signed-by", "Signed-By"), ("trusted", "Trusted")]
                .into_iter()
                .filter_map(|(key, name)| Some((name, fields.get(key)?.clone())))
                .collect();
            (!off && words("types").iter().any(|kind| kind == "deb")).then(|| Source {
                uris: words("uris"),
                suites: words("suites"),
                components: words("components"),
                kept,
            })
        })
        .collect()
}

/// Reads the format of `*.list` files: `deb [options] uri suite component…`.
fn lines(text: &str) -> Vec<Source> {
    text.lines()
        .filter_map(|line| {
            let line = line.split('#').next().unwrap_or("");
            let rest = line.trim().strip_prefix("deb")?;
            let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
            let (options, rest) = match rest.strip_prefix('[') {
                Some(rest) => rest.split_once(']')?,
                None => ("", rest),
            };
            let kept = options
                .split_whitespace()
                .filter_map(|option| option.split_once('='))
                .filter_map(|(key, value)| match key {
                    "signed-by" => Some(("Signed-By", value.replace(',', " "))),
                    "trusted" => Some(("Trusted", value.to_owned())),
                    _ => None,
                })
                .collect();
            let mut words = rest.split_whitespace().map(str::to_owned);
            Some(Source {
                uris: vec![words.next()?],
                suites: vec![words.next()?],
                components: words.collect(),
                kept,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn deb822_sources_keep_mirror_keys_and_pockets() {
        let root = root(&[(
            "etc/apt/sources.list.d/debian.sources",
            "Types: deb\n# a comment\nURIs: http://mirror/debian\nSuites: trixie trixie-updates\n\
             Components: main contrib\nSigned-By: /keys.gpg\n\n\
             Types: deb deb-src\nURIs: http://mirror/security\nSuites: trixie-security\nComponents: main\n\n\
             Enabled: no\nTypes: deb\nURIs: http://off/debian\nSuites: sid\nComponents: main\n",
        )]);
        assert_eq!(
            private(root.path(), "bookworm", None).unwrap(),
            "Types: deb\nURIs: http://mirror/debian\nSuites: bookworm\nComponents: main non-free-firmware\nSigned-By: /keys.gpg\n\n\
             Types: deb\nURIs: http://mirror/security\nSuites: bookworm-security\nComponents: main non-free-firmware\n\n\
             Types: deb\nURIs: http://mirror/debian\nSuites: bookworm-updates\nComponents: main non-free-firmware\n\
             Signed-By: /keys.gpg\n"
        );
        let suites = |suite| -> Vec<String> {
            let text = private(root.path(), suite, None).unwrap();
            let suites = text
                .lines()
                .filter_map(|line| line.strip_prefix("Suites: "));
            suites.map(str::to_owned).collect()
        };
        assert_eq!(suites("sid"), ["sid"]);
        assert_eq!(
            suites("bookworm-backports"),
            [
                "bookworm",
                "bookworm-backports",
                "bookworm-security",
                "bookworm-updates"
            ]
        );
    }

    #[test]
    fn one_line_sources_are_read_and_other_distributions_passed_over() {
        let root = root(&[
            (
                "etc/apt/sources.list",
                "deb-src http://mirror/debian bookworm main\n# deb http://old/debian bookworm main\n\
                 deb [arch=amd64 signed-by=/k.gpg] http://mirror/debian bookworm main # here\n",
            ),
            (
                "etc/apt/sources.list.d/x.list",
                "deb http://else/apt cloud-sdk-bookworm main\n",
            ),
            (
                "etc/apt/sources.list.d/x.list.save",
                "deb http://saved/debian sid main\n",
            ),
        ]);
        assert_eq!(
            private(root.path(), "bookworm", None).unwrap(),
            "Types: deb\nURIs: http://mirror/debian\nSuites: bookworm\nComponents: main non-free-firmware\nSigned-By: /k.gpg\n"
        );
    }

    #[test]
    fn ubuntu_needs_a_mirror_and_the_keys() {
        let ubuntu = (
            "etc/apt/sources.list.d/ubuntu.sources",
            "Types: deb\nURIs: http://mirror/ubuntu\nSuites: noble noble-updates\nComponents: main universe\n",
        );
        let mirror = || Some("http://mirror/debian".to_owned());
        let without = root(&[ubuntu]);
        for (mirror, want) in [(None, MIRROR), (mirror(), "debian-archive-keyring")] {
            let error = private(without.path(), "bookworm", mirror).unwrap_err();
            assert!(error.to_string().contains(want), "{error}");
        }
        let with = root(&[ubuntu, (KEYRING, "")]);
        let text = private(with.path(), "bookworm", mirror()).unwrap();
        assert!(
            text.contains("URIs: http://mirror/debian\nSuites: bookworm\n")
                && text.contains("Signed-By: "),
            "{text}"
        );
    }
}
