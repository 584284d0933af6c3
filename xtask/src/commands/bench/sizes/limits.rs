//! What Toehold's initrds may take, and whether they do.

use schemars::JsonSchema;
use serde::Serialize;

use super::Times;
use super::ways::{PACK, Way};
use crate::lab::kernels::Series::{self, Arm61, Cloud612, Generic61};
use crate::measure::size::table::grouped;

/// Bytes that an initrd with the module pack may take; with stripped modules, or with the modules as they are packaged.
const BYTES: [(Series, bool, usize); 3] = [
    (Generic61, false, 9_650_000),
    (Generic61, true, 8_400_000),
    (Cloud612, false, 1_400_000),
];
/// What part it may take of the bytes of the initrd without it, packed with zstd.
const OF_ZSTD: f64 = 0.85;
/// What part it may take of that one's time, for unpacking and from `Run /init` to stage 2 together.
const OF_TIME: f64 = 0.85;
/// Parts of a busybox initrd with the modules of Debian's package that Toehold's may take under the same compressor, without the module
/// pack: with the same modules, and with stripped ones.
const OF_BUSYBOX: [f64; 2] = [0.72, 0.62];

/// Something that may be so large at most.
#[derive(Serialize, JsonSchema)]
pub struct Limit {
    /// Of what.
    what: String,
    /// What it is.
    value: f64,
    /// What it may be at most.
    allowed: f64,
}

impl Limit {
    pub fn good(&self) -> bool {
        self.value <= self.allowed
    }

    pub fn text(&self) -> String {
        let shown = |value: f64| match value < 10.0 {
            true => format!("{value:.3}"),
            false => grouped(value as u64),
        };
        let verdict = if self.good() { "" } else { ": TOO MUCH" };
        let (value, allowed) = (shown(self.value), shown(self.allowed));
        format!("{}: {value}; {allowed} is allowed{verdict}\n", self.what)
    }
}

pub fn check(ways: &[Way]) -> Vec<Limit> {
    let mut limits = Vec::new();
    let time = |times: Times| (times.unpacking_us + times.init_us) as f64;
    for (series, stripped, allowed) in BYTES {
        if let Some(way) = find(ways, series, PACK, stripped) {
            limits.push(Limit {
                what: format!("bytes with the module pack, {}", name(way)),
                value: way.bytes as f64,
                allowed: allowed as f64,
            });
        }
    }
    if let Some((pack, zstd)) = both(ways, Arm61) {
        limits.push(Limit {
            what: format!("the module pack's part of zstd's bytes, {}", name(pack)),
            value: pack.bytes as f64 / zstd.bytes as f64,
            allowed: OF_ZSTD,
        });
    }
    if let Some((pack, zstd)) = both(ways, Generic61)
        && let (Some(own), Some(other)) = (pack.times, zstd.times)
    {
        limits.push(Limit {
            what: format!(
                "its part of zstd's time for unpacking and from Run /init to stage 2, {}",
                name(pack)
            ),
            value: time(own) / time(other),
            allowed: OF_TIME,
        });
    }
    limits.extend(ways.iter().filter_map(|way| of_busybox(ways, way)));
    limits
}

/// The initrd with the module pack, and the one without it, packed with zstd.
fn both(ways: &[Way], series: Series) -> Option<(&Way, &Way)> {
    let pack = find(ways, series, PACK, false);
    pack.zip(find(ways, series, "none", false))
}

/// The initrd that is packed with zstd.
fn find<'a>(ways: &'a [Way], series: Series, modules: &str, stripped: bool) -> Option<&'a Way> {
    ways.iter().find(|way| {
        way.compress.starts_with("zstd")
            && (way.series, way.modules.as_str(), way.stripped) == (series, modules, stripped)
    })
}

/// The initrd that it replaces has the modules as they are packaged.
fn of_busybox(ways: &[Way], way: &Way) -> Option<Limit> {
    way.busybox_bytes?;
    let is_packed = ["gzip", "xz", "zstd"];
    is_packed
        .iter()
        .find(|name| way.compress.starts_with(**name))?;
    let same = |other: &&Way| {
        (&other.kernel, &other.compress, &other.modules)
            == (&way.kernel, &way.compress, &way.modules)
            && !other.stripped
    };
    let busybox = ways.iter().find(same)?.busybox_bytes?;
    Some(Limit {
        what: format!("part of busybox's bytes, {}, {}", way.compress, name(way)),
        value: way.bytes as f64 / busybox as f64,
        allowed: OF_BUSYBOX[usize::from(way.stripped)],
    })
}

fn name(way: &Way) -> String {
    let stripped = if way.stripped {
        ", modules stripped"
    } else {
        ""
    };
    format!("Linux {}{stripped}", way.kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(compress: &str, modules: &str, stripped: bool, bytes: usize, stage2_us: u64) -> Way {
        Way {
            series: Generic61,
            kernel: "6.1".to_owned(),
            compress: compress.to_owned(),
            modules: modules.to_owned(),
            stripped,
            bytes,
            times: Some(Times {
                unpacking_us: 0,
                init_us: stage2_us,
                stage2_us,
            }),
            busybox_bytes: (modules == "none").then_some(bytes * 2),
        }
    }

    #[test]
    fn limits_and_verdicts() {
        let ways = [
            way("zstd -22, window 64 MiB", PACK, false, 9_650_000, 90),
            way("zstd -22, window 64 MiB", "none", false, 12_000_000, 100),
            way("zstd -22, window 64 MiB", "none", true, 15_000_000, 100),
            way("not compressed", "none", false, 67_000_000, 50),
        ];
        let limits = check(&ways);
        let values: Vec<(f64, bool)> = limits.iter().map(|one| (one.value, one.good())).collect();
        let want = [
            (9_650_000.0, true),
            (0.9, false),
            (0.5, true),
            (0.625, false),
        ];
        assert_eq!(values, want);
        assert_eq!(
            limits[0].text(),
            "bytes with the module pack, Linux 6.1: 9,650,000; 9,650,000 is allowed\n"
        );
        assert_eq!(
            limits[1].text(),
            "its part of zstd's time for unpacking and from Run /init to stage 2, Linux 6.1: 0.900; 0.850 is allowed: TOO MUCH\n"
        );
    }
}
