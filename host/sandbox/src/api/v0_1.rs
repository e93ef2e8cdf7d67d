//! `fuseml:*@0.1.0`: generated bindings, and the host's functions as calls into the capabilities.

pub(crate) mod building;
pub(crate) mod convert;
pub(crate) mod running;
pub(crate) mod storing;

/// Imports everything that any world does, so its interfaces serve the other worlds too.
pub(crate) mod builder {
    wasmtime::component::bindgen!({
        path: [
            "../../wit/types/0.1.0",
            "../../wit/logging/0.1.0",
            "../../wit/clock/0.1.0",
            "../../wit/random/0.1.0",
            "../../wit/configuration/0.1.0",
            "../../wit/state/0.1.0",
            "../../wit/http/0.1.0",
            "../../wit/files/0.1.0",
            "../../wit/builder/0.1.0",
        ],
        world: "fuseml:builder/builder@0.1.0",
        imports: {
            "fuseml:state/state@0.1.0": async,
            "fuseml:http/http@0.1.0": async,
            "fuseml:files/files@0.1.0": async,
        },
        exports: { default: async },
        include_component_type: true,
        additional_derives: [serde::Serialize, serde::Deserialize],
    });
}

pub(crate) mod artifact_store {
    wasmtime::component::bindgen!({
        path: [
            "../../wit/types/0.1.0",
            "../../wit/logging/0.1.0",
            "../../wit/clock/0.1.0",
            "../../wit/random/0.1.0",
            "../../wit/configuration/0.1.0",
            "../../wit/state/0.1.0",
            "../../wit/http/0.1.0",
            "../../wit/artifact-store/0.1.0",
        ],
        world: "fuseml:artifact-store/artifact-store@0.1.0",
        exports: { default: async },
        with: {
            "fuseml:types/types@0.1.0": super::builder::fuseml::types::types,
            "fuseml:logging/logging@0.1.0": super::builder::fuseml::logging::logging,
            "fuseml:clock/clock@0.1.0": super::builder::fuseml::clock::clock,
            "fuseml:random/random@0.1.0": super::builder::fuseml::random::random,
            "fuseml:configuration/configuration@0.1.0": super::builder::fuseml::configuration::configuration,
            "fuseml:state/state@0.1.0": super::builder::fuseml::state::state,
            "fuseml:http/http@0.1.0": super::builder::fuseml::http::http,
        },
        include_component_type: true,
        additional_derives: [serde::Serialize, serde::Deserialize],
    });
}

pub(crate) mod runtime_agent {
    wasmtime::component::bindgen!({
        path: [
            "../../wit/types/0.1.0",
            "../../wit/logging/0.1.0",
            "../../wit/clock/0.1.0",
            "../../wit/random/0.1.0",
            "../../wit/configuration/0.1.0",
            "../../wit/state/0.1.0",
            "../../wit/http/0.1.0",
            "../../wit/runtime-agent/0.1.0",
        ],
        world: "fuseml:runtime-agent/runtime-agent@0.1.0",
        exports: { default: async },
        with: {
            "fuseml:types/types@0.1.0": super::builder::fuseml::types::types,
            "fuseml:logging/logging@0.1.0": super::builder::fuseml::logging::logging,
            "fuseml:clock/clock@0.1.0": super::builder::fuseml::clock::clock,
            "fuseml:random/random@0.1.0": super::builder::fuseml::random::random,
            "fuseml:configuration/configuration@0.1.0": super::builder::fuseml::configuration::configuration,
            "fuseml:state/state@0.1.0": super::builder::fuseml::state::state,
            "fuseml:http/http@0.1.0": super::builder::fuseml::http::http,
        },
        include_component_type: true,
        additional_derives: [serde::Serialize, serde::Deserialize],
    });
}

pub(crate) use artifact_store::{ArtifactStorePre, exports::fuseml::artifact_store::store};
pub(crate) use builder::{
    BuilderPre,
    exports::fuseml::builder::build,
    fuseml::{clock, configuration, files, http, logging, random, state, types},
};
pub(crate) use runtime_agent::{RuntimeAgentPre, exports::fuseml::runtime_agent::agent};

use crate::{call::Call, capability, instance::LogLevel, tape::taped};
use std::time::Duration;
use types::types::{Error, Page};
use wasmtime::component::{HasSelf, Linker};

/// The functions that a builder may import.
pub(crate) fn builder_linker(mut linker: Linker<Call>) -> wasmtime::Result<Linker<Call>> {
    builder::Builder::add_to_linker::<_, HasSelf<_>>(&mut linker, |call| call)?;
    Ok(linker)
}

