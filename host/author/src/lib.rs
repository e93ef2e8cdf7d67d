//! What an extension's author needs: [`create`] begins a project, [`build`] makes a project's components and lays out the
//! folder that is installed. And the author of a program that becomes a runnable: [`Program`].
//!
//! Promises: the first toolchain that the machine offers is taken and named; two checkouts give the same bytes;
//! the output is either the old folder or the whole new one; whatever `extension.toml` names is in it, and a
//! component that it does not name is an error.

mod build;
mod contracts;
mod create;
mod files;
mod interfaces;
mod javascript;
mod layout;
mod process;
mod program;
mod python;
mod rust;
mod toolchain;

pub use build::{Built, BuiltComponent, build};
pub use create::{Language, ProjectKind, create};
pub use interfaces::in_words;
pub use program::Program;
pub use toolchain::{Target, Toolchain, shared_builds};
