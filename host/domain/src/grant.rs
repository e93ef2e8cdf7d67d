//! Grants: what an admin gave one instance, kept apart from what the manifest asks for.
//!
//! Effective right = request ∩ grant ∩ server policy. A grant holds the very host patterns that were approved, so
//! a later version that asks for more under the same name still gets only those.

use crate::{
    AllowedHost, Attributes, BoundSecret, Capability, Component, Error, Manifest, Name, Request, Result, Rights,
    fill_setting,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One capability of one component, as approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Grant {
    pub component: Name,
    pub capability: Capability,
    /// For `http`: patterns in the form that requests have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// For `reveal`: which secrets may be read. For `http`: which ones the host may send, and where to, as patterns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Vec<String>>,
}

impl Grant {
    /// All that a request asks for.
    fn of(manifest: &Manifest, component: &Name, request: &Request) -> Self {
        Self {
            component: component.clone(),
            capability: request.capability,
            hosts: request.hosts.clone(),
            secrets: secrets_of(manifest, request),
        }
    }
}

/// The secrets that come with a request.
fn secrets_of(manifest: &Manifest, request: &Request) -> BTreeMap<String, Vec<String>> {
    match request.capability {
        Capability::Reveal => request.secrets.iter().map(|name| (name.clone(), Vec::new())).collect(),
        Capability::Http => {
            manifest.secrets.iter().map(|(name, secret)| (name.clone(), secret.hosts.clone())).collect()
        }
        _ => BTreeMap::new(),
    }
}

/// Everything granted to one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Grants(pub Vec<Grant>);

impl Grants {
    /// All that the manifest requests of these capabilities.
    pub fn of_requests(manifest: &Manifest, capabilities: &BTreeSet<Capability>) -> Self {
        let requested = manifest.components.iter().flat_map(|component| {
            let asked = component.requests.iter().filter(|request| capabilities.contains(&request.capability));
            asked.map(|request| Grant::of(manifest, &component.name, request))
        });
        Self(requested.collect())
    }

    /// Capabilities of which at least something is granted.
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        self.0.iter().map(|grant| grant.capability).collect()
    }

    /// Whether this component has this capability.
    pub fn has(&self, component: &Name, capability: Capability) -> bool {
        self.0.iter().any(|grant| grant.component == *component && grant.capability == capability)
    }

    /// Gives a capability to every component that requests it: as requested, or (`http`) only these hosts.
    /// What was granted of it before is replaced.
    pub fn grant(&mut self, manifest: &Manifest, capability: Capability, hosts: &[String]) -> Result<()> {
        let mut wanted = Self::of_requests(manifest, &BTreeSet::from([capability]));
        if wanted.0.is_empty() {
            return Err(Error::invalid(
                "grant",
                format!("{} does not ask for {capability}; grant only what it asks for", manifest.name),
            ));
        }
        if !hosts.is_empty() {
            if capability != Capability::Http {
                return Err(Error::invalid(
                    "grant",
                    format!("{capability} has no hosts; only http is granted by host"),
                ));
            }
            for host in hosts.iter().filter(|host| crate::permission::setting_reference(host).is_none()) {
                host.parse::<AllowedHost>()?;
            }
            for grant in &mut wanted.0 {
                grant.hosts = hosts.to_vec();
            }
        }
        self.revoke(capability);
        self.0.extend(wanted.0);
        Ok(())
    }

    /// Takes a capability from every component; false when nothing of it was granted.
    pub fn revoke(&mut self, capability: Capability) -> bool {
        let before = self.0.len();
        self.0.retain(|grant| grant.capability != capability);
        self.0.len() < before
    }

    /// What is granted though nothing in this manifest asks for it, a line each: it has no effect, and would have some
    /// again if a version asked.
    pub fn unasked(&self, manifest: &Manifest) -> Vec<String> {
        let mut found = Vec::new();
        for Grant { component, capability, hosts, .. } in &self.0 {
            let own = manifest.components.iter().filter(|other| other.name == *component);
            let asked: Vec<&Request> =
                own.flat_map(|own| &own.requests).filter(|request| request.capability == *capability).collect();
            let is_asked = |host: &&String| {
                let mut hosts = asked.iter().flat_map(|request| &request.hosts);
                hosts.any(|asked| covers(asked, host) || covers(host, asked))
            };
            match asked.is_empty() {
                true => found.push(format!("{capability} to {component}")),
                false => found.extend(
                    hosts
                        .iter()
                        .filter(|host| !is_asked(host))
                        .map(|host| format!("{capability} to {component} at {host}")),
                ),
            }
        }
        found
    }

    /// What one component may do with these settings under this policy. A host whose setting has no value allows
    /// nothing.
    pub fn rights(
        &self,
        manifest: &Manifest,
        component: &Component,
        settings: &Attributes,
        policy: &Policy,
    ) -> Result<Rights> {
        let mut rights = Rights::default();
        for request in component.requests.iter().filter(|request| !policy.denied.contains(&request.capability)) {
            let granted = self
                .0
                .iter()
                .filter(|grant| grant.component == component.name && grant.capability == request.capability);
            for grant in granted {
                rights.capabilities.insert(request.capability);
                if request.capability == Capability::Reveal {
                    let approved = |name: &&String| grant.secrets.contains_key(*name);
                    rights.revealed.extend(request.secrets.iter().filter(approved).cloned());
                }
                let asked = filled(&request.hosts, settings)?;
                let given = filled(&grant.hosts, settings)?;
                for host in asked.iter().flat_map(|asked| given.iter().filter_map(|given| asked.intersection(given))) {
                    if policy.allows(&host) && !rights.hosts.contains(&host) {
                        rights.hosts.push(host);
                    }
                }
            }
        }
        if rights.capabilities.contains(&Capability::Http) {
            self.bind_secrets(&mut rights, manifest, component, settings)?;
        }
        Ok(rights)
    }

    /// Which secrets the host may put into the component's requests, and where to: as declared and as approved.
    fn bind_secrets(
        &self,
        rights: &mut Rights,
        manifest: &Manifest,
        component: &Component,
        settings: &Attributes,
    ) -> Result<()> {
        let own = |grant: &&Grant| grant.component == component.name && grant.capability == Capability::Http;
        for (name, secret) in &manifest.secrets {
            let declared = filled(&secret.hosts, settings)?;
            let mut hosts = Vec::new();
            for patterns in self.0.iter().filter(own).filter_map(|grant| grant.secrets.get(name)) {
                let approved = filled(patterns, settings)?;
                let both = |declared: &AllowedHost| -> Vec<AllowedHost> {
                    approved.iter().filter_map(|approved| declared.intersection(approved)).collect()
                };
                hosts.extend(declared.iter().flat_map(both));
            }
            rights.secrets.push(BoundSecret { name: name.clone(), hosts });
        }
        Ok(())
    }

    /// The same grants with those added that a new version asks for beyond the old one.
    pub fn widened_by(&self, asked: &[Widening]) -> Self {
        let mut grants = self.clone();
        for Widening { component, request, secrets } in asked {
            grants.0.push(Grant {
                component: component.clone(),
                capability: request.capability,
                hosts: request.hosts.clone(),
                secrets: secrets.clone(),
            });
        }
        grants
    }
}

