//! Documents on async-graphql.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_graphql::dynamic::{
    Enum, Field, FieldFuture, InputObject, InputValue, Object, Schema, TypeRef,
};
use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextResolve, ResolveInfo,
};
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationType, Selection, SelectionSet,
};
use async_graphql::{Request, ServerResult, Value};
use serde_json::Value as Json;

/// The fields that were found, by name.
type Names = BTreeSet<String>;

static RAN: Mutex<Names> = Mutex::new(Names::new());

fn insert(names: &mut Names, kind: &str, name: &str, is_root: bool, is_composite: bool) {
    let name = match name {
        "__schema" | "__type" => name.to_owned(),
        _ if !is_root && !is_composite => return,
        _ if !is_root => format!(".{name}"),
        _ if kind == "Mutation" => format!("mutation.{name}"),
        _ => name.to_owned(),
    };
    names.insert(name);
}

/// Sees every field that runs, but for introspection.
struct Recorder;

impl ExtensionFactory for Recorder {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Recorder)
    }
}

#[async_graphql::async_trait::async_trait]
impl Extension for Recorder {
    async fn resolve(
        &self,
        context: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        if !info.parent_type.starts_with("__") {
            let is_root = info.path_node.parent.is_none();
            let is_composite = matches!(info.return_type, "Item" | "Query");
            insert(&mut RAN.lock().unwrap(), info.parent_type, info.name, is_root, is_composite);
        }
        next.run(context, info).await
    }
}

/// The schema of schema.graphql, which this library cannot read.
fn schema() -> Schema {
    let text = || TypeRef::named(TypeRef::STRING);
    let list = || TypeRef::named_list(TypeRef::STRING);
    let field = |name: &str, kind: &str| {
        let is_composite = matches!(kind, "Item" | "Query");
        Field::new(name, TypeRef::named(kind), move |_| {
            FieldFuture::from_value(is_composite.then_some(Value::Boolean(true)))
        })
    };
    let with_arguments = |name: &str, kind: &str| {
        field(name, kind)
            .argument(InputValue::new("s", text()))
            .argument(InputValue::new("l", list()))
            .argument(InputValue::new("i", TypeRef::named(TypeRef::INT)))
            .argument(InputValue::new("f", TypeRef::named(TypeRef::FLOAT)))
            .argument(InputValue::new("b", TypeRef::named(TypeRef::BOOLEAN)))
            .argument(InputValue::new("o", TypeRef::named("Input")))
            .argument(InputValue::new("e", TypeRef::named("Choice")))
    };
    let root = |name: &str| {
        Object::new(name)
            .field(with_arguments("ok", "Item"))
            .field(with_arguments("ok2", TypeRef::STRING))
            .field(with_arguments("secret", "Item"))
            .field(with_arguments("secret2", TypeRef::STRING))
            .field(field("q", "Query"))
    };
    let item = Object::new("Item")
        .field(field("id", TypeRef::ID))
        .field(field("name", TypeRef::STRING))
        .field(with_arguments("ok", "Item"))
        .field(with_arguments("secret", "Item"))
        .field(field("q", "Query"));
    let input = InputObject::new("Input")
        .field(InputValue::new("s", text()))
        .field(InputValue::new("l", list()))
        .field(InputValue::new("o", TypeRef::named("Input")));
    let choice = Enum::new("Choice").items(["ok", "ok2", "secret", "secret2", "z"]);
    Schema::build("Query", Some("Mutation"), None)
        .register(root("Query"))
        .register(root("Mutation"))
        .register(item)
        .register(input)
        .register(choice)
        .extension(Recorder)
        .finish()
        .unwrap()
}

/// The fields that stand in the operation, for a document that does not validate.
fn read(document: &ExecutableDocument, operation_name: Option<&str>) -> Names {
    let mut names = Names::new();
    for (name, operation) in document.operations.iter() {
        let is_picked = match (&document.operations, operation_name) {
            (DocumentOperations::Multiple(_), Some(picked)) => {
                name.is_some_and(|name| name == picked)
            }
            _ => true,
        };
        if is_picked {
            let is_mutation = operation.node.ty == OperationType::Mutation;
            let kind = if is_mutation { "Mutation" } else { "Query" };
            let set = &operation.node.selection_set.node;
            collect(document, set, kind, true, &mut Vec::new(), &mut names);
        }
    }
    names
}

fn collect(
    document: &ExecutableDocument,
    set: &SelectionSet,
    kind: &str,
    is_root: bool,
    spread: &mut Vec<String>,
    names: &mut Names,
) {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => {
                let below = &field.node.selection_set.node;
                insert(names, kind, &field.node.name.node, is_root, !below.items.is_empty());
                collect(document, below, kind, false, spread, names);
            }
            Selection::InlineFragment(fragment) => {
                let below = &fragment.node.selection_set.node;
                collect(document, below, kind, is_root, spread, names);
            }
            Selection::FragmentSpread(fragment) => {
                let name = &fragment.node.fragment_name.node;
                let definition = document.fragments.get(name);
                if let Some(definition) =
                    definition.filter(|_| !spread.iter().any(|own| own == name.as_str()))
                {
                    spread.push(name.to_string());
                    let below = &definition.node.selection_set.node;
                    collect(document, below, kind, is_root, spread, names);
                    spread.pop();
                }
            }
        }
    }
}

fn judge(schema: &Schema, asked: &Json) -> String {
    let text = asked["query"].as_str().unwrap_or_default();
    let operation_name = asked["operationName"].as_str();
    let Ok(document) = async_graphql::parser::parse_query(text) else { return String::new() };
    RAN.lock().unwrap().clear();
    let mut request = Request::new(text);
    request.operation_name = operation_name.map(str::to_owned);
    let response = pollster::block_on(schema.execute(request));
    let ran = RAN.lock().unwrap().clone();
    let mut names = read(&document, operation_name);
    let is_of_schema = |name: &String| name.starts_with("__");
    let word = if ran.is_empty() && response.is_err() {
        "read"
    } else {
        // Introspection has no resolver that an extension sees: it ran with the others.
        names.retain(is_of_schema);
        names.extend(ran);
        "ran"
    };
    names.iter().fold(word.to_owned(), |answer, name| answer + " " + name)
}

fn main() {
    let schema = schema();
    let port = std::env::args().nth(1).unwrap();
    let server = tiny_http::Server::http(format!("127.0.0.1:{port}")).unwrap();
    for mut request in server.incoming_requests() {
        let documents: Vec<Json> = serde_json::from_reader(request.as_reader()).unwrap();
        let answers: Vec<String> = documents.iter().map(|asked| judge(&schema, asked)).collect();
        let answer = serde_json::to_string(&answers).unwrap();
        request.respond(tiny_http::Response::from_string(answer)).unwrap();
    }
}
