//! Who gives credentials: the SDK's own chain, but that commands run here, and that no file is read that is none.

use aws_config::SdkConfig;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::identity::IdentityCache;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{
    self, ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future,
};

use crate::aws::profiles::{Profiles, Role};
use crate::aws::variables;

/// Begins the error of a file that is none.
pub const UNFIT: &str = "credentials file: ";

/// Begins the error of a profile that is not there.
pub const MISSING: &str = "missing profile: ";
/// The error of keys that cannot become part of a request.
pub const BROKEN: &str = "keys with a line break";

/// The chain of credentials of one configuration.
#[derive(Debug)]
pub struct Chain {
    sdk: SharedCredentialsProvider,
    profiles: Profiles,
    /// Calls STS for the roles of profiles.
    config: SdkConfig,
}

impl Chain {
    /// Stands before the chain of a configuration that has been loaded with these profiles; without one, nothing does.
    pub fn before(config: &SdkConfig, profiles: Profiles) -> Option<Self> {
        Some(Self {
            sdk: config.credentials_provider()?,
            profiles,
            config: config.to_builder().identity_cache(IdentityCache::no_cache()).build(),
        })
    }

    async fn credentials(&self) -> provider::Result {
        let found = self.find().await?;
        let parts = [
            Some(found.access_key_id()),
            Some(found.secret_access_key()),
            found.session_token(),
        ];
        // The SDK would end the task that signs with them.
        if !parts.into_iter().flatten().all(variables::is_key) {
            return Err(CredentialsError::invalid_configuration(BROKEN));
        }
        Ok(found)
    }

    async fn find(&self) -> provider::Result {
        let set = EnvironmentVariableCredentialsProvider::new()
            .provide_credentials()
            .await;
        if !matches!(set, Err(CredentialsError::CredentialsNotLoaded(_))) {
            return set;
        }
        if let Some(unfit) = self.profiles.unfit() {
            return Err(CredentialsError::invalid_configuration(format!("{UNFIT}{unfit}")));
        }
        match self.profiles.source() {
            Some(source) => self.assume(source.roles, source.process.credentials().await?).await,
            None => self
                .sdk
                .provide_credentials()
                .await
                .map_err(|error| match self.profiles.missing() {
                    Some(missing) => CredentialsError::invalid_configuration(format!("{MISSING}{missing}")),
                    None => error,
                }),
        }
    }

    /// Assumes roles one after the other.
    async fn assume(&self, roles: Vec<Role>, mut credentials: Credentials) -> provider::Result {
        for role in roles {
            let mut provider = AssumeRoleProvider::builder(role.arn).configure(&self.config);
            if let Some(external_id) = role.external_id {
                provider = provider.external_id(external_id);
            }
            if let Some(name) = role.session_name {
                provider = provider.session_name(name);
            }
            let provider = provider.build_from_provider(credentials).await;
            credentials = provider.provide_credentials().await?;
        }
        Ok(credentials)
    }
}

impl ProvideCredentials for Chain {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.sdk.fallback_on_interrupt()
    }
}
