//! Instances: configured, granted and revoked, given secrets, removed.

use super::Registry;
use crate::view::{ConfigureRequest, InstanceRequest, InstanceView};
use fuseml_domain::{Capability, Error, Grants, Instance, Manifest, Name, Result};
use jiff::{SignedDuration, Timestamp};

/// How far back refusals are counted.
const RECENTLY: SignedDuration = SignedDuration::from_hours(24);

impl Registry {
    /// Another instance of an installed extension.
    pub(crate) async fn add_instance(&self, extension: &Name, request: InstanceRequest) -> Result<()> {
        let _alone = self.alone().await?;
        let manifest = self.manifest(extension).await?;
        let beyond: Vec<_> = request.granted.difference(&manifest.requested()).map(|c| c.name()).collect();
        if !beyond.is_empty() {
            return Err(Error::invalid("grant", format!("{extension} does not ask for {}", beyond.join(", "))));
        }
        let instance = Instance {
            name: request.name,
            extension: extension.clone(),
            settings: manifest.check_settings(&request.settings)?,
            grants: Grants::of_requests(&manifest, &request.granted),
            scope: request.scope,
            zone: request.zone,
            budget: Default::default(),
            record: false,
            enabled: true,
        };
        self.catalog.add_instance(&instance).await?;
        self.forget();
        Ok(())
    }

    async fn manifest(&self, extension: &Name) -> Result<Manifest> {
        let extension = self.catalog.extension(extension).await?;
        Ok(self.catalog.version(&extension.name, &extension.active).await?.manifest)
    }

    /// Changes an instance as `change` says; calls that begin after this see the change.
    async fn change(&self, name: &Name, change: impl FnOnce(&mut Instance, &Manifest) -> Result<()>) -> Result<()> {
        let _alone = self.alone().await?;
        let mut instance = self.catalog.instance(name).await?;
        let manifest = self.manifest(&instance.extension).await?;
        change(&mut instance, &manifest)?;
        self.catalog.save_instance(&instance).await?;
        self.forget();
        Ok(())
    }

    /// Changes settings, budget and recording, checked as a whole.
    pub(crate) async fn configure(&self, name: &Name, request: ConfigureRequest) -> Result<()> {
        self.change(name, |instance, manifest| {
            let mut settings = instance.settings.clone();
            settings.extend(request.settings);
            instance.settings = manifest.check_settings(&settings)?;
            instance.record = request.record.unwrap_or(instance.record);
            request.budget.iter().try_for_each(|(name, value)| instance.budget.set(name, value))
        })
        .await
    }

    /// Grants a capability as requested, or (`http`) only to these hosts.
    pub(crate) async fn grant(&self, name: &Name, capability: Capability, hosts: &[String]) -> Result<()> {
        self.change(name, |instance, manifest| instance.grants.grant(manifest, capability, hosts)).await
    }

    /// Narrowing applies at once: every call that begins after this is without it.
    pub(crate) async fn revoke(&self, name: &Name, capability: Capability) -> Result<()> {
        self.change(name, |instance, _| match instance.grants.revoke(capability) {
            true => Ok(()),
            false => Err(Error::not_found("not-granted", format!("{capability} is not granted to {name}"))),
        })
        .await
    }

    pub(crate) async fn enable_instance(&self, name: &Name, enabled: bool) -> Result<()> {
        self.change(name, |instance, _| {
            instance.enabled = enabled;
            Ok(())
        })
        .await
    }

    pub(crate) async fn remove_instance(&self, name: &Name) -> Result<()> {
        let _alone = self.alone().await?;
        self.catalog.remove_instance(name).await?;
        self.forget();
        Ok(())
    }

    pub(crate) async fn put_secret(&self, name: &Name, secret: &str, value: &[u8]) -> Result<()> {
        let _alone = self.alone().await?;
        let instance = self.catalog.instance(name).await?;
        let manifest = self.manifest(&instance.extension).await?;
        if !manifest.secrets.contains_key(secret) {
            let known: Vec<_> = manifest.secrets.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Error::invalid(
                "unknown-secret",
                format!("{} has no secret `{secret}`; it has {known}", manifest.name),
            ));
        }
        self.vault.put(name, secret, value).await?;
        self.forget();
        Ok(())
    }

    pub(crate) async fn remove_secret(&self, name: &Name, secret: &str) -> Result<()> {
        let _alone = self.alone().await?;
        self.catalog.remove_secret(name, secret).await?;
        self.forget();
        Ok(())
    }

    /// Seals every secret with a new key; answers how many there are.
    pub(crate) async fn rotate_secrets(&self) -> Result<usize> {
        self.vault.rotate().await
    }

    pub(crate) async fn instance_view(&self, instance: Instance) -> Result<InstanceView> {
        let health = match self.health(&instance.name).await {
            Ok(health) => health,
            Err(error) => Some(Err(error)),
        };
        let health = health.map(|health| match health {
            Ok(()) => "ok".to_owned(),
            Err(error) => error.message,
        });
        // What the health check itself was refused counts.
        self.flush().await;
        let secrets = self.catalog.secret_names(&instance.name).await?;
        let refusals = self.catalog.refusals(&instance.name, Timestamp::now() - RECENTLY).await?;
        Ok(InstanceView { instance, secrets, health, refusals })
    }
}
