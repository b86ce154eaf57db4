//! The architecture, stated as absences: what no source file but the named ones may mention. Each message says what to do
//! instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A file that is longer, its tests aside, does not fit a sitting.
const FILE_LINES_MAX: usize = 550;

/// Something that only a few sources may mention.
struct Seam {
    /// Texts of code that say it is used.
    signs: &'static [&'static str],
    /// The files, or folders with a final slash, below src that may.
    only_in: &'static [&'static str],
    instead: &'static str,
}

const SEAMS: &[Seam] = &[
    Seam {
        signs: &["aws_sdk_elasticloadbalancingv2"],
        only_in: &["aws/elb/"],
        instead: "call elb::Client, and give it a method if it lacks one",
    },
    Seam {
        signs: &["aws_sdk_sns"],
        only_in: &["notify/send.rs"],
        instead: "give notify::Notifier what is to be told",
    },
    Seam {
        signs: &[
            "aws_config",
            "aws_credential_types",
            "aws_sigv4",
            "aws_smithy",
            "aws_types",
        ],
        only_in: &["aws/"],
        instead: "take what aws::config gives; only an adapter sees the SDK",
    },
    Seam {
        signs: &["aws_sdk_sts"],
        only_in: &["aws/sts.rs", "aws/ec2.rs", "aws/failure.rs"],
        instead: "ask aws::sts::ask, and read failures with aws::failure",
    },
    Seam {
        signs: &["aws_runtime", "Operation::builder("],
        only_in: &["aws/ec2.rs"],
        instead: "take a service's SDK; three calls of EC2 alone are put together without theirs, which is larger than all others",
    },
    Seam {
        // Each asks one service one thing; what ELB is asked is counted.
        signs: &[".send().await"],
        only_in: &["aws/sts.rs", "notify/send.rs"],
        instead: "hand the request's future to elb::Client::call, which counts it, times it and reads its failure",
    },
    Seam {
        signs: &["rustls::", "tokio_rustls"],
        only_in: &["probe/", "aws/ca.rs"],
        instead: "ask probe::probe, or shake hands with probe::Trust",
    },
    Seam {
        signs: &["tokio_postgres"],
        only_in: &["database/", "lead/", "doctor/database/"],
        instead: "connect with database::Source, and add a question to doctor::database or lead",
    },
    Seam {
        signs: &["hickory"],
        only_in: &["dns/"],
        instead: "ask dns::Resolver, and work with planner::answer",
    },
    Seam {
        // A variable of AWS's own is read where AWS is reached.
        signs: &["env::var", "env::set_var", "env::remove_var"],
        only_in: &[
            "settings/",
            "aws/ca.rs",
            "aws/profiles.rs",
            "aws/variables.rs",
            "logging.rs",
        ],
        instead: "add a setting, with a flag and its variable, to settings::Flags",
    },
    Seam {
        // The proxy's listener reads what a service manager says (LISTEN_FDS).
        signs: &["from_env("],
        only_in: &["settings/", "aws/", "proxy/listener.rs"],
        instead: "add a setting, with a flag and its variable, to settings::Flags",
    },
    Seam {
        signs: &["listenfd", "ListenFd"],
        only_in: &["proxy/listener.rs"],
        instead: "ask proxy::listener for sockets",
    },
    Seam {
        signs: &["rustix"],
        only_in: &["proxy/", "clock.rs"],
        instead: "keep what needs the kernel's own calls to the sockets and pipes of the proxy, and to the clock",
    },
    Seam {
        signs: &["hyper::", "hyper_util"],
        only_in: &["telemetry/http.rs", "verbs/status.rs"],
        instead: "add a page to http::Site, or something to the document that status asks for",
    },
    Seam {
        // A verb's own flags stand beside the verb.
        signs: &["#[arg("],
        only_in: &["settings/", "doctor/flags.rs", "verbs/", "logging.rs"],
        instead: "add a setting to settings::table, or the flag to its verb's",
    },
    Seam {
        signs: &["groups.write(", "client.write("],
        only_in: &["follow/reconcile.rs"],
        instead: "let planner::decide plan the change; reconcile alone carries plans out",
    },
    Seam {
        // They change nothing, but are writes.
        signs: &[".try_registering(", ".try_deregistering("],
        only_in: &["doctor/look.rs"],
        instead: "leave writes to reconcile; doctor alone shows the right to write, and only when asked",
    },
    Seam {
        signs: &["HashMap", "HashSet"],
        only_in: &[],
        instead: "take BTreeMap or BTreeSet: their order is the same in every run",
    },
    Seam {
        signs: &["unsafe "],
        only_in: &[],
        instead: "take a crate that wraps it safely, such as rustix",
    },
];

