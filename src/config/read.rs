//! Reads a TOML document into types. A fault names its key and its place, and is worded for operators.

use std::fmt::Display;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use toml::Spanned;
use toml::de::{DeString, DeValue};

/// The fault of a value.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// The parts of the key, the innermost first.
    pub(super) path: Vec<String>,
    /// The byte of the document at which the faulty key or value begins.
    pub(super) offset: Option<usize>,
    /// `true` if the value should be a table.
    pub(super) is_no_table: bool,
}

impl Fault {
    fn new(message: String, hint: Option<String>) -> Fault {
        Fault {
            message,
            hint,
            path: Vec::new(),
            offset: None,
            is_no_table: false,
        }
    }

    /// Gives the fault a place, unless it has one further inside.
    fn at(mut self, offset: usize) -> Fault {
        self.offset.get_or_insert(offset);
        self
    }

    /// Adds the part of the key around the fault.
    fn within(mut self, part: impl Into<String>) -> Fault {
        self.path.push(part.into());
        self
    }

    fn unknown(what: &str, unknown: &str, known: &[&str]) -> Fault {
        let distance = |k: &&str| (strsim::damerau_levenshtein(unknown, k), k.len());
        let nearest = known.iter().min_by_key(|k| (distance(k).0, **k));
        let hint = match nearest.map(|k| (distance(k), k)) {
            Some(((distance, length), k)) if distance <= 2.max(length / 3) && distance < length => {
                format!("did you mean `{k}`?")
            }
            _ => format!("known here: {}", known.join(", ")),
        };
        Fault::new(format!("unknown {what} `{unknown}`"), Some(hint))
    }
}

impl Error for Fault {
    fn custom<T: Display>(message: T) -> Fault {
        Fault::new(message.to_string(), None)
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Fault {
        let found = match found {
            Unexpected::Str(text) => format!("the text {text:?}"),
            Unexpected::Signed(number) => format!("the number `{number}`"),
            Unexpected::Float(number) => format!("the number `{number}`"),
            Unexpected::Bool(value) => format!("`{value}`"),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Map => "a table".to_owned(),
            other => other.to_string(),
        };
        Fault::custom(format!("it is {found}, and should be {expected}"))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Fault {
        Fault::unknown("key", field, known)
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Fault {
        Fault::unknown("value", variant, known)
    }

    fn missing_field(field: &'static str) -> Fault {
        Fault::custom(format!("the key `{field}` is missing"))
    }
}

const TOO_LARGE: Unexpected<'_> = Unexpected::Other("a number that is too large");

/// A value of the document, to be read.
#[derive(Clone, Copy)]
pub(super) struct Value<'a>(pub(super) &'a Spanned<DeValue<'a>>);

impl<'a> Value<'a> {
    fn place(self) -> usize {
        self.0.span().start
    }

    /// Returns a fault that says what the value should be.
    fn should_be(self, expected: &str) -> Fault {
        let found = match self.0.get_ref() {
            DeValue::String(text) => Unexpected::Str(text),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Unexpected::Signed(number),
                    Err(_) => TOO_LARGE,
                }
            }
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => Unexpected::Float(number),
                Err(_) => TOO_LARGE,
            },
            DeValue::Boolean(value) => Unexpected::Bool(*value),
            DeValue::Datetime(_) => Unexpected::Other("a date"),
            DeValue::Array(_) => Unexpected::Seq,
            DeValue::Table(_) => Unexpected::Map,
        };
        Fault::invalid_type(found, &expected)
    }

    fn text(self) -> Result<&'a str, Fault> {
        match self.0.get_ref() {
            DeValue::String(text) => Ok(text),
            _ => Err(self.should_be("a text in quotes")),
        }
    }

    fn number<T: TryFrom<u64>>(self) -> Result<T, Fault> {
        let DeValue::Integer(number) = self.0.get_ref() else {
            return Err(self.should_be("a whole number, 0 or more"));
        };
        u64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| self.should_be("a whole number, 0 or more"))
    }
}

/// Reads unsigned numbers of the given sizes.
macro_rules! numbers {
    ($($read:ident $visit:ident)*) => {$(
        fn $read<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            visitor.$visit(self.number()?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Value<'_> {
    type Error = Fault;

    /// Reads a value that may be of several kinds.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.get_ref() {
            DeValue::Array(_) => self.deserialize_seq(visitor),
            DeValue::Table(_) => self.deserialize_map(visitor),
            DeValue::Boolean(_) => self.deserialize_bool(visitor),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => visitor.visit_i64(number),
                    Err(_) => Err(Error::invalid_type(TOO_LARGE, &visitor)),
                }
            }
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(Error::invalid_type(TOO_LARGE, &visitor)),
            },
            DeValue::String(_) | DeValue::Datetime(_) => self.deserialize_str(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.get_ref() {
            DeValue::Boolean(value) => visitor.visit_bool(*value),
            _ => Err(self.should_be("true or false, without quotes")),
        }
    }

    numbers! {
        deserialize_u8 visit_u8
        deserialize_u16 visit_u16
        deserialize_u32 visit_u32
        deserialize_u64 visit_u64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(StrDeserializer::<Fault>::new(self.text()?))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let DeValue::Array(items) = self.0.get_ref() else {
            return Err(self.should_be("a list, in brackets"));
        };
        visitor.visit_seq(Items(items.iter().enumerate()))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let DeValue::Table(table) = self.0.get_ref() else {
            return Err(Fault {
                is_no_table: true,
                ..Fault::custom("it should be a table")
            });
        };
        let entries = Entries {
            rest: table.iter(),
            value: None,
        };
        visitor.visit_map(entries)
    }

    /// Reads a table; a list in the order of the keys does not count as one.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct
        identifier ignored_any
    }
}

/// The items of a list.
struct Items<I>(I);

impl<'de, 'a, I: Iterator<Item = (usize, &'a Spanned<DeValue<'a>>)>> SeqAccess<'de> for Items<I> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some((number, item)) = self.0.next() else {
            return Ok(None);
        };
        let read = seed.deserialize(Value(item));
        read.map(Some)
            .map_err(|fault| fault.at(item.span().start).within(format!("[{number}]")))
    }
}

/// The entries of a table.
struct Entries<'a, I> {
    rest: I,
    value: Option<(&'a str, Value<'a>)>,
}

type Entry<'a> = (&'a Spanned<DeString<'a>>, &'a Spanned<DeValue<'a>>);

impl<'de, 'a, I: Iterator<Item = Entry<'a>>> MapAccess<'de> for Entries<'a, I> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some((key, value)) = self.rest.next() else {
            return Ok(None);
        };
        let name: &str = key.get_ref();
        self.value = Some((name, Value(value)));
        let read = seed.deserialize(IntoDeserializer::<Fault>::into_deserializer(name));
        read.map(Some)
            .map_err(|fault| fault.at(key.span().start).within(name))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (name, value) = self
            .value
            .take()
            .ok_or_else(|| Fault::custom("a value without a key"))?;
        seed.deserialize(value)
            .map_err(|fault| fault.at(value.place()).within(name))
    }
}
