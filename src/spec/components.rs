//! The components that are taken from an archive, and the names under which they are published.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::names::Component;

/// The components that are taken from an archive, each with the component that its packages are published in.
///
/// Written as a list where all names stay as they are: `["main", "universe"]`; else as a table: `{ stable = "main", test = "main" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentMap {
    ours: BTreeMap<Component, Component>,
}

impl ComponentMap {
    /// Returns the component that a component of the archive is published in.
    pub fn ours(&self, theirs: &Component) -> Option<&Component> {
        self.ours.get(theirs)
    }

    /// Returns the components of the archive that are published in one of ours.
    pub fn theirs(&self, ours: &Component) -> impl Iterator<Item = &Component> {
        let pairs = self.pairs().filter(move |(_, name)| *name == ours);
        pairs.map(|(theirs, _)| theirs)
    }

    /// Returns the components of the archive, each with ours.
    pub fn pairs(&self) -> impl Iterator<Item = (&Component, &Component)> {
        self.ours.iter()
    }

    /// Returns whether nothing is taken.
    pub fn is_empty(&self) -> bool {
        self.ours.is_empty()
    }
}

impl Serialize for ComponentMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.pairs().all(|(theirs, ours)| theirs == ours) {
            true => serializer.collect_seq(self.ours.keys()),
            false => self.ours.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ComponentMap {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct ListOrTable;

        impl<'de> Visitor<'de> for ListOrTable {
            type Value = BTreeMap<Component, Component>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a list of components, or a table from the archive's components to ours",
                )
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut ours = BTreeMap::new();
                while let Some(component) = items.next_element::<Component>()? {
                    let twice = ours.insert(component.clone(), component);
                    if let Some(twice) = twice {
                        return Err(A::Error::custom(format!("`{twice}` stands there twice")));
                    }
                }
                Ok(ours)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut ours = BTreeMap::new();
                while let Some((theirs, name)) = entries.next_entry()? {
                    ours.insert(theirs, name);
                }
                Ok(ours)
            }
        }

        let ours = input.deserialize_any(ListOrTable)?;
        Ok(Self { ours })
    }
}
