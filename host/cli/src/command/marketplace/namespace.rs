//! `fuseml marketplace namespace`.

use super::Session;
use crate::{Options, output::Rows};
use clap::{Args, Subcommand, ValueEnum};
use fuseml_domain::{Error, Name};
use fuseml_marketplace_server::{About, MemberRequest, NamespaceView, Role, Verification};
use reqwest::Method;
use serde_json::json;

#[derive(Subcommand)]
pub(crate) enum NamespaceCommand {
    /// Take a name
    Add { name: Name },
    /// Show members and keys
    Show { name: Name },
    /// Say where its sources are; for operators: that it is who it says
    Describe(DescribeArguments),
    /// Prove by your website or repository that the namespace is yours; say it once to learn how, again when it is done
    Verify { name: Name },
    /// Invite an account, or change its role
    Invite {
        namespace: Name,
        account: Name,
        #[arg(long, value_enum, default_value_t = RoleName::Publisher)]
        role: RoleName,
    },
    /// Become the member that you were invited to be
    Accept { namespace: Name },
    /// Remove a member, or leave
    RemoveMember { namespace: Name, account: Name },
}

#[derive(Args)]
pub(crate) struct DescribeArguments {
    name: Name,
    #[arg(long, value_name = "URL")]
    repository: Option<String>,
    #[arg(long, value_name = "URL")]
    website: Option<String>,
    #[arg(long)]
    verified: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum RoleName {
    Publisher,
    Owner,
}

pub(super) async fn execute(command: &NamespaceCommand, options: &Options) -> anyhow::Result<()> {
    let session = Session::open(None)?;
    let client = &session.client;
    let at = |name: &Name| format!("/api/v1/namespaces/{name}");
    match command {
        NamespaceCommand::Add { name } => {
            client.call(client.request(Method::POST, "/api/v1/namespaces").json(&json!({"name": name}))).await?;
            eprintln!("The namespace {name} is yours. Add a key: `fuseml marketplace key add {name}`.");
        }
        NamespaceCommand::Show { name } => {
            let view: NamespaceView = client.get(&at(name), &[]).await?;
            options.output.print(&view, table)?;
        }
        NamespaceCommand::Describe(arguments) => {
            let DescribeArguments { name, repository, website, verified } = arguments;
            let before: NamespaceView = client.get(&at(name), &[]).await?;
            let about = About {
                repository: repository.clone().or(before.about.repository),
                website: website.clone().or(before.about.website),
                verified: *verified || before.about.verified,
                verified_by: None,
            };
            client.call(client.request(Method::PUT, &at(name)).json(&about)).await?;
            eprintln!("Kept.");
        }
        NamespaceCommand::Verify { name } => {
            let verification: Verification =
                client.read(client.request(Method::POST, &format!("{}/verification", at(name)))).await?;
            options.output.print(&verification, proofs)?;
            if !verification.verified {
                let message = format!("{name} is not verified yet: do one of these, and say this again");
                return Err(Error::conflict("not-verified", message).into());
            }
            eprintln!("{name} is verified.");
        }
        NamespaceCommand::Invite { namespace, account, role } => {
            let role = match role {
                RoleName::Publisher => Role::Publisher,
                RoleName::Owner => Role::Owner,
            };
            let request = MemberRequest { account: account.clone(), role };
            let path = format!("{}/members", at(namespace));
            client.call(client.request(Method::POST, &path).json(&request)).await?;
            eprintln!("{account} is invited; `fuseml marketplace namespace accept {namespace}` accepts.");
        }
        NamespaceCommand::Accept { namespace } => {
            client.call(client.request(Method::POST, &format!("{}/accept", at(namespace)))).await?;
            eprintln!("You are a member of {namespace}.");
        }
        NamespaceCommand::RemoveMember { namespace, account } => {
            let path = format!("{}/members/{account}", at(namespace));
            client.call(client.request(Method::DELETE, &path)).await?;
            eprintln!("{account} is no member of {namespace} any more.");
        }
    }
    Ok(())
}

fn proofs(verification: &Verification) -> Rows {
    let mut rows = Rows::new(&["To do", "Now"]);
    for proof in &verification.proofs {
        rows.push([proof.to_do.clone(), proof.problem.clone().unwrap_or_else(|| "it is so".to_owned())]);
    }
    rows
}

fn table(view: &NamespaceView) -> Rows {
    let mut rows = Rows::new(&["Property", "Value"]);
    let mut row = |name: &str, value: String| rows.push([name.to_owned(), value]);
    row("name", view.name.to_string());
    row(
        "verified",
        match (view.about.verified, &view.about.verified_by) {
            (true, Some(by)) => format!("yes, by {by}"),
            (true, None) => "yes".to_owned(),
            (false, _) => "no".to_owned(),
        },
    );
    for (name, address) in [("repository", &view.about.repository), ("website", &view.about.website)] {
        address.iter().for_each(|address| row(name, address.clone()));
    }
    for member in &view.members {
        let role = match member.role {
            Role::Owner => "owner",
            Role::Publisher => "publisher",
        };
        row(role, format!("{}{}", member.account, if member.accepted { "" } else { " (invited)" }));
    }
    for key in &view.keys {
        row("key", format!("{} {}", key.key.id().short(), super::key::state(key.state)));
    }
    rows
}
