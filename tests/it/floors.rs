//! The floors of the house: who may use whom among the modules of `src`, held against the table in ARCHITECTURE.md.
//!
//! A module uses modules of lower floors, and of its own floor as long as no circle comes of it. Inside of a module its files form no
//! circle either. Whatever is compiled for tests and fuzzing alone is left out. The source is read as tokens, so that no comment and no text
//! counts as a path, and a path inside of a macro does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree, token_stream};

/// A module's path below the root, `merge::rules`; the library itself is the empty one.
type Module = Vec<String>;

/// A path that a file says.
struct Said {
    from: Module,
    to: Module,
    place: String,
}

/// The modules and paths that were read from all files.
#[derive(Default)]
struct Source {
    modules: BTreeSet<Module>,
    said: Vec<Said>,
    /// The names that modules import, and what they stand for.
    imports: BTreeMap<(Module, String), Module>,
}

/// The tokens of a file or of a group in it.
type Tokens = Peekable<token_stream::IntoIter>;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn module(text: &str) -> Module {
    text.split("::").map(str::to_owned).collect()
}

/// Every file below a directory of `src` with the module that it is.
fn files(directory: &Path, of: &Module) -> Vec<(PathBuf, Module)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let below: Module = of.iter().cloned().chain([name.to_owned()]).collect();
        match path.is_dir() {
            true => files.extend(self::files(&path, &below)),
            false if ["lib", "main"].contains(&name) && of.is_empty() => {}
            false if name == "tests" => {}
            false if name == "mod" => files.push((path, of.clone())),
            false => files.push((path, below)),
        }
    }
    files.sort();
    files
}

fn is(token: Option<&TokenTree>, text: &str) -> bool {
    token.is_some_and(|token| match token {
        TokenTree::Ident(ident) => ident == text,
        TokenTree::Punct(punct) => text.starts_with(punct.as_char()),
        _ => false,
    })
}

/// Takes `::`, where it follows.
fn takes_colons(tokens: &mut Tokens) -> bool {
    let is_path = is(tokens.peek(), ":") && {
        let mut ahead = tokens.clone();
        ahead.next();
        is(ahead.peek(), ":")
    };
    if is_path {
        tokens.next();
        tokens.next();
    }
    is_path
}

/// Returns whether an attribute limits the next item to tests or fuzzing.
fn is_for_tests(attribute: &Group) -> bool {
    let text = attribute.stream().to_string().replace(' ', "");
    text == "cfg(test)" || text == "cfg(any(test,fuzzing))" || text == "cfg(fuzzing)"
}

/// Goes past an item: up to its semicolon or its braces.
fn skip_item(tokens: &mut Tokens) {
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ';' => return,
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return,
            _ => {}
        }
    }
}

impl Source {
    fn read() -> Source {
        let files = files(&top().join("src"), &Vec::new());
        let modules = files.iter().map(|(_, module)| module.clone()).collect();
        let mut source = Source {
            modules,
            ..Source::default()
        };
        for (path, module) in &files {
            let text = fs::read_to_string(path).unwrap();
            let tokens: TokenStream = text.parse().unwrap();
            let name = path.strip_prefix(top()).unwrap().display().to_string();
            source.walk(tokens, module, &name, false);
        }
        source
    }

