//! What becomes of a message once it is understood.

use std::sync::Arc;

use super::interpret::{Interpreted, Meaning};
use super::server::{self, ServerWatch};
use super::start::{Beginning, Method, Phase};
use super::{Session, SessionError, SessionEvent, TransactionId};
use crate::ovsdb::message::RpcError;
use crate::ovsdb::replica::Replica;
use crate::ovsdb::schema::{DatabaseSchema, Resolved};
use crate::ovsdb::txn::{Outcome, UnknownReason, outcome};
use serde_json::value::RawValue;

impl Session {
    pub(super) fn absorb(&mut self, message: Interpreted) -> Result<(), SessionError> {
        if let Some(request) = message.answers {
            self.unanswered.answer(request);
        }
        match message.meaning {
            Meaning::Nothing => Ok(()),
            Meaning::Answered(reply) => {
                self.answer(&reply);
                Ok(())
            }
            Meaning::NoServerDatabase => {
                self.ask_for_schema();
                Ok(())
            }
            Meaning::ServerSchema(schema) => {
                let resolved = Arc::new(Resolved::new(schema, &server::spec()));
                self.ask_server(resolved);
                Ok(())
            }
            Meaning::ServerContents(contents) => {
                if let Phase::Server { resolved, .. } = &self.phase {
                    self.server = Some(ServerWatch::new(resolved.clone(), contents));
                }
                self.judge()?;
                self.ask_for_schema();
                Ok(())
            }
            Meaning::ServerUpdate(updates) => {
                if let Some(server) = &mut self.server {
                    server.apply(updates)?;
                }
                self.judge()
            }
            Meaning::Schema(schema) => {
                self.absorb_schema(schema);
                Ok(())
            }
            Meaning::UnknownMethod => {
                if let Phase::Monitor { resolved, .. } = &self.phase {
                    self.ask_for_contents(Method::Cond, resolved.clone());
                }
                Ok(())
            }
            Meaning::Contents(contents) => {
                self.absorb_contents(contents);
                Ok(())
            }
            Meaning::Update { last_transaction, updates } => {
                self.events.push_back(SessionEvent::Updated { updates, last_transaction });
                Ok(())
            }
            Meaning::Canceled => {
                self.restart();
                Ok(())
            }
            Meaning::Answer(id, result) => {
                self.absorb_answer(id, result);
                Ok(())
            }
        }
    }

    /// Whether the server still will do.
    fn judge(&mut self) -> Result<(), SessionError> {
        if let Some(server) = &self.server {
            let config = &self.config;
            self.progress = server.judge(&config.spec.name, config.acceptance, self.progress)?;
        }
        Ok(())
    }

    fn absorb_schema(&mut self, schema: DatabaseSchema) {
        let resolved = Arc::new(Resolved::new(schema, &self.config.spec));
        let resumable = |resume: &super::Resume| {
            resume.layouts == resolved.layouts && resume.filters == self.config.spec.filters()
        };
        self.resume = self.resume.take().filter(resumable);
        self.ask_for_contents(Method::CondSince, resolved);
    }

    fn absorb_contents(&mut self, beginning: Beginning) {
        let Phase::Monitor { resolved, .. } = &self.phase else { return };
        let resolved = resolved.clone();
        let event = match beginning {
            Beginning::Whole(replica) => SessionEvent::Contents(replica),
            Beginning::Difference { updates, last_transaction } if self.resume.is_some() => {
                SessionEvent::Resumed { updates, last_transaction }
            }
            // A difference is of use only if it was asked for.
            Beginning::Difference { updates, last_transaction } => {
                let replica = Replica::complete(&resolved, updates, last_transaction);
                SessionEvent::Contents(replica)
            }
        };
        self.events.push_back(event);
        self.phase = Phase::Synced { resolved };
        self.ask_for_filters();
    }

    /// Replies to our echo, and to what was in flight before a restart, end here.
    fn absorb_answer(&mut self, id: u64, result: Result<Box<RawValue>, RpcError>) {
        let Phase::Synced { resolved } = &self.phase else { return };
        if let Some(expectations) = self.transactions.remove(&id) {
            let outcome =
                outcome(result.as_deref().map_err(Clone::clone), &expectations, &resolved.schema);
            self.events.push_back(SessionEvent::Transacted(TransactionId(id), outcome));
        } else if let Some(filters) = self.filters_asked.remove(&id) {
            let event = self.filters_answered(filters, result.map(|_| ()));
            self.events.push_back(event);
        }
    }

    /// The server ended the monitor. What is in flight may be answered before the new contents
    /// show its effects: its outcome counts as unknown.
    fn restart(&mut self) {
        for (id, _) in std::mem::take(&mut self.transactions) {
            let outcome = Outcome::Unknown(UnknownReason::ConnectionLost);
            self.events.push_back(SessionEvent::Transacted(TransactionId(id), outcome));
        }
        for (_, filters) in std::mem::take(&mut self.filters_asked) {
            self.filters_due.extend(filters);
        }
        self.resume = None;
        self.events.push_back(SessionEvent::Restarted);
        self.ask_for_schema();
    }
}
