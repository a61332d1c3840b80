//! From the reply to a `transact` to its outcome.

use serde::de::DeserializeSeed;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{
    CountMismatch, Name, OperationResult, Outcome, SelectedRow, TransactError, UnknownReason,
};
use crate::ovsdb::message::RpcError;
use crate::ovsdb::schema::{DatabaseSchema, TableSchema};
use crate::ovsdb::value::Uuid;
use crate::ovsdb::value::decode::DatumSeed;

/// What an operation's result must look like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expectation {
    /// `{"uuid": ["uuid", …]}`.
    Inserted,
    /// `{"count": …}`.
    Count(Expected),
    /// `{}`, or `timed out`.
    Guard {
        /// Whether failing means that another process is the writer.
        fence: bool,
    },
    /// `{"rows": […]}` of this table.
    Rows {
        /// The table.
        table: Name,
    },
    /// `{}`.
    Nothing,
}

/// How many rows an operation must match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// This many.
    Exactly(u64),
    /// As many as there are.
    Any,
}

/// Sorts a reply. `expectations` are those of the operations sent, in order.
pub(crate) fn outcome(
    reply: Result<&RawValue, RpcError>,
    expectations: &[Expectation],
    schema: &DatabaseSchema,
) -> Outcome {
    let malformed = |why: String| Outcome::Unknown(UnknownReason::Malformed(why));
    let results = match reply {
        Ok(results) => results,
        Err(error) => return refused(TransactError { operation: None, error }, expectations),
    };
    let results: Vec<&RawValue> = match serde_json::from_str(results.get()) {
        Ok(results) => results,
        Err(error) => return malformed(error.to_string()),
    };
    let failure = results.iter().enumerate().find_map(|(index, result)| {
        let error = error_in(result)?;
        let operation = (index < expectations.len()).then_some(index);
        Some(TransactError { operation, error })
    });
    if let Some(failure) = failure {
        return refused(failure, expectations);
    }
    if results.len() != expectations.len() {
        let (got, asked) = (results.len(), expectations.len());
        return malformed(format!("{got} results for {asked} operations"));
    }
    let parsed: Result<Vec<_>, _> = results
        .iter()
        .zip(expectations)
        .map(|(result, expectation)| result_of(result, expectation, schema))
        .collect();
    match parsed {
        Ok(results) => counted(results, expectations),
        Err(why) => malformed(why),
    }
}

/// The error that takes the place of a result.
fn error_in(result: &RawValue) -> Option<RpcError> {
    let value: Value = serde_json::from_str(result.get()).ok()?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(RpcError { error: text("error")?, details: text("details") })
}

fn result_of(
    result: &RawValue,
    expectation: &Expectation,
    schema: &DatabaseSchema,
) -> Result<OperationResult, String> {
    let value: Value = serde_json::from_str(result.get()).map_err(|error| error.to_string())?;
    let parsed = match expectation {
        Expectation::Inserted => inserted(&value).map(OperationResult::Inserted),
        Expectation::Count(_) => {
            value.get("count").and_then(Value::as_u64).map(OperationResult::Count)
        }
        Expectation::Guard { .. } | Expectation::Nothing => {
            value.is_object().then_some(OperationResult::Done)
        }
        Expectation::Rows { table } => {
            schema.table(table).and_then(|table| rows(&value, table)).map(OperationResult::Rows)
        }
    };
    parsed.ok_or_else(|| format!("result {} has an unexpected shape", result.get()))
}

fn inserted(result: &Value) -> Option<Uuid> {
    Uuid::try_parse(result.get("uuid")?.get(1)?.as_str()?).ok()
}

fn rows(result: &Value, table: &TableSchema) -> Option<Vec<SelectedRow>> {
    let row = |row: &Value| {
        let columns = row.as_object()?.iter();
        let column = |(name, value): (&String, &Value)| {
            let uuid = crate::ovsdb::schema::ColumnType::scalar(crate::ovsdb::schema::Kind::Uuid);
            let ty = match name.as_str() {
                "_uuid" | "_version" => &uuid,
                name => table.column(name)?,
            };
            Some((name.clone(), DatumSeed(ty).deserialize(value).ok()?))
        };
        columns.map(column).collect()
    };
    result.get("rows")?.as_array()?.iter().map(row).collect()
}

/// Compares the counts of a committed transaction with what was expected.
fn counted(results: Vec<OperationResult>, expectations: &[Expectation]) -> Outcome {
    let mismatch = |(operation, (result, expectation))| match (result, expectation) {
        (&OperationResult::Count(actual), &Expectation::Count(Expected::Exactly(expected))) => {
            (actual != expected).then_some(CountMismatch { operation, expected, actual })
        }
        _ => None,
    };
    let mismatches: Vec<_> =
        results.iter().zip(expectations).enumerate().filter_map(mismatch).collect();
    if mismatches.is_empty() {
        Outcome::Committed(results)
    } else {
        Outcome::Mismatched { results, mismatches }
    }
}

/// Sorts an error by what to do next. What is not known here is hard: whoever sent it must look.
fn refused(error: TransactError, expectations: &[Expectation]) -> Outcome {
    match error.error.error.as_str() {
        "timed out" => {
            let operation = error.operation.and_then(|index| expectations.get(index));
            match operation {
                Some(Expectation::Guard { fence: true }) => Outcome::Fenced(error),
                _ => Outcome::Retry(error),
            }
        }
        // The server's own trouble, not the transaction's.
        "unknown database" | "aborted" | "canceled" | "resources exhausted" | "I/O error" => {
            Outcome::Retry(error)
        }
        // A proposal to the cluster whose fate the server did not learn.
        "cluster error" => Outcome::Unknown(UnknownReason::Cluster(error)),
        _ => Outcome::Hard(error),
    }
}

#[cfg(test)]
mod tests;
