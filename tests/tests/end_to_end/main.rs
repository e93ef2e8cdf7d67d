//! The whole system, driven as its users drive it.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by where it stops")]

mod anonymous;
mod artifacts;
mod authors;
mod bad_input;
mod check;
mod components;
mod composition;
mod containers;
mod contents;
mod dependencies;
mod durability;
mod engines;
mod extensions;
mod git;
mod imports;
mod interface;
mod keeping;
mod main_job;
mod marketplace;
mod marketplace_operation;
mod mirror;
mod oci_clients;
mod outside;
mod provenance;
mod recovery;
mod resources;
mod runnables;
mod schemas;
mod sdk;
mod selection;
mod steering;
mod stores;
mod verification;
mod watching;
