//! `init`: from an endpoint to settings that follow it. It looks, proposes and asks; it writes one file, and nothing to AWS.

mod ask;
mod candidate;
mod file;
mod look;
mod told;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use crate::aws::arn::{Arn, GroupName};
use crate::database::Source;
use crate::doctor::check::{Pattern, Selection};
use crate::doctor::flags::Secret;
use crate::doctor::{self, Order};
use crate::exit::Exit;
use crate::logging;
use crate::planner::endpoint::Endpoint;
use crate::planner::wrong::Wrong;
use crate::settings::value::{Bundle, Limit};
use crate::settings::{self, Dns, Error, Flags, Settings};
use crate::text::{join, shown};
use crate::verbs::iam::{self, Use};
use crate::verbs::named;
use crate::verbs::out::{paint, remark, say};
use candidate::{Sorted, Sought};
use file::There;

/// How long all looks may take together, and then those of doctor.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// The file that is proposed.
const FILE: &str = "rds-tether.toml";
/// The answer that asks for tags in the place of a file.
const TAGS: &str = "tags";
/// What decides everything where nobody can be asked.
const FLAGS: &str = "give HOST:PORT, --target-group NAME|ARN, --settings-file FILE (with --append to another, or --overwrite over \
                     it) or --tags; --yes takes what is proposed";

/// What to begin with; what is not given is asked for on a terminal.
#[derive(Args, Clone, Debug)]
pub struct Init {
    /// Endpoint to follow; or the database's identifier, if a target group has a tag rds-tether:endpoint with its endpoint
    #[arg(value_name = "HOST:PORT", env = "RDS_TETHER_ENDPOINT", hide_env_values = true)]
    endpoint: Option<String>,
    /// Target group to follow it, by its name or ARN; repeatable [default: the one that is meant, if that is evident]
    #[arg(long = "target-group", value_name = "NAME|ARN")]
    groups: Vec<GroupName>,
    /// Settings file to write, as run --config takes it [default: rds-tether.toml]
    #[arg(long, value_name = "FILE")]
    settings_file: Option<PathBuf>,
    /// Write no file; print the tags that say which endpoint the target groups are for, and the flags that follow it
    #[arg(long, conflicts_with_all = ["settings_file", "overwrite"])]
    tags: bool,
    /// Add to the settings file that is there, which keeps all that it says
    #[arg(long, conflicts_with_all = ["tags", "overwrite"])]
    append: bool,
    /// Write the settings file over another
    #[arg(long)]
    overwrite: bool,
    /// Ask nothing; take what is proposed
    #[arg(long)]
    yes: bool,
    /// Look at the database, too, that changes are streamed from: postgres://USER:PASSWORD@HOST:5432/DATABASE
    #[arg(long, value_name = "URL")]
    database: Option<Secret>,
    /// Publication that is streamed [default: all of the database]
    #[arg(long, value_name = "NAME")]
    publication: Option<String>,
    /// Leave this check of doctor out, or those of a group; repeatable
    #[arg(long, value_name = "NAME")]
    skip: Vec<Pattern>,
    /// CA certificates (PEM) that the database's has to be signed by
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<Bundle>,
    #[command(flatten)]
    dns: Dns,
    /// Give up looking after this long, and then examining [default: 30s]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Limit>,
}

/// Where it is to stand what follows what.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// In a file.
    File(PathBuf),
    /// On the groups.
    Tags,
}

/// What the endpoint is given as.
enum Given {
    /// Itself.
    Endpoint(Endpoint),
    /// As a database's identifier, which tags may tell more of.
    Identifier(String),
}

impl Init {
    /// Finds out, proposes, asks and writes.
    pub async fn begin(&self) -> anyhow::Result<Exit> {
        let may_ask = !self.yes && ask::is_there();
        let wrong = self.endpoint.as_deref().and_then(|text| read_given(text).err());
        if let Some(error) = Error::all(wrong.map(Error::from).into_iter().chain(self.open(may_ask))) {
            return Err(error.into());
        }
        let order = self.order()?;
        let Some(given) = self.given()? else {
            return Err(gone().into());
        };
        let settings = self.checked()?;
        let end = Instant::now() + order.limit;
        let (endpoint, groups) = match self.decided(given, &settings, may_ask, end).await? {
            Ok(decided) => decided,
            Err(exit) => return Ok(exit),
        };
        let Some(place) = self.place(may_ask)? else {
            return Err(gone().into());
        };
        self.put(&place, &endpoint, &groups, may_ask)?;
        self.tell_the_rest(&place, &endpoint, &groups, &order).await
    }

