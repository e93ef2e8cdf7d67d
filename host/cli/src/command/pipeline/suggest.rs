//! `fuseml pipeline suggest` and `create`: pipelines from what somebody has and wants.

use crate::{
    Options,
    client::Client,
    command::{pairs, parameters},
    output::{Format, Rows},
};
use clap::{Args, ValueEnum};
use fuseml_domain::{Address, Error, Goal, Kind, Link, Name, Pipeline, Starts};
use fuseml_server::{PipelineRequest, Suggestions};
use reqwest::Method;
use std::collections::BTreeMap;

#[derive(Args)]
pub(crate) struct SuggestArguments {
    /// What there is: an artifact, such as code://shop/wine
    #[arg(long)]
    from: String,
    /// What is wanted: `url`, or a kind of artifact such as `model`
    #[arg(long)]
    to: Goal,
}

#[derive(Args)]
pub(crate) struct CreateArguments {
    /// The codeset, or another artifact's address
    from: String,
    /// What becomes of it
    #[arg(long, value_enum)]
    action: Intent,
    /// The pipeline's name; the artifact's if not given
    #[arg(long)]
    name: Option<Name>,
    /// With this template where several would do
    #[arg(long, value_name = "TEMPLATE")]
    using: Option<Name>,
    /// What another input takes
    #[arg(long = "input", value_name = "NAME=SELECTOR")]
    inputs: Vec<String>,
    /// A parameter of a step's runnable
    #[arg(long = "param", value_name = "STEP.NAME=VALUE")]
    parameters: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Intent {
    /// A model is trained
    Train,
    /// A service answers
    Serve,
    /// A model is trained, and a service answers with it
    Both,
}

impl Intent {
    fn goal(self) -> Goal {
        match self {
            Self::Train => Goal::Artifact(Kind::Model),
            Self::Serve | Self::Both => Goal::Url,
        }
    }
}

pub(crate) async fn suggest(
    client: &Client,
    project: &Name,
    arguments: SuggestArguments,
    options: &Options,
) -> anyhow::Result<()> {
    let found = ask(client, project, &arguments.from, arguments.to).await?;
    if options.output == Format::Table {
        let from = found.from.address.short();
        match found.chains.is_empty() {
            true => eprintln!("Nothing that is installed leads from {from} to a {}.", found.to),
            false => eprintln!("From {from} to a {}, the shortest way first:", found.to),
        }
    }
    options.output.print(&found, ways)?;
    if options.output == Format::Table {
        say_left_out(&found);
        if !found.chains.is_empty() {
            eprintln!("`fuseml pipeline create` adds the first; `--using <template>` another.");
        }
    }
    Ok(())
}

fn ways(found: &Suggestions) -> Rows {
    let mut rows = Rows::new(&["Way", "Template", "Takes", "Gives", "Does"]);
    for (number, chain) in (1..).zip(&found.chains) {
        for (at, link) in chain.iter().enumerate() {
            let way = if at == 0 { number.to_string() } else { String::new() };
            let takes = format!("{}{}", link.input, if link.surely { "" } else { " (if it fits)" });
            let gives: Vec<_> = link.gives.iter().map(ToString::to_string).collect();
            rows.push([way, link.template.to_string(), takes, gives.join(", "), link.description.clone()]);
        }
    }
    rows
}

fn say_left_out(found: &Suggestions) {
    for left in &found.left_out {
        eprintln!("{} is left out: {}", left.template, left.reason);
    }
}

async fn ask(client: &Client, project: &Name, from: &str, to: Goal) -> anyhow::Result<Suggestions> {
    let path = format!("/api/v1/projects/{project}/suggestions");
    Ok(client.get(&path, &[("from", from.to_owned()), ("to", to.to_string())]).await?)
}

pub(crate) async fn create(client: &Client, project: &Name, arguments: CreateArguments) -> anyhow::Result<()> {
    let goal = arguments.action.goal();
    let found = ask(client, project, &arguments.from, goal).await?;
    let chain = choose(&found, arguments.using.as_ref()).inspect_err(|_| say_left_out(&found))?;
    let inputs = pairs(&arguments.inputs, "an input")?;
    let parameters = parameters(&arguments.parameters)?;
    if chain.len() > 1 && !(inputs.is_empty() && parameters.is_empty()) {
        let message = format!(
            "{} pipelines lead to a {goal}, and it is not known whose input or parameter that is; add them with \
             `fuseml pipeline add`",
            chain.len()
        );
        return Err(Error::invalid("argument", message).into());
    }
    let from = &found.from;
    let name = arguments.name.unwrap_or_else(|| from.name.clone());
    let mut added: Vec<Pipeline> = Vec::new();
    for link in chain {
        let selector = match added.last() {
            None => Address { version: None, tag: None, name: from.name.clone(), ..from.address.clone() }.to_string(),
            Some(before) => selector_of(before, link.takes),
        };
        let mut inputs = inputs.clone();
        inputs.entry(link.input.to_string()).or_insert(selector);
        let name = if chain.len() == 1 { name.clone() } else { format!("{name}-{}", link.template).parse()? };
        let request = PipelineRequest {
            template: link.template.to_string(),
            text: link.text.clone(),
            parts: BTreeMap::new(),
            name,
            inputs,
            parameters: parameters.clone(),
            starts: Starts::default(),
            agent: None,
            agents: BTreeMap::new(),
        };
        let pipelines = format!("/api/v1/projects/{project}/pipelines");
        match client.send(Method::POST, &pipelines, &request).await {
            Ok(pipeline) => added.push(pipeline),
            Err(error) => {
                // All of them or none.
                for pipeline in &added {
                    let path = format!("{pipelines}/{}", pipeline.name);
                    if let Err(error) = client.call(client.request(Method::DELETE, &path)).await {
                        eprintln!("{} stays: {error}", pipeline.name);
                    }
                }
                return Err(error.into());
            }
        }
    }
    for pipeline in &added {
        super::say_added(project, pipeline);
    }
    if let Some(first) = added.first() {
        let name = &first.name;
        eprintln!("What is pushed from now on starts {name}; `fuseml run start {name}` starts it now.");
    }
    Ok(())
}

/// What a pipeline's results of a kind are selected by.
fn selector_of(pipeline: &Pipeline, kind: Kind) -> String {
    match pipeline.result_names(kind).as_deref() {
        Some([name]) => format!("{}://{}/{name}", kind.scheme(), pipeline.project),
        _ => format!("{}://{}/*", kind.scheme(), pipeline.project),
    }
}

/// The best chain, if there is one best.
fn choose<'a>(found: &'a Suggestions, using: Option<&Name>) -> Result<&'a [Link], Error> {
    let uses = |chain: &&Vec<Link>| using.is_none_or(|using| chain.iter().any(|link| link.template == *using));
    let mut fitting = found.chains.iter().filter(uses);
    let (from, to) = (found.from.address.short(), found.to);
    let first = fitting.next().ok_or_else(|| {
        let with = using.map(|using| format!(" with {using}")).unwrap_or_default();
        Error::not_found("no-chain", format!("nothing that is installed leads from {from} to a {to}{with}"))
    })?;
    match fitting.next() {
        Some(other) if fuseml_domain::cost(first) == fuseml_domain::cost(other) => {
            let named =
                |chain: &[Link]| chain.iter().map(|link| link.template.to_string()).collect::<Vec<_>>().join(", ");
            let message = format!(
                "{} would do from {from} to a {to}, and {} as well; say which with --using",
                named(first),
                named(other)
            );
            Err(Error::invalid("ambiguous", message))
        }
        _ => Ok(first),
    }
}
