//! What a user can fix, as opposed to an error of ours.

use cpo_api::Reason;

/// How much of the Service a problem holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Served, with a limitation worth knowing.
    Warning,
    /// Nothing new is programmed; what is programmed stays.
    Refused,
    /// What is programmed is withdrawn.
    Withdrawn,
}

/// One user-fixable problem of one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Machine-readable word, for the operator; the tenant is shown [`Reason::for_tenant`].
    pub reason: Reason,
    /// How much it holds back.
    pub severity: Severity,
    /// For the tenant: the field, the value's problem, the remedy. Names no other tenant and no
    /// under-cluster object the tenant cannot know.
    pub message: String,
    /// For the operator, where that may say more than the tenant may read.
    pub operator: Option<String>,
}

impl Problem {
    /// A problem that stops new programming.
    #[must_use]
    pub fn refused(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(reason, Severity::Refused, message)
    }

    /// A problem that takes the Service off the network.
    #[must_use]
    pub fn withdrawn(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(reason, Severity::Withdrawn, message)
    }

    /// A limitation of a Service that is served.
    #[must_use]
    pub fn warning(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(reason, Severity::Warning, message)
    }

    fn new(reason: Reason, severity: Severity, message: impl Into<String>) -> Self {
        Self { reason, severity, message: message.into(), operator: None }
    }

    /// The same problem with a text for the operator alone.
    #[must_use]
    pub fn for_operator(mut self, text: impl Into<String>) -> Self {
        self.operator = Some(text.into());
        self
    }

    /// What the operator reads.
    #[must_use]
    pub fn operator_text(&self) -> &str {
        self.operator.as_deref().unwrap_or(&self.message)
    }
}
