//! filesystem, see `toehold_fuzz::filesystem::FILESYSTEM`.

#![no_main]

toehold_fuzz::fuzz!(toehold_fuzz::filesystem::FILESYSTEM);
