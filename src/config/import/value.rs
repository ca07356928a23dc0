//! What a configuration in Python can say without being run: literals, and what is made of them in plain ways.

/// A value, and the line that it begins on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

/// The kinds of values. A set keeps the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Text(String),
    /// As it is written.
    Number(String),
    Bool(bool),
    Nothing,
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Set(Vec<Value>),
    Dict(Vec<(Value, Value)>),
}

impl Value {
    /// The text, where it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list, tuple or set.
    pub(super) fn items(&self) -> Option<&[Value]> {
        match &self.kind {
            Kind::List(items) | Kind::Tuple(items) | Kind::Set(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a dictionary.
    pub(super) fn entries(&self) -> Option<&[(Value, Value)]> {
        match &self.kind {
            Kind::Dict(entries) => Some(entries),
            _ => None,
        }
    }

    /// Whether the value can hold others, and be changed through another name.
    pub(super) fn is_container(&self) -> bool {
        self.items().is_some() || self.entries().is_some()
    }

    /// The value of a key, or of an index of a list.
    pub(super) fn get(&self, key: &Value) -> Option<&Value> {
        match (&self.kind, &key.kind) {
            (Kind::Dict(entries), wanted) => entries
                .iter()
                .find(|(k, _)| k.kind == *wanted)
                .map(|(_, v)| v),
            (Kind::List(items) | Kind::Tuple(items), Kind::Number(index)) => {
                items.get(index.parse::<usize>().ok()?)
            }
            _ => None,
        }
    }

    /// The value of a key, to change it.
    pub(super) fn get_mut(&mut self, key: &Value) -> Option<&mut Value> {
        match (&mut self.kind, &key.kind) {
            (Kind::Dict(entries), wanted) => entries
                .iter_mut()
                .find(|(k, _)| k.kind == *wanted)
                .map(|(_, v)| v),
            (Kind::List(items), Kind::Number(index)) => items.get_mut(index.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// How much it is to copy, in values and bytes.
    pub(super) fn weight(&self) -> usize {
        1 + match &self.kind {
            Kind::Text(text) | Kind::Number(text) => text.len(),
            Kind::Bool(_) | Kind::Nothing => 0,
            Kind::List(items) | Kind::Tuple(items) | Kind::Set(items) => {
                items.iter().map(Value::weight).sum()
            }
            Kind::Dict(entries) => entries.iter().map(|(k, v)| k.weight() + v.weight()).sum(),
        }
    }

    /// How deep it is nested; 1 for what holds nothing.
    pub(super) fn depth(&self) -> usize {
        let inner = match &self.kind {
            Kind::List(items) | Kind::Tuple(items) | Kind::Set(items) => {
                items.iter().map(Value::depth).max()
            }
            Kind::Dict(entries) => entries.iter().map(|(k, v)| k.depth().max(v.depth())).max(),
            _ => None,
        };
        1 + inner.unwrap_or(0)
    }

    /// As Python's `str` writes it, for the simple kinds.
    pub(super) fn display(&self) -> Option<String> {
        match &self.kind {
            Kind::Text(text) => Some(text.clone()),
            Kind::Number(number) if number.bytes().all(|b| b.is_ascii_digit()) => {
                Some(number.clone())
            }
            Kind::Bool(true) => Some("True".into()),
            Kind::Bool(false) => Some("False".into()),
            _ => None,
        }
    }

    /// As it would stand in brackets: `['debian']`, `[3]`.
    pub(super) fn subscript(&self) -> String {
        match &self.kind {
            Kind::Text(text) => format!("['{}']", super::snippet(text)),
            Kind::Number(number) => format!("[{number}]"),
            _ => "[…]".into(),
        }
    }
}

/// Adds an entry to a dictionary, in place of one with the same key.
pub(super) fn insert(entries: &mut Vec<(Value, Value)>, key: Value, value: Value) {
    match entries.iter_mut().find(|(k, _)| k.kind == key.kind) {
        Some(entry) => entry.1 = value,
        None => entries.push((key, value)),
    }
}

/// `os.path.join`: an absolute part begins anew.
pub(super) fn join_paths<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut path = String::new();
    for part in parts {
        if part.starts_with('/') {
            path.clear();
        } else if !path.is_empty() && !path.ends_with('/') {
            path.push('/');
        }
        path.push_str(part);
    }
    path
}

/// `TEMPLATE % values`, with `%s` and `%d` only.
pub(super) fn percent(template: &str, values: &[Value]) -> Option<String> {
    let mut out = String::new();
    let mut values = values.iter();
    let mut chars = template.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' => match chars.next()? {
                '%' => out.push('%'),
                's' => out.push_str(&values.next()?.display()?),
                'd' => match &values.next()?.kind {
                    Kind::Number(number) => out.push_str(number),
                    _ => return None,
                },
                _ => return None,
            },
            c => out.push(c),
        }
    }
    values.next().is_none().then_some(out)
}

/// `TEMPLATE.format(…)`, with `{}`, `{0}` and `{name}` only.
pub(super) fn format(
    template: &str,
    positional: &[Value],
    named: &[(Value, Value)],
) -> Option<String> {
    let mut out = String::new();
    let mut next = 0;
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let bracket = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(bracket) {
            out.push_str(bracket);
            rest = after;
            continue;
        }
        let (field, after) = rest.split_once('}').filter(|_| bracket == "{")?;
        rest = after;
        let value = if field.is_empty() {
            next += 1;
            positional.get(next - 1)?
        } else if let Ok(index) = field.parse::<usize>() {
            positional.get(index)?
        } else {
            &named.iter().find(|(k, _)| k.text() == Some(field))?.1
        };
        out.push_str(&value.display()?);
    }
    out.push_str(rest);
    Some(out)
}

/// What stands between the quotes, with its escapes resolved; `None` for escapes that need more than this.
pub(super) fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let escape = rest.chars().next()?;
        let mut used = escape.len_utf8();
        match escape {
            '\n' => {}
            '\\' | '\'' | '"' => out.push(escape),
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'a' => out.push('\x07'),
            'b' => out.push('\x08'),
            'f' => out.push('\x0c'),
            'v' => out.push('\x0b'),
            'x' | 'u' | 'U' => {
                let digits = match escape {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let code = rest.get(1..=digits)?;
                out.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
                used += digits;
            }
            '0'..='7' => {
                used = rest
                    .bytes()
                    .take(3)
                    .take_while(|b| matches!(b, b'0'..=b'7'))
                    .count();
                out.push(char::from_u32(u32::from_str_radix(&rest[..used], 8).ok()?)?);
            }
            'N' => return None,
            other => {
                out.push('\\');
                out.push(other);
            }
        }
        rest = &rest[used..];
    }
    out.push_str(rest);
    Some(out)
}
