//! From the reply to a `transact` to its outcome.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{
    CountMismatch, Name, OperationResult, Outcome, SelectedRow, TransactError, UnknownReason,
};
use crate::ovsdb::message::RpcError;
use crate::ovsdb::schema::{DatabaseSchema, TableSchema};
use crate::ovsdb::value::decode::{DatumSeed, Text, UuidText};

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
    let reply_text = results.get();
    let answers: Vec<Option<Answer<'_>>> = match serde_json::from_str(reply_text) {
        Ok(answers) => answers,
        Err(error) => return malformed(error.to_string()),
    };
    let failure = answers.iter().enumerate().find_map(|(index, answer)| {
        let error = answer.as_ref()?.error()?;
        let operation = (index < expectations.len()).then_some(index);
        Some(TransactError { operation, error })
    });
    if let Some(failure) = failure {
        return refused(failure, expectations);
    }
    if answers.len() != expectations.len() {
        let (got, asked) = (answers.len(), expectations.len());
        return malformed(format!("{got} results for {asked} operations"));
    }
    let mut results = Vec::with_capacity(answers.len());
    for (index, (answer, expectation)) in answers.into_iter().zip(expectations).enumerate() {
        match answer.and_then(|answer| answer.meet(expectation, schema)) {
            Some(result) => results.push(result),
            None => {
                let text: String = reply_text.chars().take(SHOWN).collect();
                return malformed(format!("result {index} has an unexpected shape: {text}"));
            }
        }
    }
    counted(results, expectations)
}

/// How much of a reply that cannot be understood is shown, in characters.
const SHOWN: usize = 200;

/// The answer to one operation: the members that any may have; the last of a repeated one wins.
#[derive(Default)]
struct Answer<'r> {
    uuid: Option<(Text<'r>, UuidText)>,
    count: Option<u64>,
    rows: Option<&'r RawValue>,
    error: Option<Text<'r>>,
    details: Option<Text<'r>>,
}

impl<'de: 'r, 'r> Deserialize<'de> for Answer<'r> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnswerVisitor)
    }
}

struct AnswerVisitor;

impl<'de> Visitor<'de> for AnswerVisitor {
    type Value = Answer<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the result of an operation")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut answer = Answer::default();
        while let Some(Text(member)) = map.next_key()? {
            match &*member {
                "uuid" => answer.uuid = map.next_value()?,
                "count" => answer.count = map.next_value()?,
                "rows" => answer.rows = map.next_value()?,
                "error" => answer.error = map.next_value()?,
                "details" => answer.details = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(answer)
    }
}

impl Answer<'_> {
    /// The error that takes the place of a result.
    fn error(&self) -> Option<RpcError> {
        let owned = |text: &Text<'_>| text.0.clone().into_owned();
        Some(RpcError {
            error: self.error.as_ref().map(owned)?,
            details: self.details.as_ref().map(owned),
        })
    }

    /// The result that is expected, if it is one.
    fn meet(self, expectation: &Expectation, schema: &DatabaseSchema) -> Option<OperationResult> {
        match expectation {
            Expectation::Inserted => {
                self.uuid.map(|(_, UuidText(uuid))| OperationResult::Inserted(uuid))
            }
            Expectation::Count(_) => self.count.map(OperationResult::Count),
            Expectation::Guard { .. } | Expectation::Nothing => Some(OperationResult::Done),
            Expectation::Rows { table } => {
                rows(self.rows?, schema.table(table)?).map(OperationResult::Rows)
            }
        }
    }
}

fn rows(rows: &RawValue, table: &TableSchema) -> Option<Vec<SelectedRow>> {
    let rows: Vec<Value> = serde_json::from_str(rows.get()).ok()?;
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
    rows.iter().map(row).collect()
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
        "unknown database" | "aborted" | "resources exhausted" | "I/O error" => {
            Outcome::Retry(error)
        }
        // A proposal to the cluster whose fate the server did not learn. A relay says `canceled`
        // of all it had sent on when it lost its own server: they may yet be committed.
        "cluster error" | "canceled" => Outcome::Unknown(UnknownReason::Cluster(error)),
        _ => Outcome::Hard(error),
    }
}

#[cfg(test)]
mod tests;
