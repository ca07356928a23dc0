//! Packages of our own as inputs of a merge: the list that a repository has when the run reads it.
//!
//! A list never changes, so the run goes on with the one that it began with, whatever is added meanwhile. It has no Release and no
//! signature: nobody but the user of aptmerge writes to the store.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::sync::Mutex;

use sha2::{Digest, Sha256};

use crate::collection::{Collection, Upstream};
use crate::deb::Kind;
use crate::deb822::{Stanzas, eq_name};
use crate::error::{Error, Result};
use crate::indices::IndexName;
use crate::layout::Layout;
use crate::merge::{IndexFacts, Input, InputFacts, Offers};
use crate::names::{Architecture, Component};
use crate::spec::{Content, Family, InputSpec, Spec};
use crate::store::{Package, Pinned, View};

use super::error::SpoolError;

/// The list of a collection, with its packages.
#[derive(Debug)]
pub(super) struct StoredSuite {
    pinned: Pinned,
    packages: Vec<Package>,
    /// The store, for what is read only when it is needed.
    view: Mutex<View>,
}

/// The lists of all collections that suites are made from; an error for each that has none.
pub(super) type Stored = BTreeMap<Collection, Result<StoredSuite>>;

/// Reads the lists of all collections that the suites name. Makes no store if there is none.
pub(super) fn pin(layout: &Layout, specs: &[Spec]) -> Stored {
    let inputs = specs.iter().flat_map(|spec| &spec.content.inputs);
    let named = inputs.filter_map(|input| match &input.suite {
        Upstream::Stored(collection) => Some(collection.clone()),
        Upstream::Suite(_) => None,
    });
    let named: BTreeSet<Collection> = named.collect();
    let lists = named.into_iter().map(|collection| {
        let list = StoredSuite::pin(layout, &collection);
        (collection, list)
    });
    lists.collect()
}

impl StoredSuite {
    fn pin(layout: &Layout, collection: &Collection) -> Result<Self> {
        let Some(view) = View::open(layout.root())? else {
            let collection = collection.to_string();
            return Err(SpoolError::NoStore { collection }.into());
        };
        let pinned = view.pin(collection)?;
        let packages = view.packages(&pinned)?;
        Ok(Self {
            pinned,
            packages,
            view: Mutex::new(view),
        })
    }