    /// Collects the paths in tokens that stand in a module.
    fn walk(&mut self, tokens: TokenStream, at: &Module, file: &str, mut is_use: bool) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    if let Some(TokenTree::Group(attribute)) = tokens.peek()
                        && is_for_tests(attribute)
                    {
                        tokens.next();
                        skip_item(&mut tokens);
                    }
                }
                // A path that begins elsewhere, or a method.
                TokenTree::Punct(punct) if [':', '.'].contains(&punct.as_char()) => {
                    if let Some(TokenTree::Ident(_)) = tokens.peek()
                        && punct.as_char() == '.'
                    {
                        tokens.next();
                    }
                }
                TokenTree::Punct(punct) if punct.as_char() == ';' => is_use = false,
                // Not the `use<'a>` of a type.
                TokenTree::Ident(ident) if ident == "use" => is_use = !is(tokens.peek(), "<"),
                TokenTree::Ident(ident) if ident == "mod" => {
                    let name = tokens.next().unwrap().to_string();
                    if let Some(TokenTree::Group(body)) = tokens.peek() {
                        let inner = at.iter().cloned().chain([name]).collect();
                        self.walk(body.stream(), &inner, file, false);
                        tokens.next();
                    }
                }
                TokenTree::Ident(ident) => {
                    let place = format!("{file}:{}", ident.span().start().line);
                    let word = ident.to_string();
                    let child: Module = at.iter().cloned().chain([word.clone()]).collect();
                    let mut up = at.clone();
                    let base = match &word[..] {
                        "crate" | "aptmerge" => Some(Vec::new()),
                        "self" => Some(at.clone()),
                        "super" => up.pop().map(|_| up),
                        _ if self.modules.contains(&child) => Some(child),
                        _ => None,
                    };
                    if takes_colons(&mut tokens) {
                        match base {
                            Some(base) => {
                                self.path(&mut tokens, base, (at, is_use), &place);
                            }
                            // The rest of a path into another crate or a type.
                            None => {
                                while let Some(TokenTree::Ident(_)) = tokens.peek() {
                                    tokens.next();
                                    if !takes_colons(&mut tokens) {
                                        break;
                                    }
                                }
                            }
                        }
                    }
                }
                TokenTree::Group(group) => self.walk(group.stream(), at, file, is_use),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    /// Takes what follows `crate::` and the like, up to its ends.
    fn path(
        &mut self,
        tokens: &mut Tokens,
        base: Module,
        (at, is_use): (&Module, bool),
        place: &str,
    ) {
        match tokens.peek().cloned() {
            Some(TokenTree::Ident(ident)) => {
                tokens.next();
                let mut path = base;
                match &ident.to_string()[..] {
                    "super" => {
                        path.pop();
                    }
                    "self" => {}
                    name => path.push(name.to_owned()),
                }
                if takes_colons(tokens) {
                    return self.path(tokens, path, (at, is_use), place);
                }
                let mut name = path.last().cloned().unwrap_or_default();
                if is(tokens.peek(), "as") {
                    tokens.next();
                    name = tokens.next().unwrap().to_string();
                }
                self.ends(path, name, (at, is_use), place);
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                tokens.next();
                let mut inner = group.stream().into_iter().peekable();
                while inner.peek().is_some() {
                    self.path(&mut inner, base.clone(), (at, is_use), place);
                    // The comma.
                    inner.next();
                }
            }
            // `*`, or the arguments of a type.
            _ => self.ends(base, String::new(), (at, is_use), place),
        }
    }

    fn ends(&mut self, to: Module, name: String, (at, is_use): (&Module, bool), place: &str) {
        if is_use {
            self.imports.insert((at.clone(), name), to.clone());
        }
        self.said.push(Said {
            from: at.clone(),
            to,
            place: place.to_owned(),
        });
    }

    /// The file that a path leads into, by its module.
    fn file_of(&self, path: &Module) -> Module {
        let mut module = path.clone();
        while !module.is_empty() && !self.modules.contains(&module) {
            module.pop();
        }
        module
    }

    /// The file that owns what a path leads to, wherever it was imported on the way.
    fn owner_of(&self, path: &Module) -> Module {
        let mut path = path.clone();
        for _ in 0..8 {
            let file = self.file_of(&path);
            let imported = path
                .get(file.len())
                .and_then(|name| self.imports.get(&(file.clone(), name.clone())));
            match imported {
                Some(other) if *other != path => {
                    path = other
                        .iter()
                        .chain(&path[file.len() + 1..])
                        .cloned()
                        .collect();
                }
                _ => return file,
            }
        }
        panic!("{path:?} is imported in a circle");
    }
}

