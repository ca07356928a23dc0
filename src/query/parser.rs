//! The grammar of queries.

use super::lexer::{Token, tokens};
use super::terms::{Condition, Operator, Term};
use super::{Expression, MAX_DEPTH, QueryError};

struct Parser {
    tokens: std::vec::IntoIter<Token>,
    next: Token,
    depth: usize,
}

/// Reads a query.
pub(super) fn parse(text: &str) -> Result<Expression, QueryError> {
    let tokens = tokens(text)?.into_iter();
    let mut parser = Parser {
        tokens,
        next: Token::End,
        depth: 0,
    };
    parser.advance();
    let expression = parser.query()?;
    match parser.next {
        Token::End => Ok(expression),
        _ => Err(parser.unexpected("end of query")),
    }
}

impl Parser {
    fn advance(&mut self) -> Token {
        let next = self.tokens.next().unwrap_or(Token::End);
        std::mem::replace(&mut self.next, next)
    }

    fn unexpected(&self, expected: &str) -> QueryError {
        let found = self.next.shown();
        QueryError(format!(
            "parsing failed: unexpected token {found}: expecting {expected}"
        ))
    }

    fn takes(&mut self, sign: &'static str) -> bool {
        let is_it = self.next == Token::Sign(sign);
        if is_it {
            self.advance();
        }
        is_it
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), QueryError> {
        match self.takes(sign) {
            true => Ok(()),
            false => Err(self.unexpected(&format!("'{sign}'"))),
        }
    }

    /// Goes one level deeper; each level is a call of its own.
    fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let why = format!("parsing failed: more than {MAX_DEPTH} terms are nested");
            return Err(QueryError(why));
        }
        let outcome = read(self);
        self.depth -= 1;
        outcome
    }

    fn query(&mut self) -> Result<Expression, QueryError> {
        let mut all = vec![self.and()?];
        while self.takes("|") {
            all.push(self.and()?);
        }
        Ok(joined(all, Expression::Or))
    }

    fn and(&mut self) -> Result<Expression, QueryError> {
        let mut all = vec![self.not()?];
        while self.takes(",") {
            all.push(self.not()?);
        }
        Ok(joined(all, Expression::And))
    }

    fn not(&mut self) -> Result<Expression, QueryError> {
        if self.takes("!") {
            let inner = self.deeper(Self::not)?;
            return Ok(Expression::Not(Box::new(inner)));
        }
        if self.takes("(") {
            let inner = self.deeper(Self::query)?;
            self.expect(")")?;
            return Ok(inner);
        }
        self.term().map(Expression::Term)
    }

    fn term(&mut self) -> Result<Term, QueryError> {
        let Token::Word(_) = self.next else {
            return Err(self.unexpected("field or package name"));
        };
        let Token::Word(word) = self.advance() else {
            return Err(self.unexpected("field or package name"));
        };
        let condition = self.condition()?;
        if is_field(&word) {
            return Ok(Term::Field {
                name: word,
                condition,
            });
        }
        if condition.is_none()
            && let Some((name, rest)) = word.split_once('_')
            && let Some((version, architecture)) = rest.rsplit_once('_')
        {
            return Ok(Term::Exact {
                name: name.to_owned(),
                version: version.to_owned(),
                architecture: architecture.to_owned(),
            });
        }
        let architecture = match self.takes("{") {
            false => None,
            true => {
                let architecture = self.value("architecture")?;
                self.expect("}")?;
                Some(architecture)
            }
        };
        Ok(Term::Package {
            name: word,
            condition,
            architecture,
        })
    }

    fn condition(&mut self) -> Result<Option<Condition>, QueryError> {
        if !self.takes("(") {
            return Ok(None);
        }
        let operator = match &self.next {
            Token::Sign(sign) => Operator::of(sign),
            _ => None,
        };
        if operator.is_some() {
            self.advance();
        }
        let value = self.value("value")?;
        self.expect(")")?;
        Condition::new(operator.unwrap_or(Operator::Equal), value).map(Some)
    }

    fn value(&mut self, what: &str) -> Result<String, QueryError> {
        match &self.next {
            Token::Word(_) => match self.advance() {
                Token::Word(word) => Ok(word),
                _ => Err(self.unexpected(what)),
            },
            _ => Err(self.unexpected(what)),
        }
    }
}

/// Joins expressions; one stays as it is.
fn joined(mut all: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    match all.pop() {
        Some(only) if all.is_empty() => only,
        last => {
            all.extend(last);
            join(all)
        }
    }
}

/// Returns whether a word is the name of a field.
fn is_field(word: &str) -> bool {
    let is_upper = word.chars().next().is_some_and(char::is_uppercase);
    word.starts_with('$') || (is_upper && !word.contains('_'))
}
