//! Reads a Python file as data: the names that it binds at its top level, as far as they are literals.
//!
//! Nothing is ever run. The grammar is tree-sitter's, which neither parses nor frees by recursion; what walks the tree here
//! is bounded in depth, and what it copies is bounded in size, so that a name that doubles itself line by line, or a million
//! brackets, end in a note. Whatever is no literal, and not one of the few plain things that are made of literals, is
//! `Computed`: its place is noted and it is left out.

use std::collections::{BTreeMap, BTreeSet};

use tree_sitter::{Node, Parser};

use super::value::{Kind, Value, insert};
use super::{ImportError, Note, snippet};

/// The most that a file may be; amprolla's own has 10 KiB.
const MAX_BYTES: usize = 256 << 10;
/// How deep expressions and values may be nested.
pub(super) const MAX_DEPTH: usize = 60;
/// How much of a place such as `repos['debian']['host']` a note shows.
const MAX_PLACE_CHARS: usize = 120;
/// How many values and bytes may be made in all.
const BUDGET: usize = 1 << 20;

/// What a file says.
#[derive(Debug)]
pub(super) struct Module {
    /// The values of names, as they are at the end of the file.
    pub(super) names: BTreeMap<String, Value>,
    /// What was left out, with the name that it belongs to where there is one.
    pub(super) notes: Vec<(Option<String>, Note)>,
    /// Names that others are made of.
    pub(super) used: BTreeSet<String>,
}

/// Why an expression has no value here.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unknown {
    Computed,
    TooDeep,
    TooLarge,
}

impl Unknown {
    fn what(self) -> &'static str {
        match self {
            Unknown::Computed => "is computed",
            Unknown::TooDeep => "is nested too deep",
            Unknown::TooLarge => "grows too large",
        }
    }
}

pub(super) type Eval<T = Value> = Result<T, Unknown>;

/// Reads a file.
pub(super) fn read(text: &str) -> Result<Module, ImportError> {
    if text.len() > MAX_BYTES {
        return Err(ImportError {
            line: 0,
            message: format!("it has more than {} KiB: no configuration", MAX_BYTES >> 10),
        });
    }
    let mut parser = Parser::new();
    let tree = parser
        .set_language(&tree_sitter_python::LANGUAGE.into())
        .ok()
        .and_then(|()| parser.parse(text, None))
        .ok_or_else(|| ImportError {
            line: 0,
            message: "the Python grammar cannot be used".into(),
        })?;
    let root = tree.root_node();
    if root.has_error() {
        return Err(first_error(root, text));
    }
    let mut reader = Reader {
        text,
        module: Module {
            names: BTreeMap::new(),
            notes: Vec::new(),
            used: BTreeSet::new(),
        },
        imports: BTreeMap::new(),
        shared: BTreeSet::new(),
        holders: BTreeSet::new(),
        read: Vec::new(),
        opaque: BTreeSet::new(),
        budget: BUDGET,
    };
    for statement in children(root) {
        reader.statement(statement);
    }
    Ok(reader.module)
}

fn first_error(root: Node<'_>, text: &str) -> ImportError {
    let mut node = root;
    while !node.is_error() && !node.is_missing() {
        let mut cursor = node.walk();
        match node.children(&mut cursor).find(|child| child.has_error()) {
            Some(child) => node = child,
            None => break,
        }
    }
    let message = if node.is_missing() {
        format!("this is not Python: `{}` is missing", node.kind())
    } else {
        let found = snippet(text.get(node.byte_range()).unwrap_or_default().trim());
        format!("this is not Python: `{found}`")
    };
    ImportError {
        line: line(node),
        message,
    }
}

pub(super) fn line(node: Node<'_>) -> usize {
    node.start_position().row + 1
}

/// The named children, without comments.
pub(super) fn children(node: Node<'_>) -> Vec<Node<'_>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor)
        .filter(|child| child.kind() != "comment")
        .collect()
}

pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    pub(super) module: Module,
    /// Local names of what is imported, with the full ones.
    pub(super) imports: BTreeMap<String, String>,
    /// Names of lists and dictionaries that have another name too, or are part of others: to change one would change both.
    shared: BTreeSet<String>,
    /// Names of lists and dictionaries that hold those of other names.
    holders: BTreeSet<String>,
    /// Names of lists and dictionaries that the statement at hand has read.
    pub(super) read: Vec<String>,
    /// Names of functions and classes of the file's own.
    pub(super) opaque: BTreeSet<String>,
    pub(super) budget: usize,
}

