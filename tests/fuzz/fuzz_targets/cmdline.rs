//! cmdline, see `toehold_fuzz::words::CMDLINE`.

#![no_main]

toehold_fuzz::fuzz!(toehold_fuzz::words::CMDLINE);
