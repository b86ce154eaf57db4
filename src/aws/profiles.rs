//! The files in which people have profiles for all tools of AWS, and the tokens that those name. The SDK reads such files to their end,
//! whatever they are, and nothing else goes on meanwhile; here they are looked at before.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

#[expect(deprecated, reason = "their other names are in a crate that nothing else here needs")]
use aws_config::profile::profile_file::{ProfileFileKind, ProfileFiles};
use aws_config::profile::{self, Profile, ProfileSet};

use crate::aws::process::Process;
use crate::aws::variables;
use crate::file;
use crate::planner::wrong::Wrong;

/// Files of people with hundreds of profiles have some hundred KiB.
pub const PROFILES_MAX: u64 = 4 << 20;
/// Tokens of SSO, of web identities and of containers have a few KiB.
pub const TOKEN_MAX: u64 = 64 << 10;

/// What is in the files, keys included.
pub struct Profiles {
    /// For the SDK, which then reads none itself.
    #[expect(deprecated, reason = "as above")]
    pub files: ProfileFiles,
    unfit: Option<String>,
    set: Option<ProfileSet>,
    /// Where the two files are.
    paths: [PathBuf; 2],
}

/// A command that gives credentials, and what is done with them.
#[derive(Debug)]
pub struct Source {
    /// The command.
    pub process: Process,
    /// The roles that are assumed with what it gives, one after the other.
    pub roles: Vec<Role>,
}

/// A role of a profile.
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// The external ID that it asks for.
    pub external_id: Option<String>,
    /// What a session of it is called.
    pub session_name: Option<String>,
}

impl fmt::Debug for Profiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Profiles")
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Role").field("arn", &self.arn).finish_non_exhaustive()
    }
}

impl Profiles {
    /// Reads the files that the environment names, or those in the home directory.
    #[expect(deprecated, reason = "as above")]
    pub async fn read() -> Self {
        let mut unfit = None;
        let paths = paths();
        let [config, credentials] = paths.each_ref().map(|path| {
            content(path).unwrap_or_else(|why| {
                unfit.get_or_insert(why);
                String::new()
            })
        });
        let files = ProfileFiles::builder()
            .with_contents(ProfileFileKind::Config, config)
            .with_contents(ProfileFileKind::Credentials, credentials)
            .build();
        // What cannot be parsed is told by the SDK.
        let set = profile::load(&Default::default(), &Default::default(), &files, None).await;
        Self {
            files,
            unfit,
            set: set.ok(),
            paths,
        }
    }

    /// The command that gives credentials, if it is one.
    pub fn source(&self) -> Option<Source> {
        source(&self.chain())
    }

    /// The region of the selected profile, and the profile's name.
    pub fn region(&self) -> Option<(&str, &str)> {
        let set = self.set.as_ref()?;
        let region = set.get("region").filter(|region| !region.is_empty());
        region.map(|region| (set.selected_profile(), region))
    }

    /// Which profile is not there, who names it, and where it ought to be.
    pub fn missing(&self) -> Option<String> {
        let set = self.set.as_ref()?;
        let (name, who) = match self.chain().last() {
            Some(last) => (source_of(last)?, format!("the source_profile of {}", last.name())),
            // Nobody needs to have these.
            None if ["default", ""].contains(&set.selected_profile()) => return None,
            None => (set.selected_profile(), "AWS_PROFILE".to_owned()),
        };
        let is_missing = set.get_profile(name).is_none();
        let [config, credentials] = self.paths.each_ref().map(|path| path.display());
        is_missing.then(|| format!("{name}, which {who} names, is in neither {config} nor {credentials}"))
    }

    fn chain(&self) -> Vec<&Profile> {
        self.set.as_ref().map(chain).unwrap_or_default()
    }