impl<'t> Reader<'t> {
    pub(super) fn source(&self, node: Node<'_>) -> &'t str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    fn note(&mut self, name: Option<&str>, line: usize, text: String) {
        let note = Note { line, text };
        self.module.notes.push((name.map(str::to_owned), note));
    }

    /// Notes that what belongs at `place` was left out.
    pub(super) fn left_out(&mut self, place: &str, line: usize, why: Unknown) {
        let name = place.split(['[', '.']).next().unwrap_or(place).to_owned();
        let place = super::shorten(place, MAX_PLACE_CHARS);
        let text = format!("{place} {}, and was left out", why.what());
        self.note(Some(&name), line, text);
    }

    pub(super) fn charge(&mut self, weight: usize) -> Eval<()> {
        self.budget = self.budget.checked_sub(weight).ok_or(Unknown::TooLarge)?;
        Ok(())
    }

    fn statement(&mut self, node: Node<'t>) {
        self.read.clear();
        match node.kind() {
            "expression_statement" => {
                for part in children(node) {
                    match part.kind() {
                        "assignment" => self.assignment(part),
                        "augmented_assignment" => self.augmented(part),
                        // Documentation, and what has no effect.
                        "string" | "concatenated_string" | "ellipsis" => {}
                        _ => self.code(part, "this"),
                    }
                }
            }
            "import_statement" | "import_from_statement" | "future_import_statement" => {
                self.import(node);
            }
            "pass_statement" => {}
            "function_definition" | "class_definition" | "decorated_definition" => {
                let named = match node.kind() {
                    "decorated_definition" => node.child_by_field_name("definition"),
                    _ => Some(node),
                };
                if let Some(name) = named.and_then(|n| n.child_by_field_name("name")) {
                    let name = self.source(name).to_owned();
                    self.forget(&name);
                    self.opaque.insert(name);
                }
                self.code(node, "this definition");
            }
            _ => self.code(node, "this statement"),
        }
    }

    fn forget(&mut self, name: &str) {
        self.module.names.remove(name);
        self.imports.remove(name);
        self.opaque.remove(name);
        self.shared.remove(name);
        self.holders.remove(name);
    }

    /// Notes code, and the names that it may set: they keep what they had.
    fn code(&mut self, node: Node<'t>, what: &str) {
        let mut changed = BTreeSet::new();
        let mut cursor = node.walk();
        loop {
            let target = match cursor.node().kind() {
                "assignment" | "augmented_assignment" => cursor.node().child_by_field_name("left"),
                "call" => cursor
                    .node()
                    .child_by_field_name("function")
                    .filter(|f| f.kind() == "attribute"),
                "delete_statement" => cursor.node().named_child(0),
                _ => None,
            };
            let root = target.map(|t| self.source(t));
            let root =
                root.and_then(|t| t.split(|c: char| !c.is_alphanumeric() && c != '_').next());
            if let Some(root) = root
                && (self.module.names.contains_key(root) || super::amprolla::is_setting(root))
            {
                changed.insert(root.to_owned());
            }
            if cursor.goto_first_child() || cursor.goto_next_sibling() {
                continue;
            }
            while cursor.goto_parent() {
                if cursor.goto_next_sibling() {
                    break;
                }
            }
            if cursor.node() == node {
                break;
            }
        }
        let first = self.source(node).lines().next().unwrap_or_default();
        let mut text = format!(
            "{what} is code, which is never run, and was left out: `{}`",
            snippet(first)
        );
        if !changed.is_empty() {
            let names: Vec<_> = changed.into_iter().collect();
            text.push_str(&format!("; it may change {}", names.join(", ")));
        }
        self.note(None, line(node), text);
    }

    /// Learns what imported names are; what they hold is not known.
    fn import(&mut self, node: Node<'t>) {
        let module_node = node.child_by_field_name("module_name");
        let module = module_node.map(|m| self.source(m));
        for part in children(node) {
            if Some(part) == module_node {
                continue;
            }
            if part.kind() == "wildcard_import" {
                let text = format!(
                    "the names that come from `{}` are not known here",
                    snippet(module.unwrap_or_default())
                );
                self.note(None, line(node), text);
                continue;
            }
            let (full, alias) = match part.kind() {
                "aliased_import" => (
                    part.child_by_field_name("name").map(|n| self.source(n)),
                    part.child_by_field_name("alias").map(|n| self.source(n)),
                ),
                _ => (Some(self.source(part)), None),
            };
            let Some(full) = full else { continue };
            let (local, full) = match (module, alias) {
                (Some(module), alias) => (alias.unwrap_or(full), format!("{module}.{full}")),
                (None, Some(alias)) => (alias, full.to_owned()),
                // `import os.path` binds `os`.
                (None, None) => {
                    let top = full.split('.').next().unwrap_or(full);
                    (top, top.to_owned())
                }
            };
            self.forget(local);
            if super::amprolla::is_setting(local) {
                let text = format!("{local} is imported, and was left out");
                self.note(Some(local), line(node), text);
            }
            self.imports.insert(local.to_owned(), full);
        }
    }

    fn assignment(&mut self, node: Node<'t>) {
        let mut targets = Vec::new();
        let mut at = node;
        let value = loop {
            targets.extend(at.child_by_field_name("left"));
            match at.child_by_field_name("right") {
                Some(right) if right.kind() == "assignment" => at = right,
                Some(right) => break right,
                None => return, // `name: type`
            }
        };
        let place = targets.first().map_or("", |t| self.source(*t));
        let place = snippet(place);
        let makes_anew = matches!(
            value.kind(),
            "list" | "tuple" | "set" | "dictionary" | "call" | "binary_operator"
        );
        let alone = makes_anew && targets.len() == 1;
        let value = self.eval(value, &place, 0);
        for target in targets {
            self.bind(target, value.clone(), alone);
        }
    }

    /// Gives a target its value; `alone` where that is a new one that only this target has.
    fn bind(&mut self, target: Node<'t>, value: Eval, alone: bool) {
        let value = value.and_then(|v| {
            self.charge(v.weight())?;
            if v.depth() > MAX_DEPTH {
                return Err(Unknown::TooDeep);
            }
            Ok(v)
        });
        match target.kind() {
            "identifier" => {
                let name = self.source(target);
                self.forget(name);
                match value {
                    Ok(value) => {
                        if value.is_container() && !alone {
                            self.shared.insert(name.to_owned());
                        }
                        self.share(name);
                        self.module.names.insert(name.to_owned(), value);
                    }
                    Err(why) => self.left_out(name, line(target), why),
                }
            }
            "subscript" => {
                let done = value.and_then(|value| self.set_item(target, value));
                if let Err(why) = done {
                    let place = snippet(self.source(target));
                    self.left_out(&place, line(target), why);
                }
            }
            "pattern_list" | "tuple_pattern" | "list_pattern" => {
                let parts = children(target);
                let items = value.as_ref().ok().and_then(Value::items);
                let plain = parts.iter().all(|p| p.kind() == "identifier");
                let items = items.filter(|i| plain && i.len() == parts.len());
                for (n, part) in parts.iter().enumerate() {
                    let item = items.and_then(|i| i.get(n)).cloned();
                    if plain {
                        self.bind(*part, item.ok_or(Unknown::Computed), false);
                    } else {
                        let place = snippet(self.source(*part));
                        self.left_out(&place, line(*part), Unknown::Computed);
                    }
                }
            }
            _ => {
                let place = snippet(self.source(target));
                self.left_out(&place, line(target), Unknown::Computed);
            }
        }
    }

    /// Takes down that what the statement has read is now held by a name, too.
    fn share(&mut self, holder: &str) {
        if !self.read.is_empty() {
            self.holders.insert(holder.to_owned());
            self.shared.extend(self.read.iter().cloned());
        }
    }

    /// `repos['debian']['host'] = value`
    fn set_item(&mut self, target: Node<'t>, value: Value) -> Eval<()> {
        let mut keys = Vec::new();
        let mut at = target;
        while at.kind() == "subscript" {
            let mut cursor = at.walk();
            let mut subscripts = at.children_by_field_name("subscript", &mut cursor);
            let (Some(key), None) = (subscripts.next(), subscripts.next()) else {
                return Err(Unknown::Computed);
            };
            drop(subscripts);
            keys.push(self.eval(key, "", 0)?);
            at = at.child_by_field_name("value").ok_or(Unknown::Computed)?;
            if keys.len() + value.depth() > MAX_DEPTH {
                return Err(Unknown::TooDeep);
            }
        }
        let name = self.source(at);
        let others = self.shared.contains(name) || (keys.len() > 1 && self.holders.contains(name));
        if at.kind() != "identifier" || others {
            return Err(Unknown::Computed);
        }
        self.share(name);
        let mut holder = self.module.names.get_mut(name).ok_or(Unknown::Computed)?;
        let last = keys.first().cloned().ok_or(Unknown::Computed)?;
        for key in keys.iter().skip(1).rev() {
            holder = holder.get_mut(key).ok_or(Unknown::Computed)?;
        }
        match &mut holder.kind {
            Kind::Dict(entries) => insert(entries, last, value),
            _ => *holder.get_mut(&last).ok_or(Unknown::Computed)? = value,
        }
        Ok(())
    }

    /// `name += value`, `name |= value`
    fn augmented(&mut self, node: Node<'t>) {
        let parts = ["left", "operator", "right"].map(|f| node.child_by_field_name(f));
        let [Some(left), Some(operator), Some(right)] = parts else {
            return;
        };
        let place = snippet(self.source(left));
        let result = self.eval(right, &place, 0).and_then(|added| {
            let name = self.source(left);
            if left.kind() != "identifier" || self.shared.contains(name) {
                return Err(Unknown::Computed);
            }
            let old = self.module.names.get(name).cloned();
            let operator = self.source(operator).trim_end_matches('=');
            let value = self.binary(old.ok_or(Unknown::Computed)?, operator, added)?;
            self.charge(value.weight())?;
            self.module.names.insert(name.to_owned(), value);
            self.share(name);
            Ok(())
        });
        if let Err(why) = result {
            let text = format!("what is added to {place} {}, and was left out", why.what());
            self.note(None, line(node), text);
        }
    }
}
