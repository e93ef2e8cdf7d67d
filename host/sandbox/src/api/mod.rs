//! The contract, one module a released version: bindings and conversions without I/O.

pub(crate) mod v0_1;
pub(crate) mod v0_2;
