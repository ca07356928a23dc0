//! The values of expressions: literals, and the few plain things that are made of them.

use tree_sitter::Node;

use super::python::{Eval, MAX_DEPTH, Reader, Unknown, children, line};
use super::snippet;
use super::value::{Kind, Value, format, insert, join_paths, percent, unescape};

impl<'t> Reader<'t> {
    /// The value of an expression; `place` is where it goes to, for notes about its parts.
    pub(super) fn eval(&mut self, node: Node<'t>, place: &str, depth: usize) -> Eval {
        if depth > MAX_DEPTH {
            return Err(Unknown::TooDeep);
        }
        self.charge(1)?;
        let depth = depth + 1;
        let kind = match node.kind() {
            "string" => Kind::Text(self.string(node, depth)?),
            "concatenated_string" => {
                let mut text = String::new();
                for part in children(node) {
                    text.push_str(&self.string(part, depth)?);
                }
                Kind::Text(text)
            }
            "integer" | "float" => Kind::Number(self.source(node).replace('_', "")),
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            "none" => Kind::Nothing,
            "list" => Kind::List(self.items(node, place, depth)?),
            "tuple" | "expression_list" => Kind::Tuple(self.items(node, place, depth)?),
            "set" => Kind::Set(self.items(node, place, depth)?),
            "dictionary" => Kind::Dict(self.entries(node, place, depth)?),
            "parenthesized_expression" => {
                let inner = children(node).first().copied().ok_or(Unknown::Computed)?;
                return self.eval(inner, place, depth);
            }
            "identifier" => return self.name(node),
            "unary_operator" => {
                let argument = node.child_by_field_name("argument");
                let value = self.eval(argument.ok_or(Unknown::Computed)?, place, depth)?;
                match value.kind {
                    Kind::Number(n)
                        if self.source(node).starts_with('-') && !n.starts_with('-') =>
                    {
                        Kind::Number(format!("-{n}"))
                    }
                    _ => return Err(Unknown::Computed),
                }
            }
            "binary_operator" => {
                let parts = ["left", "operator", "right"].map(|f| node.child_by_field_name(f));
                let [Some(left), Some(operator), Some(right)] = parts else {
                    return Err(Unknown::Computed);
                };
                let left = self.eval(left, place, depth)?;
                let right = self.eval(right, place, depth)?;
                return self.binary(left, self.source(operator), right);
            }
            "subscript" => {
                let value = node.child_by_field_name("value").ok_or(Unknown::Computed)?;
                let already_read = self.read.len();
                let value = self.eval(value, place, depth)?;
                let mut cursor = node.walk();
                let keys: Vec<_> = node
                    .children_by_field_name("subscript", &mut cursor)
                    .collect();
                let [key] = keys[..] else {
                    return Err(Unknown::Computed);
                };
                let key = self.eval(key, place, depth)?;
                let item = value.get(&key).cloned().ok_or(Unknown::Computed)?;
                if !item.is_container() {
                    self.read.truncate(already_read); // a copy of text shares nothing
                }
                return Ok(item);
            }
            "call" => self.call(node, place, depth)?,
            _ => return Err(Unknown::Computed),
        };
        Ok(Value {
            line: line(node),
            kind,
        })
    }

    fn name(&mut self, node: Node<'t>) -> Eval {
        let name = self.source(node);
        let value = self.module.names.get(name).ok_or(Unknown::Computed)?;
        let (weight, shared) = (value.weight(), value.is_container());
        self.charge(weight)?;
        if shared {
            self.read.push(name.to_owned());
        }
        self.module.used.insert(name.to_owned());
        self.module
            .names
            .get(name)
            .cloned()
            .ok_or(Unknown::Computed)
    }