    /// What is wrong with a file of profiles, or with one of tokens, which the SDK reads when it needs it.
    pub fn unfit(&self) -> Option<String> {
        let named = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];
        let mut tokens: Vec<PathBuf> = named.into_iter().filter_map(variable_of).map(PathBuf::from).collect();
        for profile in self.chain() {
            tokens.extend(profile.get("web_identity_token_file").map(PathBuf::from));
            if profile.get("sso_session").or(profile.get("sso_start_url")).is_some() {
                let cache = std::fs::read_dir(home().join(".aws/sso/cache")).into_iter().flatten();
                let paths = cache.flatten().map(|entry| entry.path());
                tokens.extend(paths.filter(|path| is_token_of_sso(path)));
            }
        }
        let unfit_token = || tokens.iter().find_map(|path| read(path, TOKEN_MAX).err());
        self.unfit.clone().or_else(unfit_token)
    }
}

/// What is wrong with where the selected profile says that services are reached, at which the SDK would end a task.
pub fn wrong() -> Vec<Wrong> {
    // What has a variable is not asked of profiles.
    let instead = ["AWS_ENDPOINT_URL", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"];
    if instead.into_iter().any(|name| variable_of(name).is_some()) {
        return Vec::new();
    }
    let selected = variable_of("AWS_PROFILE").filter(|name| !name.is_empty());
    let selected = selected.unwrap_or("default".into());
    let of_file = |path: PathBuf| {
        let text = content(&path).unwrap_or_default();
        let wrong = wrong_urls(&text, &selected).into_iter();
        wrong
            .map(|(line, value)| variables::no_url(&format!("{}:{line}: endpoint_url", path.display()), &value))
            .collect::<Vec<_>>()
    };
    paths().into_iter().flat_map(of_file).collect()
}

/// The lines of a file of profiles that say where services are reached for this profile and are no URL, each with what they say.
fn wrong_urls(text: &str, selected: &str) -> Vec<(usize, String)> {
    fn pair(line: &str) -> Option<(String, String)> {
        let (key, value) = line.split_once('=')?;
        let marks = [" #", " ;", "\t#", "\t;"];
        let end = marks.into_iter().filter_map(|mark| value.find(mark)).min();
        let value = &value[..end.unwrap_or(value.len())];
        Some((key.trim().to_ascii_lowercase(), value.trim().to_owned()))
    }
    let mut section = String::new();
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        match line.strip_prefix('[') {
            Some(title) => {
                let title = title.split(']').next().unwrap_or_default();
                section = title.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            None if line.trim_start().starts_with(['#', ';']) => {}
            None => lines.extend(pair(line).map(|(key, value)| (number, section.clone(), key, value))),
        }
    }
    let is_selected = |section: &str| section.strip_prefix("profile ").unwrap_or(section) == selected;
    let services = lines
        .iter()
        .filter(|(_, section, key, _)| is_selected(section) && key == "services");
    let services: Vec<String> = services.map(|(.., value)| format!("services {value}")).collect();
    let is_asked = |section: &String| is_selected(section) || services.contains(section);
    let urls = lines
        .into_iter()
        .filter(|(_, section, key, value)| key == "endpoint_url" && is_asked(section) && !variables::is_url(value));
    urls.map(|(number, _, _, value)| (number, value)).collect()
}

/// Whether a file is called as the SDK calls tokens of SSO, by a SHA-1; other tools keep what they like beside them.
fn is_token_of_sso(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let stem = name.strip_suffix(".json").unwrap_or_default();
    stem.len() == 40 && stem.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The content of a file, which is empty if that is missing, may not be read or is a directory, as the SDK has it (Docker makes one in
/// the place of a file to mount that is missing); the error is for another that is none.
fn read(path: &Path, max: u64) -> Result<Vec<u8>, String> {
    match file::read(path, max) {
        // As people name it who want none to be read.
        Err(_) if path == Path::new("/dev/null") => Ok(Vec::new()),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::FileTooLarge) => {
            Err(format!("{}: {error}", path.display()))
        }
        read => Ok(read.unwrap_or_default()),
    }
}

/// The two files: those that the environment names, or those in the home directory.
fn paths() -> [PathBuf; 2] {
    let path = |variable, default| variable_of(variable).map_or_else(|| home().join(default), in_home);
    [
        path("AWS_CONFIG_FILE", ".aws/config"),
        path("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
    ]
}

fn content(path: &Path) -> Result<String, String> {
    Ok(String::from_utf8(read(path, PROFILES_MAX)?).unwrap_or_default())
}

#[expect(
    clippy::disallowed_methods,
    reason = "variables of AWS's own are read where AWS is reached"
)]
fn variable_of(name: &str) -> Option<String> {
    env::var(name).ok()
}

fn home() -> PathBuf {
    // Nobody has a home that is called so.
    variable_of("HOME").unwrap_or("~".into()).into()
}

/// A path that may begin with the home directory's sign.
fn in_home(path: String) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => home().join(rest),
        None => path.into(),
    }
}

