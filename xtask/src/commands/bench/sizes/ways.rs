//! By compressor, compression of the modules, and stripping.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Ground, IMAGE, Modules, Times, time};
use crate::lab::busybox;
use crate::lab::kernels::Series;
use crate::measure::size::measure::packed;
use crate::measure::size::table::{Style, grouped, table};
use builder::archive::compress::Compression::{self, Gzip, None as Uncompressed, Xz, Zstd};

/// What is said of modules in the pack, where others have their compression.
pub const PACK: &str = "module pack";

/// One way to pack.
#[derive(Serialize, JsonSchema)]
pub struct Way {
    #[serde(skip)]
    pub series: Series,
    /// Its version.
    pub kernel: String,
    /// How the initrd is compressed.
    pub compress: String,
    /// How its modules are.
    pub modules: String,
    /// Debug information is removed from them.
    pub stripped: bool,
    /// The initrd's length.
    pub bytes: usize,
    /// With the modules as they are packaged.
    pub times: Option<Times>,
    /// A busybox initrd with the same modules, packed the same way.
    pub busybox_bytes: Option<usize>,
}

/// Ways to pack the modules, and then the initrd.
type Ways = &'static [(Option<Compression>, &'static [Compression])];

/// All that is tried on this ground: the module pack first.
fn tried(series: Series) -> Ways {
    const ALL: &[Compression] = &[Gzip, Xz, Zstd, Uncompressed];
    match series {
        Series::Arm61 => &[(None, &[Zstd]), (Some(Uncompressed), &[Zstd])],
        // Its kernel decompresses modules that are packed with xz.
        Series::Cloud612 => &[(None, &[Zstd]), (Some(Uncompressed), ALL), (Some(Xz), ALL)],
        _ => &[(None, &[Zstd]), (Some(Uncompressed), ALL)],
    }
}

pub fn measure(ground: &Ground) -> Result<Vec<Way>> {
    let mut ways = Vec::new();
    for (module_compress, compressions) in tried(ground.series) {
        for stripped in [false, true] {
            let modules = Modules {
                compress: *module_compress,
                stripped,
                ..Modules::default()
            };
            let built = ground.contents(modules)?.pack(Ok)?;
            let compared = ground.series == Series::Generic61 && module_compress.is_some();
            let other = compared
                .then(|| busybox::build(&ground.kernel, &built, &ground.disk, IMAGE))
                .transpose()?;
            for compress in *compressions {
                let archive = match module_compress {
                    // What is in front of the archive is not compressed.
                    None => {
                        let contents = ground.contents(modules)?;
                        contents.pack(|archive| packed(*compress, archive))?.archive
                    }
                    Some(_) => packed(*compress, built.archive.clone())?,
                };
                let other = other.clone().map(|other| packed(*compress, other));
                ways.push(Way {
                    series: ground.series,
                    kernel: ground.kernel.release.clone(),
                    compress: compress.settings(built.archive.len()),
                    modules: module_compress.map_or(PACK.to_owned(), |each| each.to_string()),
                    stripped,
                    bytes: archive.len(),
                    times: match stripped {
                        true => None,
                        false => ground.boot(&archive)?,
                    },
                    busybox_bytes: other.transpose()?.map(|other| other.len()),
                });
            }
        }
    }
    Ok(ways)
}

pub fn text(ways: &[Way]) -> String {
    let row = |way: &Way| {
        let stripped = if way.stripped {
            "stripped"
        } else {
            "as packaged"
        };
        vec![
            way.kernel.clone(),
            way.compress.clone(),
            way.modules.clone(),
            stripped.to_owned(),
            grouped(way.bytes),
            time(way.times, |times| times.unpacking_us),
            time(way.times, |times| times.stage2_us),
            way.busybox_bytes.map_or(String::new(), grouped),
        ]
    };
    let head = [
        "kernel",
        "initrd",
        "each module",
        "",
        "bytes",
        "unpacking, ms",
        "entry to stage 2, ms",
        "busybox",
    ];
    let rows: Vec<_> = ways.iter().map(row).collect();
    table(Style::Markdown, &head, &rows)
}