    /// What is decided nowhere and cannot be asked for, all at once.
    fn open(&self, may_ask: bool) -> Option<Error> {
        let mut open = Vec::new();
        if self.endpoint.is_none() {
            open.push("which endpoint to follow");
        }
        if !self.yes && self.settings_file.is_none() && !self.tags {
            open.push("what to write");
        }
        let what = format!("nobody is there to be asked {}", open.join(", nor "));
        (!may_ask && !open.is_empty()).then(|| Error::usage(what, FLAGS.to_owned()))
    }

    /// What doctor is to look at in the end. Files are read here.
    fn order(&self) -> Result<Order, Error> {
        let bundle = self.ca_bundle.as_ref().map(Bundle::trust).transpose()?;
        let database = self.database.as_ref();
        let source = database.map(|url| Source::new(url.reveal(), bundle.as_ref()));
        if self.publication.is_some() && source.is_none() {
            return Err(Error::usage("--publication needs --database URL: where it is", None));
        }
        Ok(Order {
            selection: Selection {
                only: Vec::new(),
                skip: self.skip.clone(),
            },
            limit: self.timeout.map_or(TIMEOUT_DEFAULT, Duration::from),
            bundle,
            write_check: false,
            source: source.transpose().map_err(|what| Error::usage(what, None))?,
            publication: self.publication.clone(),
        })
    }

    /// The endpoint as it is given or answered; nothing if nobody answers.
    fn given(&self) -> anyhow::Result<Option<Given>> {
        match &self.endpoint {
            Some(text) => Ok(Some(read_given(text)?)),
            None => Ok(ask::ask("endpoint to follow (HOST:PORT)", None, |answer| {
                read_given(answer).map_err(|error| error.to_string())
            })?),
        }
    }

    /// How to look at DNS; that AWS can be reached as the environment says is checked with it, before anything is called.
    fn checked(&self) -> Result<Settings, Error> {
        let any = "any.example:1".parse::<Endpoint>()?;
        Flags::binding(any, [Arn::pattern("any", None)], self.dns.clone()).settings()
    }

    /// What follows what; or the exit code where there is nothing that could.
    async fn decided(
        &self,
        given: Given,
        settings: &Settings,
        may_ask: bool,
        end: Instant,
    ) -> anyhow::Result<Result<(Endpoint, Vec<Arn>), Exit>> {
        let known = match &given {
            Given::Endpoint(endpoint) => vec![endpoint.clone()],
            Given::Identifier(_) => Vec::new(),
        };
        let mut surveyed = None;
        let endpoint = match given {
            Given::Endpoint(endpoint) => endpoint,
            Given::Identifier(identifier) => {
                let region = named::region(&known).await?;
                let client = named::client(&region).await;
                let survey = look::survey(&client, &region, end).await?;
                let endpoint = of_identifier(&survey, &identifier)?;
                surveyed = Some((region, client, survey));
                endpoint
            }
        };
        let addresses = look::addresses(&settings.dns, &endpoint).await?;
        let named_now: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        say(&format!("{endpoint} is {} now", named_now.join(" and ")))?;
        let sought = Sought {
            endpoint: &endpoint,
            addresses,
        };
        if !self.groups.is_empty() {
            let limit = end.saturating_duration_since(Instant::now());
            let groups = look::chosen(&self.groups, &sought, limit).await?;
            return Ok(Ok((endpoint, groups)));
        }
        let (region, client, mut survey) = match surveyed {
            Some(surveyed) => surveyed,
            None => {
                let region = named::region(&known).await?;
                let client = named::client(&region).await;
                let survey = look::survey(&client, &region, end).await?;
                (region, client, survey)
            }
        };
        survey.list_targets(&client, &sought, end).await;
        let sorted = sought.sort(&survey.seen);
        say(told::groups(&sorted, &region).trim_end())?;
        for unseen in &survey.unseen {
            remark(&shown(format_args!("rds-tether: {unseen}")));
        }
        if sorted.candidates.is_empty() {
            let is_ipv6 = sought.addresses.iter().all(|ip| ip.is_ipv6());
            say(&told::to_create(&endpoint, &region, is_ipv6))?;
            return Ok(Err(Exit::Settings));
        }
        let groups = self.choice(&sorted, may_ask)?.ok_or_else(gone)?;
        Ok(Ok((endpoint, groups)))
    }

