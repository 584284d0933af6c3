//! spec, see `toehold_fuzz::words::SPEC`.

#![no_main]

toehold_fuzz::fuzz!(toehold_fuzz::words::SPEC);
