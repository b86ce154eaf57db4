//! How AWS is reached: one HTTP client, one chain of credentials.

pub mod arn;
pub mod bucket;
pub mod ca;
mod chain;
pub mod credentials;
pub mod ec2;
pub mod elb;
pub mod failure;
mod process;
pub mod profiles;
pub mod region;
pub mod reply;
pub mod sts;
pub mod token;
pub mod variables;

pub use process::{PRINTED_MAX, TIME_MAX, read as read_printed};
pub use profiles::{PROFILES_MAX, TOKEN_MAX};

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};

use arn::RoleArn;
use chain::Chain;
use profiles::Profiles;
use reply::Bounded;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one call may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call may take with all that precedes it, such as fetching credentials.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// How a client reaches AWS.
pub type Config = SdkConfig;

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AssumeRole {
    /// The role's ARN.
    pub arn: RoleArn,
    /// The external ID that the role's trust policy asks for, if it does.
    pub external_id: Option<String>,
}

/// The configuration for calls to one region with the process's own credentials.
pub async fn config(region: &str) -> SdkConfig {
    let trusted = ca::context();
    let http_client = Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
        if let Some(settings) = settings {
            connector = connector.connector_settings(settings.clone());
        }
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        let connector = connector.tls_provider(tls::Provider::Rustls(CryptoMode::Ring));
        connector.tls_context(trusted.clone()).build()
    });
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT);
    let profiles = Profiles::read().await;
    let config = aws_config::defaults(BehaviorVersion::latest())
        .profile_files(profiles.files.clone())
        .region(Region::new(region.to_owned()))
        .http_client(Bounded(http_client))
        .timeout_config(timeouts.build())
        // The next step is the retry: it looks first, and every call it makes is counted.
        .retry_config(RetryConfig::disabled())
        .load()
        .await;
    let chain = Chain::before(&config, profiles).map(SharedCredentialsProvider::new);
    let mut builder = config.into_builder();
    builder.set_credentials_provider(chain);
    builder.build()
}

/// The same configuration with another region and, if asked for, an assumed role.
pub async fn under_role(base: &SdkConfig, region: &str, role: Option<&AssumeRole>) -> SdkConfig {
    let region = Region::new(region.to_owned());
    let mut builder = base.to_builder().region(region.clone());
    if let Some(role) = role {
        let mut provider = AssumeRoleProvider::builder(role.arn.as_str())
            .session_name("rds-tether")
            .region(region);
        if let Some(external_id) = &role.external_id {
            provider = provider.external_id(external_id);
        }
        let provider = provider.configure(base).build().await;
        builder = builder.credentials_provider(SharedCredentialsProvider::new(provider));
    }
    builder.build()
}