/// What the planner may be made of.
const PLANNER_MAY_USE: &[&str] = &[
    "crate::planner",
    "idna",
    "super",
    "self",
    "std",
    "serde",
    "jiff",
    "ipnet",
    "thiserror",
];

/// The floors of the house, from the ground up. A room uses rooms on lower floors, never one on its own floor or above.
const FLOORS: &[&[&str]] = &[
    &["planner"],
    &["clock", "counts", "exit", "file", "text"],
    &["aws", "dns", "probe"],
    &["database"],
    &["lead"],
    &["function"],
    &["follow", "proxy"],
    &["notify"],
    &["settings"],
    &["discover", "logging", "telemetry"],
    &["doctor", "drill"],
    &["verbs"],
    &["lib", "main"],
];

/// Words that say nothing about what a thing is for.
const EMPTY_WORDS: &[&str] = &[
    "manager", "helper", "helpers", "util", "utils", "common", "misc", "handler", "handlers",
];
const EMPTY_PREFIXES: &[&str] = &["do_", "process_"];

/// A source file without its comments and its tests.
struct Source {
    /// Its path below the repository, with slashes.
    path: String,
    /// Line number and text.
    code: Vec<(usize, String)>,
    /// How many lines it has before its tests.
    lines: usize,
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let path = path.strip_prefix(root()).expect("below the repository");
        Self::new(&path.to_str().expect("UTF-8").replace('\\', "/"), &text)
    }

    fn new(path: &str, text: &str) -> Self {
        let (own, tests) = text.split_once("#[cfg(test)]\n").unwrap_or((text, ""));
        assert!(
            tests.is_empty() || tests.trim_start().starts_with("mod "),
            "{path}: put what only tests need into the module `tests` at the end of the file"
        );
        let code = own.lines().enumerate().map(|(index, line)| (index + 1, line));
        let code = code
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(number, line)| (number, line.split(" // ").next().unwrap_or_default().to_owned()))
            .collect();
        Self {
            lines: own.lines().count(),
            code,
            path: path.to_owned(),
        }
    }

    /// The places that mention a text.
    fn mentions<'a>(&'a self, sign: &'a str) -> impl Iterator<Item = String> + 'a {
        let found = self.code.iter().filter(move |(_, line)| line.contains(sign));
        found.map(move |(number, _)| format!("{}:{number} has `{}`", self.path, sign.trim()))
    }

    /// The names it gives to things, each with its line.
    fn names(&self) -> Vec<(usize, String)> {
        const BEFORE_A_NAME: &[&str] = &[
            "fn", "struct", "enum", "trait", "type", "mod", "const", "static", "let", "mut",
        ];
        let mut names = Vec::new();
        for (number, line) in &self.code {
            let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            let named = words.windows(2).filter(|pair| BEFORE_A_NAME.contains(&pair[0]));
            names.extend(named.map(|pair| (*number, pair[1].to_owned())));
        }
        names
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust sources below a folder, of which there must be some.
fn sources(folder: &str) -> Vec<Source> {
    let mut folders = vec![root().join(folder)];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(
        !files.is_empty(),
        "no source files in {folder}: this test looks at nothing"
    );
    files.iter().map(|path| Source::read(path)).collect()
}

#[track_caller]
fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn what_is_used_behind_a_seam_is_mentioned_nowhere_else() {
    let sources = sources("src");
    for place in SEAMS.iter().flat_map(|seam| seam.only_in) {
        let there = sources.iter().any(|source| is_in(source, place));
        assert!(there, "src/{place} is gone: say where its seam is now");
    }
    assert_none(&beside_the_seams(&sources));
}

fn beside_the_seams(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for seam in SEAMS {
        let allowed = |source: &Source| seam.only_in.iter().any(|place| is_in(source, place));
        for source in sources.iter().filter(|source| !allowed(source)) {
            for sign in seam.signs {
                found.extend(source.mentions(sign).map(|place| format!("{place}: {}", seam.instead)));
            }
        }
    }
    found
}

/// Whether a source is this file, or lies in this folder, below src.
fn is_in(source: &Source, place: &str) -> bool {
    let path = source.path.strip_prefix("src/").unwrap_or_default();
    path == place || (place.ends_with('/') && path.starts_with(place))
}

#[test]
fn every_seam_is_still_seen() {
    let sources = sources("src");
    let seen = |sign: &str| sources.iter().any(|source| source.mentions(sign).next().is_some());
    for sign in [
        "aws_sdk_elasticloadbalancingv2",
        "aws_sdk_sns",
        "aws_config",
        "aws_sdk_sts",
        "aws_runtime",
        "tokio_rustls",
        "tokio_postgres",
        "hickory",
        "from_env(",
        "ListenFd",
        "rustix",
        "hyper::",
        "#[arg(",
        "groups.write(",
        ".try_registering(",
        ".try_deregistering(",
    ] {
        assert!(
            seen(sign),
            "nothing in src has `{sign}` any more: its seam must look for what took its place"
        );
    }
}

#[test]
fn the_planner_knows_no_other_crate_and_no_other_module() {
    assert_none(&foreign_to_the_planner(&sources("src/planner")));
}

fn foreign_to_the_planner(sources: &[Source]) -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let dependencies = table(&manifest, "[dependencies]");
    assert!(
        dependencies.iter().any(|name| name == "tokio"),
        "the dependencies are not where this test looks: {dependencies:?}"
    );
    let allowed = |path: &str| {
        let begins = |may: &&str| {
            path.strip_prefix(may)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        PLANNER_MAY_USE.iter().any(begins)
    };
    let mut found = Vec::new();
    for source in sources {
        for (number, line) in &source.code {
            let line = line.trim_start();
            let used = line.strip_prefix("pub use ").or_else(|| line.strip_prefix("use "));
            let used = used.map(|path| path.trim_end_matches([';', '{', ':']).to_owned());
            let mentioned = dependencies.iter().filter(|name| starts_a_path(line, name)).cloned();
            let ours = (starts_a_path(line, "crate") && !line.contains("crate::planner")).then(|| "crate".to_owned());
            for path in used
                .into_iter()
                .chain(mentioned)
                .chain(ours)
                .filter(|path| !allowed(path))
            {
                found.push(format!(
                    "{}:{number} has `{path}`: the planner decides on plain values; let its caller turn what it has into \
                     one",
                    source.path
                ));
            }
        }
    }
    found
}

/// Whether a path in the line begins with this name.
fn starts_a_path(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let alone = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
        alone && line[at + name.len()..].starts_with("::")
    })
}

