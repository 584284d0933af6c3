//! uevent, see `toehold_fuzz::words::UEVENT`.

#![no_main]

toehold_fuzz::fuzz!(toehold_fuzz::words::UEVENT);
