//! `update-host-keys`: keys that a server announces later are recorded, so that it can change to them.
//!
//! Nothing here ends a session: what is not learned is warned of, and stays as it was. Keys that are not
//! announced any more are not removed.

use sansftp_keys::sha256_fingerprint;
use sansftp_proto::crypto::{PublicKey, SignatureAlgorithm};
use sansftp_tokio::Client;
use std::time::Duration;

use super::trust::Judge;

/// Records the announced keys that are new, if the server that announces them is known by the file, and
/// proves that it holds them. `algorithms` are those that it was offered.
pub(super) async fn host_keys(
    client: &mut Client,
    judge: &Judge,
    algorithms: &[&'static dyn SignatureAlgorithm],
    deadline: Duration,
) {
    let announced = client.announced_host_keys();
    let Some(own) = client.host_key() else { return };
    if announced.is_empty() || !judge.may_learn_from(&own) {
        return;
    }
    if !announced.contains(&own) {
        tracing::warn!("the server announces host keys, but not its own: none is recorded");
        return;
    }
    let is_offered = |key: &PublicKey| algorithms.iter().any(|it| it.key_kind() == key.kind());
    let new: Vec<_> = announced
        .into_iter()
        .filter(|key| is_offered(key) && judge.is_another(key))
        .collect();
    if new.is_empty() {
        return;
    }
    let fingerprints: Vec<_> = new.iter().map(sha256_fingerprint).collect();
    let fingerprints = fingerprints.join(", ");
    if let Err(error) = client.prove_host_keys(&new, deadline).await {
        tracing::warn!(%error, keys = fingerprints, "announced host keys are not recorded");
        return;
    }
    let judge = judge.clone();
    let recorded = tokio::task::spawn_blocking(move || judge.learn(&new)).await;
    match recorded {
        Ok(Ok(())) => tracing::warn!(keys = fingerprints, "host keys of a known server recorded"),
        Ok(Err(error)) => tracing::warn!(%error, "announced host keys cannot be recorded"),
        Err(error) => tracing::warn!(%error, "announced host keys are not recorded"),
    }
}
