//! What things weigh, how long a boot takes, and pictures and tables of both. This room may use
//! `lab`.

pub mod chart;
pub mod matcher;
pub mod modaliases;
pub mod quiet;
pub mod results;
pub mod size;
pub mod summary;
pub mod trace;