/// The profiles from the one that is selected, from source to source, to one that has none, as the SDK follows them
/// (`resolve_chain` in aws-config).
fn chain(set: &ProfileSet) -> Vec<&Profile> {
    let (mut chain, mut name): (Vec<&Profile>, _) = (Vec::new(), set.selected_profile());
    while let Some(profile) = set.get_profile(name) {
        if chain.iter().any(|known| known.name() == profile.name()) {
            break;
        }
        chain.push(profile);
        // Keys of a source come before all else.
        let has_keys = profile.get("aws_access_key_id").is_some() && profile.get("aws_secret_access_key").is_some();
        match source_of(profile) {
            Some(source) if chain.len() == 1 || !has_keys => name = source,
            _ => break,
        }
    }
    chain
}

/// The profile whose credentials a role is assumed with; it may be its own.
fn source_of(profile: &Profile) -> Option<&str> {
    let has = |key: &str| profile.get(key).is_some();
    let is_role = has("role_arn") && !has("web_identity_token_file") && !has("credential_source");
    profile.get("source_profile").filter(|_| is_role)
}

/// The command at the end of a chain, and the roles from there to its beginning; the SDK knows what to do with any other.
fn source(chain: &[&Profile]) -> Option<Source> {
    // What comes before a command, in the SDK; keys only of a source.
    const OTHERS: [&str; 8] = [
        "credential_source",
        "web_identity_token_file",
        "sso_account_id",
        "sso_region",
        "sso_role_name",
        "sso_start_url",
        "sso_session",
        "login_session",
    ];
    let base = chain.last()?;
    let has = |key: &str| base.get(key).is_some();
    let has_keys = chain.len() > 1 && has("aws_access_key_id") && has("aws_secret_access_key");
    let is_end = match source_of(base) {
        Some(source) => source == base.name(),
        None => !has("role_arn"),
    };
    let process = base.get("credential_process")?;
    if has_keys || !is_end || OTHERS.into_iter().any(has) {
        return None;
    }
    let assumed = chain.iter().rev().filter(|profile| source_of(profile).is_some());
    Some(Source {
        process: Process(process.to_owned()),
        roles: assumed.filter_map(|profile| role(profile)).collect(),
    })
}