fn filled(patterns: &[String], settings: &Attributes) -> Result<Vec<AllowedHost>> {
    patterns.iter().filter_map(|pattern| fill_setting(pattern, settings)).map(|host| host.parse()).collect()
}

/// What the server's operator allows at all, whoever grants it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// Capabilities that no extension has here.
    #[serde(default)]
    pub denied: BTreeSet<Capability>,
    /// When given, extensions call only these: `https://host[:port][/prefix]`.
    #[serde(default)]
    pub hosts: Option<Vec<AllowedHost>>,
}

impl Policy {
    /// Reads a policy file's text (TOML).
    pub fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| Error::invalid("policy", error.to_string()))
    }

    fn allows(&self, host: &AllowedHost) -> bool {
        self.hosts.as_ref().is_none_or(|allowed| allowed.iter().any(|allowed| allowed.covers(host)))
    }
}

/// A part of a request that an earlier version did not make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Widening {
    pub component: Name,
    /// With only the hosts that are new.
    pub request: Request,
    /// Secrets that it may newly read (`reveal`), or that may newly be sent to these hosts (`http`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Vec<String>>,
}

impl Widening {
    /// In plain words, a line each.
    pub fn renderings(&self, settings: &Attributes) -> Vec<String> {
        let mut lines = Vec::new();
        let only_secrets = self.request.capability == Capability::Http && self.request.hosts.is_empty();
        if !only_secrets {
            lines.push(self.request.rendering(settings));
        }
        if self.request.capability == Capability::Http {
            for (name, hosts) in &self.secrets {
                let hosts: Vec<_> =
                    hosts.iter().map(|host| fill_setting(host, settings).unwrap_or_else(|| host.clone())).collect();
                lines.push(format!("may have the secret {name} sent to {}", hosts.join(", ")));
            }
        }
        lines
    }
}

