//! The domain's ports, spoken by components.

mod builder;
mod store;

pub(crate) use builder::ComponentBuilder;
pub(crate) use store::ComponentStore;
