//! The clients of a process: one per account, region and identity. Those of one account and region draw on one budget of calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_config::SdkConfig;

use super::Client;
use crate::aws::bucket::Bucket;
use crate::aws::{self, AssumeRole};
use crate::counts::Calls;

/// The account, the region and the role that all calls of one client have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientKey {
    /// The account whose target groups they are about. ELB limits the calls of each by itself (API Reference, "Throttling").
    pub account: String,
    /// The region that they go to.
    pub region: String,
    /// The role that they are made under, if not under the process's own identity.
    pub role: Option<AssumeRole>,
}

/// Hands out the client for a key.
pub struct Clients {
    base: Option<SdkConfig>,
    buckets: BTreeMap<(String, String), Arc<Bucket>>,
    calls: Calls,
    clients: BTreeMap<ClientKey, (Client, SdkConfig)>,
}

impl Clients {
    /// No clients yet. Needs a tokio runtime.
    pub fn start() -> Self {
        Self::counted(&Calls::default())
    }

    /// The same, with their calls counted.
    pub fn counted(calls: &Calls) -> Self {
        Self {
            base: None,
            buckets: BTreeMap::new(),
            calls: calls.clone(),
            clients: BTreeMap::new(),
        }
    }

    /// The client for an account, a region and a role.
    pub async fn of(&mut self, key: &ClientKey) -> Client {
        self.with_config(key).await.0
    }

    /// The same with its configuration, for another service's client.
    pub async fn with_config(&mut self, key: &ClientKey) -> (Client, SdkConfig) {
        if let Some(known) = self.clients.get(key) {
            return known.clone();
        }
        let ClientKey { account, region, role } = key;
        let base = match self.base.take() {
            Some(base) => base,
            None => aws::config(region).await,
        };
        let config = aws::under_role(&base, region, role.as_ref()).await;
        self.base = Some(base);
        let place = (account.clone(), region.clone());
        let bucket = self.buckets.entry(place).or_insert_with(Bucket::start);
        let client = Client::new(
            &config,
            Arc::clone(bucket),
            self.calls.clone(),
            role.as_ref().map(|role| role.arn.to_string()),
        );
        let known = (client, config);
        self.clients.insert(key.clone(), known.clone());
        known
    }
}
