//! The binary, run to its end.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use lab::exec::{Exec, Place};
use lab::{Lab, cpo};
use serde_json::Value;

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) text: String,
    pub(crate) errors: String,
}

impl Ended {
    /// The line that begins with a word, without it.
    pub(crate) fn line(&self, word: &str) -> Result<&str> {
        let line = self.text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(": "));
        line.with_context(|| format!("no line {word:?} in {self:?}"))
    }

    /// What was printed, as JSON.
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).with_context(|| format!("{self:?}"))
    }

    /// The cells of the line of a table that begins with a word.
    pub(crate) fn cells(&self, first: &str) -> Result<Vec<&str>> {
        let lines = self.text.lines().map(|line| {
            line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
        });
        let mut found = lines.filter(|cells| cells.first() == Some(&first));
        found.next().with_context(|| format!("no line of {first} in {self:?}"))
    }
}

/// A field of a mapping, or of the first mapping of a list.
pub(crate) fn at(json: &Value, field: &str) -> Value {
    let mapping = json.get(0).unwrap_or(json);
    mapping.get(field).cloned().unwrap_or_default()
}

/// Runs `cpo` with the rights of the under cluster's admin.
pub(crate) async fn cpo(lab: &Lab, args: &[&str]) -> Result<Ended> {
    cpo_as(&lab.under().admin_kubeconfig(), args).await
}

/// Runs `cpo` with the rights of a kubeconfig.
pub(crate) async fn cpo_as(kubeconfig: &Path, args: &[&str]) -> Result<Ended> {
    let exec = Exec::new(Place::Sandbox, cpo::binary()?).args(args.iter().copied());
    let exec = exec.arg("--kubeconfig").arg(kubeconfig);
    let mut command = tokio::process::Command::from(exec.command()?);
    let output = command.kill_on_drop(true).output().await.with_context(|| exec.line())?;
    Ok(Ended {
        code: output.status.code().context("ended by a signal")?,
        text: String::from_utf8(output.stdout)?,
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs `cpo explain` as text and as JSON, which have to agree, and gives back the text.
pub(crate) async fn explain(lab: &Lab, service: &str, more: &[&str]) -> Result<Ended> {
    let args = [&["explain", service], more].concat();
    let told = cpo(lab, &args).await?;
    let as_json = cpo(lab, &[args.as_slice(), &["-o", "json"]].concat()).await?;
    ensure!(told.code == as_json.code, "{told:?} and {as_json:?}");
    let json = as_json.json()?;
    for word in ["cause", "do"] {
        ensure!(at(&json, word) == told.line(word)?, "{told:?} and {json}");
    }
    ensure!(at(&json, "served") == (told.code == 0), "{json}");
    Ok(told)
}
