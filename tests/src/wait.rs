//! Waiting for a condition, with a deadline and a text that says what was seen last.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use kube::Api;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How often a condition is looked at.
pub const INTERVAL: Duration = Duration::from_millis(20);

/// Looks at `condition` every 20 ms until it gives `Ok`, and returns that value.
///
/// # Errors
/// After `deadline`, with `what` and the last error of the condition.
pub async fn until<T, F, Fut>(what: &str, deadline: Duration, mut condition: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let begin = Instant::now();
    loop {
        let last = match condition().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if begin.elapsed() > deadline {
            bail!("waited {deadline:?} for {what}; last seen: {last:#}");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Waits until the object `name` exists and satisfies `predicate`, and returns it.
///
/// # Errors
/// After `deadline`, with the object as it was seen last.
pub async fn for_object<K, P>(
    api: &Api<K>,
    name: &str,
    what: &str,
    deadline: Duration,
    predicate: P,
) -> Result<K>
where
    K: Clone + Debug + DeserializeOwned + Serialize,
    P: Fn(&K) -> bool,
{
    until(&format!("{name}: {what}"), deadline, || async {
        match api.get_opt(name).await? {
            Some(object) if predicate(&object) => Ok(object),
            Some(object) => bail!("{}", shown(&object)?),
            None => bail!("{name} does not exist"),
        }
    })
    .await
}

/// Waits until the object `name` is gone.
///
/// # Errors
/// After `deadline`, with the object as it was seen last.
pub async fn for_absence<K>(api: &Api<K>, name: &str, deadline: Duration) -> Result<()>
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    until(&format!("{name} to be gone"), deadline, || async {
        match api.get_opt(name).await? {
            None => Ok(()),
            Some(object) => bail!("{}", shown(&object)?),
        }
    })
    .await
}

/// An object as JSON without the fields' owners, which nobody reads.
fn shown<K: Serialize>(object: &K) -> Result<String> {
    let mut value = serde_json::to_value(object)?;
    if let Some(metadata) = value.pointer_mut("/metadata").and_then(|value| value.as_object_mut()) {
        metadata.remove("managedFields");
    }
    Ok(serde_json::to_string_pretty(&value)?)
}

/// Asserts that `condition` holds now and at every look for `duration`.
///
/// # Errors
/// At the first look that fails, with its error and when it happened.
pub async fn throughout<F, Fut>(what: &str, duration: Duration, mut condition: F) -> Result<()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let begin = Instant::now();
    while begin.elapsed() < duration {
        if let Err(error) = condition().await {
            bail!("{what} did not hold after {:?}: {error:#}", begin.elapsed());
        }
        tokio::time::sleep(INTERVAL).await;
    }
    Ok(())
}
