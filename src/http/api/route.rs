//! What a row of the table of routes says, and nothing of how it is served.

use std::future::Future;
use std::pin::Pin;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse};

use super::answer::Outcome;
use super::call::Call;
use crate::ids::Scope;

/// The methods that the interface knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Makes or does.
    Post,
    /// Replaces.
    Put,
    /// Changes a part.
    Patch,
    /// Ends.
    Delete,
}

impl Verb {
    /// As HTTP knows it.
    pub fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }
}

/// What carries a request out, once it was let in and its body was read.
pub type Act = fn(Call) -> Pin<Box<dyn Future<Output = Outcome>>>;

/// Who may ask, and who answers. A row that acts for an app cannot be without its scope.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Anybody; it says the same to all.
    Public(fn(&HttpRequest) -> HttpResponse),
    /// Whoever has a key with this scope.
    Scoped(Scope, Act),
}

/// How a POST that comes again under the same `Idempotency-Key` is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// By its kept answer, which is given again.
    ByAnswer,
    /// By the message id that its key stands for: the message is there once, and says so.
    ByMessage,
}

/// What the document can describe. Outside of the test that writes it, that is asked of nothing.
#[cfg(test)]
pub use schemars::JsonSchema as Described;
/// What the document can describe. Outside of the test that writes it, that is asked of nothing.
#[cfg(not(test))]
pub trait Described {}
#[cfg(not(test))]
impl<T> Described for T {}

/// The form of a body or a query. Only the test that writes the document looks inside.
#[derive(Clone, Copy)]
pub struct Form {
    /// Its schema.
    #[cfg(test)]
    pub schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
}

/// The form of a type that travels.
pub const fn form<T: Described>() -> Form {
    Form {
        #[cfg(test)]
        schema: |generator| generator.subschema_for::<T>(),
    }
}

/// What a request that was carried out is answered.
#[derive(Clone, Copy)]
#[cfg_attr(not(test), expect(dead_code, reason = "read by the test that writes the document"))]
pub struct Answers {
    /// The status.
    pub status: u16,
    /// What that status means here.
    pub means: &'static str,
    /// The body.
    pub form: Form,
}

/// One operation.
#[derive(Clone, Copy)]
pub struct Route {
    /// The method.
    pub verb: Verb,
    /// Below the root of the interface, with its parameters in braces.
    pub path: &'static str,
    /// Who may ask, and who answers.
    pub handler: Handler,
    /// The operation's name in the document, for generators of clients.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// What its query may say.
    pub query: Option<Form>,
    /// What its body says.
    pub body: Option<Form>,
    /// How it is answered when it was carried out.
    pub answers: &'static [Answers],
    /// What may stand in its way besides what may stand in every operation's: statuses, and what they mean.
    pub refusals: &'static [(u16, &'static str)],
    /// How a POST that comes again is recognised.
    pub repeats: Repeats,
}

impl Route {
    /// An operation for whoever has a key with this scope.
    pub const fn new(verb: Verb, path: &'static str, scope: Scope, act: Act) -> Self {
        Self::of(verb, path, Handler::Scoped(scope, act))
    }

    /// What anybody may read.
    pub const fn public(path: &'static str, show: fn(&HttpRequest) -> HttpResponse) -> Self {
        Self::of(Verb::Get, path, Handler::Public(show))
    }

    const fn of(verb: Verb, path: &'static str, handler: Handler) -> Self {
        Self {
            verb,
            path,
            handler,
            name: "",
            summary: "",
            query: None,
            body: None,
            answers: &[],
            refusals: &[],
            repeats: Repeats::ByAnswer,
        }
    }

    /// What it is called, and what it does.
    pub const fn named(mut self, name: &'static str, summary: &'static str) -> Self {
        self.name = name;
        self.summary = summary;
        self
    }

    /// The same with a query.
    pub const fn query(mut self, form: Form) -> Self {
        self.query = Some(form);
        self
    }

    /// The same with a body.
    pub const fn takes(mut self, form: Form) -> Self {
        self.body = Some(form);
        self
    }

    /// How it is answered.
    pub const fn answers(mut self, answers: &'static [Answers]) -> Self {
        self.answers = answers;
        self
    }

    /// What else may stand in its way.
    pub const fn refuses(mut self, refusals: &'static [(u16, &'static str)]) -> Self {
        self.refusals = refusals;
        self
    }

    /// The same for what sends messages.
    pub const fn repeats_by_message(mut self) -> Self {
        self.repeats = Repeats::ByMessage;
        self
    }
}
