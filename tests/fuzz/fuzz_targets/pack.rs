//! pack, see `toehold_fuzz::pack::PACK`.

#![no_main]

toehold_fuzz::fuzz!(toehold_fuzz::pack::PACK);
