//! The distribution specification's error codes.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use fuseml_domain::NO_SPACE;
use serde_json::json;

/// A code of the distribution specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    SizeInvalid,
    Unauthorized,
    Denied,
    Unsupported,
    TooManyRequests,
    /// The machine under us failed; no code of the specification.
    Unknown,
    /// There is no room for what was sent; none either.
    Full,
    /// A range that is not there, or a chunk out of order.
    RangeInvalid,
}

impl Code {
    fn text(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid | Self::RangeInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unknown | Self::Full => "UNKNOWN",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BlobUnknown | Self::BlobUploadUnknown | Self::ManifestBlobUnknown | Self::ManifestUnknown => {
                StatusCode::NOT_FOUND
            }
            Self::BlobUploadInvalid | Self::DigestInvalid | Self::ManifestInvalid | Self::NameInvalid => {
                StatusCode::BAD_REQUEST
            }
            Self::SizeInvalid => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Full => StatusCode::INSUFFICIENT_STORAGE,
            Self::RangeInvalid => StatusCode::RANGE_NOT_SATISFIABLE,
        }
    }
}

/// What the registry answers instead of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryError {
    pub code: Code,
    pub message: String,
    challenge: Option<String>,
    retry_after: Option<u64>,
}

pub(crate) type Result<T> = std::result::Result<T, RegistryError>;

impl RegistryError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), challenge: None, retry_after: None }
    }

    /// The cause goes to the log; clients are not told about disks.
    pub(crate) fn machine(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(%error, "{what}");
        if std::iter::successors(Some(error), |error| error.source()).any(is_full) {
            return Self::new(Code::Full, format!("{what} failed: {NO_SPACE}"));
        }
        Self::new(Code::Unknown, format!("{what} failed; the registry's log says why"))
    }
}

fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| fuseml_domain::is_full(error.kind()))
}

impl From<crate::Refusal> for RegistryError {
    fn from(refusal: crate::Refusal) -> Self {
        match refusal {
            crate::Refusal::Unknown(challenge) => {
                Self { challenge: Some(challenge), ..Self::new(Code::Unauthorized, "this needs a login") }
            }
            crate::Refusal::Denied(why) => Self::new(Code::Denied, why),
            crate::Refusal::TooOften { retry_after_seconds } => Self {
                retry_after: Some(retry_after_seconds),
                ..Self::new(Code::TooManyRequests, "too many requests; ask again later")
            },
        }
    }
}

impl From<RegistryError> for fuseml_domain::Error {
    fn from(error: RegistryError) -> Self {
        let kind = match error.code {
            Code::BlobUnknown | Code::ManifestUnknown | Code::BlobUploadUnknown => fuseml_domain::ErrorKind::NotFound,
            Code::Unauthorized | Code::Denied => fuseml_domain::ErrorKind::Denied,
            Code::TooManyRequests | Code::Full => fuseml_domain::ErrorKind::Unavailable,
            Code::Unsupported => fuseml_domain::ErrorKind::Unsupported,
            Code::Unknown => fuseml_domain::ErrorKind::Internal,
            _ => fuseml_domain::ErrorKind::Invalid,
        };
        Self { kind, code: error.code.text().to_lowercase().replace('_', "-"), message: error.message }
    }
}

impl std::fmt::Display for RegistryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RegistryError {}

impl IntoResponse for RegistryError {
    fn into_response(self) -> Response {
        let body = json!({"errors": [{"code": self.code.text(), "message": self.message}]});
        let mut response = (self.code.status(), Json(body)).into_response();
        let challenge = self.challenge.and_then(|challenge| HeaderValue::from_str(&challenge).ok());
        if let Some(challenge) = challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
