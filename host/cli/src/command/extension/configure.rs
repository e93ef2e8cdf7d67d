//! Settings, secrets and grants of an instance.

use super::{capability_of, say_health};
use crate::{client::Client, command::pairs};
use clap::Args;
use fuseml_domain::Error;
use fuseml_server::{ConfigureRequest, GrantRequest, InstanceView, SecretRequest};
use reqwest::Method;
use std::io::{IsTerminal as _, Read as _};

#[derive(Args)]
pub(crate) struct ConfigureArguments {
    instance: String,
    /// A setting, as name=value
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// A limit of each call, such as cpu-ms=500 or requests=10; `default` goes back to the server's
    #[arg(long, value_name = "NAME=NUMBER")]
    budget: Vec<String>,
    /// Record calls from now on, to replay them: tapes hold what the tool answered
    #[arg(long, value_name = "on|off")]
    record: Option<Switch>,
    /// A secret, typed when asked for or read from standard input
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// A secret, read from a file
    #[arg(long, value_name = "NAME=PATH")]
    secret_file: Vec<String>,
    /// A secret, read from an environment variable
    #[arg(long, value_name = "NAME=VARIABLE")]
    secret_env: Vec<String>,
    /// Forget a secret
    #[arg(long, value_name = "NAME")]
    forget_secret: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Args)]
pub(crate) struct GrantArguments {
    instance: String,
    /// configuration, files, http, state, …
    capability: String,
    /// For http: only this host, as https://host[:port][/prefix]
    #[arg(long = "host", value_name = "URL")]
    hosts: Vec<String>,
}

pub(super) async fn configure(client: &Client, arguments: &ConfigureArguments) -> anyhow::Result<()> {
    let instance = &arguments.instance;
    let path = format!("/api/v1/instances/{instance}");
    let secrets = secrets(arguments)?;
    let changes = !arguments.settings.is_empty() || !arguments.budget.is_empty() || arguments.record.is_some();
    if !changes && secrets.is_empty() && arguments.forget_secret.is_empty() {
        return Err(Error::invalid(
            "argument",
            "nothing to change: give --set, --budget, --record, --secret or --forget-secret",
        )
        .into());
    }
    for name in &arguments.forget_secret {
        client.call(client.request(Method::DELETE, &format!("{path}/secrets/{name}"))).await?;
        eprintln!("Forgot the secret {name}.");
    }
    for (name, value) in secrets {
        let request = client.request(Method::PUT, &format!("{path}/secrets/{name}")).json(&SecretRequest { value });
        client.call(request).await?;
        eprintln!("Keeps the secret {name}, sealed.");
    }
    let view: InstanceView = if changes {
        let record = arguments.record.map(|switch| switch == Switch::On);
        let (settings, budget) = (pairs(&arguments.settings, "a setting")?, pairs(&arguments.budget, "a budget")?);
        client.send(Method::PUT, &format!("{path}/settings"), &ConfigureRequest { settings, budget, record }).await?
    } else {
        client.get(&path, &[]).await?
    };
    say_health(&view);
    Ok(())
}

/// Values from wherever they may come but the command line, which other users of the machine can read.
fn secrets(arguments: &ConfigureArguments) -> anyhow::Result<Vec<(String, String)>> {
    let mut secrets = Vec::new();
    for (name, path) in pairs(&arguments.secret_file, "a secret's file")? {
        let value = std::fs::read_to_string(&path).map_err(|error| {
            Error::invalid("secret", format!("the secret {name} cannot be read from {path}: {error}"))
        })?;
        secrets.push((name, value.trim_end_matches(['\r', '\n']).to_owned()));
    }
    for (name, variable) in pairs(&arguments.secret_env, "a secret's variable")? {
        let value = std::env::var(&variable).map_err(|_| {
            Error::invalid("secret", format!("the variable {variable} for the secret {name} is not set"))
        })?;
        secrets.push((name, value));
    }
    if let Some(name) = &arguments.secret {
        let value = if std::io::stdin().is_terminal() {
            rpassword::prompt_password(format!("Value of the secret {name}: "))?
        } else {
            let mut value = String::new();
            std::io::stdin().read_to_string(&mut value)?;
            value.trim_end_matches(['\r', '\n']).to_owned()
        };
        secrets.push((name.clone(), value));
    }
    Ok(secrets)
}

pub(super) async fn grant(client: &Client, arguments: &GrantArguments) -> anyhow::Result<()> {
    let capability = capability_of(&arguments.capability)?;
    let path = format!("/api/v1/instances/{}/grants/{capability}", arguments.instance);
    let request = GrantRequest { hosts: arguments.hosts.clone() };
    let view: InstanceView = client.send(Method::PUT, &path, &request).await?;
    let only = if arguments.hosts.is_empty() { String::new() } else { format!(" for {}", arguments.hosts.join(", ")) };
    eprintln!("{} has {capability}{only}.", view.instance.name);
    Ok(())
}
