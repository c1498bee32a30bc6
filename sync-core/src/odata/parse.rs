//! OData text becomes a condition.
//!
//! The grammar is the one the Node server has (keywords in lower case, `not` and `-` bind tighter than any
//! comparison, `null` only on the right). OData 4 brings instants, times of day and uuids without quotes, `cast`, and `in`;
//! the literals in quotes of OData 3 are then unknown. What a client sends is hostile until parsed: length, depth and number
//! of nodes are limited, and lists of any length cost no stack.

use std::error::Error as StdError;
use std::fmt;

use chrono::NaiveTime;

use crate::entity::TableSchema;
use crate::odata::literal::{self, Spelled};
use crate::odata::{ARITHMETIC, COMPARISONS, Form, continues_name, find_column, signatures, starts_name};
use crate::predicate::{Comparison, Function, Kind, Node};
use crate::protocol::Dialect;
use crate::value::{ColumnType, Value};

/// What a filter may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest text in bytes; default 16 KiB.
    pub max_length: usize,
    /// Deepest nesting of parentheses, functions, `not`, and of calculations or comparisons one behind the
    /// other; default 64, more than 128 counts as 128.
    pub max_depth: usize,
    /// Most nodes of the tree; default 500.
    pub max_nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_length: 16 * 1024, max_depth: 64, max_nodes: 500 }
    }
}

/// Why a filter was refused, and where. The message never repeats the filter's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    kind: ParseErrorKind,
    position: usize,
    message: &'static str,
}

/// The class of a [`ParseError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The text is not a filter.
    Syntax,
    /// A name that is no column of the table.
    UnknownColumn,
    /// A function, operator or literal this server does not have.
    Unsupported,
    /// A comparison or function with values of the wrong kind, or a filter that is no condition.
    TypeMismatch,
    /// A constant that is no value of its type.
    InvalidLiteral,
    /// The filter is longer, deeper or larger than the [`Limits`].
    TooLarge,
}

impl ParseError {
    fn new(kind: ParseErrorKind, position: usize, message: &'static str) -> Self {
        Self { kind, position, message }
    }

    /// The class of the error.
    pub fn kind(&self) -> ParseErrorKind {
        self.kind
    }

    /// Where in the decoded text, in bytes from 0.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at index {})", self.message, self.position)
    }
}

impl StdError for ParseError {}

/// Parses the decoded text of `$filter=`.
///
/// Columns are known by their wire names in the dialect, in exact spelling. Text compared with a uuid or date
/// column is read as such a value; a number with a point compared with an `f32` column is read as an `f32`, as
/// the row's JSON would be. Nested lists of `and` and of `or` are joined; everything else is kept as written.
///
/// # Errors
///
/// [`ParseError`] with the position; nothing of the text is repeated in its message.
pub fn parse(
    text: &str,
    table: &'static TableSchema,
    dialect: Dialect,
    limits: &Limits,
) -> Result<Node, ParseError> {
    let mut parser = Parser::new(text, table, dialect, limits)?;
    let term = parser.expression()?;
    if parser.token != Token::End {
        return Err(parser.unexpected());
    }
    parser.condition(term)
}

