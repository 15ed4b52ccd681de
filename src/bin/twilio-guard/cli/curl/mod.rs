//! curl commands: written for a signed request, read from a pasted one.

mod ansi_c;
mod data;
mod read;
mod write;

pub(crate) use read::read;
pub(crate) use write::{BodySource, write};
