//! Who may ask: nothing but health is answered without the admin token, to a foreign Host, or for a foreign page.

use crate::app::App;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

/// Answers 403 for names that are not the server's own (DNS rebinding) and pages of other origins, 401 without
/// the token as bearer or as the password of basic authentication, which is what git sends.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if let Some(refusal) = foreign(headers, &app) {
        return refusal;
    }
    if !presents(headers, &app.token) {
        let mut response = refuse(StatusCode::UNAUTHORIZED, "this needs the admin token");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"fuseml\", charset=\"UTF-8\""));
        return response;
    }
    next.run(request).await
}

/// The same without a token, for what asks for one of its own.
pub(crate) async fn guard_names(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match foreign(request.headers(), &app) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

fn foreign(headers: &HeaderMap, app: &App) -> Option<Response> {
    if !host_is_ours(headers, &app.hosts) {
        return Some(refuse(StatusCode::FORBIDDEN, "this server does not answer to that Host"));
    }
    (!origin_is_ours(headers))
        .then(|| refuse(StatusCode::FORBIDDEN, "this server does not answer pages of another origin"))
}

fn refuse(status: StatusCode, why: &'static str) -> Response {
    (status, format!("{why}\n")).into_response()
}

fn host_is_ours(headers: &HeaderMap, hosts: &[String]) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    hosts.iter().any(|ours| ours.eq_ignore_ascii_case(name))
}

fn origin_is_ours(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => !headers.contains_key(header::ORIGIN),
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, name)| name.eq_ignore_ascii_case(host)),
        (Some(_), None) => false,
    }
}

fn presents(headers: &HeaderMap, token: &str) -> bool {
    let Some(value) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) else { return false };
    let presented = match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim().to_owned()),
        Some((scheme, encoded)) if scheme.eq_ignore_ascii_case("basic") => password(encoded.trim()),
        _ => None,
    };
    presented.is_some_and(|presented| presented.as_bytes().ct_eq(token.as_bytes()).into())
}

fn password(encoded: &str) -> Option<String> {
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().expect("name"), value.parse().expect("value"))).collect()
    }

    #[test]
    fn only_the_servers_own_names_are_answered() {
        let ours = ["127.0.0.1".to_owned(), "localhost".to_owned(), "[::1]".to_owned()];
        for (host, answered) in [
            ("127.0.0.1:8760", true),
            ("localhost", true),
            ("LOCALHOST:1", true),
            ("[::1]:8760", true),
            ("evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost:x", false),
        ] {
            assert_eq!(host_is_ours(&headers(&[("host", host)]), &ours), answered, "{host}");
        }
        assert!(!host_is_ours(&HeaderMap::new(), &ours));
    }

    #[test]
    fn pages_of_other_origins_are_not_answered() {
        for (origin, answered) in [
            ("http://127.0.0.1:8760", true),
            ("http://127.0.0.1:9000", false),
            ("https://evil.example", false),
            ("null", false),
        ] {
            assert_eq!(
                origin_is_ours(&headers(&[("host", "127.0.0.1:8760"), ("origin", origin)])),
                answered,
                "{origin}"
            );
        }
        assert!(origin_is_ours(&headers(&[("host", "127.0.0.1:8760")])));
    }

    #[test]
    fn the_token_is_a_bearer_or_a_password() {
        for (value, accepted) in [
            ("Bearer secret", true),
            ("bearer secret", true),
            ("Basic Z2l0OnNlY3JldA==", true),
            ("Basic Z2l0Ondyb25n", false),
            ("Bearer wrong", false),
            ("Bearer ", false),
            ("Basic ???", false),
            ("secret", false),
        ] {
            assert_eq!(presents(&headers(&[("authorization", value)]), "secret"), accepted, "{value}");
        }
    }
}
