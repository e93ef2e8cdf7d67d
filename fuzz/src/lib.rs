//! Every parser of outside bytes as a function over bytes.
//!
//! A target must not panic, hang or use memory beyond its input's size, and what it accepts must hold what it
//! promises: mostly that it says the same when it is written and read again.

mod contents;
mod package;
mod statement;
mod text;

/// A parser under test.
#[derive(Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// What mutations begin with.
    pub seeds: &'static [&'static str],
}

const MANIFEST: &str = include_str!("../../plugins/mlflow/extension.toml");
const TEMPLATE: &str = include_str!("../../plugins/mlflow/templates/mlflow-training.yaml");

const RUNNABLE: &str = "schema_version: 1
name: scorer
kind: predictor
environment: {python: '3.12', requirements: [scikit-learn==1.5.2]}
command: [python, score.py]
scripts: {score.py: score.py}
inputs: {model: {kind: model, requires: {framework: sklearn}}}
parameters: {top-k: {type: integer, default: 3, argument: '--top-k={}'}}
service: {ready: /health, predict: /score}
";

/// All of them.
pub const TARGETS: [Target; 15] = [
    Target { name: "manifest", run: text::manifest, seeds: &[MANIFEST] },
    Target { name: "template", run: text::template, seeds: &[TEMPLATE] },
    Target {
        name: "name",
        run: text::name,
        seeds: &[
            "model://myproj/iris@production",
            "code://*",
            "model://* where accuracy > 0.9 and label.team = red",
            "quay.io/a/b@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "hub:acme/mlflow@^0.1",
            "https://tool.example:5000/api",
            "${steps.train.model}",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ],
    },
    Target {
        name: "condition",
        run: text::condition,
        seeds: &[
            "kind = model and framework in (sklearn, torch) and accuracy > 0.9 or not (has label.team)",
            "created >= 2026-11-23T10:00:00Z and text ~ 'white \\' wine' and tag != production",
        ],
    },
    Target {
        name: "lock",
        run: text::lock,
        seeds: &[
            "schema_version = 1\n[[extension]]\nname = \"tool\"\nversion = \"0.1.0\"\ndigest = \"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\n[extension.dependencies]\nbase = \"^0.1\"\n",
        ],
    },
    Target {
        name: "tree",
        run: contents::tree,
        seeds: &[
            r#"{"files":[{"path":"a/b","size_bytes":1,"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","executable":false}],"empty_folders":["c"]}"#,
        ],
    },
    Target { name: "pack", run: contents::pack, seeds: &["sha256/\0ustar"] },
    Target {
        name: "formats",
        run: contents::formats,
        seeds: &[
            "GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0",
            "PAR1\x15\x04\x19\x2c\x35\0\x18\x04root\x15\x02\0PAR1",
            "\x02\0\0\0\0\0\0\0{}",
            "flavors: {sklearn: {sklearn_version: 1.5.2}}\nsignature: {inputs: '[{\"type\": \"double\"}]'}\n",
            "{\"model_type\": \"bert\", \"architectures\": [\"A\"]}\n",
            "a,b\n1,x\n",
        ],
    },
    Target { name: "runnable", run: contents::runnable, seeds: &[RUNNABLE] },
    Target { name: "component", run: package::component, seeds: &["\0asm\x0d\0\x01\0", "\0asm\x01\0\0\0"] },
    Target {
        name: "layout",
        run: package::layout,
        seeds: &[r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#],
    },
    Target {
        name: "distribution",
        run: package::distribution,
        seeds: &[
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"a/b","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#,
        ],
    },
    Target {
        name: "envelope",
        run: statement::envelope,
        seeds: &[r#"{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AA=="}]}"#],
    },
    Target {
        name: "note",
        run: statement::note,
        seeds: &["market.example\n2\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u{2014} market.example AAAA\n"],
    },
    Target {
        name: "key",
        run: statement::key,
        seeds: &[
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEACb0Msbn1XgFEGKMOWzRgMqTGmM7OO2H9gFexERiGdgw=\n-----END PUBLIC KEY-----\n",
        ],
    },
];
