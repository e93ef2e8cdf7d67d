//! Texts that people and extensions write.

use fuseml_domain::{
    Address, AllowedHost, Condition, Digest, ExtensionLock, Image, LONGEST_CONDITION, Manifest, Name, PackageReference,
    Reference, Selector, Template, widening,
};
use std::{fmt::Display, str::FromStr};

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

pub(crate) fn manifest(bytes: &[u8]) {
    let Some(Ok(manifest)) = text(bytes).map(Manifest::parse) else { return };
    assert!(widening(&manifest, &manifest).is_empty(), "a version asks for no more than itself");
    let document = serde_json::to_string(&manifest).expect("a manifest is written");
    assert_eq!(serde_json::from_str::<Manifest>(&document).expect("and read"), manifest);
}

pub(crate) fn template(bytes: &[u8]) {
    let Some(Ok(template)) = text(bytes).map(|text| Template::parse(text, "fuzz")) else { return };
    let document = serde_json::to_string(&template).expect("a template is written");
    assert_eq!(serde_json::from_str::<Template>(&document).expect("and read"), template);
}

/// What is accepted says the same when it is written and read again.
fn steady<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let written = value.to_string();
        let again = written.parse::<T>().map(|again| again.to_string());
        assert_eq!(again.ok().as_deref(), Some(written.as_str()), "{text:?}");
    }
}

pub(crate) fn condition(bytes: &[u8]) {
    let Some(Ok(condition)) = text(bytes).map(str::parse::<Condition>) else { return };
    let written = condition.to_string();
    // Quotes make some longer than what is read.
    if written.len() <= LONGEST_CONDITION {
        assert_eq!(written.parse(), Ok(condition), "{written}");
    }
}

pub(crate) fn lock(bytes: &[u8]) {
    let Some(Ok(lock)) = text(bytes).map(ExtensionLock::parse) else { return };
    assert_eq!(lock.in_order().len(), lock.extensions.len());
    let written = lock.render().expect("a lock is written");
    assert_eq!(ExtensionLock::parse(&written), Ok(lock), "{written}");
}

pub(crate) fn name(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    steady::<Address>(text);
    // Quotes make some conditions longer than what is read.
    if text.len() < LONGEST_CONDITION / 4 {
        steady::<Selector>(text);
    }
    steady::<Image>(text);
    steady::<AllowedHost>(text);
    steady::<Digest>(text);
    steady::<fuseml_registry::Repository>(text);
    steady::<fuseml_registry::Tag>(text);
    if let Ok(name) = text.parse::<Name>() {
        assert!(std::path::Path::new(&*name).components().count() == 1 && &*name != "..");
    }
    let _ = text.parse::<PackageReference>();
    let _ = text.parse::<Reference>();
}
