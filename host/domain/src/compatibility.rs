//! What a new version of an extension may change: the number must say how much.

use crate::{Attributes, Manifest};
use semver::Version;

/// How much a version's number must grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bump {
    Patch,
    Minor,
    Major,
}

impl Bump {
    /// The smallest version after `old` that says so. Below 1.0 the second number says what the first says later.
    pub fn after(self, old: &Version) -> Version {
        match (self, old.major) {
            (Self::Major, 0) => Version::new(0, old.minor + 1, 0),
            (Self::Major, major) => Version::new(major + 1, 0, 0),
            (Self::Minor, 1..) => Version::new(old.major, old.minor + 1, 0),
            (Self::Minor | Self::Patch, _) => Version::new(old.major, old.minor, old.patch + 1),
        }
    }

    pub fn is_met(self, old: &Version, new: &Version) -> bool {
        // `1.0.0-beta` is on its way to what 1.0.0 says.
        let new = Version::new(new.major, new.minor, new.patch);
        !old.pre.is_empty() || new >= self.after(old)
    }
}

/// How much the number must grow from `old` to `new`, and why.
pub fn needed_bump(old: &Manifest, new: &Manifest) -> (Bump, Vec<String>) {
    let mut changes = Vec::new();
    components(old, new, &mut changes);
    settings(old, new, &mut changes);
    let templates = |manifest: &Manifest| manifest.templates.iter().map(|it| it.file.clone()).collect::<Vec<_>>();
    for file in templates(old).iter().filter(|file| !templates(new).contains(file)) {
        changes.push((Bump::Major, format!("the template {file} is gone")));
    }
    for file in templates(new).iter().filter(|file| !templates(old).contains(file)) {
        changes.push((Bump::Minor, format!("the template {file} is new")));
    }
    let bump = changes.iter().map(|(bump, _)| *bump).max().unwrap_or(Bump::Patch);
    let reasons = changes.into_iter().filter(|(one, _)| *one == bump && bump > Bump::Patch).map(|(_, why)| why);
    (bump, reasons.collect())
}

fn components(old: &Manifest, new: &Manifest, changes: &mut Vec<(Bump, String)>) {
    for before in &old.components {
        let name = &before.name;
        let Some(after) = new.components.iter().find(|after| after.name == *name) else {
            changes.push((Bump::Major, format!("the component {name} is gone")));
            continue;
        };
        // Another version of the same world is between the component and the host alone.
        if before.world().ok() != after.world().ok() {
            changes.push((Bump::Major, format!("the component {name} is a {} now", after.world)));
        }
        for kind in before.kinds.iter().filter(|kind| !after.kinds.contains(kind)) {
            changes.push((Bump::Major, format!("the component {name} keeps no {kind} any more")));
        }
        for setting in after.needs.iter().filter(|setting| !before.needs.contains(setting)) {
            changes.push((Bump::Major, format!("the component {name} needs the setting {setting} now")));
        }
    }
    for after in new.components.iter().filter(|after| !old.components.iter().any(|it| it.name == after.name)) {
        changes.push((Bump::Minor, format!("the component {} is new", after.name)));
    }
    for asked in crate::widening(old, new) {
        let rights = asked.renderings(&Attributes::new()).join(", ");
        changes.push((Bump::Minor, format!("the component {} {rights} now", asked.component)));
    }
}

fn settings(old: &Manifest, new: &Manifest, changes: &mut Vec<(Bump, String)>) {
    for (name, before) in &old.settings {
        match new.settings.get(name) {
            None => changes.push((Bump::Major, format!("the setting {name} is gone"))),
            Some(after) if after.setting_type != before.setting_type => {
                changes.push((Bump::Major, format!("the setting {name} is of another type")));
            }
            Some(after) if after.required && !before.required => {
                changes.push((Bump::Major, format!("the setting {name} is required now")));
            }
            Some(_) => {}
        }
    }
    for (name, after) in new.settings.iter().filter(|(name, _)| !old.settings.contains_key(*name)) {
        let bump = if after.required && after.default.is_none() { Bump::Major } else { Bump::Minor };
        changes.push((bump, format!("the setting {name} is new")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(rest: &str) -> Manifest {
        let head = "schema_version = 1\nname = \"tool\"\nversion = \"0.1.0\"\ntitle = \"T\"\ndescription = \"D\"\nlicense = \"MIT\"\n";
        Manifest::parse(&format!("{head}{rest}")).expect("manifest")
    }

    const COMPONENT: &str = "[[components]]\nname = \"store\"\nworld = \"fuseml:artifact-store/artifact-store@0.1.0\"\nfile = \"store.wasm\"\n";

    #[test]
    fn the_number_grows_with_what_changes() {
        let store = |rest: &str| format!("{COMPONENT}{rest}");
        let request = "[[components.requests]]\ncapability = \"state\"\nreason = \"keeps a cursor\"\n";
        let setting = |rest: &str| format!("[settings.port]\ntype = \"integer\"\ndescription = \"p\"\n{rest}");
        for (old, new, bump, why) in [
            (store(""), store(""), Bump::Patch, ""),
            (store("kinds = [\"model\"]\n"), store(""), Bump::Major, "keeps no model"),
            (store(""), String::new(), Bump::Major, "component store is gone"),
            (store(""), COMPONENT.replace("store@0.1.0", "store@0.2.0"), Bump::Patch, ""),
            (store(""), store(request), Bump::Minor, "may keep small state"),
            (store(request), store(""), Bump::Patch, ""),
            (String::new(), setting(""), Bump::Minor, "setting port is new"),
            (String::new(), setting("required = true\n"), Bump::Major, "setting port is new"),
            (setting(""), setting("required = true\n"), Bump::Major, "required now"),
            (setting(""), setting("").replace("integer", "text"), Bump::Major, "another type"),
            (setting(""), String::new(), Bump::Major, "setting port is gone"),
            (String::new(), "[[templates]]\nfile = \"t.yaml\"\n".to_owned(), Bump::Minor, "t.yaml is new"),
        ] {
            let (found, reasons) = needed_bump(&manifest(&old), &manifest(&new));
            assert_eq!(found, bump, "{reasons:?}");
            assert!(reasons.join("; ").contains(why), "{why}: {reasons:?}");
        }
    }

    #[test]
    fn below_one_the_second_number_says_what_breaks() {
        for (bump, old, new, met) in [
            (Bump::Major, "0.1.3", "0.2.0", true),
            (Bump::Major, "0.1.3", "0.1.4", false),
            (Bump::Minor, "0.1.3", "0.1.4", true),
            (Bump::Major, "1.2.3", "2.0.0", true),
            (Bump::Major, "1.2.3", "1.3.0", false),
            (Bump::Minor, "1.2.3", "1.3.0", true),
            (Bump::Minor, "1.2.3", "1.2.4", false),
            (Bump::Patch, "1.2.3", "1.2.4", true),
            (Bump::Major, "1.0.0-beta.1", "1.0.0-beta.2", true),
        ] {
            let (old, new) = (old.parse().expect("version"), new.parse().expect("version"));
            assert_eq!(bump.is_met(&old, &new), met, "{bump:?} {old} {new}");
        }
    }
}
