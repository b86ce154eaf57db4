//! Why there are no credentials, in the words of who has to give them. The SDK tells of it in its own, and has no types for it.

/// What the SDK says, what it means, and how to mend it; the first that fits.
const CAUSES: [Cause; 9] = [
    Cause {
        signs: &[
            "SSO token",
            "sso/cache",
            "access token",
            "sso-session named",
            "invalid SSO config",
            "UnauthorizedException",
        ],
        means: "nobody is signed in to AWS SSO for the profile, or no longer",
        fix: "sign in with `aws sso login`; it takes AWS_PROFILE, too",
        shows: Shows::Nothing,
    },
    Cause {
        signs: &["cargo feature"],
        means: "the profile signs in in a way that this program does not know",
        fix: EXPORT,
        shows: Shows::Nothing,
    },
    Cause {
        signs: &["infinite loop"],
        means: "the profiles of the AWS configuration name each other as source_profile in a circle",
        fix: "give the last of them credentials of its own",
        shows: Shows::Behind("first we loaded "),
    },
    Cause {
        signs: &["was not defined"],
        means: "a profile is in neither ~/.aws/config nor ~/.aws/credentials",
        fix: "correct AWS_PROFILE or source_profile, or write the profile",
        shows: Shows::Between("profile `", "` was not defined"),
    },
    Cause {
        signs: &["external process"],
        means: "the credential_process of the profile failed",
        fix: "run it by hand: it has to print credentials as JSON; or `aws configure export-credentials --format process`",
        shows: Shows::Behind("external process"),
    },
    Cause {
        signs: &[
            "invalid credential source in",
            "missing credential source in",
            "invalid profile",
        ],
        means: "a profile of the AWS configuration is not complete",
        fix: "give it both keys, or a source that has them",
        shows: Shows::Behind("could not be built: "),
    },
    Cause {
        signs: &["provider is not supported"],
        means: "the credential_source of a profile is none that AWS knows",
        fix: "write Environment, Ec2InstanceMetadata or EcsContainer",
        shows: Shows::Between("profile referenced `", "`"),
    },
    Cause {
        signs: &["no credentials found in chain", "No credentials were found"],
        means: "none were found in variables, a profile, a container or an instance",
        fix: GIVE,
        shows: Shows::Behind("Ec2InstanceMetadata: "),
    },
    Cause {
        signs: &["os error"],
        means: "a file that credentials come from cannot be read",
        fix: "correct AWS_WEB_IDENTITY_TOKEN_FILE, or web_identity_token_file of the profile",
        shows: Shows::Behind("an error occurred while loading credentials: "),
    },
];
const GIVE: &str = "give the process credentials: an instance or task role, AWS_PROFILE, or AWS_ACCESS_KEY_ID and \
     AWS_SECRET_ACCESS_KEY";
const EXPORT: &str = "run eval \"$(aws configure export-credentials --format env)\" before; it takes AWS_PROFILE, too";
/// What the SDK says of an instance that has no metadata service, or was told not to ask it.
const METADATA: [(&str, &str); 2] = [
    (
        "IMDS disabled by AWS_EC2_METADATA_DISABLED",
        "which AWS_EC2_METADATA_DISABLED forbids to ask",
    ),
    (
        "could not communicate with IMDS",
        "whose metadata service does not answer",
    ),
];
/// Layers of the HTTP client, which say nothing to who reads.
const LAYERS: [&str; 5] = [
    "dispatch failure: ",
    "io error: ",
    "client error (Connect): ",
    "tcp connect error: ",
    "ProfileFile provider could not be built: ",
];

/// A way in which there are none.
struct Cause {
    signs: &'static [&'static str],
    means: &'static str,
    fix: &'static str,
    shows: Shows,
}

/// The part of the SDK's text that says which.
enum Shows {
    Nothing,
    Behind(&'static str),
    Between(&'static str, &'static str),
}

/// What a text of the SDK means.
pub fn meaning(text: &str) -> String {
    let Some(cause) = CAUSES
        .iter()
        .find(|cause| cause.signs.iter().any(|sign| text.contains(sign)))
    else {
        return without_layers(text);
    };
    let shown = match cause.shows {
        Shows::Nothing => None,
        Shows::Behind(mark) => text.split_once(mark).map(|(_, rest)| rest),
        Shows::Between(mark, end) => text
            .split_once(mark)
            .and_then(|(_, rest)| Some(rest.split_once(end)?.0)),
    };
    let shown = shown.map(|shown| match METADATA.iter().find(|(sign, _)| shown.contains(sign)) {
        Some((_, means)) => (*means).to_owned(),
        None => without_layers(shown),
    });
    match shown.as_deref().map(|shown| shown.trim_matches([' ', ',', ';', ':'])) {
        Some(shown) if !shown.is_empty() => format!("{} ({shown})", cause.means),
        _ => cause.means.to_owned(),
    }
}

/// How to mend what [`meaning`] told, which its text stands in.
pub fn remedy(meaning: &str) -> &'static str {
    let cause = CAUSES.iter().find(|cause| meaning.contains(cause.means));
    cause.map_or(GIVE, |cause| cause.fix)
}

/// A text of the HTTP client without its layers.
pub fn without_layers(text: &str) -> String {
    LAYERS
        .iter()
        .fold(text.to_owned(), |text, layer| text.replace(layer, ""))
}
