//! One server: REST under `/api/v1`, git under `/git`, the service gateway under `/serve`.
//!
//! This crate wires the others together and translates between HTTP and the domain. It holds no rule of its own:
//! handlers are thin, and every failure is a [`fuseml_domain::Error`] turned into a response in one place.

mod app;
mod auth;
mod contents;
mod difference;
mod extension;
mod folder;
mod marketplace;
mod openlineage;
mod package;
mod provenance;
mod push;
mod route;
mod start;
mod trust;
mod view;

pub use folder::DataFolder;
pub use provenance::{SLSA, check_subject};
pub use start::{Server, ServerConfig};
pub use view::{
    ActivityView, AuditView, ComparisonView, ConfigureRequest, DifferenceView, EnableRequest, ExtensionView,
    GrantRequest, ImportRequest, ImportView, InstallOptions, InstanceRequest, InstanceView, MarketplaceRequest,
    MarketplaceView, PackageView, PipelineRequest, ProjectView, ProvenanceView, ReplayView, RunRequest, SecretRequest,
    ServiceView, TemplateView, UpgradeOptions, UpgradeOutcome, UpgradeView, VerificationView, VerifiedFile,
    VersionView,
};