    /// Returns the list as an input of a suite.
    pub(super) fn input<'a>(&'a self, content: &Content, input: &InputSpec) -> StoredInput<'a> {
        let component = &self.pinned.component;
        let mut facts = InputFacts {
            name: format!("{} {}", input.archive, input.suite),
            fields: Ok(Vec::new()),
            date: self.pinned.changed,
            valid_until: None,
            indices: BTreeMap::new(),
            offers: Offers::default(),
        };
        for name in self.indices(content) {
            facts.offers.add(&name);
            if input.families.contains(&name.family()) {
                facts.indices.insert(name.clone(), self.facts(&name));
            }
        }
        StoredInput {
            list: self,
            component,
            facts,
        }
    }

    /// Returns the indices that the packages make up.
    fn indices(&self, content: &Content) -> BTreeSet<IndexName> {
        let component = || self.pinned.component.clone();
        let mut names = BTreeSet::new();
        for package in &self.packages {
            let Ok(architecture) = Architecture::new(package.key.architecture.as_str()) else {
                names.insert(IndexName::Sources(component()));
                continue;
            };
            match package.kind {
                Kind::Source => names.extend([IndexName::Sources(component())]),
                Kind::Installer => names.extend([IndexName::Installer(component(), architecture)]),
                Kind::Binary => {
                    // Packages for all architectures stand in the Contents of each.
                    let of: Vec<&str> = match architecture.is_all() {
                        true => content.architectures.iter().map(|a| a.as_str()).collect(),
                        false => vec![architecture.as_str()],
                    };
                    let contents = of.iter().map(|of| (*of).to_owned());
                    names.extend(contents.map(|of| IndexName::Contents(component(), of)));
                    names.insert(IndexName::Packages(component(), architecture));
                }
            }
        }
        names
    }

    /// Returns the facts of an index. Those of a Contents are a digest of what it is made from, since it is long.
    fn facts(&self, name: &IndexName) -> IndexFacts {
        if name.family() != Family::Contents {
            let text = self.text(name);
            return IndexFacts {
                sha256: Sha256::digest(&text).into(),
                size: text.len() as u64,
            };
        }
        let mut hasher = Sha256::new();
        let mut size = 0;
        for package in self.packages_in(name) {
            for file in &package.files {
                hasher.update(file.sha256);
                size += file.size;
            }
            hasher.update(section(package).unwrap_or_default());
            hasher.update(b"\n");
        }
        IndexFacts {
            sha256: hasher.finalize().into(),
            size,
        }
    }

    /// Returns the packages that an index speaks of.
    fn packages_in<'n>(&'n self, name: &'n IndexName) -> impl Iterator<Item = &'n Package> {
        self.packages.iter().filter(move |package| {
            let architecture = package.key.architecture.as_str();
            match (name, package.kind) {
                (IndexName::Packages(_, a), Kind::Binary)
                | (IndexName::Installer(_, a), Kind::Installer) => a.as_str() == architecture,
                (IndexName::Sources(_), Kind::Source) => true,
                (IndexName::Contents(_, of), Kind::Binary) => {
                    of == architecture || architecture == "all"
                }
                _ => false,
            }
        })
    }

    /// Returns the text of an index of stanzas.
    fn text(&self, name: &IndexName) -> Vec<u8> {
        let mut text = Vec::new();
        for package in self.packages_in(name) {
            text.extend(package.indexed(&self.pinned.component));
            text.push(b'\n');
        }
        text
    }

    /// Returns the text of a Contents: a line for each path, sorted, with the packages that have it.
    fn contents(&self, name: &IndexName) -> Result<Vec<u8>> {
        let view = self
            .view
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut owners: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for package in self.packages_in(name) {
            let mut owner = section(package).map_or_else(Vec::new, |s| [s, b"/"].concat());
            owner.extend_from_slice(package.key.name.as_bytes());
            let paths = view.contents(package)?;
            for path in paths.split(|b| *b == b'\n').filter(|path| !path.is_empty()) {
                owners
                    .entry(path.to_owned())
                    .or_default()
                    .insert(owner.clone());
            }
        }
        let mut text = Vec::new();
        for (path, owners) in owners {
            let owners: Vec<_> = owners.into_iter().collect();
            text.extend(path);
            text.extend_from_slice(b"  ");
            text.extend(owners.join(&b','));
            text.push(b'\n');
        }
        Ok(text)
    }
}

/// Returns the section of a package, if it has one.
fn section(package: &Package) -> Option<&[u8]> {
    let stanza = Stanzas::new(&package.stanza).next()?;
    let mut fields = stanza.fields().map_while(Result::ok);
    let section = fields.find(|field| eq_name(field.name, "Section"))?;
    let is_plain = section.value.iter().all(u8::is_ascii_graphic) && !section.value.contains(&b',');
    is_plain.then_some(section.value)
}

/// A list as an input of a suite.
pub(super) struct StoredInput<'a> {
    list: &'a StoredSuite,
    component: &'a Component,
    facts: InputFacts,
}

impl Input for StoredInput<'_> {
    fn facts(&self) -> &InputFacts {
        &self.facts
    }

    fn read(&self, name: &IndexName) -> Result<Option<Vec<u8>>> {
        match self.has(name) {
            false => Ok(None),
            true if name.family() == Family::Contents => self.list.contents(name).map(Some),
            true => Ok(Some(self.list.text(name))),
        }
    }

    fn open(&self, name: &IndexName) -> Result<Option<Box<dyn Read + Send + '_>>> {
        let text = self.read(name)?;
        Ok(text.map(|text| Box::new(Cursor::new(text)) as Box<dyn Read + Send>))
    }

    fn files(&self) -> Vec<(String, PathBuf)> {
        let view = self
            .list
            .view
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut files = Vec::new();
        for package in &self.list.packages {
            for file in &package.files {
                files.push((package.path(self.component, file), view.file(&file.sha256)));
            }
        }
        files
    }
}

/// Returns why a collection has no list.
pub(super) fn lacks(stored: &Stored, collection: &Collection) -> Error {
    match stored.get(collection) {
        Some(Err(error)) => error.clone(),
        _ => {
            let collection = collection.to_string();
            SpoolError::NoStore { collection }.into()
        }
    }
}
