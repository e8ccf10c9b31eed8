//! What a machine can do ([`Profile`]), and how long a private inference takes on it.
//!
//! Bytes and round trips follow from the program alone (`hushwire_mpc::cost`). Time also depends on
//! the machine: [`Profile::measure`] finds out what each kind of work costs it, and
//! [`Profile::predict`] lets the three parties do their work in the executor's order in a
//! simulation, so that computing overlaps with sending and parties on one machine share its cores.

mod measure;
mod predict;
mod profile;
mod schedule;
mod simulate;
mod work;

pub use predict::{Hosts, Line, Times};
pub use profile::{
    Convolution, Gate, Gates, Layer, Links, Machine, Ns, Profile, ProfileError, Words,
};
