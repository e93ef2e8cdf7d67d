//! What webhooks bring: whether who sent it knows the secret, and which events it is.

use axum::http::{HeaderMap, header};
use cloudevents::{AttributesReader as _, Data};
use fuseml_domain::{Digest, Error, Event, Proof, Result, SecretText, Webhook};
use jiff::Timestamp;
use serde_json::Value as Json;
use standardwebhooks::{HEADER_WEBHOOK_ID, Webhook as Verifier};
use subtle::ConstantTimeEq as _;

/// Events of one request.
const MOST_EVENTS: usize = 1_000;
const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// Whether the request comes from who knows the secret.
pub(crate) fn proves(webhook: &Webhook, secret: &SecretText, headers: &HeaderMap, body: &[u8]) -> bool {
    match webhook.proof {
        Proof::StandardWebhooks => std::str::from_utf8(secret.expose())
            .ok()
            .and_then(|secret| Verifier::new(secret).ok())
            .is_some_and(|verifier| verifier.verify(body, headers).is_ok()),
        Proof::HubSignature => text(headers, "x-hub-signature-256")
            .and_then(|value| hex::decode(value.strip_prefix("sha256=")?).ok())
            .is_some_and(|signature| is_mac(secret.expose(), body, &signature)),
        Proof::Token => {
            let bearer = text(headers, header::AUTHORIZATION.as_str()).and_then(|value| value.split_once(' '));
            let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token);
            let token = bearer.or_else(|| text(headers, "x-gitlab-token"));
            token.is_some_and(|token| token.trim().as_bytes().ct_eq(secret.expose()).into())
        }
    }
}

fn is_mac(key: &[u8], body: &[u8], signature: &[u8]) -> bool {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    aws_lc_rs::hmac::verify(&key, body, signature).is_ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What a signed request is known by, for each of its events: the same request again, whatever stands in headers that
/// nobody signed, brings nothing. A token signs nothing.
pub(crate) fn deliveries(webhook: &Webhook, headers: &HeaderMap, body: &[u8], count: usize) -> Vec<Option<String>> {
    let request = match webhook.proof {
        Proof::StandardWebhooks => text(headers, HEADER_WEBHOOK_ID).map(ToOwned::to_owned),
        Proof::HubSignature => Some(Digest::of(body).to_string()),
        Proof::Token => None,
    };
    (0..count).map(|number| request.as_ref().map(|request| format!("{number} {request}"))).collect()
}

/// The events of a request that proved itself.
///
/// # Errors
/// `invalid` for what is no event, and for one whose attributes the proof does not cover.
pub(crate) fn events(webhook: &Webhook, headers: &HeaderMap, body: &[u8]) -> Result<Vec<Event>> {
    let media_type = text(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let refuse = |why: String| Error::invalid("event", why);
    let events = if media_type == BATCH {
        let batch: Vec<cloudevents::Event> =
            serde_json::from_slice(body).map_err(|error| refuse(format!("the batch is none: {error}")))?;
        if batch.len() > MOST_EVENTS {
            return Err(refuse(format!("{} events; a batch has at most {MOST_EVENTS}", batch.len())));
        }
        batch.into_iter().map(of_cloud_event).collect::<Result<Vec<_>>>()?
    } else if media_type == STRUCTURED || headers.contains_key("ce-specversion") {
        if media_type != STRUCTURED && webhook.proof != Proof::Token {
            let message =
                format!("the proof covers the body, and this event's attributes are headers: send it as {STRUCTURED}");
            return Err(refuse(message));
        }
        let event = match media_type.as_str() {
            STRUCTURED => serde_json::from_slice(body),
            _ => serde_json::from_value(structured(headers, &media_type, body)),
        };
        vec![of_cloud_event(event.map_err(|error| refuse(format!("no CloudEvent: {error}")))?)?]
    } else {
        vec![of_others(webhook, headers, body)?]
    };
    events.iter().try_for_each(Event::check)?;
    Ok(events)
}

/// An event whose attributes are headers, as if it were one text. Their values are percent-encoded (HTTP binding,
/// 3.1.3.2), which the SDK leaves as it is.
fn structured(headers: &HeaderMap, media_type: &str, body: &[u8]) -> Json {
    let attributes = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix("ce-")?;
        let value = percent_encoding::percent_decode(value.as_bytes()).decode_utf8_lossy();
        Some((name.to_owned(), Json::String(value.into_owned())))
    });
    let mut event: serde_json::Map<_, _> = attributes.collect();
    if !body.is_empty() {
        let read = if media_type.ends_with("json") { serde_json::from_slice(body).ok() } else { None };
        let data = read.unwrap_or_else(|| Json::String(String::from_utf8_lossy(body).into_owned()));
        event.insert("data".to_owned(), data);
    }
    if !media_type.is_empty() {
        event.insert("datacontenttype".to_owned(), Json::String(media_type.to_owned()));
    }
    Json::Object(event)
}

