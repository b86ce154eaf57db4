//! Reads now and then what the kernel knows of the peers of a proxy's connections.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::warn;

use super::peers::{LISTS, Peers, listed, read_lists};
use super::shared::Shared;

/// How often the kernel's list is read.
const APART: Duration = Duration::from_secs(5);

/// Publishes what the kernel knows while the proxy has connections.
pub(super) async fn watch(peers: watch::Sender<Arc<Peers>>, shared: Arc<Shared>) {
    let mut is_told = false;
    loop {
        sleep(APART).await;
        if shared.counts.open.load(Ordering::Relaxed) == 0 {
            continue;
        }
        let port = shared.route.borrow().port;
        let databases: Vec<String> = shared
            .route
            .borrow()
            .addresses
            .iter()
            .map(|ip| listed(*ip, port))
            .collect();
        match spawn_blocking(move || read_lists(&databases)).await {
            Ok(Ok(found)) => {
                peers.send_replace(Arc::new(found));
            }
            Ok(Err(error)) if !is_told => {
                warn!(
                    "cannot read {} ({error}); peers that vanish while data is on its way to them stay for minutes",
                    LISTS[0]
                );
                is_told = true;
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }
}
