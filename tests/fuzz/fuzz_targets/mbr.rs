//! mbr, see `toehold_fuzz::tables::MBR`.

#![no_main]

toehold_fuzz::fuzz!(toehold_fuzz::tables::MBR);
