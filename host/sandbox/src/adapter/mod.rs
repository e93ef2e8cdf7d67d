//! The domain's ports, spoken by components.

mod agent;
mod builder;
mod store;

pub(crate) use agent::ComponentAgent;
pub(crate) use builder::ComponentBuilder;
pub(crate) use store::{ComponentStore, StorePre};

/// Exported functions of one interface, and what becomes of their answers.
macro_rules! functions {
    ($pre:ident.$interface:ident: $(
        $function:ident $name:literal -> $answer:ty, about |$about:ident| $subject:expr,
        |$self:ident, $guest:ident, $store:ident| $call:expr, $convert:expr;
    )*) => {
        $(impl crate::run::Function for $function {
            type Pre = $pre<Call>;
            type Answer = $answer;
            const NAME: &'static str = $name;

            fn subject(&self) -> Option<String> {
                let $about: &Self = self;
                $subject
            }

            async fn call(
                $self,
                pre: Self::Pre,
                $store: &mut wasmtime::Store<Call>,
            ) -> wasmtime::Result<std::result::Result<Self::Answer, crate::failure::Failure>> {
                let bindings = pre.instantiate_async(&mut *$store).await?;
                let $guest = bindings.$interface();
                Ok(match $call.await? {
                    Ok(answer) => $convert(answer).map_err(crate::failure::Failure::Nonsense),
                    Err(error) => Err(error.into()),
                })
            }
        })*
    };
}
use functions;
