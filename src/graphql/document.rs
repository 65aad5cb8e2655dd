//! A parsed document, and the fields that it asks for.

use std::cell::Cell;
use std::collections::BTreeMap;

use apollo_parser::cst::{self, CstNode};
use apollo_parser::{Parser, SyntaxTree};

use super::text::unambiguous;
use super::{Fields, MalformedGraphQl, Position, is_introspection};

/// Deepest nesting that is followed at all, of selections, values, types and fragments alike: what
/// the module's stack bears many times over.
const NESTING: usize = 128;

/// A parsed document: operations, and the fragments that they use.
pub(super) struct Executable {
    operations: Vec<cst::OperationDefinition>,
    fragments: BTreeMap<Box<str>, Fragment>,
}

struct Fragment {
    selections: cst::SelectionSet,
    depth: Cell<Depth>,
}

/// How deep a fragment nests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// It is being looked into.
    Awaited,
    Known(usize),
    Unknown,
}

impl Executable {
    /// Parses a document of no more than so many tokens, and takes those it has from them.
    pub(super) fn parse(text: &str, tokens: &mut usize) -> Result<Executable, MalformedGraphQl> {
        let text = unambiguous(text)?;
        let parser = Parser::new(&text).recursion_limit(NESTING).token_limit(*tokens);
        let tree: SyntaxTree = parser.parse();
        if tree.errors().len() > 0 {
            return Err(MalformedGraphQl);
        }
        *tokens = tokens.saturating_sub(tree.token_limit().high);
        let mut executable = Executable { operations: Vec::new(), fragments: BTreeMap::new() };
        for node in tree.document().syntax().children() {
            if let Some(operation) = cst::OperationDefinition::cast(node.clone()) {
                executable.operations.push(operation);
                continue;
            }
            // Whatever else may be defined is for schemas.
            let fragment = cst::FragmentDefinition::cast(node).ok_or(MalformedGraphQl)?;
            let name = fragment.fragment_name().and_then(|name| name.name());
            let name = name.ok_or(MalformedGraphQl)?.text().to_string();
            let selections = fragment.selection_set().ok_or(MalformedGraphQl)?;
            let fragment = Fragment { selections, depth: Cell::new(Depth::Unknown) };
            if executable.fragments.insert(name.into(), fragment).is_some() {
                return Err(MalformedGraphQl);
            }
        }
        Ok(executable)
    }

    /// Collects the fields of the operation of that name, or of every one.
    pub(super) fn collect_operations(
        &self,
        name: Option<&str>,
        found: &mut Fields,
    ) -> Result<(), MalformedGraphQl> {
        let is_picked = |operation: &&cst::OperationDefinition| match name {
            Some(name) => operation.name().is_some_and(|known| known.text() == name),
            None => true,
        };
        let (mut is_empty, mut seen) = (true, Fields::default());
        for operation in self.operations.iter().filter(is_picked) {
            is_empty = false;
            let is_mutation = operation
                .operation_type()
                .is_some_and(|operation| operation.mutation_token().is_some());
            let position = if is_mutation { Position::Mutation } else { Position::Query };
            let selections = operation.selection_set().ok_or(MalformedGraphQl)?;
            self.collect(&selections, position, 0, &mut seen, found)?;
        }
        // No operation, or none of that name: nothing that could be executed, or judged.
        if is_empty { Err(MalformedGraphQl) } else { Ok(()) }
    }

    /// Collects the fields of a selection set and those below, those of fragments included. A fragment
    /// is looked into once for each position, as `seen` knows; `@skip` and `@include` are not looked at,
    /// since their variables are the client's.
    fn collect(
        &self,
        selections: &cst::SelectionSet,
        position: Position,
        nesting: usize,
        seen: &mut Fields,
        found: &mut Fields,
    ) -> Result<(), MalformedGraphQl> {
        let nesting = deeper(nesting)?;
        for selection in selections.selections() {
            match selection {
                cst::Selection::Field(field) => {
                    let name = field.name().ok_or(MalformedGraphQl)?.text().to_string();
                    let inner = field.selection_set();
                    // What stands below these is the schema, and no data.
                    let is_schema = matches!(&*name, "__schema" | "__type");
                    if let Some(below) = inner.as_ref().filter(|_| !is_schema) {
                        self.collect(below, Position::Nested, nesting, seen, found)?;
                    }
                    if position != Position::Nested || inner.is_some() || is_introspection(&name) {
                        found.insert(position, &name);
                    }
                }
                cst::Selection::InlineFragment(fragment) => {
                    let inner = fragment.selection_set().ok_or(MalformedGraphQl)?;
                    self.collect(&inner, position, nesting, seen, found)?;
                }
                cst::Selection::FragmentSpread(spread) => {
                    let name = spread_name(&spread)?;
                    let fragment = self.fragments.get(&*name).ok_or(MalformedGraphQl)?;
                    if seen.insert(position, &name) {
                        self.collect(&fragment.selections, position, nesting, seen, found)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// How deep the deepest operation or fragment nests. Refuses fragments that do not exist, and
    /// fragments that spread themselves.
    pub(super) fn depth(&self) -> Result<usize, MalformedGraphQl> {
        let mut deepest = 0;
        for name in self.fragments.keys() {
            deepest = deepest.max(self.fragment_depth(name, 0)?);
        }
        for operation in &self.operations {
            let selections = operation.selection_set().ok_or(MalformedGraphQl)?;
            deepest = deepest.max(self.depth_of(&selections, 0)?);
        }
        Ok(deepest)
    }

    fn fragment_depth(&self, name: &str, nesting: usize) -> Result<usize, MalformedGraphQl> {
        let fragment = self.fragments.get(name).ok_or(MalformedGraphQl)?;
        match fragment.depth.get() {
            Depth::Awaited => Err(MalformedGraphQl),
            Depth::Known(depth) => Ok(depth),
            Depth::Unknown => {
                fragment.depth.set(Depth::Awaited);
                let depth = self.depth_of(&fragment.selections, nesting)?;
                fragment.depth.set(Depth::Known(depth));
                Ok(depth)
            }
        }
    }

    fn depth_of(
        &self,
        selections: &cst::SelectionSet,
        nesting: usize,
    ) -> Result<usize, MalformedGraphQl> {
        let nesting = deeper(nesting)?;
        let mut deepest = 1;
        for selection in selections.selections() {
            let depth = match selection {
                cst::Selection::Field(field) => match field.selection_set() {
                    Some(inner) => self.depth_of(&inner, nesting)?.saturating_add(1),
                    None => 1,
                },
                cst::Selection::InlineFragment(fragment) => {
                    let inner = fragment.selection_set().ok_or(MalformedGraphQl)?;
                    self.depth_of(&inner, nesting)?
                }
                cst::Selection::FragmentSpread(spread) => {
                    self.fragment_depth(&spread_name(&spread)?, nesting)?
                }
            };
            deepest = deepest.max(depth);
        }
        Ok(deepest)
    }
}

/// One level of selections further down, which the parser's own limit keeps small as well.
fn deeper(nesting: usize) -> Result<usize, MalformedGraphQl> {
    if nesting > NESTING { Err(MalformedGraphQl) } else { Ok(nesting.saturating_add(1)) }
}

fn spread_name(spread: &cst::FragmentSpread) -> Result<String, MalformedGraphQl> {
    let name = spread.fragment_name().and_then(|name| name.name()).ok_or(MalformedGraphQl)?;
    Ok(name.text().to_string())
}
