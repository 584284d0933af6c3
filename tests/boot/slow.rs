//! Scenarios that take long: another processor emulated, whole systems started, the builder as it ships, firmware.

mod aarch64;
mod debian;
mod flatcar;
mod mkosi;
mod profile;
mod release;
mod systemd;
mod uki;