/// What the new version asks for that the old one did not.
pub fn widening(old: &Manifest, new: &Manifest) -> Vec<Widening> {
    let mut found = Vec::new();
    for component in &new.components {
        let before = old.components.iter().find(|other| other.name == component.name);
        for request in &component.requests {
            let earlier: Vec<_> = before
                .into_iter()
                .flat_map(|component| &component.requests)
                .filter(|earlier| earlier.capability == request.capability)
                .collect();
            let covered =
                |host: &String| earlier.iter().flat_map(|earlier| &earlier.hosts).any(|old| covers(old, host));
            let hosts: Vec<_> = request.hosts.iter().filter(|host| !covered(host)).cloned().collect();
            let mut secrets = secrets_of(new, request);
            for earlier in &earlier {
                for (name, known) in secrets_of(old, earlier) {
                    let Some(asked) = secrets.get_mut(&name) else { continue };
                    asked.retain(|host| !known.iter().any(|known| covers(known, host)));
                    if asked.is_empty() {
                        secrets.remove(&name);
                    }
                }
            }
            if earlier.is_empty() || !hosts.is_empty() || !secrets.is_empty() {
                let names = secrets.keys().filter(|_| request.capability == Capability::Reveal).cloned().collect();
                let request = Request { hosts, secrets: names, ..request.clone() };
                found.push(Widening { component: component.name.clone(), request, secrets });
            }
        }
    }
    found
}