/// Parses the decoded text of `$orderby=`: keys separated by commas, each a column or an expression of columns, with
/// `asc` or `desc` behind it. Gives the keys as written, with whether the greatest comes first; empty text is no key.
///
/// The directions are lower case in v1, any case in v2 and v3, as their servers have it.
///
/// # Errors
///
/// As [`parse`]; a constant as a key.
pub fn parse_order(
    text: &str,
    table: &'static TableSchema,
    dialect: Dialect,
    limits: &Limits,
) -> Result<Vec<(Node, bool)>, ParseError> {
    let mut parser = Parser::new(text, table, dialect, limits)?;
    let mut keys = Vec::new();
    while parser.token != Token::End {
        if !keys.is_empty() {
            parser.expect(Token::Comma, "a comma is missing")?;
        }
        let term = parser.expression()?;
        let Part::Node(key) = term.node else {
            return Err(ParseError::new(
                ParseErrorKind::Unsupported,
                term.start,
                "a constant orders nothing",
            ));
        };
        keys.push((key, parser.direction()?));
    }
    Ok(keys)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'t> {
    End,
    Open,
    Close,
    Comma,
    Minus,
    Slash,
    Dot,
    /// A word: keyword, column or function.
    Name(&'t str),
    /// The inside of a string, quotes still doubled.
    Quoted(&'t str),
    /// A word and the inside of the string that follows it directly.
    Prefixed(&'t str, &'t str),
    /// A number without its sign.
    Number(&'t str),
    /// A date or an instant without quotes (OData 4).
    Instant(&'t str),
    /// A time of day without quotes (OData 4).
    Time(&'t str),
    /// A uuid without quotes (OData 4).
    Uuid(&'t str),
}

/// A parsed part, with its place for errors.
struct Term {
    node: Part,
    start: usize,
}

enum Part {
    Node(Node),
    /// A constant, not yet fitted to the other side of its comparison.
    Constant(Spelled),
}

impl Part {
    fn kind(&self) -> Kind {
        match self {
            Self::Node(node) => node.kind(),
            Self::Constant(spelled) => spelled.kind(),
        }
    }

    /// Whether this is an instant, a day or a time of day; a constant midnight may stand for a day.
    fn form(&self) -> Option<Form> {
        match self {
            Self::Node(node) if node.kind() == Kind::DateTime => Some(Form::of(node)),
            Self::Constant(Spelled::Time(_)) => Some(Form::TimeOfDay),
            Self::Constant(Spelled::Value(Value::DateTime(instant))) if instant.time() != NaiveTime::MIN => {
                Some(Form::Instant)
            }
            _ => None,
        }
    }

    fn column(&self) -> Option<ColumnType> {
        match self {
            Self::Node(Node::Column(column)) => Some(column.ty),
            _ => None,
        }
    }
}

struct Parser<'t> {
    text: &'t str,
    /// End of the current token.
    position: usize,
    /// Start of the current token.
    start: usize,
    token: Token<'t>,
    table: &'static TableSchema,
    dialect: Dialect,
    /// Levels left.
    depth: usize,
    /// Nodes left.
    nodes: usize,
}

impl<'t> Parser<'t> {
    /// Stands before the first token.
    fn new(
        text: &'t str,
        table: &'static TableSchema,
        dialect: Dialect,
        limits: &Limits,
    ) -> Result<Self, ParseError> {
        if text.len() > limits.max_length {
            return Err(ParseError::new(ParseErrorKind::TooLarge, limits.max_length, "the text is too long"));
        }
        let mut parser = Self {
            text,
            position: 0,
            start: 0,
            token: Token::End,
            table,
            dialect,
            depth: limits.max_depth.min(128),
            nodes: limits.max_nodes,
        };
        parser.advance()?;
        Ok(parser)
    }

    /// What stands behind a key of an order: whether the greatest comes first.
    fn direction(&mut self) -> Result<bool, ParseError> {
        let is = |word: &str, direction: &str| match self.dialect {
            Dialect::MobileServices => word == direction,
            _ => word.eq_ignore_ascii_case(direction),
        };
        let descending = match self.token {
            Token::Name(word) if is(word, "asc") => false,
            Token::Name(word) if is(word, "desc") => true,
            Token::Comma | Token::End => return Ok(false),
            _ => return Err(self.error(ParseErrorKind::Syntax, "the directions are asc and desc")),
        };
        self.advance()?;
        Ok(descending)
    }

    // --- grammar ---

    fn expression(&mut self) -> Result<Term, ParseError> {
        let first = self.conjunction()?;
        if self.token != Token::Name("or") {
            return Ok(first);
        }
        self.count()?;
        let start = first.start;
        let mut node = Node::Or(Vec::new()).or(self.condition(first)?);
        while self.token == Token::Name("or") {
            self.advance()?;
            let next = self.conjunction()?;
            node = node.or(self.condition(next)?);
        }
        Ok(Term { node: Part::Node(node), start })
    }

    fn conjunction(&mut self) -> Result<Term, ParseError> {
        let first = self.comparison()?;
        if self.token != Token::Name("and") {
            return Ok(first);
        }
        self.count()?;
        let start = first.start;
        let mut node = Node::And(Vec::new()).and(self.condition(first)?);
        while self.token == Token::Name("and") {
            self.advance()?;
            let next = self.comparison()?;
            node = node.and(self.condition(next)?);
        }
        Ok(Term { node: Part::Node(node), start })
    }

    fn comparison(&mut self) -> Result<Term, ParseError> {
        let mut left = self.sum()?;
        let outside = self.depth;
        while let Token::Name(word) = self.token {
            if word == "in" && self.dialect == Dialect::Datasync {
                left = self.one_of(left)?;
                continue;
            }
            let Some((comparison, _)) = COMPARISONS.iter().find(|(_, name)| *name == word) else { break };
            // The tree gets one level deeper.
            self.enter()?;
            if left.node.kind() == Kind::Null {
                return Err(ParseError::new(
                    ParseErrorKind::Syntax,
                    left.start,
                    "null stands only on the right of a comparison",
                ));
            }
            let operator = self.start;
            self.advance()?;
            let right = self.sum()?;
            left = self.compare(*comparison, left, right, operator)?;
        }
        self.depth = outside;
        Ok(left)
    }

    /// `expression in (constant, ..)`: the list of its comparisons.
    fn one_of(&mut self, left: Term) -> Result<Term, ParseError> {
        let Part::Node(left_node) = left.node else {
            return Err(ParseError::new(
                ParseErrorKind::Unsupported,
                left.start,
                "a constant cannot stand left of 'in'",
            ));
        };
        let operator = self.start;
        self.advance()?;
        self.expect(Token::Open, "an opening parenthesis is missing")?;
        self.count()?;
        let mut any = Vec::new();
        loop {
            let constant = self.unary()?;
            if matches!(constant.node, Part::Node(_)) {
                return Err(ParseError::new(
                    ParseErrorKind::Unsupported,
                    constant.start,
                    "only constants can stand right of 'in'",
                ));
            }
            // Each comparison has the expression once more; a column is counted with its constant.
            if !matches!(left_node, Node::Column(_)) {
                self.count_all(&left_node)?;
            }
            let this = Term { node: Part::Node(left_node.clone()), start: left.start };
            let equal = self.compare(Comparison::Eq, this, constant, operator)?;
            any.push(self.condition(equal)?);
            if self.token != Token::Comma {
                break;
            }
            self.advance()?;
        }
        self.expect(Token::Close, "a closing parenthesis is missing")?;
        Ok(Term { node: Part::Node(Node::Or(any)), start: left.start })
    }

    fn sum(&mut self) -> Result<Term, ParseError> {
        let mut left = self.product()?;
        let outside = self.depth;
        while let Some(function) = self.operator(false) {
            let operator = self.start;
            // The tree gets one level deeper.
            self.enter()?;
            self.advance()?;
            let right = self.product()?;
            left = self.arithmetic(function, left, right, operator)?;
        }
        self.depth = outside;
        Ok(left)
    }

    fn product(&mut self) -> Result<Term, ParseError> {
        let mut left = self.unary()?;
        let outside = self.depth;
        while let Some(function) = self.operator(true) {
            let operator = self.start;
            // The tree gets one level deeper.
            self.enter()?;
            self.advance()?;
            let right = self.unary()?;
            left = self.arithmetic(function, left, right, operator)?;
        }
        self.depth = outside;
        Ok(left)
    }

    fn operator(&self, tight: bool) -> Option<Function> {
        let Token::Name(word) = self.token else { return None };
        ARITHMETIC.iter().find(|each| each.1 == word && each.2 == tight).map(|each| each.0)
    }

    fn arithmetic(
        &mut self,
        function: Function,
        left: Term,
        right: Term,
        operator: usize,
    ) -> Result<Term, ParseError> {
        self.count()?;
        if left.node.kind() != Kind::Number || right.node.kind() != Kind::Number {
            return Err(ParseError::new(
                ParseErrorKind::TypeMismatch,
                operator,
                "only numbers can be calculated with",
            ));
        }
        let start = left.start;
        let (left_column, right_column) = (left.node.column(), right.node.column());
        let arguments = vec![fit(left, right_column)?, fit(right, left_column)?];
        Ok(Term { node: Part::Node(Node::Call(function, arguments)), start })
    }

    fn unary(&mut self) -> Result<Term, ParseError> {
        let start = self.start;
        match self.token {
            Token::Name("not") => {
                self.enter()?;
                self.advance()?;
                let inner = self.unary()?;
                self.leave();
                let inner = self.condition(inner)?;
                self.count()?;
                Ok(Term { node: Part::Node(Node::Not(Box::new(inner))), start })
            }
            Token::Minus => {
                self.advance()?;
                if let Token::Number(number) = self.token {
                    return self.number(number, true, start);
                }
                self.enter()?;
                let inner = self.unary()?;
                self.leave();
                // The tree has no sign: `0 sub x` is the same number.
                self.count()?;
                let zero = Term { node: Part::Constant(Spelled::Value(Value::Integer(0))), start };
                self.arithmetic(Function::Sub, zero, inner, start)
            }
            _ => self.primary(),
        }
    }

    fn primary(&mut self) -> Result<Term, ParseError> {
        let start = self.start;
        let spelled = match self.token {
            Token::Open => {
                self.enter()?;
                self.advance()?;
                let inner = self.expression()?;
                self.leave();
                self.expect(Token::Close, "a closing parenthesis is missing")?;
                return Ok(Term { node: inner.node, start });
            }
            Token::Number(number) => return self.number(number, false, start),
            Token::Quoted(inside) => Spelled::Value(Value::Text(inside.replace("''", "'"))),
            Token::Instant(text) => {
                let Some(value) = literal::parse_instant(text) else {
                    return Err(self.error(ParseErrorKind::InvalidLiteral, "not a valid instant"));
                };
                Spelled::Value(value)
            }
            Token::Time(text) => {
                let Some(value) = literal::parse_time(text) else {
                    return Err(self.error(ParseErrorKind::InvalidLiteral, "not a valid time of day"));
                };
                Spelled::Time(value)
            }
            Token::Uuid(text) => {
                let Ok(uuid) = uuid::Uuid::try_parse(text) else {
                    return Err(self.error(ParseErrorKind::InvalidLiteral, "not a valid uuid"));
                };
                Spelled::Value(Value::Uuid(uuid))
            }
            Token::Prefixed("datetimeoffset" | "datetime", inside) if self.dialect != Dialect::Datasync => {
                let Some(value) = literal::parse_instant(inside) else {
                    return Err(self.error(ParseErrorKind::InvalidLiteral, "not a valid instant"));
                };
                Spelled::Value(value)
            }
            Token::Prefixed(..) => {
                return Err(self.error(ParseErrorKind::Unsupported, "an unknown kind of literal"));
            }
            Token::Name("null") => Spelled::Value(Value::Null),
            Token::Name("true") => Spelled::Value(Value::Bool(true)),
            Token::Name("false") => Spelled::Value(Value::Bool(false)),
            Token::Name(name) => {
                self.advance()?;
                return if self.token == Token::Open {
                    if name == "cast" && self.dialect == Dialect::Datasync {
                        return self.cast(start);
                    }
                    self.call(name, start)
                } else {
                    self.member(name, start)
                };
            }
            _ => return Err(self.unexpected()),
        };
        self.count()?;
        self.advance()?;
        Ok(Term { node: Part::Constant(spelled), start })
    }

    fn number(&mut self, text: &str, negative: bool, start: usize) -> Result<Term, ParseError> {
        let Some(spelled) = literal::parse_number(text, negative) else {
            return Err(self.error(ParseErrorKind::InvalidLiteral, "not a valid number"));
        };
        self.count()?;
        self.advance()?;
        Ok(Term { node: Part::Constant(spelled), start })
    }

    /// `name ('/' name)*`: only the last name counts.
    fn member(&mut self, name: &'t str, start: usize) -> Result<Term, ParseError> {
        let (mut name, mut place) = (name, start);
        while self.token == Token::Slash {
            self.advance()?;
            let Token::Name(next) = self.token else { return Err(self.unexpected()) };
            (name, place) = (next, self.start);
            self.advance()?;
        }
        let Some(column) = find_column(self.table, name, self.dialect) else {
            return Err(ParseError::new(
                ParseErrorKind::UnknownColumn,
                place,
                "the table has no such column",
            ));
        };
        self.count()?;
        Ok(Term { node: Part::Node(Node::Column(column)), start })
    }

    /// `cast(literal,Edm.Type)`: says the type of a literal, nothing is converted.
    fn cast(&mut self, start: usize) -> Result<Term, ParseError> {
        self.advance()?;
        let place = self.start;
        let literal = self.token;
        self.advance()?;
        self.expect(Token::Comma, "a comma is missing")?;
        if self.token != Token::Name("Edm") {
            return Err(self.error(ParseErrorKind::Unsupported, "an unknown type of a cast"));
        }
        self.advance()?;
        self.expect(Token::Dot, "a point is missing")?;
        let (Token::Name(ty), at) = (self.token, self.start) else {
            return Err(self.unexpected());
        };
        self.advance()?;
        self.expect(Token::Close, "a closing parenthesis is missing")?;
        let value = match (ty, literal) {
            ("DateTimeOffset" | "Date", Token::Instant(text) | Token::Quoted(text)) => {
                literal::parse_instant(text)
            }
            ("TimeOfDay", Token::Time(text) | Token::Quoted(text)) => literal::parse_time(text),
            ("Guid", Token::Uuid(text) | Token::Quoted(text)) => {
                uuid::Uuid::try_parse(text).ok().map(Value::Uuid)
            }
            ("DateTimeOffset" | "Date" | "TimeOfDay" | "Guid", _) => None,
            _ => {
                return Err(ParseError::new(ParseErrorKind::Unsupported, at, "an unknown type of a cast"));
            }
        };
        self.count()?;
        match value {
            Some(value) if ty == "TimeOfDay" => {
                Ok(Term { node: Part::Constant(Spelled::Time(value)), start })
            }
            Some(value) => Ok(Term { node: Part::Constant(Spelled::Value(value)), start }),
            None => Err(ParseError::new(
                ParseErrorKind::InvalidLiteral,
                place,
                "the literal of a cast is not of its type",
            )),
        }
    }

    fn call(&mut self, name: &str, start: usize) -> Result<Term, ParseError> {
        if signatures(self.dialect).all(|signature| signature.name != name) {
            return Err(ParseError::new(ParseErrorKind::Unsupported, start, "an unknown function"));
        }
        self.count()?;
        self.enter()?;
        self.advance()?;
        let mut arguments = Vec::new();
        while self.token != Token::Close {
            if !arguments.is_empty() {
                self.expect(Token::Comma, "a comma is missing")?;
            }
            arguments.push(self.expression()?);
        }
        let close = self.start;
        self.leave();
        self.advance()?;
        let Some(signature) = signatures(self.dialect)
            .find(|signature| signature.name == name && signature.arguments.len() == arguments.len())
        else {
            return Err(ParseError::new(
                ParseErrorKind::TypeMismatch,
                close,
                "a function has too few or too many arguments",
            ));
        };
        if signature.reversed {
            arguments.reverse();
        }
        for (argument, wanted) in arguments.iter().zip(signature.arguments) {
            if argument.node.kind() != *wanted {
                return Err(ParseError::new(
                    ParseErrorKind::TypeMismatch,
                    argument.start,
                    "a function's argument is of the wrong kind",
                ));
            }
        }
        let arguments =
            arguments.into_iter().map(|argument| fit(argument, None)).collect::<Result<_, _>>()?;
        Ok(Term { node: Part::Node(Node::Call(signature.function, arguments)), start })
    }

    // --- types ---

    fn compare(
        &mut self,
        comparison: Comparison,
        left: Term,
        right: Term,
        operator: usize,
    ) -> Result<Term, ParseError> {
        self.count()?;
        let start = left.start;
        let (left_column, right_column) = (left.node.column(), right.node.column());
        let one_form = match (left.node.form(), right.node.form()) {
            (Some(left), Some(right)) => left == right,
            (Some(Form::TimeOfDay), None) => right.node.kind() == Kind::Null,
            (None, Some(Form::TimeOfDay)) => false,
            _ => true,
        };
        let left = fit(left, right_column)?;
        let right = fit(right, left_column)?;
        if !one_form || !left.kind().is_comparable_with(right.kind()) {
            return Err(ParseError::new(
                ParseErrorKind::TypeMismatch,
                operator,
                "values of different kinds cannot be compared",
            ));
        }
        Ok(Term { node: Part::Node(Node::Compare(comparison, Box::new(left), Box::new(right))), start })
    }

    fn condition(&self, term: Term) -> Result<Node, ParseError> {
        if term.node.kind() == Kind::Bool {
            fit(term, None)
        } else {
            Err(ParseError::new(
                ParseErrorKind::TypeMismatch,
                term.start,
                "a value stands where a condition must",
            ))
        }
    }

    // --- limits ---

    fn count(&mut self) -> Result<(), ParseError> {
        self.nodes = self
            .nodes
            .checked_sub(1)
            .ok_or_else(|| self.error(ParseErrorKind::TooLarge, "the filter has too many parts"))?;
        Ok(())
    }

    /// Counts a tree that is used once more.
    fn count_all(&mut self, node: &Node) -> Result<(), ParseError> {
        self.count()?;
        match node {
            Node::Compare(_, left, right) => {
                self.count_all(left)?;
                self.count_all(right)
            }
            Node::And(parts) | Node::Or(parts) | Node::Call(_, parts) => {
                parts.iter().try_for_each(|part| self.count_all(part))
            }
            Node::Not(inner) => self.count_all(inner),
            Node::Column(_) | Node::Literal(_) => Ok(()),
        }
    }

    fn enter(&mut self) -> Result<(), ParseError> {
        self.depth = self
            .depth
            .checked_sub(1)
            .ok_or_else(|| self.error(ParseErrorKind::TooLarge, "the filter is nested too deeply"))?;
        Ok(())
    }

    fn leave(&mut self) {
        self.depth += 1;
    }

    // --- tokens ---

    fn advance(&mut self) -> Result<(), ParseError> {
        let rest =
            self.text[self.position..].trim_start_matches(|character: char| character.is_ascii_whitespace());
        self.start = self.text.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            self.position = self.text.len();
            self.token = Token::End;
            return Ok(());
        };
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            '-' => (Token::Minus, 1),
            '/' => (Token::Slash, 1),
            '\'' => {
                let inside = self.quoted(rest)?;
                (Token::Quoted(inside), inside.len() + 2)
            }
            _ if self.dialect == Dialect::Datasync && is_uuid(rest) => (Token::Uuid(&rest[..36]), 36),
            '0'..='9' if self.dialect == Dialect::Datasync && is_date(rest) => {
                let length = instant_length(rest);
                (Token::Instant(&rest[..length]), length)
            }
            '0'..='9' if self.dialect == Dialect::Datasync && is_time(rest) => {
                let length = instant_length(rest);
                (Token::Time(&rest[..length]), length)
            }
            '.' if self.dialect == Dialect::Datasync
                && !rest[1..].starts_with(|next: char| next.is_ascii_digit()) =>
            {
                (Token::Dot, 1)
            }
            '0'..='9' | '.' => {
                let length = number_length(rest);
                (Token::Number(&rest[..length]), length)
            }
            first if starts_name(first) => {
                let length = rest.find(|character| !continues_name(character)).unwrap_or(rest.len());
                let name = &rest[..length];
                if rest[length..].starts_with('\'') {
                    let inside = self.quoted(&rest[length..])?;
                    (Token::Prefixed(name, inside), length + inside.len() + 2)
                } else {
                    (Token::Name(name), length)
                }
            }
            _ => return Err(self.error(ParseErrorKind::Syntax, "an unexpected character")),
        };
        self.token = token;
        self.position = self.start + length;
        Ok(())
    }

    /// The inside of the string `rest` starts with.
    fn quoted(&self, rest: &'t str) -> Result<&'t str, ParseError> {
        let bytes = rest.as_bytes();
        let mut end = 1;
        loop {
            match (bytes.get(end), bytes.get(end + 1)) {
                (Some(b'\''), Some(b'\'')) => end += 2,
                (Some(b'\''), _) => return Ok(&rest[1..end]),
                (Some(_), _) => end += 1,
                (None, _) => return Err(self.error(ParseErrorKind::Syntax, "a string has no end")),
            }
        }
    }

    fn expect(&mut self, token: Token<'_>, message: &'static str) -> Result<(), ParseError> {
        if self.token != token {
            return Err(self.error(ParseErrorKind::Syntax, message));
        }
        self.advance()
    }

    fn unexpected(&self) -> ParseError {
        let message = match self.token {
            Token::End => "the filter ends too early",
            _ => "an unexpected word or sign",
        };
        self.error(ParseErrorKind::Syntax, message)
    }

    fn error(&self, kind: ParseErrorKind, message: &'static str) -> ParseError {
        ParseError::new(kind, self.start, message)
    }
}

/// The node of a term whose neighbour is a column of this type.
fn fit(term: Term, column: Option<ColumnType>) -> Result<Node, ParseError> {
    match term.node {
        Part::Node(node) => Ok(node),
        Part::Constant(spelled) => literal::fit(spelled, column).map(Node::Literal).ok_or_else(|| {
            ParseError::new(
                ParseErrorKind::InvalidLiteral,
                term.start,
                "the text is no value of the column's type",
            )
        }),
    }
}

/// Length of the number `text` starts with: digits, point, exponent with sign, suffix. Whether it is one is
/// decided where it is read.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut length = 0;
    while let Some(&byte) = bytes.get(length) {
        let exponent_sign =
            matches!(byte, b'+' | b'-') && length > 0 && matches!(bytes[length - 1], b'e' | b'E');
        if !(byte.is_ascii_alphanumeric() || byte == b'.' || exponent_sign) {
            break;
        }
        length += 1;
    }
    length
}

/// Whether the text starts with a uuid with hyphens, as a word of its own.
fn is_uuid(text: &str) -> bool {
    let Some(head) = text.as_bytes().get(..36) else { return false };
    let shaped = head.iter().enumerate().all(|(index, byte)| match index {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    shaped && !text[36..].starts_with(continues_name)
}

/// Whether the text starts like `2015-01-02`.
fn is_date(text: &str) -> bool {
    let Some(head) = text.as_bytes().get(..10) else { return false };
    head.iter().enumerate().all(|(index, byte)| match index {
        4 | 7 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    })
}

/// Whether the text starts like `07:14`.
fn is_time(text: &str) -> bool {
    matches!(text.as_bytes(), [a, b, b':', c, ..] if [a, b, c].into_iter().all(u8::is_ascii_digit))
}

/// Length of the instant `text` starts with. Whether it is one is decided where it is read.
fn instant_length(text: &str) -> usize {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b':' | b'.');
    text.bytes().position(|byte| !inside(byte)).unwrap_or(text.len())
}