fn of_cloud_event(event: cloudevents::Event) -> Result<Event> {
    let data = match event.data() {
        None => Json::Null,
        Some(Data::Json(json)) => json.clone(),
        Some(Data::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.clone())),
        Some(Data::Binary(bytes)) => serde_json::from_slice(bytes)
            .ok()
            .or_else(|| Some(Json::String(std::str::from_utf8(bytes).ok()?.to_owned())))
            .ok_or_else(|| Error::invalid("event", "the event's data is neither JSON nor text"))?,
    };
    Ok(Event {
        id: event.id().to_owned(),
        source: event.source().to_string(),
        event_type: event.ty().to_owned(),
        subject: event.subject().map(ToOwned::to_owned),
        time: event.time().and_then(|time| Timestamp::from_millisecond(time.timestamp_millis()).ok()),
        data,
    })
}

/// What git hosts and senders of Standard Webhooks say in their own words.
fn of_others(webhook: &Webhook, headers: &HeaderMap, body: &[u8]) -> Result<Event> {
    let json: Json = serde_json::from_slice(body)
        .map_err(|error| Error::invalid("event", format!("the body is neither a CloudEvent nor JSON: {error}")))?;
    let at = |path: &str| json.pointer(path).and_then(Json::as_str).map(ToOwned::to_owned);
    let here = format!("/hooks/{}/{}", webhook.project, webhook.name);
    // Their headers are not signed: what was sent before, word for word, is the same event.
    let digest = || Digest::of(body).to_string();
    let named = |prefix: &str, event: &str| {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        format!("com.{prefix}.{}", event.chars().map(plain).collect::<String>())
    };
    let hosts: &[_] = match webhook.proof {
        Proof::StandardWebhooks => &[],
        Proof::HubSignature | Proof::Token => &["github", "gitea", "forgejo", "gogs"],
    };
    for host in hosts {
        if let Some(event) = text(headers, &format!("x-{host}-event")) {
            return Ok(Event {
                id: digest(),
                source: at("/repository/html_url").unwrap_or(here),
                event_type: named(host, event),
                subject: at("/ref"),
                time: None,
                data: json,
            }
            .cut());
        }
    }
    if webhook.proof == Proof::Token && text(headers, "x-gitlab-event").is_some() {
        return Ok(Event {
            id: digest(),
            source: at("/project/web_url").unwrap_or(here),
            event_type: named("gitlab", &at("/object_kind").unwrap_or_else(|| "event".to_owned())),
            subject: at("/ref"),
            time: None,
            data: json,
        }
        .cut());
    }
    let id = text(headers, HEADER_WEBHOOK_ID).filter(|_| webhook.proof == Proof::StandardWebhooks);
    Ok(Event {
        id: id.map_or_else(digest, ToOwned::to_owned),
        source: here,
        event_type: at("/type").unwrap_or_else(|| "webhook".to_owned()),
        subject: None,
        time: at("/timestamp").and_then(|time| time.parse().ok()),
        data: json.get("data").filter(|_| json.get("type").is_some()).cloned().unwrap_or(json),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};
    use serde_json::json;

    fn webhook(proof: Proof) -> Webhook {
        let name: fuseml_domain::Name = "labels".parse().expect("name");
        Webhook { project: name.clone(), name, proof, codeset: None, by: "ada".into(), created: Timestamp::UNIX_EPOCH }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("value"))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_signature_of_a_git_host_is_over_the_whole_body() {
        // The example of GitHub's documentation.
        let secret = SecretText::new("It's a Secret to Everybody");
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let hub = webhook(Proof::HubSignature);
        let signed = headers(&[("x-hub-signature-256", signature)]);
        assert!(proves(&hub, &secret, &signed, b"Hello, World!"));
        assert!(!proves(&hub, &secret, &signed, b"Hello, World"));
        assert!(!proves(&hub, &SecretText::new("another secret"), &signed, b"Hello, World!"));
        for wrong in [&[][..], &[("x-hub-signature-256", "sha256=")], &[("x-hub-signature-256", "757107ea")]] {
            assert!(!proves(&hub, &secret, &headers(wrong), b"Hello, World!"), "{wrong:?}");
        }
    }

    #[test]
    fn a_token_is_the_secret_itself() {
        let (token, secret) = (webhook(Proof::Token), SecretText::new("0123456789abcdef"));
        for (given, is_proof) in [
            (&[("authorization", "Bearer 0123456789abcdef")][..], true),
            (&[("x-gitlab-token", "0123456789abcdef")], true),
            (&[("authorization", "Bearer 0123456789abcde")], false),
            (&[("authorization", "0123456789abcdef")], false),
            (&[], false),
        ] {
            assert_eq!(proves(&token, &secret, &headers(given), b""), is_proof, "{given:?}");
        }
    }

    #[test]
    fn attributes_in_headers_are_decoded_and_taken_only_where_the_proof_covers_them() {
        let binary = headers(&[
            ("ce-specversion", "1.0"),
            ("ce-id", "a%20b"),
            ("ce-source", "/labels"),
            ("ce-type", "com.example.labelled"),
            ("ce-subject", "caf%C3%A9"),
            ("content-type", "application/json"),
        ]);
        let event = events(&webhook(Proof::Token), &binary, b"{\"rows\": 7}").expect("event").remove(0);
        assert_eq!(
            (event.id.as_str(), event.subject.as_deref(), event.data),
            ("a b", Some("caf\u{e9}"), json!({"rows": 7}))
        );
        for proof in [Proof::StandardWebhooks, Proof::HubSignature] {
            let refused = events(&webhook(proof), &binary, b"{}").expect_err("not covered");
            assert!(refused.message.contains("send it as application/cloudevents+json"), "{refused}");
        }
    }

    #[test]
    fn what_git_hosts_say_is_an_event_and_the_same_body_is_the_same_event() {
        let body = json!({"ref": "refs/heads/main", "repository": {"html_url": "https://git.example/team/app"}});
        let body = body.to_string();
        let sent = |delivery| headers(&[("x-gitea-event", "push"), ("x-gitea-delivery", delivery)]);
        let of = |delivery| {
            events(&webhook(Proof::HubSignature), &sent(delivery), body.as_bytes()).expect("event").remove(0)
        };
        let (first, again) = (of("1"), of("2"));
        assert_eq!(first, again, "the header with the delivery is not signed");
        assert_eq!(
            (first.event_type.as_str(), first.source.as_str(), first.subject.as_deref()),
            ("com.gitea.push", "https://git.example/team/app", Some("refs/heads/main"))
        );
        let gitlab = headers(&[("x-gitlab-event", "Push Hook")]);
        let body = json!({"object_kind": "push", "ref": "refs/heads/main"}).to_string();
        let event = events(&webhook(Proof::Token), &gitlab, body.as_bytes()).expect("event").remove(0);
        assert_eq!((event.event_type.as_str(), event.source.as_str()), ("com.gitlab.push", "/hooks/labels/labels"));
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let token = webhook(Proof::Token);
        let structured = [("content-type", "application/cloudevents+json; charset=utf-8")];
        let batch = [("content-type", "application/cloudevents-batch+json")];
        let long =
            format!("{{\"specversion\":\"1.0\",\"id\":\"{}\",\"source\":\"/\",\"type\":\"t\"}}", "a".repeat(600));
        for (given, body) in [
            (&structured[..], "{}"),
            (&structured, "{\"specversion\":\"1.0\",\"id\":\"1\",\"type\":\"t\"}"),
            (&structured, "{\"specversion\":\"9.0\",\"id\":\"1\",\"source\":\"/\",\"type\":\"t\"}"),
            (&structured, long.as_str()),
            (&batch, "{}"),
            (&batch, "[{}]"),
            (&[], "hello"),
        ] {
            assert!(events(&token, &headers(given), body.as_bytes()).is_err(), "{body}");
        }
        let one = "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/\",\"type\":\"t\",\"data_base64\":\"aGk=\"}";
        let two = events(&token, &headers(&batch), format!("[{one},{one}]").as_bytes()).expect("batch");
        assert_eq!((two.len(), &two[0].data), (2, &json!("hi")));
    }
}