/// Whether one host pattern lies within another whatever the settings are.
fn covers(old: &str, new: &str) -> bool {
    old == new
        || matches!((old.parse::<AllowedHost>(), new.parse::<AllowedHost>()), (Ok(old), Ok(new)) if old.covers(&new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(requests: &str) -> Manifest {
        Manifest::parse(&format!(
            "schema_version = 1\nname = \"x\"\nversion = \"0.1.0\"\ntitle = \"X\"\ndescription = \"d\"\nlicense = \"MIT\"\n\
             [settings.endpoint]\ntype = \"url\"\ndescription = \"e\"\n\
             [[components]]\nname = \"store\"\nworld = \"fuseml:artifact-store/artifact-store@0.1.0\"\nfile = \"s.wasm\"\n{requests}"
        ))
        .expect("manifest")
    }

    fn http(hosts: &str) -> String {
        format!("[[components.requests]]\ncapability = \"http\"\nreason = \"r\"\nhosts = {hosts}\n")
    }

    const STATE: &str = "[[components.requests]]\ncapability = \"state\"\nreason = \"r\"\n";

    #[test]
    fn a_right_is_what_is_requested_and_granted_and_allowed_by_the_policy() {
        let manifest = manifest(&format!("{}{STATE}", http("[\"${settings.endpoint}\", \"https://b.example/api\"]")));
        let settings = Attributes::from([("endpoint".to_owned(), "http://a.example:5000".to_owned())]);
        let all = Grants::of_requests(&manifest, &Capability::ALL.into());
        let mut narrow = Grants::default();
        narrow.grant(&manifest, Capability::Http, &["http://a.example:5000/v1".to_owned()]).expect("grant");
        let mut outside = Grants::default();
        outside.grant(&manifest, Capability::Http, &["http://c.example".to_owned()]).expect("grant");
        let no_state = Policy { denied: [Capability::State].into(), hosts: None };
        let only_b = Policy { denied: BTreeSet::new(), hosts: Some(vec!["https://b.example".parse().expect("host")]) };
        let cases: [(&str, &Grants, Policy, &[&str], bool); 6] = [
            ("all", &all, Policy::default(), &["http://a.example:5000", "https://b.example:443/api"], true),
            ("none", &Grants::default(), Policy::default(), &[], false),
            ("narrower than asked", &narrow, Policy::default(), &["http://a.example:5000/v1"], false),
            ("not asked for", &outside, Policy::default(), &[], false),
            ("no state by policy", &all, no_state, &["http://a.example:5000", "https://b.example:443/api"], false),
            ("one host by policy", &all, only_b, &["https://b.example:443/api"], true),
        ];
        for (what, grants, policy, hosts, state) in cases {
            let rights = grants.rights(&manifest, &manifest.components[0], &settings, &policy).expect(what);
            let reached: Vec<_> = rights.hosts.iter().map(ToString::to_string).collect();
            assert_eq!(reached, hosts, "{what}");
            assert_eq!(rights.capabilities.contains(&Capability::State), state, "{what}");
        }
    }

    #[test]
    fn a_later_version_gets_only_what_was_approved() {
        let old = manifest(&http("[\"https://a.example\"]"));
        let new = manifest(&http("[\"https://a.example\", \"https://evil.example\"]"));
        let grants = Grants::of_requests(&old, &Capability::ALL.into());

        let before = grants.rights(&new, &new.components[0], &Attributes::new(), &Policy::default()).expect("rights");
        let asked = widening(&old, &new);
        let approved = grants.widened_by(&asked);
        let after = approved.rights(&new, &new.components[0], &Attributes::new(), &Policy::default()).expect("rights");

        assert_eq!(before.hosts.len(), 1, "the name `http` alone gives nothing new");
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].request.hosts, ["https://evil.example"]);
        assert_eq!(after.hosts.len(), 2);
    }

    /// A manifest with the secret `token` bound to these hosts.
    fn with_secret(hosts: &str, requests: &str) -> Manifest {
        manifest(&format!("{requests}[secrets.token]\ndescription = \"t\"\nhosts = {hosts}\n"))
    }

    #[test]
    fn a_secret_goes_only_where_it_was_approved_to_go() {
        let both = http("[\"https://a.example\", \"https://b.example\"]");
        let (old, new) = (with_secret("[\"https://a.example\"]", &both), with_secret("[\"https://b.example\"]", &both));
        let rights = |grants: &Grants, manifest: &Manifest| {
            grants.rights(manifest, &manifest.components[0], &Attributes::new(), &Policy::default()).expect("rights")
        };
        let grants = Grants::of_requests(&old, &Capability::ALL.into());
        assert_eq!(rights(&grants, &old).secrets[0].hosts.len(), 1);
        assert_eq!(rights(&grants, &new).secrets[0].hosts, [], "bound elsewhere by its author alone");

        let asked = widening(&old, &new);
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].renderings(&Attributes::new()), ["may have the secret token sent to https://b.example"]);
        let approved = rights(&grants.widened_by(&asked), &new);
        assert_eq!(approved.secrets[0].hosts, ["https://b.example".parse().expect("host")]);
    }

    #[test]
    fn only_approved_secrets_are_revealed() {
        let reveal = |names: &str| {
            format!("[[components.requests]]\ncapability = \"reveal\"\nreason = \"r\"\nsecrets = {names}\n")
        };
        let secrets = "[secrets.token]\ndescription = \"t\"\nhosts = [\"https://a.example\"]\n\
                       [secrets.password]\ndescription = \"p\"\nhosts = [\"https://a.example\"]\n";
        let old = manifest(&format!("{}{secrets}", reveal("[\"token\"]")));
        let new = manifest(&format!("{}{secrets}", reveal("[\"token\", \"password\"]")));
        let grants = Grants::of_requests(&old, &Capability::ALL.into());
        let revealed = |grants: &Grants| {
            let rights = grants.rights(&new, &new.components[0], &Attributes::new(), &Policy::default());
            rights.expect("rights").revealed.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(revealed(&grants), ["token"]);
        let asked = widening(&old, &new);
        assert_eq!(asked[0].request.secrets, ["password"]);
        assert_eq!(revealed(&grants.widened_by(&asked)), ["password", "token"]);
        assert!(manifest_error(&reveal("[\"unknown\"]")).contains("not declared"));
        assert!(manifest_error(&reveal("[]")).contains("without naming secrets"));
    }

    fn manifest_error(requests: &str) -> String {
        let text = format!(
            "schema_version = 1\nname = \"x\"\nversion = \"0.1.0\"\ntitle = \"X\"\ndescription = \"d\"\nlicense = \"MIT\"\n\
             [[components]]\nname = \"store\"\nworld = \"fuseml:artifact-store/artifact-store@0.2.0\"\nfile = \"s.wasm\"\n{requests}"
        );
        Manifest::parse(&text).expect_err("refused").message
    }

    #[test]
    fn only_more_than_before_is_a_widening() {
        let old = format!("{}{STATE}", http("[\"https://a.example\", \"${settings.endpoint}\"]"));
        let cases = [
            ("the same", old.clone(), 0),
            ("less", STATE.to_owned(), 0),
            ("a path of a host", http("[\"https://a.example/v1\"]"), 0),
            ("another port", http("[\"https://a.example:8443\"]"), 1),
            ("another scheme", http("[\"http://a.example\"]"), 1),
            (
                "a new capability",
                "[[components.requests]]\ncapability = \"configuration\"\nreason = \"r\"\n".to_owned(),
                1,
            ),
        ];
        for (what, new, count) in cases {
            assert_eq!(widening(&manifest(&old), &manifest(&new)).len(), count, "{what}");
        }
    }

    #[test]
    fn nothing_is_granted_that_nobody_asks_for() {
        let manifest = manifest(STATE);
        let mut grants = Grants::default();

        assert!(grants.grant(&manifest, Capability::Http, &[]).is_err());
        assert!(grants.grant(&manifest, Capability::State, &["https://a.example".to_owned()]).is_err());
        assert_eq!(grants, Grants::default());
    }
}
