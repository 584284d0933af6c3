//! gpt, see `toehold_fuzz::tables::GPT`.

#![no_main]

toehold_fuzz::fuzz!(toehold_fuzz::tables::GPT);
