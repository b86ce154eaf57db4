//! Why there are no credentials, in the words of who has to give them. The SDK tells of it in its own, and has no types for it.

use crate::aws::{chain, process};

/// What the SDK says, what it means, and how to mend it; the first that fits.
const CAUSES: [Cause; 15] = [
    Cause {
        signs: &[process::MARK],
        means: "the credential_process of the profile failed",
        fix: "run it by hand: it has to print credentials as JSON, within 4.5 s; or `aws configure export-credentials --format process`",
        shows: Shows::Behind(process::MARK),
    },
    Cause {
        signs: &[chain::UNFIT],
        means: "a file of profiles or tokens is none that can be read",
        fix: "name files in AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE, AWS_WEB_IDENTITY_TOKEN_FILE and the profiles",
        shows: Shows::Behind(chain::UNFIT),
    },
    Cause {
        signs: &["used as an HTTP header value", "used as a header value"],
        means: "the token to ask for credentials with has a line break or another control character in it",
        fix: "correct AWS_CONTAINER_AUTHORIZATION_TOKEN or its file, or sign in again with `aws sso login`",
        shows: Shows::Nothing,
    },
    Cause {
        signs: &["invalid value for field: `region`"],
        means: "the region of a profile or of its sso-session is none that there can be",
        fix: "correct sso_region, or region of the profile",
        shows: Shows::Nothing,
    },
    Cause {
        signs: &["URI for ECS provider"],
        means: "the place of the container's credentials is no URL",
        fix: "correct or unset AWS_CONTAINER_CREDENTIALS_FULL_URI and AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        shows: Shows::Nothing,
    },
    Cause {
        signs: &["failed to build IMDS client"],
        means: "the place of the instance's metadata service is no URL",
        fix: "correct or unset AWS_EC2_METADATA_SERVICE_ENDPOINT",
        shows: Shows::Nothing,
    },
    Cause {
        signs: &[chain::BROKEN],
        means: "keys have a line break or another control character in them",
        fix: "correct what gives them: a profile, its credential_process, or the service that AWS_CONTAINER_CREDENTIALS_FULL_URI names",
        shows: Shows::Nothing,
    },
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
        signs: &[chain::MISSING],
        means: "a profile is not there",
        fix: "correct its name where it stands, or write the profile",
        shows: Shows::Behind(chain::MISSING),
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
/// How to mend that there are none.
pub const GIVE: &str = "give the process credentials: an instance or task role, AWS_PROFILE, or AWS_ACCESS_KEY_ID and \
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
const LAYERS: [&str; 7] = [
    "an error occurred while loading credentials: ",
    "dns error: ",
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

/// How to mend what [`meaning`] told, which its text stands in, if it told anything.
pub fn remedy(meaning: &str) -> Option<&'static str> {
    let cause = CAUSES.iter().find(|cause| meaning.contains(cause.means));
    cause.map(|cause| cause.fix)
}

/// A text of the HTTP client without its layers.
pub fn without_layers(text: &str) -> String {
    LAYERS
        .iter()
        .fold(text.to_owned(), |text, layer| text.replace(layer, ""))
}
