//! The pure library against real tools, independent implementations and bytes laid out by hand.

mod blkid;
mod cmdline;
mod dm;
mod filesystem;
mod gpt;
mod matrix;
mod tables;
mod target;
mod tools;
mod verity;
mod words;