    pub(super) fn binary(&mut self, left: Value, operator: &str, right: Value) -> Eval {
        let line = left.line;
        let kind = match (left.kind, operator, right.kind) {
            (Kind::Text(a), "+", Kind::Text(b)) => Kind::Text(a + &b),
            (Kind::List(mut a), "+", Kind::List(b)) => {
                a.extend(b);
                Kind::List(a)
            }
            (Kind::Tuple(mut a), "+", Kind::Tuple(b)) => {
                a.extend(b);
                Kind::Tuple(a)
            }
            (Kind::Set(mut a), "|", Kind::Set(b)) => {
                a.extend(b);
                Kind::Set(a)
            }
            (Kind::Set(mut a), "-", Kind::Set(b)) => {
                self.charge(a.len().saturating_mul(b.len()))?;
                a.retain(|item| b.iter().all(|other| other.kind != item.kind));
                Kind::Set(a)
            }
            (Kind::Dict(mut a), "|", Kind::Dict(b)) => {
                self.charge(a.len().saturating_mul(b.len()))?;
                for (key, value) in b {
                    insert(&mut a, key, value);
                }
                Kind::Dict(a)
            }
            (Kind::Text(template), "%", Kind::Tuple(values)) => {
                Kind::Text(percent(&template, &values).ok_or(Unknown::Computed)?)
            }
            (Kind::Text(template), "%", kind) => {
                let value = Value { line, kind };
                Kind::Text(percent(&template, &[value]).ok_or(Unknown::Computed)?)
            }
            _ => return Err(Unknown::Computed),
        };
        let value = Value { line, kind };
        self.charge(value.weight())?;
        Ok(value)
    }

    /// The items of a list; those that are computed are noted and left out.
    fn items(&mut self, node: Node<'t>, place: &str, depth: usize) -> Eval<Vec<Value>> {
        let mut items = Vec::new();
        for (n, part) in children(node).into_iter().enumerate() {
            let here = format!("{place}[{n}]");
            if part.kind() == "list_splat" {
                let inner = children(part).first().copied().ok_or(Unknown::Computed)?;
                match self.eval(inner, place, depth) {
                    Ok(value) if value.items().is_some() => {
                        items.extend_from_slice(value.items().unwrap_or_default());
                    }
                    Ok(_) => self.left_out(&here, line(part), Unknown::Computed),
                    Err(why) => self.left_out(&here, line(part), why),
                }
                continue;
            }
            match self.eval(part, &here, depth) {
                Ok(value) => items.push(value),
                Err(why) => self.left_out(&here, line(part), why),
            }
        }
        Ok(items)
    }

    /// The entries of a dictionary; those that are computed are noted and left out.
    fn entries(&mut self, node: Node<'t>, place: &str, depth: usize) -> Eval<Vec<(Value, Value)>> {
        let mut entries = Vec::new();
        for part in children(node) {
            self.charge(entries.len() / 16)?;
            let fields = ["key", "value"].map(|f| part.child_by_field_name(f));
            if let [Some(key), Some(value)] = fields {
                let (here, key) = match self.eval(key, place, depth) {
                    Ok(key) => (format!("{place}{}", key.subscript()), Ok(key)),
                    Err(why) => (format!("{place}[{}]", snippet(self.source(key))), Err(why)),
                };
                let value = key.and_then(|k| Ok((k, self.eval(value, &here, depth)?)));
                match value {
                    Ok((key, value)) => insert(&mut entries, key, value),
                    Err(why) => self.left_out(&here, line(part), why),
                }
                continue;
            }
            let inner = children(part).first().copied().ok_or(Unknown::Computed)?;
            match self.eval(inner, place, depth) {
                Ok(Value {
                    kind: Kind::Dict(more),
                    ..
                }) => {
                    self.charge(entries.len().saturating_mul(more.len()))?;
                    for (key, value) in more {
                        insert(&mut entries, key, value);
                    }
                }
                other => {
                    let here = format!("{place}[{}]", snippet(self.source(part)));
                    let why = other.err().unwrap_or(Unknown::Computed);
                    self.left_out(&here, line(part), why);
                }
            }
        }
        Ok(entries)
    }

