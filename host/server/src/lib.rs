//! One server: REST under `/api/v1`, git under `/git`, the service gateway under `/serve`.
//!
//! This crate wires the others together and translates between HTTP and the domain. It holds no rule of its own:
//! handlers are thin, and every failure is a [`fuseml_domain::Error`] turned into a response in one place.

mod app;
mod auth;
mod contents;
mod difference;
mod endpoints;
mod extension;
mod folder;
mod imports;
mod marketplace;
mod openlineage;
mod package;
mod peers;
mod provenance;
mod push;
mod recover;
mod route;
mod start;
mod stores;
mod suggestions;
mod trust;
mod view;
mod webhook;

pub use folder::DataFolder;
pub use provenance::{SLSA, check_subject};
pub use start::{COMPILER, SUPERVISOR, Server, ServerConfig};
pub use suggestions::{LeftOut, Suggestions};
pub use view::{
    ActivityView, AuditView, CodesetView, CommandRequest, ComparisonView, ConfigureRequest, DifferenceView,
    EnableRequest, EndpointRequest, EventRequest, EventView, ExtensionView, FollowRequest, GrantRequest, ImportRequest,
    ImportView, InstallOptions, InstanceRequest, InstanceView, LogView, LoggedView, MarketplaceRequest,
    MarketplaceView, NewWebhookView, PackageView, PageView, PipelineRequest, PipelineUpdate, ProjectView,
    ProvenanceView, ReceivedView, RecoveredView, ReplayView, RerunRequest, RunRequest, SecretRequest, ServerView,
    ServiceView, StoreView, SyncRequest, TemplateView, UpgradeOptions, UpgradeOutcome, UpgradeView, VerificationView,
    VerifiedFile, VersionView, WebhookRequest, WebhookView,
};
