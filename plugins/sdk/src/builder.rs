//! Builders turn a codeset into runnables: they decide and describe, the host builds, stores and registers.

use crate::Result;
use crate::bindings::builder::exports::fuseml::builder::build::Guest;

pub use crate::bindings::builder::exports::fuseml::builder::build::{
    BuildPlan, Codeset, Delivery, Environment, InputSlot, Match, OutputSlot, Parameter, Previous, Runnable, Service,
    ValueType,
};

/// What a builder component does. Export it with [`export_builder!`](crate::export_builder).
pub trait Builder: Sized {
    /// A fresh builder for one call: the place to read settings.
    fn new() -> Result<Self>;
    /// Is the codeset for this builder?
    fn detect(&self) -> Result<Match>;
    /// The whole plan, whether or not a rebuild is due; equal files, settings and builder give an equal plan.
    fn plan(&self, codeset: Codeset, previous: Option<Previous>) -> Result<BuildPlan>;
}

impl Match {
    /// The codeset is for this builder; `reason` says which file decided.
    pub fn certain(reason: impl Into<String>) -> Self {
        Self { confidence: 100, reason: reason.into() }
    }

    /// The codeset is not for this builder; `reason` says what is missing.
    pub fn no(reason: impl Into<String>) -> Self {
        Self { confidence: 0, reason: reason.into() }
    }
}

/// Makes the exports of the world out of a [`Builder`].
#[doc(hidden)]
pub struct Exported<T>(std::marker::PhantomData<T>);

impl<T: Builder> Guest for Exported<T> {
    fn detect() -> Result<Match> {
        #[cfg(target_arch = "wasm32")]
        crate::panic::log_panics();
        T::new()?.detect()
    }

    fn plan(codeset: Codeset, previous: Option<Previous>) -> Result<BuildPlan> {
        #[cfg(target_arch = "wasm32")]
        crate::panic::log_panics();
        T::new()?.plan(codeset, previous)
    }
}

/// Makes this crate a component of the world `fuseml:builder/builder`.
#[macro_export]
macro_rules! export_builder {
    ($builder:ty) => {
        const _: fn() -> $crate::Result<$builder> = <$builder as $crate::Builder>::new;
        // Native builds have tests instead of exports, and no linker there takes a component's symbol names.
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::builder::Exported<$builder>;
    $crate::macros::builder::export_builder_world!(Exported with_types_in $crate::macros::builder);
        };
    };
}
