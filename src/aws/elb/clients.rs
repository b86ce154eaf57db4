//! The clients of a process: one per region and identity, all drawing on one budget of calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_config::SdkConfig;

use super::Client;
use crate::aws::bucket::Bucket;
use crate::aws::{self, AssumeRole};
use crate::follow::binding::Binding;
use crate::telemetry::metrics::Calls;

/// What bindings that share a client have in common: the region and the role.
pub type ClientKey = (String, Option<AssumeRole>);

/// Hands out the client for a binding.
pub struct Clients {
    base: Option<SdkConfig>,
    bucket: Arc<Bucket>,
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
            bucket: Bucket::start(),
            calls: calls.clone(),
            clients: BTreeMap::new(),
        }
    }

    /// What the bindings that share the client of this one have in common.
    pub fn key(binding: &Binding) -> ClientKey {
        (binding.arn.region().to_owned(), binding.assume_role.clone())
    }

    /// The client for the binding's region and role.
    pub async fn of(&mut self, binding: &Binding) -> Client {
        self.with_config(binding).await.0
    }

    /// The same with its configuration, for another service's client.
    pub async fn with_config(&mut self, binding: &Binding) -> (Client, SdkConfig) {
        let key = Self::key(binding);
        if let Some(known) = self.clients.get(&key) {
            return known.clone();
        }
        let (region, role) = &key;
        let base = match self.base.take() {
            Some(base) => base,
            None => aws::config(region).await,
        };
        let config = aws::for_binding(&base, region, role.as_ref()).await;
        self.base = Some(base);
        let client = Client::new(
            &config,
            Arc::clone(&self.bucket),
            self.calls.clone(),
            role.as_ref().map(|role| role.arn.to_string()),
        );
        let known = (client, config);
        self.clients.insert(key, known.clone());
        known
    }
}