/// The floors of modules, from the rows of the table: `| 2 | `merge` | what it promises |`.
fn table() -> BTreeMap<Module, u32> {
    let page = fs::read_to_string(top().join("ARCHITECTURE.md")).unwrap();
    let mut floors = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, floor, name, _, _] = cells[..] else {
            continue;
        };
        let name = name.strip_prefix('`').and_then(|n| n.strip_suffix('`'));
        if let Some((floor, name)) = floor.parse().ok().zip(name) {
            assert_eq!(
                floors.insert(module(name), floor),
                None,
                "{name} is there twice"
            );
        }
    }
    floors
}

/// The row of the table that a file belongs to: its own, or that of the nearest module above.
fn row_of<'a>(table: &'a BTreeMap<Module, u32>, file: &Module) -> Option<(&'a Module, u32)> {
    let lengths = (1..=file.len()).rev();
    let mut rows = lengths.filter_map(|length| table.get_key_value(&file[..length]));
    rows.next().map(|(row, floor)| (row, *floor))
}

/// Arrows, each with the places that it comes from.
type Arrows = BTreeMap<Module, BTreeMap<Module, BTreeSet<String>>>;

/// Describes the circles among arrows: each arrow that leads back to where it begins.
fn circles(arrows: &Arrows) -> String {
    let reaches = |from: &Module, to: &Module| {
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(module) = next.pop() {
            if module == to {
                return true;
            }
            if seen.insert(module) {
                next.extend(arrows.get(module).into_iter().flat_map(BTreeMap::keys));
            }
        }
        false
    };
    let mut told = String::new();
    for (from, (to, places)) in arrows
        .iter()
        .flat_map(|(f, all)| all.iter().map(move |a| (f, a)))
    {
        if reaches(to, from) {
            let (from, to) = (from.join("::"), to.join("::"));
            for place in places {
                writeln!(
                    told,
                    "{place}: {from} uses {to}, which leads back to {from}"
                )
                .unwrap();
            }
        }
    }
    told
}

#[test]
fn every_module_has_a_floor() {
    let (table, source) = (table(), Source::read());
    for row in table.keys() {
        let name = row.join("::");
        assert!(source.modules.contains(row), "there is no module `{name}`");
    }
    for file in &source.modules {
        let name = file.join("::");
        assert!(
            row_of(&table, file).is_some() || file[0] == "fuzzing",
            "`{name}` has no floor in ARCHITECTURE.md"
        );
    }
}

#[test]
fn no_arrow_runs_upward_and_none_in_a_circle() {
    let (table, source) = (table(), Source::read());
    assert!(source.said.len() > 1_000, "{} paths", source.said.len());
    let mut upward = String::new();
    let mut arrows = Arrows::new();
    for Said { from, to, place } in &source.said {
        let rows = [from, to].map(|path| row_of(&table, &source.file_of(path)));
        let [Some((from, low)), Some((to, high))] = rows else {
            continue;
        };
        if from == to {
            continue;
        }
        if high > low {
            let (from, to) = (from.join("::"), to.join("::"));
            writeln!(
                upward,
                "{place}: {from} (floor {low}) uses {to} (floor {high})"
            )
            .unwrap();
        }
        let places = arrows.entry(from.clone()).or_default();
        places.entry(to.clone()).or_default().insert(place.clone());
    }
    assert!(upward.is_empty(), "arrows run upward:\n{upward}");
    let circles = circles(&arrows);
    assert!(circles.is_empty(), "modules use each other:\n{circles}");
}

#[test]
fn the_files_of_a_module_form_no_circle() {
    let source = Source::read();
    let mut arrows = Arrows::new();
    for Said { from, to, place } in &source.said {
        let [from, to] = [source.file_of(from), source.owner_of(to)];
        // What lies deeper belongs to the file above it, and the file of the module itself is its front.
        let [from, to] = [from, to].map(|file| file.into_iter().take(2).collect::<Module>());
        if from.len() == 2 && to.len() == 2 && from[0] == to[0] && from != to {
            let places = arrows.entry(from).or_default();
            places.entry(to).or_default().insert(place.clone());
        }
    }
    let circles = circles(&arrows);
    assert!(circles.is_empty(), "files use each other:\n{circles}");
}