    /// The groups that are to follow; nothing if nobody answers, or none is wanted.
    fn choice(&self, sorted: &Sorted, may_ask: bool) -> anyhow::Result<Option<Vec<Arn>>> {
        let proposed = sorted.proposed();
        if !may_ask {
            return match proposed {
                Some(proposed) if self.yes => Ok(Some(vec![proposed.arn.clone()])),
                Some(proposed) => {
                    let what = format!("nobody is there to be asked whether {} is meant", proposed.arn.name());
                    Err(Error::usage(what, FLAGS.to_owned()).into())
                }
                None => {
                    let what = match sorted.candidates.as_slice() {
                        [only] => format!(
                            "the only target group that may be meant, {}, looks like another's",
                            only.arn.name()
                        ),
                        _ => "several target groups may be meant, and nothing says which".to_owned(),
                    };
                    Err(Error::usage(what, FLAGS.to_owned()).into())
                }
            };
        }
        if let ([only], Some(_)) = (sorted.candidates.as_slice(), proposed) {
            let is_agreed = ask::agree(&format!("let {} follow it?", only.arn.name()))?;
            return Ok(is_agreed.then(|| vec![only.arn.clone()]));
        }
        let question = "which of them are to follow it (numbers or names, several with commas)";
        // What is evident stands first.
        let default = proposed.map(|_| "1");
        Ok(ask::ask(question, default, |answer| read_choice(answer, sorted))?)
    }

    /// Where it is to stand; nothing if nobody answers.
    fn place(&self, may_ask: bool) -> io::Result<Option<Place>> {
        if self.tags {
            return Ok(Some(Place::Tags));
        }
        if let Some(file) = &self.settings_file {
            return Ok(Some(Place::File(file.clone())));
        }
        if !may_ask {
            return Ok(Some(Place::File(FILE.into())));
        }
        let question = format!("settings file to write, or {TAGS} for none");
        ask::ask(&question, Some(FILE), |answer| {
            Ok(match answer {
                TAGS => Place::Tags,
                file => Place::File(file.into()),
            })
        })
    }

    /// Writes the file, or prints the tags.
    fn put(&self, place: &Place, endpoint: &Endpoint, groups: &[Arn], may_ask: bool) -> anyhow::Result<()> {
        let Place::File(path) = place else {
            say("\ntags that say so, to be set by who may (rds-tether does not):")?;
            say(&told::tags(endpoint, groups))?;
            return Ok(());
        };
        let nameservers = self.dns.nameservers.iter().flatten().map(|server| server.0);
        let text = file::text(endpoint, groups, &nameservers.collect::<Vec<_>>());
        let name = path.display();
        let is_there = |path: &Path| {
            let what = format!("there is another file {} already", path.display());
            let fix = "--append adds to it, --overwrite writes over it, --settings-file FILE writes elsewhere: nothing was written";
            Error::usage(what, fix.to_owned())
        };
        let replaces = match file::there(path, &text) {
            There::Same => {
                say(&format!("\n{name} says so already"))?;
                return Ok(());
            }
            There::Another if self.overwrite => true,
            There::Another if self.append => return self.append(path, endpoint, groups),
            There::Another if may_ask && ask::agree(&format!("add to {name}, which is there already?"))? => {
                return self.append(path, endpoint, groups);
            }
            There::Another if may_ask && ask::agree(&format!("write over {name}, which is there already?"))? => true,
            There::Another => return Err(is_there(path).into()),
            There::Nothing => false,
        };
        match file::write(path, &text, replaces) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(is_there(path).into()),
            Err(error) => return Err(unwritten(path, &error)),
        }
        say(&format!("\nwritten to {name}:\n{}", text.trim_end()))?;
        Ok(())
    }

    /// Adds the groups to a file that is there, if it is a good one with them.
    fn append(&self, path: &Path, endpoint: &Endpoint, groups: &[Arn]) -> anyhow::Result<()> {
        let name = path.display();
        let former = settings::text_of(path)?;
        let follows = |settings: &Settings, arn: &Arn| {
            let mut bindings = settings.bindings.iter();
            bindings.any(|binding| binding.arn == *arn && binding.endpoints.iter().eq([endpoint]))
        };
        let mut missing = groups.to_vec();
        if let Ok(settings) = Flags::of_text(path, former.clone()) {
            missing.retain(|arn| !follows(&settings, arn));
        }
        if missing.is_empty() {
            say(&format!("\n{name} says so already"))?;
            return Ok(());
        }
        if self.dns.nameservers.is_some() {
            remark(&format!(
                "rds-tether: {name} says itself which name servers are asked: --nameserver is not written to it"
            ));
        }
        let more = file::tables(endpoint, &missing);
        let text = file::with(former, &more);
        let refused = Error::file(format!("nothing is added to {name}, which would be refused then"), None);
        if let Err(error) = Flags::of_text(path, text.clone())
            && let Some(all) = Error::all([refused, error])
        {
            return Err(all.into());
        }
        file::write(path, &text, true).map_err(|error| unwritten(path, &error))?;
        say(&format!(
            "\nadded to {name}, which a process that runs by it takes at SIGHUP (systemctl reload rds-tether):\n{}",
            more.trim()
        ))?;
        Ok(())
    }

    /// The permissions that it takes, what doctor finds, and what to run.
    async fn tell_the_rest(
        &self,
        place: &Place,
        endpoint: &Endpoint,
        groups: &[Arn],
        order: &Order,
    ) -> anyhow::Result<Exit> {
        let settings = Flags::binding(endpoint.clone(), groups.to_vec(), self.dns.clone()).settings()?;
        let flags = match place {
            Place::File(path) => format!("--config {}", told::quoted(&path.to_string_lossy())),
            Place::Tags => told::flags(endpoint, groups),
        };
        say(&format!(
            "\nthe policy that this takes, for the role of who runs it (rds-tether iam {flags}):"
        ))?;
        say(&iam::policy(&settings, Use::Run, None).json())?;
        say(&format!("\nwhat doctor finds now (rds-tether doctor {flags}):"))?;
        let sections = doctor::examine(Ok(settings), order).await;
        paint(&doctor::draw::findings(&sections), logging::is_coloured(&io::stdout()))?;
        if order.source.is_none() {
            let url = "--database postgres://USER:PASSWORD@HOST:PORT/DATABASE";
            say(&format!(
                "\nwhether changes can be streamed was not looked at: rds-tether doctor {url} says what is missing for it, and \
                 rds-tether sql {url} prints the SQL for that"
            ))?;
        }
        say(&format!("\nnext:\n  rds-tether plan {flags}\n  rds-tether run {flags}"))?;
        Ok(Exit::Settled)
    }
}

