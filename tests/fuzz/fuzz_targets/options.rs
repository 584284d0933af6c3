//! options, see `toehold_fuzz::verity::OPTIONS`.

#![no_main]

toehold_fuzz::fuzz!(toehold_fuzz::verity::OPTIONS);
