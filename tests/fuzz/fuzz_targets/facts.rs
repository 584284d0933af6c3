//! facts, see `toehold_fuzz::words::FACTS_OF_A_DEVICE`.

#![no_main]

toehold_fuzz::fuzz!(toehold_fuzz::words::FACTS_OF_A_DEVICE);