fn role(profile: &Profile) -> Option<Role> {
    let text = |key| profile.get(key).map(str::to_owned);
    Some(Role {
        arn: text("role_arn")?,
        external_id: text("external_id"),
        session_name: text("role_session_name"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if what is written for whoever looks for a mistake has secrets in it.
    #[tokio::test]
    async fn nothing_secret_is_shown() {
        const TEXT: &str = "[default]\naws_access_key_id = SECRET\naws_secret_access_key = SECRET\n\
                            [profile x]\nrole_arn = one\nexternal_id = SECRET\nsource_profile = y\n\
                            [profile y]\ncredential_process = echo SECRET\n";
        #[expect(deprecated, reason = "as above")]
        let files = ProfileFiles::builder()
            .with_contents(ProfileFileKind::Config, TEXT)
            .build();
        let set = profile::load(&Default::default(), &Default::default(), &files, Some("x".into())).await;
        let profiles = Profiles {
            files,
            unfit: None,
            set: Some(set.expect("profiles")),
            paths: paths(),
        };
        let source = profiles.source().expect("a command");
        assert_eq!(source.roles[0].external_id.as_deref(), Some("SECRET"));
        let shown = format!("{profiles:?} {source:?}");
        assert!(!shown.contains("SECRET"), "{shown}");
    }

    #[test]
    fn only_urls_that_are_asked_for_and_are_none_are_told() {
        for (text, lines) in [
            ("[profile x]\nendpoint_url =\n", &[2][..]),
            ("[ profile  x ]\n  Endpoint_URL = here # there\n", &[2]),
            ("[x]\nregion = r\nendpoint_url = ftp://h\n", &[3]),
            ("[profile x]\nendpoint_url = http://127.0.0.1:1 ; good\n", &[]),
            ("[profile y]\nendpoint_url =\n[profile x]\n", &[]),
            ("[profile x]\n# endpoint_url =\n", &[]),
            (
                "[profile x]\nservices = s\n[services s]\nelasticloadbalancing_v2 =\n  endpoint_url =\nsts =\n  endpoint_url = no\n",
                &[5, 7],
            ),
            (
                "[profile x]\nservices = s\n[services t]\nsts =\n  endpoint_url =\n",
                &[],
            ),
            ("[profile x", &[]),
        ] {
            let found: Vec<usize> = wrong_urls(text, "x").into_iter().map(|(line, _)| line).collect();
            assert_eq!(found, lines, "{text}");
        }
    }

    async fn source_in(text: &str) -> Option<(String, Vec<String>)> {
        #[expect(deprecated, reason = "as above")]
        let files = ProfileFiles::builder()
            .with_contents(ProfileFileKind::Config, text)
            .build();
        let set = profile::load(&Default::default(), &Default::default(), &files, Some("x".into())).await;
        let source = source(&chain(&set.expect("profiles")))?;
        Some((
            source.process.0,
            source.roles.into_iter().map(|role| role.arn).collect(),
        ))
    }

    #[tokio::test]
    async fn a_command_is_found_where_the_sdk_would_find_it() {
        const RUN: &str = "credential_process = run it\n";
        const KEYS: &str = "aws_access_key_id = A\naws_secret_access_key = B\n";
        for (text, roles) in [
            (format!("[profile x]\n{RUN}"), Some(vec![])),
            (format!("[profile x]\n{RUN}{KEYS}"), Some(vec![])),
            (format!("[profile x]\n{RUN}sso_region = r\n"), None),
            (format!("[profile x]\n{RUN}credential_source = Environment\n"), None),
            (
                format!("[profile x]\n{RUN}web_identity_token_file = f\nrole_arn = one\n"),
                None,
            ),
            (format!("[profile x]\n{RUN}role_arn = one\n"), None),
            (
                format!("[profile x]\n{RUN}role_arn = one\nsource_profile = x\n"),
                Some(vec!["one"]),
            ),
            (
                format!(
                    "[profile x]\nrole_arn = two\nsource_profile = y\n[profile y]\nrole_arn = one\nsource_profile = z\n\
                     [profile z]\n{RUN}"
                ),
                Some(vec!["one", "two"]),
            ),
            (
                format!("[profile x]\nrole_arn = one\nsource_profile = y\n[profile y]\n{RUN}{KEYS}"),
                None,
            ),
            (
                format!(
                    "[profile x]\nrole_arn = one\nsource_profile = y\n[profile y]\n{RUN}role_arn = two\nsource_profile = x\n"
                ),
                None,
            ),
            (
                format!("[profile x]\n{RUN}role_arn = one\nsource_profile = gone\n"),
                None,
            ),
            (format!("[profile other]\n{RUN}"), None),
        ] {
            let roles: Option<Vec<String>> = roles.map(|roles| roles.into_iter().map(str::to_owned).collect());
            let found = source_in(&text).await;
            assert_eq!(found, roles.map(|roles| ("run it".to_owned(), roles)), "{text}");
        }
    }
}