/// The names of a manifest's table, as code writes them.
fn table(manifest: &str, header: &str) -> Vec<String> {
    let lines = manifest.lines().skip_while(|line| *line != header).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split(['.', ' ', '=']).next());
    let names = names.filter(|name| !name.is_empty() && !name.starts_with('#'));
    names.map(|name| name.replace('-', "_")).collect()
}

impl Source {
    /// Its path as a module, such as `follow::report`.
    fn module(&self) -> String {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let path = path.strip_suffix(".rs").unwrap_or(path);
        path.strip_suffix("/mod").unwrap_or(path).replace('/', "::")
    }

    /// The modules among these that it mentions, each with the number of the line. What it hands on by `pub use` is not its
    /// own use.
    fn uses(&self, modules: &BTreeSet<String>) -> Vec<(usize, String)> {
        let own = self.module();
        let parent = own.rsplit_once("::").map_or("", |(parent, _)| parent);
        let is_own_use = |line: &str| !line.trim_start().starts_with("pub use ");
        let mut uses = Vec::new();
        for (number, line) in self.code.iter().filter(|(_, line)| is_own_use(line)) {
            let of_house = line
                .match_indices("crate::")
                .map(|(at, root)| ("", &line[at + root.len()..]));
            let of_parent = line
                .match_indices("super::")
                .map(|(at, root)| (parent, &line[at + root.len()..]));
            let of_child = line.strip_prefix("use ").map(|path| (own.as_str(), path));
            for (above, path) in of_house.chain(of_parent).chain(of_child) {
                let end = path.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
                let path = path[..end.unwrap_or(path.len())].trim_end_matches(':');
                let mut named = if above.is_empty() {
                    path.to_owned()
                } else {
                    format!("{above}::{path}")
                };
                while !modules.contains(&named) && named != above {
                    named.truncate(named.rfind("::").unwrap_or(0));
                }
                if named != own && modules.contains(&named) {
                    uses.push((*number, named));
                }
            }
        }
        uses
    }
}

