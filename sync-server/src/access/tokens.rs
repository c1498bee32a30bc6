//! Callers known by fixed tokens: enough for a small service, a test, or a first try.

use std::fmt;

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::{Authenticate, Authentication, AuthenticationError, Caller, Credentials};
use crate::error::ServerError;

/// A list of tokens, each of one caller. Its `Debug` shows how many there are.
///
/// A token is compared with all of the list, each in a time that does not depend on where they differ, so that
/// answers do not tell how much of a guess was right.
///
/// ```
/// use sync_server::{Caller, Tokens};
///
/// let mut tokens = Tokens::new();
/// tokens.insert("5f1d8c1b9a", Caller::new("ada"))?;
/// assert!(tokens.insert("", Caller::new("nobody")).is_err());
/// # Ok::<(), sync_server::ServerError>(())
/// ```
#[derive(Default)]
pub struct Tokens {
    callers: Vec<(Vec<u8>, Caller)>,
}

impl Tokens {
    /// No token: every request with one is refused.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a token.
    ///
    /// # Errors
    ///
    /// A token that is empty or cannot stand in a header, or that is in the list. The message does not repeat it.
    pub fn insert(&mut self, token: impl Into<String>, caller: Caller) -> Result<(), ServerError> {
        let token = token.into().into_bytes();
        if token.is_empty() || !token.iter().all(|byte| (0x21..0x7f).contains(byte)) {
            return Err(ServerError::configuration(
                "a token must have at least one character, all of them printable ASCII without blanks",
            ));
        }
        if self.callers.iter().any(|(known, _)| *known == token) {
            return Err(ServerError::configuration("two tokens are the same"));
        }
        self.callers.push((token, caller));
        Ok(())
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.callers.is_empty()
    }

    fn find(&self, token: &[u8]) -> Option<&Caller> {
        // Places from 1; 0 is none.
        let mut found = 0_u64;
        for (place, (known, _)) in (1_u64..).zip(&self.callers) {
            let same: Choice = known.as_slice().ct_eq(token);
            found = u64::conditional_select(&found, &place, same);
        }
        let index = usize::try_from(found).ok()?.checked_sub(1)?;
        self.callers.get(index).map(|(_, caller)| caller)
    }
}

impl Authenticate for Tokens {
    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> Authentication<'a> {
        Box::pin(async move {
            match credentials.token() {
                None => Ok(None),
                Some(token) => match self.find(token.as_bytes()) {
                    Some(caller) => Ok(Some(caller.clone())),
                    None => Err(AuthenticationError::Invalid),
                },
            }
        })
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("count", &self.callers.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_136_a_token_is_found_whole_or_not_at_all() {
        let mut tokens = Tokens::new();
        for (token, id) in [("abc", "a"), ("abcd", "b"), ("xyz", "c")] {
            tokens.insert(token, Caller::new(id)).expect("a token");
        }
        let found = |token: &str| tokens.find(token.as_bytes()).map(Caller::id);
        assert_eq!(found("abc"), Some("a"));
        assert_eq!(found("abcd"), Some("b"));
        assert_eq!(found("xyz"), Some("c"));
        for wrong in ["", "ab", "ABC", "abcde", "abc "] {
            assert_eq!(found(wrong), None, "{wrong}");
        }
        assert_eq!(Tokens::new().find(b"abc"), None);
        assert_eq!(format!("{tokens:?}"), "Tokens { count: 3, .. }");
        for bad in ["", "a b", "é", "abc"] {
            let error = tokens.insert(bad, Caller::new("x")).expect_err(bad);
            assert!(bad.is_empty() || !error.to_string().contains(&format!("'{bad}'")));
        }
    }
}
