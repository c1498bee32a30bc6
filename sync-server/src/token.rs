//! Tokens from the command line or the environment.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// `NAME:TOKEN`, or a token alone. Its `Debug` does not show the token.
#[derive(Clone, PartialEq)]
pub(crate) struct TokenArgument {
    pub(crate) name: Option<String>,
    pub(crate) token: String,
}

impl FromStr for TokenArgument {
    // What a token may be is judged where it is used, by a message that does not repeat it.
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (name, token) = match text.split_once(':') {
            Some((name, token)) if !name.trim().is_empty() => (Some(name.trim().to_owned()), token),
            Some((_, token)) => (None, token),
            None => (None, text),
        };
        Ok(Self { name, token: token.trim().to_owned() })
    }
}

impl fmt::Debug for TokenArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenArgument").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_may_have_a_name() {
        for (text, name, token) in [
            ("secret", None, "secret"),
            ("ada:secret", Some("ada"), "secret"),
            (" ada : se:cret ", Some("ada"), "se:cret"),
            (":secret", None, "secret"),
            ("", None, ""),
        ] {
            let expected = TokenArgument { name: name.map(str::to_owned), token: token.to_owned() };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        let argument: TokenArgument = "ada:secret-5309".parse().expect("any text");
        assert_eq!(format!("{argument:?}"), "TokenArgument { name: Some(\"ada\"), .. }");
    }
}
