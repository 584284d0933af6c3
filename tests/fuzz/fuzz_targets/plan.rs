//! plan, see `toehold_fuzz::plan::PLAN`.

#![no_main]

toehold_fuzz::fuzz!(toehold_fuzz::plan::PLAN);
