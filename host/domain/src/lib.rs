//! The words, rules and ports of FuseML. No I/O, no framework: everything here is a value or a pure function
//! of values, and the crates above implement the ports.

mod address;
mod artifact;
mod artifact_event;
mod budget;
mod change;
mod codeset_import;
mod command;
mod compatibility;
mod condition;
mod connection;
mod converter;
mod course;
mod difference;
mod digest;
mod endpoint;
mod engine;
mod error;
mod event;
mod external;
mod form;
mod freeze;
mod grant;
mod image;
mod instance;
mod interpolated;
mod keep;
mod kind;
mod lock;
mod manifest;
mod name;
mod nesting;
mod network;
mod package;
mod permission;
mod pipeline;
mod pipeline_loop;
mod pipeline_version;
mod plan;
pub mod port;
mod pushed;
mod range;
mod reference;
mod replica;
mod resources;
mod reuse;
mod run;
mod run_command;
mod run_state;
mod runnable;
mod runnable_file;
mod scalar;
mod secret;
mod series;
mod setting;
mod starts;
mod step;
mod step_run;
mod step_runs;
mod step_text;
mod store_sync;
mod stored;
mod suggestion;
mod surface;
mod sweep;
mod template;
#[cfg(test)]
mod testing;
mod text_schema;
mod tree;
mod wait;
mod watched;
mod webhook;
mod window;
mod workload;

pub use address::{Address, Selector};
pub use artifact::{Attributes, Descriptor, Location, Origin, Store};
pub use budget::Budget;
pub use change::{ArtifactChange, Changed};
pub use codeset_import::{CodesetImport, ImportOutcome, SHORTEST_INTERVAL};
pub use command::{Command, Mount, is_core_module, is_offered_wasi};
pub use compatibility::{Bump, needed_bump};
pub use condition::{
    Comparison, Condition, Fact, Field, LONGEST_CONDITION, Limit, Order, Test, facts, origin_name, texts,
};
pub use connection::{Candidates, Connected, Connection, Made};
pub use converter::{CONVERTER, Converter, chain};
pub use course::Course;
pub use difference::{ArtifactDifference, differences, runnable_differences};
pub use digest::Digest;
pub use endpoint::{Call, CallAnswer, CallContent, Endpoint, Method, Notice, NoticeFormat, Notify, OutgoingCall};
pub use engine::{EngineInfo, EngineInput, EngineLog, EngineOutput, EngineStatus, EngineWorkload};
pub use error::{Error, ErrorKind, NO_SPACE, Result, is_full};
pub use event::{Event, EventPattern, ReceivedEvent, scalar as event_scalar};
pub use external::ExternalArtifact;
pub use form::{Fit, Form};
pub use freeze::Freeze;
pub use grant::{Grant, Grants, Policy, Widening, widening};
pub use image::{ComponentImage, Image, ImageConfiguration, NothingBeside, RUNNABLE_LABEL, WASM_CONFIGURATION};
pub use instance::{Candidate, Instance, InstanceChoice, InstanceSelector, Scope, choose};
pub use interpolated::{Interpolated, InterpolatedJson};
pub use keep::{Keep, KeepSource};
pub use kind::Kind;
pub use lock::{ExtensionLock, LockedExtension, LockedPackage};
pub use manifest::{Component, Contract, Manifest, SecretSetting, TemplateFile, World};
pub use name::Name;
pub use nesting::Nested;
pub use network::{is_public, never_meant};
pub use package::{PackageOrigin, PackageReference, exactly};
pub use permission::{AllowedHost, BoundSecret, Capability, Request, Rights, fill_setting, host_rendering};
pub use pipeline::{Binding, InputValue, Pipeline, Provider, Value};
pub use pipeline_loop::{find_loop, followers};
pub use pipeline_version::{Edited, PipelineChange};
pub use plan::{Plan, PlannedStep, Prospect, PushPlan};
pub use pushed::{PushedArtifact, check_pushed};
pub use range::Range;
pub use reference::Reference;
pub use replica::{LEASE, Replica, Signal};
pub use resources::{CPU, Machine, Resources};
pub use reuse::{Identity, ReuseVerdict, StepResult};
pub use run::{Cause, Run, WaitsFor};
pub use run_command::{Intervention, RunCommand, Swap};
pub use run_state::{RunState, StepEvent, StepState};
pub use runnable::{
    BuildPlan, Delivery, Environment, InputDelivery, InputSlot, OutputReport, OutputSlot, Parameter, Runnable,
    ServiceSpec, ValueType,
};
pub use runnable_file::Beside;
pub use secret::SecretText;
pub use series::{SMALL_FILE, Series, beside_name, result_name};
pub use setting::{Setting, SettingType};
pub use starts::{Admission, Concurrency, EventStart, Quota, Schedule, Starts, Unstarted, admit};
pub use step::{
    Action, Approval, DEFAULT_TIMEOUT, Placed, Retry, Reuse, RunnableChoice, RunnableKind, Runs, Step, When, Work,
};
pub use step_run::{Attempt, StepRun};
pub use step_runs::StepRuns;
pub use store_sync::{StoreLook, StoreSync};
pub use stored::{
    StoreAbilities, StoreBatch, StoreChange, StoreCollected, StoreCondition, StoreEvent, StoreInfo, StorePage,
    StorePattern, StoreQuery, StoredArtifact,
};
pub use suggestion::{Goal, Link, Piece, cost, suggest};
pub use surface::Surface;
pub use sweep::{Best, Choice, Combination, Sweep, Values};
pub use template::{Template, TemplateInput, TemplateOutput};
pub use tree::{Tree, TreeFile, check_relative_path};
pub use wait::{Awaited, Wait, WaitArtifact, WaitEvent};
pub use watched::unchanged;
pub use webhook::{Proof, Webhook};
pub use window::Window;
pub use workload::{
    ARTIFACTS_BESIDE, CollectedOutput, Contents, ImageBuild, LogChunk, Phase, Workload, WorkloadInput, WorkloadKind,
    WorkloadOutput, WorkloadStatus,
};
