//! The document of the interface in OpenAPI 3.1: served as it is committed, and written from the table of routes by a test.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse};

/// The document, as committed.
const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

/// Serves the document.
pub fn document(_: &HttpRequest) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-cache"))
        .content_type("application/json")
        .body(DOCUMENT)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use schemars::generate::SchemaSettings;
    use schemars::{Schema, SchemaGenerator};
    use serde_json::{Map, Value, json};

    use super::super::ROOT;
    use super::super::call::IDEMPOTENCY_KEY;
    use super::super::route::{Answers, Form, Handler, Repeats, Route, Verb, form};
    use super::super::routes::ROUTES;
    use super::DOCUMENT;
    use crate::ids::{Conversation, GroupId, UserId};
    use crate::limits;
    use crate::protocol::rest::Problem;

    const FILE: &str = "docs/openapi.json";
    const KEY: &str = "apiKey";
    const COMPONENTS: &str = "/components/schemas";

    const ABOUT: &str = "\
        What an app's backend does in Rookery: users, groups, messages, sessions and settings \
        of one app.\n\n\
        Every request carries an API key, `Authorization: Bearer rk_…`, as `rookery api-key \
        create` prints it. A key is of one app, has scopes, and expires.\n\n\
        An error is a problem of RFC 9457 with a stable `code`, the same as over the \
        WebSocket; where a field is wrong, `field` names it. A status of 503 says in \
        `Retry-After` when to try again. Lists are read by page: pass a page's `next` as \
        `after`; a page without `next` is the last. Logs are read by number, with `after` or \
        `before`.\n\n\
        Each POST may carry an `Idempotency-Key`: sent again within 24 hours it is not \
        carried out again, and gets the same answer. What was refused is not kept, and may be \
        tried again under the same key.";

    /// Reads and answers differ: what has a default may be left out of a body, and is always in an answer.
    struct Schemas {
        read: SchemaGenerator,
        written: SchemaGenerator,
    }

    impl Schemas {
        fn new() -> Self {
            let settings = SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = COMPONENTS.into();
                settings.meta_schema = None;
            });
            Self {
                read: settings.clone().for_deserialize().into_generator(),
                written: settings.for_serialize().into_generator(),
            }
        }

        fn read(&mut self, form: Form) -> Schema {
            (form.schema)(&mut self.read)
        }

        fn written(&mut self, form: Form) -> Schema {
            (form.schema)(&mut self.written)
        }

        /// All that was named. A type that is both read and written must look the same from both sides.
        fn all(mut self) -> Map<String, Value> {
            let mut all = self.read.take_definitions(true);
            for (name, schema) in self.written.take_definitions(true) {
                if let Some(read) = all.get(&name) {
                    assert_eq!(*read, schema, "{name} is not read as it is written");
                }
                all.insert(name, schema);
            }
            all
        }
    }

    fn document() -> Value {
        let mut schemas = Schemas::new();
        let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
        for route in ROUTES {
            let path = paths.entry(format!("{ROOT}{}", route.path)).or_default();
            let verb = route.verb.method().as_str().to_lowercase();
            let former = path.insert(verb, operation(route, &mut schemas));
            assert!(former.is_none(), "{} is in the table twice", route.path);
        }
        let problem = schemas.written(form::<Problem>());
        let responses = json!({
            "Problem": {
                "description": "It was not carried out.",
                "headers": headers(&[REQUEST_ID]),
                "content": { "application/problem+json": { "schema": problem } },
            },
            "Later": {
                "description": "Not now: `Retry-After` says when. With `outcome_unknown` it may have been done.",
                "headers": headers(&[REQUEST_ID, RETRY_AFTER]),
                "content": { "application/problem+json": { "schema": problem } },
            },
            "Unauthorized": {
                "description": "There is no API key, or none that holds.",
                "headers": headers(&[REQUEST_ID, WWW_AUTHENTICATE]),
                "content": { "application/problem+json": { "schema": problem } },
            },
        });
        tidied(json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Rookery",
                "version": "1",
                "description": ABOUT,
                "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            },
            "servers": [{ "url": "/" }],
            "tags": tags(),
            "paths": paths,
            "components": {
                "securitySchemes": {
                    KEY: { "type": "http", "scheme": "bearer", "bearerFormat": "rk_…" },
                },
                "responses": responses,
                "schemas": schemas.all(),
            },
        }))
    }

    /// Without what says nothing: that what may be left out is null, and where lines of the source end.
    fn tidied(value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields = fields
                    .into_iter()
                    .filter(|(name, value)| name != "default" || !value.is_null());
                let tidied = fields.map(|(name, value)| match value {
                    Value::String(text) if name == "description" => {
                        let paragraphs = text.split("\n\n").map(|text| text.replace('\n', " "));
                        (name, Value::String(paragraphs.collect::<Vec<_>>().join("\n\n")))
                    }
                    value => (name, tidied(value)),
                });
                Value::Object(tidied.collect())
            }
            Value::Array(values) => Value::Array(values.into_iter().map(tidied).collect()),
            value => value,
        }
    }

    /// The first part of the path says what an operation is about.
    fn tag(route: &Route) -> &'static str {
        match route.path.split('/').nth(1).unwrap() {
            _ if route.path.ends_with("/messages") => "messages",
            "users" => "users",
            "presence" => "presence",
            "groups" => "groups",
            "app" => "app",
            "openapi.json" | "docs" => "document",
            other => panic!("{other} has no tag"),
        }
    }

    fn tags() -> Value {
        json!([
            { "name": "users", "description": "Users, their devices and sessions." },
            { "name": "presence", "description": "Who is there." },
            { "name": "groups", "description": "Groups and their members." },
            { "name": "messages", "description": "What is said." },
            { "name": "app", "description": "What holds for all users of the app." },
            { "name": "document", "description": "What you are reading." },
        ])
    }

    const REQUEST_ID: (&str, &str) = ("X-Request-Id", "Names this answer in the logs.");
    const RETRY_AFTER: (&str, &str) = ("Retry-After", "Seconds to wait before trying again.");
    const WWW_AUTHENTICATE: (&str, &str) = ("WWW-Authenticate", "`Bearer`.");
    const LOCATION: (&str, &str) = ("Location", "Where it is found.");
    const REPLAYED: (&str, &str) =
        ("Idempotent-Replayed", "`true` where the answer was given before, to the same key.");

    fn headers(named: &[(&str, &str)]) -> Value {
        let header = |(name, about): &(&str, &str)| {
            (name.to_string(), json!({ "description": about, "schema": { "type": "string" } }))
        };
        Value::Object(named.iter().map(header).collect())
    }

    fn operation(route: &Route, schemas: &mut Schemas) -> Value {
        let mut operation = json!({
            "operationId": route.name,
            "tags": [tag(route)],
            "summary": route.summary.split(". ").next().unwrap().trim_end_matches('.'),
            "description": route.summary,
        });
        let mut parameters: Vec<Value> =
            names_in(route.path).map(|name| path_parameter(name, schemas)).collect();
        let Handler::Scoped(scope, _) = route.handler else {
            operation["security"] = json!([]);
            operation["responses"] = public_answer(route);
            return operation;
        };
        operation["security"] = json!([{ KEY: [scope.as_str()] }]);
        if let Some(query) = route.query {
            parameters.extend(query_parameters(query, schemas));
        }
        if route.verb == Verb::Post {
            parameters.push(key_parameter());
        }
        operation["parameters"] = json!(parameters);
        if let Some(body) = route.body {
            let content = json!({ "application/json": { "schema": schemas.read(body) } });
            operation["requestBody"] = json!({ "required": true, "content": content });
        }
        operation["responses"] = responses(route, schemas);
        operation
    }

    fn names_in(path: &'static str) -> impl Iterator<Item = &'static str> {
        path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    fn path_parameter(name: &str, schemas: &mut Schemas) -> Value {
        let (form, example) = match name {
            "user" => (form::<UserId>(), "alice"),
            "group" => (form::<GroupId>(), "eng"),
            "conversation" => (form::<Conversation>(), "user:bob"),
            other => panic!("the parameter {other} has no form"),
        };
        json!({
            "name": name,
            "in": "path",
            "required": true,
            "schema": schemas.read(form),
            "example": example,
        })
    }

    /// A query is one type, whose fields are the parameters.
    fn query_parameters(query: Form, schemas: &mut Schemas) -> Vec<Value> {
        let mut generator = schemas.read.clone();
        let named = (query.schema)(&mut generator);
        let name = named.get("$ref").unwrap().as_str().unwrap().rsplit('/').next().unwrap();
        let schema = generator.take_definitions(true).remove(name).unwrap();
        let fields = schema["properties"].as_object().unwrap().clone();
        fields
            .into_iter()
            .map(|(name, mut field)| {
                let description = field.as_object_mut().unwrap().remove("description");
                // Left out is left out: there is no null in a query.
                if let Some(kinds) = field["type"].as_array() {
                    field["type"] = kinds[0].clone();
                }
                json!({ "name": name, "in": "query", "description": description, "schema": field })
            })
            .collect()
    }

    fn key_parameter() -> Value {
        let about = "Names the request, so that it can be sent again without being carried out again. \
                     Kept for 24 hours.";
        let pattern = format!("^[!-~]{{1,{}}}$", limits::IDEMPOTENCY_KEY_BYTES);
        json!({
            "name": IDEMPOTENCY_KEY,
            "in": "header",
            "description": about,
            "schema": { "type": "string", "pattern": pattern },
        })
    }

    fn public_answer(route: &Route) -> Value {
        let kind = if route.path.ends_with(".json") { "application/json" } else { "text/html" };
        json!({ "200": {
            "description": route.summary,
            "headers": headers(&[REQUEST_ID]),
            "content": { kind: {} },
        } })
    }

    fn responses(route: &Route, schemas: &mut Schemas) -> Value {
        let mut responses = Map::new();
        for Answers { status, means, form } in route.answers {
            let mut named = vec![REQUEST_ID];
            named.extend((*status == 201).then_some(LOCATION));
            let replays = route.verb == Verb::Post && route.repeats == Repeats::ByAnswer;
            named.extend(replays.then_some(REPLAYED));
            let content = json!({ "application/json": { "schema": schemas.written(*form) } });
            let answer =
                json!({ "description": means, "headers": headers(&named), "content": content });
            responses.insert(status.to_string(), answer);
        }
        let mut refusals: BTreeMap<u16, &str> = BTreeMap::from([
            (
                400,
                "The path, the query, a header or the body is not of its form; `field` says which.",
            ),
            (403, "The key lacks the scope."),
        ]);
        if !matches!(route.verb, Verb::Get | Verb::Delete) {
            refusals.insert(408, "The body did not come in time.");
            refusals.insert(413, "The body, or what is in it, is too large.");
            refusals.insert(415, "The body is not announced as JSON.");
        }
        if route.verb == Verb::Post {
            refusals.insert(409, "A request with the same `Idempotency-Key` is still running.");
            refusals.insert(422, "The `Idempotency-Key` was used for another request.");
        }
        if route.repeats == Repeats::ByMessage {
            refusals.insert(422, "The key or the client_msg_id was used for another message.");
        }
        for (status, means) in route.refusals {
            refusals.insert(*status, means);
        }
        for (status, means) in refusals {
            let answer = json!({ "$ref": "#/components/responses/Problem", "description": means });
            responses.insert(status.to_string(), answer);
        }
        let of = |name: &str| json!({ "$ref": format!("#/components/responses/{name}") });
        responses.insert("401".to_owned(), of("Unauthorized"));
        responses.insert("503".to_owned(), of("Later"));
        Value::Object(responses)
    }

    #[test]
    fn the_document_is_what_the_table_of_routes_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
        let mut written = serde_json::to_string_pretty(&document()).unwrap();
        written.push('\n');

        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &written).unwrap();
        }

        let committed = std::fs::read_to_string(&path).unwrap();
        assert!(
            committed == written,
            "{FILE} is stale: the table of routes or a type has changed since it was written.\n\
             Write it anew with: UPDATE=1 cargo test --lib api::openapi"
        );
        assert!(
            DOCUMENT == committed || std::env::var_os("UPDATE").is_some(),
            "built before it was written"
        );
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_says_what_it_does() {
        let names: BTreeSet<&str> = ROUTES.iter().map(|route| route.name).collect();

        assert_eq!(names.len(), ROUTES.len());
        for route in ROUTES {
            assert!(!route.name.is_empty() && route.summary.ends_with('.'), "{}", route.path);
            let scoped = matches!(route.handler, Handler::Scoped(..));
            assert!(!scoped || !route.answers.is_empty(), "{}", route.path);
        }
    }
}
