//! Extensions as people see them.

use super::names;
use crate::output::Rows;
use fuseml_domain::Scope;
use fuseml_server::{ExtensionView, InstanceView, VerifiedFile};

/// One row an instance.
pub(super) fn list(views: &[ExtensionView]) -> Rows {
    let mut rows = Rows::new(&["Extension", "Version", "Instance", "State", "Granted", "Health", "Title"]);
    for view in views {
        for instance in &view.instances {
            rows.push([
                view.manifest.name.to_string(),
                view.manifest.version.to_string(),
                instance.instance.name.to_string(),
                state(view, instance).to_owned(),
                names(&instance.instance.grants.capabilities()),
                health(instance).to_owned(),
                view.manifest.title.clone(),
            ]);
        }
    }
    rows
}

/// In a word; `show` says why.
fn health(instance: &InstanceView) -> &'static str {
    match instance.health.as_deref() {
        Some("ok") => "ok",
        Some(_) => "failing",
        None => "-",
    }
}

fn state(view: &ExtensionView, instance: &InstanceView) -> &'static str {
    if view.revoked.is_some() {
        return "revoked";
    }
    match (view.enabled && instance.instance.enabled, &view.held, &view.shadow) {
        (false, ..) => "disabled",
        (_, Some(_), _) => "upgrade held",
        (.., Some(_)) => "shadowed",
        _ => "enabled",
    }
}

pub(super) fn show(view: &ExtensionView) -> Rows {
    let mut rows = Rows::new(&["Property", "Value"]);
    let manifest = &view.manifest;
    let mut row = |name: &str, value: String| rows.push([name.to_owned(), value]);
    row("name", manifest.name.to_string());
    row("version", format!("{} ({})", manifest.version, short(&view.digest)));
    row("description", manifest.description.clone());
    row("license", manifest.license.clone());
    if let Some(origin) = &view.origin {
        row(
            "from",
            format!(
                "{}:{}, signed by {}",
                origin.marketplace,
                origin.namespace,
                origin.key.get(..16).unwrap_or(&origin.key)
            ),
        );
    }
    let state = match (&view.revoked, view.enabled) {
        (Some(reason), _) => format!("revoked: {reason}"),
        (None, true) => "enabled".to_owned(),
        (None, false) => "disabled".to_owned(),
    };
    row("state", state);
    let others = [("previous", &view.previous), ("held", &view.held), ("shadow", &view.shadow)];
    for (what, version) in others {
        if let Some(version) = version {
            row(what, format!("{} ({})", version.version, short(&version.digest)));
        }
    }
    if let Some(comparison) = &view.comparison {
        let same = comparison.calls - comparison.different;
        row("compared", format!("{} calls: {same} the same, {} different", comparison.calls, comparison.different));
        for example in &comparison.examples {
            row("  different", format!("{} {}", example.function, example.subject));
            row("    active", example.active.clone());
            row("    shadow", example.shadow.clone());
        }
    }
    for asked in &view.asks {
        for words in asked.renderings(&Default::default()) {
            row("held asks", format!("{}: {words}", asked.component));
        }
    }
    for (name, wanted) in &manifest.dependencies {
        row("needs", format!("{name} {wanted}"));
    }
    for instance in &view.instances {
        show_instance(view, instance, &mut row);
    }
    rows
}

fn show_instance(view: &ExtensionView, shown: &InstanceView, row: &mut impl FnMut(&str, String)) {
    let instance = &shown.instance;
    row("", String::new());
    row("instance", instance.name.to_string());
    row("  state", state(view, shown).to_owned());
    if instance.scope != Scope::Global {
        row("  scope", instance.scope.to_string());
    }
    if let Some(zone) = &instance.zone {
        row("  zone", zone.to_string());
    }
    row("  health", shown.health.clone().unwrap_or_else(|| "-".to_owned()));
    for (name, value) in &instance.settings {
        row(&format!("  setting {name}"), value.clone());
    }
    for (name, limit) in instance.budget.limits() {
        row(&format!("  budget {name}"), limit.to_string());
    }
    if instance.record {
        row("  recording", "on".to_owned());
    }
    for name in view.manifest.secrets.keys() {
        let kept = if shown.secrets.contains(name) { "kept, sealed" } else { "not set" };
        row(&format!("  secret {name}"), kept.to_owned());
    }
    for component in &view.manifest.components {
        let active = if component.active(&instance.settings) { "" } else { " (not configured)" };
        row(&format!("  component {}", component.name), format!("{}{active}", component.world));
        for request in &component.requests {
            let grant = instance
                .grants
                .0
                .iter()
                .find(|grant| grant.component == component.name && grant.capability == request.capability);
            let text = match grant {
                None => format!("not granted: {}", request.rendering(&instance.settings)),
                Some(grant) if grant.hosts != request.hosts => {
                    format!("{} (granted only for {})", request.rendering(&instance.settings), grant.hosts.join(", "))
                }
                Some(_) => request.rendering(&instance.settings),
            };
            row("", text);
        }
    }
    for refused in &shown.refusals {
        row("  denied", format!("{}× in 24 hours: {}", refused.count, refused.refusal.what));
    }
}

fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

pub(super) fn verified(found: &[(String, VerifiedFile)]) -> Rows {
    let mut rows = Rows::new(&["Extension", "File", "Digest", "State"]);
    for (extension, file) in found {
        let state = file.problem.clone().unwrap_or_else(|| "as installed".to_owned());
        rows.push([extension.clone(), file.file.clone(), short(&file.digest).to_owned(), state]);
    }
    rows
}
