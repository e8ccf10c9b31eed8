//! One module per command.

pub mod bench;
pub mod calibrate;
pub mod client;
pub mod demo;
pub mod encrypted;
pub mod eval;
pub mod helper;
pub mod inspect;
pub mod keys;
pub mod plan;
pub mod polynomial;
pub mod profile;
pub mod report;
pub mod run;
pub mod server;
pub mod study;
pub mod train;
pub mod tune;
