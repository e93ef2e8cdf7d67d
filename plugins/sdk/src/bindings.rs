//! What `wit-bindgen` makes of `/wit`: the capabilities once, then one module a world that shares them.
//!
//! Each world's export macro carries that world's type section into the component that calls it, so a
//! component exports its own world and no other although this crate knows all three.
#![allow(missing_docs, clippy::all, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, unused)]

/// The capabilities and the words they share.
pub mod host {
    wit_bindgen::generate!({
        path: [
            "../../wit/types/0.1.0",
            "../../wit/logging/0.1.0",
            "../../wit/clock/0.1.0",
            "../../wit/random/0.1.0",
            "../../wit/configuration/0.1.0",
            "../../wit/state/0.1.0",
            "../../wit/http/0.1.0",
            "../../wit/files/0.1.0",
            "../../wit/reveal/0.1.0",
            "../../wit/artifact-events/0.1.0",
        ],
        inline: "
            package fuseml:guest@0.1.0;
            world capabilities {
              import fuseml:types/types@0.1.0;
              import fuseml:logging/logging@0.1.0;
              import fuseml:clock/clock@0.1.0;
              import fuseml:random/random@0.1.0;
              import fuseml:configuration/configuration@0.1.0;
              import fuseml:state/state@0.1.0;
              import fuseml:http/http@0.1.0;
              import fuseml:files/files@0.1.0;
              import fuseml:reveal/reveal@0.1.0;
              import fuseml:artifact-events/artifact-events@0.1.0;
            }
        ",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
    });
}

/// An interface that a store may export beside its world, as a world of its own: what a component is made of adds up.
macro_rules! optional {
    ($module:ident, $inline:literal, world: $world:literal, export: $export:literal, here: $here:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: [
                    "../../wit/types/0.1.0",
                    "../../wit/logging/0.1.0",
                    "../../wit/clock/0.1.0",
                    "../../wit/random/0.1.0",
                    "../../wit/configuration/0.1.0",
                    "../../wit/state/0.1.0",
                    "../../wit/http/0.1.0",
                    "../../wit/reveal/0.1.0",
                    "../../wit/artifact-events/0.1.0",
                    "../../wit/artifact-store/0.2.0",
                ],
                inline: $inline,
                world: $world,
                with: { "fuseml:types/types@0.1.0": crate::bindings::host::fuseml::types::types },
                additional_derives: [PartialEq],
                pub_export_macro: true,
                export_macro_name: $export,
                default_bindings_module: $here,
            });
        }
    };
}

optional!(
    feed, "package fuseml:guest-feed@0.1.0; world feed { export fuseml:artifact-store/feed@0.2.0; }",
    world: "fuseml:guest-feed/feed", export: "export_feed_world", here: "fuseml_extension::macros::feed"
);
optional!(
    redirect, "package fuseml:guest-redirect@0.1.0; world redirect { export fuseml:artifact-store/redirect@0.2.0; }",
    world: "fuseml:guest-redirect/redirect", export: "export_redirect_world",
    here: "fuseml_extension::macros::redirect"
);
optional!(
    maintenance,
    "package fuseml:guest-maintenance@0.1.0; world maintenance { export fuseml:artifact-store/maintenance@0.2.0; }",
    world: "fuseml:guest-maintenance/maintenance", export: "export_maintenance_world",
    here: "fuseml_extension::macros::maintenance"
);

/// One world: where its WIT is, its name, the macro that exports it, and the capabilities beyond the common.
macro_rules! world {
    (
        $module:ident, path: $path:literal, world: $world:literal, export: $export:literal, here: $here:literal,
        more: { $($more:tt)* }
    ) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: [
                    "../../wit/types/0.1.0",
                    "../../wit/logging/0.1.0",
                    "../../wit/clock/0.1.0",
                    "../../wit/random/0.1.0",
                    "../../wit/configuration/0.1.0",
                    "../../wit/state/0.1.0",
                    "../../wit/http/0.1.0",
                    "../../wit/files/0.1.0",
                    "../../wit/reveal/0.1.0",
                    "../../wit/artifact-events/0.1.0",
                    $path,
                ],
                world: $world,
                with: {
                    "fuseml:types/types@0.1.0": crate::bindings::host::fuseml::types::types,
                    "fuseml:logging/logging@0.1.0": crate::bindings::host::fuseml::logging::logging,
                    "fuseml:clock/clock@0.1.0": crate::bindings::host::fuseml::clock::clock,
                    "fuseml:random/random@0.1.0": crate::bindings::host::fuseml::random::random,
                    "fuseml:configuration/configuration@0.1.0":
                        crate::bindings::host::fuseml::configuration::configuration,
                    "fuseml:state/state@0.1.0": crate::bindings::host::fuseml::state::state,
                    "fuseml:http/http@0.1.0": crate::bindings::host::fuseml::http::http,
                    $($more)*
                },
                additional_derives: [PartialEq],
                pub_export_macro: true,
                export_macro_name: $export,
                default_bindings_module: $here,
            });
        }
    };
}

world!(
    store, path: "../../wit/artifact-store/0.2.0", world: "fuseml:artifact-store/artifact-store",
    export: "export_store_world", here: "fuseml_extension::macros::store",
    more: {
        "fuseml:reveal/reveal@0.1.0": crate::bindings::host::fuseml::reveal::reveal,
        "fuseml:artifact-events/artifact-events@0.1.0":
            crate::bindings::host::fuseml::artifact_events::artifact_events,
    }
);
world!(
    builder, path: "../../wit/builder/0.1.0", world: "fuseml:builder/builder",
    export: "export_builder_world", here: "fuseml_extension::macros::builder",
    more: { "fuseml:files/files@0.1.0": crate::bindings::host::fuseml::files::files, }
);
world!(
    agent, path: "../../wit/runtime-agent/0.1.0", world: "fuseml:runtime-agent/runtime-agent",
    export: "export_agent_world", here: "fuseml_extension::macros::agent", more: {}
);
