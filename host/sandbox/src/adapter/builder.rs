//! A builder component as the domain's `Builder`.

use crate::{
    api::v0_1::{BuilderPre, build, building},
    call::Call,
    failure::Failure,
    run::{Bound, Function},
    tape::{Replayed, Tape},
};
use async_trait::async_trait;
use fuseml_domain::{
    BuildPlan, Error, Name, Result,
    port::{Builder, CodesetToBuild, PreviousBuild},
};
use serde::{Deserialize, Serialize};
use wasmtime::Store;

pub(crate) struct ComponentBuilder(pub(crate) Bound<BuilderPre<Call>>);

impl ComponentBuilder {
    /// Runs a recorded call again.
    pub(crate) async fn replay(&self, tape: &Tape) -> Result<Replayed> {
        match tape.function.as_str() {
            Detect::NAME => self.0.replay::<Detect>(tape).await,
            Plan::NAME => self.0.replay::<Plan>(tape).await,
            other => Err(Error::unsupported("tape", format!("`{other}` is no function of a builder"))),
        }
    }
}

#[async_trait]
impl Builder for ComponentBuilder {
    async fn detect(&self, codeset: &CodesetToBuild) -> Result<(u8, String)> {
        self.0.call(Detect(codeset.address.to_string()), Some(codeset.files.clone())).await
    }

    async fn plan(&self, codeset: &CodesetToBuild, previous: Option<&PreviousBuild>) -> Result<BuildPlan> {
        let plan = Plan {
            codeset: building::codeset(codeset),
            previous: previous.map(building::previous),
            instance: self.0.instance.instance.clone(),
            subject: codeset.address.to_string(),
        };
        self.0.call(plan, Some(codeset.files.clone())).await
    }
}

#[derive(Serialize, Deserialize)]
struct Detect(String);

impl Function for Detect {
    type Pre = BuilderPre<Call>;
    type Answer = (u8, String);
    const NAME: &'static str = "detect";

    fn subject(&self) -> Option<String> {
        Some(self.0.clone())
    }

    async fn call(self, pre: Self::Pre, store: &mut Store<Call>) -> wasmtime::Result<Result<Self::Answer, Failure>> {
        let builder = pre.instantiate_async(&mut *store).await?;
        let answer = builder.fuseml_builder_build().call_detect(&mut *store).await?;
        Ok(answer.map(building::matched).map_err(Failure::from))
    }
}

#[derive(Serialize, Deserialize)]
struct Plan {
    codeset: build::Codeset,
    previous: Option<build::Previous>,
    instance: Name,
    subject: String,
}

impl Function for Plan {
    type Pre = BuilderPre<Call>;
    type Answer = BuildPlan;
    const NAME: &'static str = "plan";

    fn subject(&self) -> Option<String> {
        Some(self.subject.clone())
    }

    async fn call(self, pre: Self::Pre, store: &mut Store<Call>) -> wasmtime::Result<Result<Self::Answer, Failure>> {
        let builder = pre.instantiate_async(&mut *store).await?;
        let build = builder.fuseml_builder_build();
        let answer = build.call_plan(&mut *store, &self.codeset, self.previous.as_ref()).await?;
        Ok(match answer {
            Ok(plan) => building::plan(plan, &self.instance).map_err(Failure::Nonsense),
            Err(error) => Err(error.into()),
        })
    }
}