fn unwritten(path: &Path, error: &io::Error) -> anyhow::Error {
    anyhow::anyhow!(
        "cannot write {}: {error}; name another place with --settings-file",
        path.display()
    )
}

/// Nobody answered, or somebody said no.
fn gone() -> Error {
    Error::usage("nothing was agreed on, and nothing written", FLAGS.to_owned())
}

/// Reads an endpoint, or what looks like a database's identifier.
fn read_given(text: &str) -> Result<Given, Wrong> {
    let text = text.trim();
    let is_identifier = text.starts_with(|char: char| char.is_ascii_alphabetic())
        && text.chars().all(|char| char.is_ascii_alphanumeric() || char == '-');
    match is_identifier {
        true => Ok(Given::Identifier(text.to_ascii_lowercase())),
        false => text.parse().map(Given::Endpoint),
    }
}

/// The endpoint that tags tell for a database's identifier.
fn of_identifier(survey: &look::Survey, identifier: &str) -> Result<Endpoint, Error> {
    let tagged: Vec<Endpoint> = survey.tagged(identifier).into_iter().collect();
    let wrong = |what: String, fix: String| Err(Error::usage(what, fix));
    match tagged.as_slice() {
        [only] => Ok(only.clone()),
        [] => wrong(
            format!(
                "{identifier:?} is a database's identifier, and no tag {} tells its endpoint",
                candidate::TAG
            ),
            format!(
                "give HOST:PORT: aws rds describe-db-clusters --db-cluster-identifier {identifier} --query \
                 'DBClusters[].[Endpoint,Port]' --output text (of an instance describe-db-instances)"
            ),
        ),
        several => wrong(
            format!("{identifier:?} is the identifier of several endpoints"),
            format!("give one: {}", join(several)),
        ),
    }
}

/// Reads the numbers or names of groups.
fn read_choice(answer: &str, sorted: &Sorted) -> Result<Vec<Arn>, String> {
    let mut chosen = Vec::new();
    for word in answer.split([',', ' ']).filter(|word| !word.is_empty()) {
        let listed = sorted.candidates.iter().take(told::SHOWN_MAX);
        let of_number = word.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let numbered = of_number.and_then(|index| listed.clone().nth(index));
        let named = || sorted.candidates.iter().find(|one| one.arn.name() == word);
        let Some(candidate) = named().or(numbered) else {
            return Err(format!(
                "{word:?} is none of them: answer with a number or name of the list"
            ));
        };
        if !chosen.contains(&candidate.arn) {
            chosen.push(candidate.arn.clone());
        }
    }
    match chosen.is_empty() {
        true => Err("answer with a number or name of the list".to_owned()),
        false => Ok(chosen),
    }
}
