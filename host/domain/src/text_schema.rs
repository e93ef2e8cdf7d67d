//! The JSON Schemas of what is written as one text and read as something else.

use crate::{Address, Awaited, Condition, Image, Reference};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

macro_rules! text {
    ($type:ty, $name:literal, $pattern:literal, $description:literal) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "description": $description})
            }
        }
    };
}

text!(
    Reference,
    "Reference",
    r"^\$\{(inputs|steps)\.[^{}]+\}$",
    "`${inputs.<name>}`, `${inputs.<name>.attributes.<attribute>}` or `${steps.<step>.<output>}`"
);
text!(Condition, "Condition", ".", "Such as `framework = sklearn and accuracy > 0.9`");
text!(Address, "Address", "^(code|runnable|model|data)://[^/]+/.+", "Such as `runnable://shop/trainer@v1`");
text!(
    Awaited,
    "Awaited",
    r"^((code|runnable|model|data)://.+|\$\{(inputs|steps)\.[^{}]+\})$",
    "A selector such as `model://*@production`, or a reference to an artifact"
);
text!(Image, "Image", "@sha256:[0-9a-f]{64}$", "`<registry>/<repository>@sha256:<digest>`");
