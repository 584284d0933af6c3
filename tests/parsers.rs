//! The pure library against real tools, independent implementations and bytes laid out by hand.

#[path = "parsers/blkid.rs"]
mod blkid;
#[path = "parsers/cmdline.rs"]
mod cmdline;
#[path = "parsers/dm.rs"]
mod dm;
#[path = "parsers/filesystem.rs"]
mod filesystem;
#[path = "parsers/gpt.rs"]
mod gpt;
#[path = "parsers/matrix.rs"]
mod matrix;
#[path = "parsers/samples.rs"]
mod samples;
#[path = "parsers/tables.rs"]
mod tables;
#[path = "parsers/target.rs"]
mod target;
#[path = "parsers/tools.rs"]
mod tools;
#[path = "parsers/verity.rs"]
mod verity;
#[path = "parsers/words.rs"]
mod words;