/// The room that a module stands in.
fn room(module: &str) -> &str {
    module.split_once("::").map_or(module, |(room, _)| room)
}

/// The modules that sources are.
fn modules(sources: &[Source]) -> BTreeSet<String> {
    sources.iter().map(Source::module).collect()
}

#[test]
fn no_room_uses_one_on_its_own_floor_or_above() {
    assert_none(&against_the_floors(&sources("src")));
}

fn against_the_floors(sources: &[Source]) -> Vec<String> {
    let floor = |module: &str| FLOORS.iter().position(|floor| floor.contains(&room(module)));
    let modules = modules(sources);
    let mut found = Vec::new();
    for source in sources {
        let module = source.module();
        let Some(own) = floor(&module) else {
            found.push(format!(
                "{}: say in FLOORS where `{}` stands",
                source.path,
                room(&module)
            ));
            continue;
        };
        for (number, used) in source.uses(&modules) {
            if room(&used) != room(&module) && floor(&used).is_none_or(|used| used >= own) {
                found.push(format!(
                    "{}:{number} uses `{used}`: `{}` stands no higher; hand it a plain value, or move what both need to a \
                     room below both",
                    source.path,
                    room(&module)
                ));
            }
        }
    }
    found
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    assert_none(&circles(&sources("src")));
}

/// Each circle once, by the files in it.
fn circles(sources: &[Source]) -> Vec<String> {
    let modules = modules(sources);
    let used = |source: &Source| source.uses(&modules).into_iter().map(|(_, used)| used).collect();
    let uses: BTreeMap<String, BTreeSet<String>> =
        (sources.iter().map(|source| (source.module(), used(source)))).collect();
    let reached = |from: &str| {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&String> = uses[from].iter().collect();
        while let Some(module) = next.pop() {
            if reached.insert(module.clone()) {
                next.extend(&uses[module]);
            }
        }
        reached
    };
    let reach: BTreeMap<&String, BTreeSet<String>> = uses.keys().map(|module| (module, reached(module))).collect();
    let circle_of = |module: &String| -> Vec<&String> {
        let goes_back = |other: &&&String| reach[module].contains(**other) && reach[**other].contains(module);
        reach.keys().filter(goes_back).copied().collect()
    };
    let circles: BTreeSet<Vec<&String>> = reach.keys().map(|module| circle_of(module)).collect();
    let message = |circle: &Vec<&String>| {
        let files: Vec<&str> = circle.iter().map(|module| module.as_str()).collect();
        format!(
            "{} use each other in a circle: move what they share to a file that uses none of them",
            files.join(", ")
        )
    };
    circles
        .iter()
        .filter(|circle| !circle.is_empty())
        .map(message)
        .collect()
}

#[test]
fn no_file_is_dead() {
    let sources = sources("src");
    let function = fs::read_dir(root().join("lambda/src")).expect("lambda/src");
    let function: String = function
        .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("a source"))
        .collect();
    let modules = modules(&sources);
    let used: BTreeSet<String> = (sources.iter().flat_map(|source| source.uses(&modules)))
        .map(|(_, used)| used)
        .collect();
    let is_alive = |module: &String| {
        let name = module.rsplit("::").next().unwrap_or(module);
        // A room lives by its files, and a file also by what the room's own file does with it.
        let is_room = modules.iter().any(|other| other.starts_with(&format!("{module}::")));
        let is_mentioned = sources
            .iter()
            .any(|source| source.mentions(&format!("{name}::")).next().is_some());
        is_room || used.contains(module) || function.contains(module.as_str()) || is_mentioned
    };
    let dead: Vec<String> = (modules.iter())
        .filter(|module| !["lib", "main"].contains(&module.as_str()) && !is_alive(module))
        .map(|module| format!("nobody uses {module}: delete it"))
        .collect();
    assert_none(&dead);
}