/// The functions that an artifact store may import.
pub(crate) fn artifact_store_linker(mut linker: Linker<Call>) -> wasmtime::Result<Linker<Call>> {
    artifact_store::ArtifactStore::add_to_linker::<_, HasSelf<_>>(&mut linker, |call| call)?;
    Ok(linker)
}

/// The functions that a runtime agent may import.
pub(crate) fn runtime_agent_linker(mut linker: Linker<Call>) -> wasmtime::Result<Linker<Call>> {
    runtime_agent::RuntimeAgent::add_to_linker::<_, HasSelf<_>>(&mut linker, |call| call)?;
    Ok(linker)
}

impl types::types::Host for Call {}

impl clock::clock::Host for Call {
    fn now(&mut self) -> u64 {
        taped!(self, "clock.now", [], 0, capability::clock::now())
    }
}

impl random::random::Host for Call {
    fn bytes(&mut self, length: u32) -> Vec<u8> {
        taped!(self, "random.bytes", [length], Vec::new(), capability::random::bytes(length))
    }
}

impl configuration::configuration::Host for Call {
    fn get(&mut self, name: String) -> Option<String> {
        taped!(self, "configuration.get", [name], None, self.setting(&name))
    }
}

impl logging::logging::Host for Call {
    fn log(&mut self, level: logging::logging::Level, message: String, fields: Vec<(String, String)>) {
        let level = match level {
            logging::logging::Level::Debug => LogLevel::Debug,
            logging::logging::Level::Info => LogLevel::Info,
            logging::logging::Level::Warn => LogLevel::Warn,
            logging::logging::Level::Error => LogLevel::Error,
        };
        Call::log(self, level, &message, fields);
    }
}

impl state::state::Host for Call {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, Error> {
        taped!(self, "state.get", [key], Err(departed()), self.state_get(&key).await.map_err(Into::into))
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), Error> {
        taped!(
            self,
            "state.set",
            [key, value],
            Err(departed()),
            self.state_set(&key, Some(&value)).await.map_err(Into::into)
        )
    }

    async fn compare_and_set(&mut self, key: String, expected: Option<Vec<u8>>, value: Vec<u8>) -> Result<bool, Error> {
        taped!(
            self,
            "state.compare-and-set",
            [key, expected, value],
            Err(departed()),
            self.state_swap(&key, expected.as_deref(), &value).await.map_err(Into::into)
        )
    }

    async fn delete(&mut self, key: String) -> Result<(), Error> {
        taped!(self, "state.delete", [key], Err(departed()), self.state_set(&key, None).await.map_err(Into::into))
    }

    async fn list_keys(&mut self, prefix: String, page: Page) -> Result<(Vec<String>, Option<String>), Error> {
        taped!(
            self,
            "state.list-keys",
            [prefix, page],
            Err(departed()),
            self.state_keys(&prefix, page.cursor.as_deref(), page.limit).await.map_err(Into::into)
        )
    }
}

impl files::files::Host for Call {
    async fn find(&mut self, glob: String, after: Option<String>) -> Result<Vec<files::files::Entry>, Error> {
        taped!(self, "files.find", [glob, after], Err(departed()), {
            let found = self.find_files(glob, after).await;
            found.map(|found| found.into_iter().map(Into::into).collect()).map_err(Into::into)
        })
    }

    async fn read(&mut self, path: String) -> Result<Vec<u8>, Error> {
        taped!(self, "files.read", [path], Err(departed()), self.read_file(path).await.map_err(Into::into))
    }
}

impl http::http::Host for Call {
    async fn fetch(&mut self, request: http::http::Request) -> Result<http::http::Response, Error> {
        taped!(
            self,
            "http.fetch",
            [request],
            Err(departed()),
            Call::fetch(self, asked(request)).await.map(answered).map_err(Into::into)
        )
    }
}

fn asked(request: http::http::Request) -> capability::http::Request {
    let secret = |header: http::http::SecretHeader| capability::http::SecretHeader {
        name: header.name,
        template: header.template,
        secret: header.secret,
    };
    capability::http::Request {
        method: request.method,
        url: request.url,
        headers: request.headers,
        secrets: request.secret_headers.into_iter().map(secret).collect(),
        body: request.body,
        timeout: request.timeout_ms.map(|millis| Duration::from_millis(millis.into())),
    }
}

fn answered(response: capability::http::Response) -> http::http::Response {
    http::http::Response { status: response.status, headers: response.headers, body: response.body }
}

/// What a replayed call hears once it has departed from its tape.
pub(crate) fn departed() -> Error {
    fuseml_domain::Error::unavailable("departed", "the call departed from its tape").into()
}
