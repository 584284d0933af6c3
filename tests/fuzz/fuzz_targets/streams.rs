//! streams, see `toehold_fuzz::pack::STREAMS_OF_A_GROUP`.

#![no_main]

toehold_fuzz::fuzz!(toehold_fuzz::pack::STREAMS_OF_A_GROUP);