#[test]
fn every_package_obeys_the_workspace_lints() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    assert!(
        manifest.contains("unsafe_code = \"forbid\""),
        "forbid unsafe code in [workspace.lints.rust]"
    );
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = ["));
    let members: Vec<&str> = members.expect("members").split('"').skip(1).step_by(2).collect();
    assert!(!members.is_empty(), "no members: this test looks at nothing");
    for member in [""].iter().chain(&members) {
        let path = root().join(member).join("Cargo.toml");
        let manifest = fs::read_to_string(&path).expect("a member's manifest");
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{}: add [lints] workspace = true",
            path.display()
        );
    }
}

#[test]
fn a_file_fits_a_sitting() {
    assert_none(&too_long(&sources("src")));
    assert_none(&too_long(&sources("tests/testkit/src")));
}

fn too_long(sources: &[Source]) -> Vec<String> {
    let long = sources.iter().filter(|source| source.lines > FILE_LINES_MAX);
    let message = |source: &Source| {
        format!(
            "{} has {} lines before its tests, more than {FILE_LINES_MAX}: split it where its subject changes",
            source.path, source.lines
        )
    };
    long.map(message).collect()
}

#[test]
fn names_say_what_things_are_for() {
    assert_none(&empty_names(&sources("src")));
    assert_none(&empty_names(&sources("tests/testkit")));
}

fn empty_names(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let file = source.path.trim_end_matches(".rs").replace('/', "_");
        for (number, name) in source.names().into_iter().chain([(1, file)]) {
            let word = words(&name)
                .into_iter()
                .find(|word| EMPTY_WORDS.contains(&word.as_str()));
            let prefix = EMPTY_PREFIXES.iter().find(|prefix| name.starts_with(*prefix));
            if let Some(empty) = word.or(prefix.map(ToString::to_string)) {
                found.push(format!(
                    "{}:{number} names something `{name}`: instead of `{empty}`, say what it does or is for",
                    source.path
                ));
            }
        }
    }
    found
}

/// The words of a name in either way of writing, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() {
            words.push(String::new());
        }
        if let (Some(word), false) = (words.last_mut(), c == '_') {
            word.extend(c.to_lowercase());
        }
    }
    words
}