    /// A string, with the values of an f-string in their places.
    fn string(&mut self, node: Node<'t>, depth: usize) -> Eval<String> {
        let mut prefix = String::new();
        let mut text = String::new();
        let mut cursor = node.walk();
        let parts: Vec<_> = node.children(&mut cursor).collect();
        for part in parts {
            let source = self.source(part);
            match part.kind() {
                "string_start" => {
                    prefix = source.trim_end_matches(['"', '\'']).to_ascii_lowercase();
                    if prefix.contains(['b', 't']) {
                        return Err(Unknown::Computed);
                    }
                }
                "string_content" => {
                    let source = source.replace("\r\n", "\n");
                    let plain = match prefix.contains('r') {
                        true => source,
                        false => unescape(&source).ok_or(Unknown::Computed)?,
                    };
                    match prefix.contains('f') {
                        true => text.push_str(&plain.replace("{{", "{").replace("}}", "}")),
                        false => text.push_str(&plain),
                    }
                }
                "interpolation" => {
                    let inner = children(part);
                    let [expression] = inner[..] else {
                        return Err(Unknown::Computed); // a conversion or a format
                    };
                    if source.trim_end_matches(['}', ' ']).ends_with('=') {
                        return Err(Unknown::Computed);
                    }
                    let value = self.eval(expression, "", depth)?;
                    text.push_str(&value.display().ok_or(Unknown::Computed)?);
                }
                "string_end" => {}
                _ => return Err(Unknown::Computed),
            }
        }
        self.charge(text.len())?;
        Ok(text)
    }

    /// The few calls that only put literals together.
    fn call(&mut self, node: Node<'t>, place: &str, depth: usize) -> Eval<Kind> {
        let fields = ["function", "arguments"].map(|f| node.child_by_field_name(f));
        let [Some(function), Some(arguments)] = fields else {
            return Err(Unknown::Computed);
        };
        let method = function.child_by_field_name("attribute");
        let object = function.child_by_field_name("object");
        let template = match (object, method) {
            (Some(object), Some(method)) if self.source(method) == "format" => {
                match self.eval(object, place, depth)?.kind {
                    Kind::Text(text) => Some(text),
                    _ => return Err(Unknown::Computed),
                }
            }
            _ => None,
        };
        let callee = self.callee(function);
        let known = ["set", "frozenset", "list", "tuple", "dict"];
        let joins = ["os.path.join", "posixpath.join"].contains(&callee.as_str());
        if template.is_none() && !joins && !known.contains(&callee.as_str()) {
            return Err(Unknown::Computed);
        }
        let mut positional = Vec::new();
        let mut named = Vec::new();
        for argument in children(arguments) {
            if argument.kind() == "keyword_argument" {
                let fields = ["name", "value"].map(|f| argument.child_by_field_name(f));
                let [Some(name), Some(value)] = fields else {
                    return Err(Unknown::Computed);
                };
                let key = Value {
                    line: line(name),
                    kind: Kind::Text(self.source(name).to_owned()),
                };
                let here = format!("{place}{}", key.subscript());
                self.charge(named.len())?;
                let value = self.eval(value, &here, depth)?;
                insert(&mut named, key, value);
            } else {
                positional.push(self.eval(argument, place, depth)?);
            }
        }
        if let Some(template) = template {
            return format(&template, &positional, &named)
                .map(Kind::Text)
                .ok_or(Unknown::Computed);
        }
        if joins {
            let parts: Option<Vec<_>> = positional.iter().map(Value::text).collect();
            let parts = parts.filter(|p| !p.is_empty() && named.is_empty());
            return Ok(Kind::Text(join_paths(parts.ok_or(Unknown::Computed)?)));
        }
        if callee == "dict" {
            return match positional.as_slice() {
                [] => Ok(Kind::Dict(named)),
                _ => Err(Unknown::Computed),
            };
        }
        let items = match positional.as_slice() {
            [] if named.is_empty() => Vec::new(),
            [one] if named.is_empty() => one.items().ok_or(Unknown::Computed)?.to_vec(),
            _ => return Err(Unknown::Computed),
        };
        Ok(match callee.as_str() {
            "list" => Kind::List(items),
            "tuple" => Kind::Tuple(items),
            _ => Kind::Set(items),
        })
    }

    /// The full name of what is called, empty where the file has given it another meaning.
    fn callee(&self, function: Node<'_>) -> String {
        let source = self.source(function);
        let (first, rest) = source.split_once('.').unwrap_or((source, ""));
        if self.module.names.contains_key(first) || self.opaque.contains(first) {
            return String::new();
        }
        match (self.imports.get(first), rest) {
            (Some(full), "") => full.clone(),
            (Some(full), rest) => format!("{full}.{rest}"),
            (None, "") => source.to_owned(),
            (None, _) => String::new(),
        }
    }
}
