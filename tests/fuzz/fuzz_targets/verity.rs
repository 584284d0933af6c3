//! verity, see `toehold_fuzz::verity::VERITY`.

#![no_main]

toehold_fuzz::fuzz!(toehold_fuzz::verity::VERITY);