#[test]
fn each_rule_finds_what_it_forbids() {
    type Rule = fn(&[Source]) -> Vec<String>;
    let long = "//\n".repeat(FILE_LINES_MAX + 1);
    let cases: &[(Rule, &str, &str, bool)] = &[
        (
            beside_the_seams,
            "src/follow/mod.rs",
            "use hickory_resolver::Name;",
            true,
        ),
        (beside_the_seams, "src/dns/mod.rs", "use hickory_resolver::Name;", false),
        (beside_the_seams, "src/dns/watch.rs", "// as hickory does", false),
        (
            beside_the_seams,
            "src/dns/watch.rs",
            "#[cfg(test)]\nmod tests { use std::env::var; }",
            false,
        ),
        (
            beside_the_seams,
            "src/verbs/run.rs",
            "let home = std::env::var(name);",
            true,
        ),
        (
            beside_the_seams,
            "src/follow/mod.rs",
            "self.client.write(Write::Deregister, &arn, &all, turn).await;",
            true,
        ),
        (
            beside_the_seams,
            "src/aws/elb/mod.rs",
            "use aws_sdk_elasticloadbalancingv2 as sdk;",
            false,
        ),
        (
            beside_the_seams,
            "src/aws/elb/mod.rs",
            "let output = request.send().await?;",
            true,
        ),
        (beside_the_seams, "src/notify/news.rs", "use aws_sdk_sns::Client;", true),
        (
            beside_the_seams,
            "src/notify/send.rs",
            "use aws_sdk_sns::Client;",
            false,
        ),
        (
            beside_the_seams,
            "src/proxy/dial.rs",
            "use tokio_rustls::TlsConnector;",
            true,
        ),
        (
            beside_the_seams,
            "src/doctor/mod.rs",
            "client.try_registering(&arn, target, zone).await;",
            true,
        ),
        (
            foreign_to_the_planner,
            "src/planner/decide.rs",
            "use crate::aws::elb::Client;",
            true,
        ),
        (
            foreign_to_the_planner,
            "src/planner/decide.rs",
            "use crate::planner::plan::Hold;",
            false,
        ),
        (
            foreign_to_the_planner,
            "src/planner/decide.rs",
            "use std::collections::{",
            false,
        ),
        (
            foreign_to_the_planner,
            "src/planner/decide.rs",
            "use itertools::Itertools;",
            true,
        ),
        (
            foreign_to_the_planner,
            "src/planner/decide.rs",
            "fn at() -> tokio::time::Instant {",
            true,
        ),
        (
            foreign_to_the_planner,
            "src/planner/decide.rs",
            "fn arn() -> crate::aws::arn::Arn {",
            true,
        ),
        (
            against_the_floors,
            "src/dns/mod.rs",
            "use crate::dns::watch::Watch;",
            false,
        ),
        (against_the_floors, "src/attic/mod.rs", "", true),
        (too_long, "src/dns/watch.rs", &long, true),
        (empty_names, "src/dns/watch.rs", "struct WatchManager;", true),
        (empty_names, "src/dns/watch.rs", "fn process_answer() {}", true),
        (empty_names, "src/dns_util.rs", "", true),
        (empty_names, "src/dns/watch.rs", "use hyper_util::rt::TokioIo;", false),
    ];
    for (rule, path, text, forbidden) in cases {
        let found = rule(&[Source::new(path, text)]);
        assert_eq!(!found.is_empty(), *forbidden, "{path}: {text}: {found:?}");
    }
}

#[test]
fn floors_and_circles_are_seen_between_files() {
    for (texts, arrows, rings) in [
        (
            &[("src/dns/mod.rs", ""), ("src/follow/mod.rs", "use crate::dns::Look;")][..],
            0,
            0,
        ),
        (
            &[
                ("src/dns/mod.rs", "use crate::follow::Report;"),
                ("src/follow/mod.rs", ""),
            ],
            1,
            0,
        ),
        (
            &[("src/dns/mod.rs", "use crate::probe;"), ("src/probe/mod.rs", "")],
            1,
            0,
        ),
        (
            &[
                ("src/dns/mod.rs", "fn f() -> crate::aws::elb::Arn {"),
                ("src/aws/elb/mod.rs", ""),
            ],
            1,
            0,
        ),
        (
            &[
                ("src/dns/a.rs", "use super::b::B;"),
                ("src/dns/b.rs", "use crate::dns::a::A;"),
            ],
            0,
            1,
        ),
        (
            &[("src/dns/mod.rs", "use a::A;"), ("src/dns/a.rs", "use super::B;")],
            0,
            1,
        ),
        (
            &[("src/dns/mod.rs", "pub use a::A;"), ("src/dns/a.rs", "use super::B;")],
            0,
            0,
        ),
        (&[("src/dns/mod.rs", "use a::{"), ("src/dns/a.rs", "")], 0, 0),
    ] {
        let sources: Vec<Source> = texts.iter().map(|(path, text)| Source::new(path, text)).collect();
        assert_eq!(against_the_floors(&sources).len(), arrows, "{texts:?}");
        assert_eq!(circles(&sources).len(), rings, "{texts:?}");
    }
}

#[test]
fn the_crate_docs_name_every_module() {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let modules = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let modules: Vec<&str> = modules.collect();
    assert!(!modules.is_empty(), "no modules: this test looks at nothing");
    let docs: String = text.lines().filter(|line| line.starts_with("//!")).collect();
    for module in modules {
        assert!(
            docs.contains(&format!("[`{module}`]")),
            "src/lib.rs: say in its docs, where a reader comes to it, what [`{module}`] is"
        );
    }
}
