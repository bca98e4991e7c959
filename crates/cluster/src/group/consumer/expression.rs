//! Subscriptions by regular expression: what an expression means, and which topics match it.
//!
//! Kafka takes RE2/J's syntax, and a topic matches if the whole of its name does. Here the `regex` crate matches, which comes from the same
//! family: no look-around, no back references, and a time that is linear in the name. What differs is brought over where it can be:
//!
//! | RE2/J | `regex` | here |
//! |---|---|---|
//! | `\Q...\E` is literal | unknown | literal |
//! | `[` in a class is itself | opens a nested class | itself |
//! | `&&`, `~~`, `--` in a class are themselves, the last a range | combine classes | themselves |
//! | a brace that counts nothing is itself: `a{`, `{x}` | an error | itself |
//! | `\<`, `\>` are themselves | ends of a word | themselves |
//! | `\d`, `\w`, `\s`, `\b` are of ASCII | of Unicode | no difference: topic names are of ASCII |
//! | `\C`, `\012` (octal) | unknown | refused |
//! | a repetition of at most 1,000 | any | any that the bound of the size allows |
//! | the flag `x` is unknown | allows spaces and comments | allowed, but not a comment that swallows the end |
//!
//! Kafka resolves expressions beside the coordinator and writes what it found when that is done. Here they are resolved in the step that
//! needs them: it is a bounded amount of work, and the member has its topics with its first answer.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::super::error::GroupError;
use super::super::record::{GroupRecord, ResolvedRegex};
use super::super::step::Step;
use super::super::topics::TopicsView;
use super::Consumer;

/// The most memory that a compiled expression may take. Those that people write take some kilobytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// How deep groups may be nested.
const NESTING_MAX: u32 = 200;

/// The least time between two resolutions of the same expressions, however often topics come and go: Kafka's
/// `REGEX_BATCH_REFRESH_MIN_INTERVAL_MS`.
const REFRESH_MS_MIN: i64 = 10_000;

/// How much of an expression an error repeats.
const SHOWN_CHARS_MAX: usize = 100;

/// An expression that whole names are matched against.
fn compile(pattern: &str) -> Result<Regex, GroupError> {
    let translated = translate(pattern);
    // By itself first: put between brackets, `a)|(b` would be one.
    let by_itself = build(&translated);
    let whole = by_itself.and_then(|_| build(&format!(r"\A(?:{translated})\z")));
    whole.map_err(|error| GroupError::InvalidRegularExpression {
        pattern: pattern.chars().take(SHOWN_CHARS_MAX).collect(),
        why: why(&error),
    })
}

fn build(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).nest_limit(NESTING_MAX).build()
}

/// What is wrong, in one line: the crate's own text draws a picture of the expression.
fn why(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(max) => format!("compiled, it is larger than {max} bytes"),
        other => other.to_string().lines().last().unwrap_or("syntax error").trim_start_matches("error: ").to_owned(),
    }
}

/// From RE2/J's syntax to that of the `regex` crate.
fn translate(pattern: &str) -> String {
    let mut translated = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => escape(&mut translated, &mut chars),
            '[' => class(&mut translated, &mut chars),
            '{' if !counts(chars.clone()) => translated.push_str(r"\{"),
            _ => translated.push(c),
        }
    }
    translated
}

/// What comes after a backslash outside of a class.
fn escape(translated: &mut String, chars: &mut Peekable<Chars<'_>>) {
    match chars.next() {
        Some('Q') => {
            let rest: String = chars.clone().collect();
            let (literal, after) = rest.split_once(r"\E").map_or((rest.as_str(), None), |(literal, after)| (literal, Some(after)));
            translated.push_str(&regex::escape(literal));
            let taken = after.map_or(rest.chars().count(), |_| literal.chars().count() + 2);
            chars.by_ref().take(taken).for_each(drop);
        }
        Some(c @ ('<' | '>')) => translated.push(c),
        // The braces of `\p{..}` and `\x{..}` do not count.
        Some(c @ ('p' | 'P' | 'x')) => {
            translated.extend(['\\', c]);
            if chars.peek() == Some(&'{') {
                translated.extend(chars.by_ref().take_while(|c| *c != '}'));
                translated.push('}');
            }
        }
        Some(c) => translated.extend(['\\', c]),
        None => translated.push('\\'),
    }
}

/// A class, from after its bracket up to and with the one that closes it.
fn class(translated: &mut String, chars: &mut Peekable<Chars<'_>>) {
    translated.push('[');
    translated.extend(chars.next_if_eq(&'^'));
    translated.extend(chars.next_if_eq(&']'));
    while let Some(c) = chars.next() {
        match c {
            ']' => return translated.push(']'),
            '\\' => {
                translated.push('\\');
                translated.extend(chars.next());
            }
            '[' if chars.peek() == Some(&':') => {
                // `[:alpha:]` holds a closing bracket of its own.
                translated.push('[');
                translated.extend(chars.by_ref().take_while(|c| *c != ']'));
                translated.push(']');
            }
            '[' => translated.push_str(r"\["),
            '&' | '~' if chars.peek() == Some(&c) => translated.extend(['\\', c]),
            '-' if chars.next_if_eq(&'-').is_some() => translated.push_str(r"-\-"),
            _ => translated.push(c),
        }
    }
}

/// Whether what comes after an opening brace is `n}`, `n,}` or `n,m}`.
fn counts(mut chars: Peekable<Chars<'_>>) -> bool {
    let digits = |chars: &mut Peekable<Chars<'_>>| std::iter::from_fn(|| chars.next_if(char::is_ascii_digit)).count();
    if digits(&mut chars) == 0 {
        return false;
    }
    if chars.next_if_eq(&',').is_some() {
        digits(&mut chars);
    }
    chars.next() == Some('}')
}

/// The topics that match now.
fn resolve(pattern: &str, topics: &TopicsView) -> Result<BTreeSet<Arc<str>>, GroupError> {
    let expression = compile(pattern)?;
    Ok(topics.names().filter(|name| expression.is_match(name.as_str())).map(|name| name.as_str().into()).collect())
}

impl Consumer {
    /// A member subscribes by an expression that is new in the group.
    pub(super) fn resolve_new(&mut self, step: &mut Step<'_>, regex: &Arc<str>) -> Result<(), GroupError> {
        if !self.resolved.contains_key(regex) {
            let topics = resolve(regex, step.topics)?;
            self.write_resolved(step, regex, topics);
        }
        Ok(())
    }

    /// Resolves all expressions anew if topics have come or gone, or if it was long ago.
    pub(super) fn refresh_expressions(&mut self, step: &mut Step<'_>) {
        if !self.is_refresh_due(step) {
            return;
        }
        self.expressions_seen = true;
        for regex in self.expressions.keys().cloned().collect::<Vec<_>>() {
            // One that is none can only be in the log of another version. It matches nothing.
            let topics = resolve(&regex, step.topics).unwrap_or_default();
            let known = self.resolved.get(&regex).map(|resolved| &resolved.topics);
            if known != Some(&topics) {
                // Whether that makes a difference, a look at the topics tells.
                self.topics_seen = false;
            }
            self.write_resolved(step, &regex, topics);
        }
    }

    fn is_refresh_due(&self, step: &Step<'_>) -> bool {
        let times = || self.resolved.values().map(|resolved| resolved.timestamp.get());
        let (Some(oldest), Some(newest)) = (times().min(), times().max()) else { return !self.expressions.is_empty() };
        // A clock that was put back hides how long it is.
        let is_past = |since: i64, ms: i64| step.now.wall.get() < since || step.now.wall.get().saturating_sub(since) >= ms;
        let is_old = is_past(oldest, i64::from(step.config.consumer_regex_refresh_interval_ms));
        let topics_differ = || self.resolved.values().any(|resolved| resolved.version != step.topics.version());
        is_old || (!self.expressions_seen && is_past(newest, REFRESH_MS_MIN) && topics_differ())
    }

    fn write_resolved(&mut self, step: &mut Step<'_>, regex: &Arc<str>, topics: BTreeSet<Arc<str>>) {
        let value = Some(ResolvedRegex { topics, version: step.topics.version(), timestamp: step.now.wall });
        self.write(step, GroupRecord::ConsumerGroupRegularExpression { group: step.group.clone(), regex: Arc::clone(regex), value });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::testing::topics;
    use super::*;

    fn matches(pattern: &str) -> Vec<String> {
        let topics = topics(&[("a", 1), ("ab", 1), ("a.b", 1), ("a-b", 1), ("a1", 1), ("__a", 1), ("long-name-of-a-topic", 1)]);
        resolve(pattern, &topics).unwrap().iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn the_whole_name_has_to_match() {
        assert_eq!(matches("a"), ["a"]);
        assert_eq!(matches("a|b"), ["a"]);
        assert_eq!(matches("a.*"), ["a", "a-b", "a.b", "a1", "ab"]);
        assert_eq!(matches("^a$"), ["a"]);
        assert_eq!(matches("(?i)A"), ["a"]);
        assert_eq!(matches(".*").len(), 7);
    }

    #[test]
    fn what_re2j_takes_literally_is_literal() {
        assert_eq!(matches(r"\Qa.b\E"), ["a.b"]);
        assert_eq!(matches(r"\Qa.\E."), ["a.b"]);
        assert_eq!(matches(r"\Qa.b"), ["a.b"]);
        assert_eq!(matches(r"a[[.]b"), ["a.b"]);
        assert_eq!(matches(r"a[&&.]b"), ["a.b"]);
        assert_eq!(matches(r"a[+--]b"), ["a-b"]);
        assert_eq!(matches(r"a[[:digit:]]"), ["a1"]);
        assert_eq!(matches(r"a[]1]"), ["a1"]);
        assert_eq!(matches(r"a[^]1]"), ["ab"]);
        assert_eq!(matches(r"a{1}"), ["a"]);
        assert_eq!(matches(r"[a-z]{1,2}"), ["a", "ab"]);
        assert_eq!(matches(r"a(\p{Nd}|\x{62}|{x})"), ["a1", "ab"]);
        assert!(matches(r"a\<").is_empty() && matches("a{").is_empty() && matches("{,2}").is_empty());
    }

    #[test]
    fn what_is_no_expression_is_refused_with_the_reason() {
        for pattern in ["(", "a)|(b", "[", "*", r"(a)\1", "(?=a)", r"\C", "(?x)a#", "(?P<n", r"\"] {
            let refused = compile(pattern).unwrap_err();
            assert!(matches!(&refused, GroupError::InvalidRegularExpression { why, .. } if !why.is_empty()), "{pattern}: {refused:?}");
        }
        let GroupError::InvalidRegularExpression { why, .. } = compile("((((a{100}){100}){100}){100})").unwrap_err() else { panic!() };
        assert_eq!(why, "compiled, it is larger than 1048576 bytes");
        assert!(compile(&"(".repeat(100_000)).is_err());
        let GroupError::InvalidRegularExpression { pattern, .. } = compile(&"[".repeat(1_000)).unwrap_err() else { panic!() };
        assert_eq!(pattern.len(), SHOWN_CHARS_MAX);
    }

    proptest! {
        #[test]
        fn any_text_is_an_expression_or_is_refused(pattern in r"[\[\](){}\\QEa-c^$*+?|.,:&~0-9<>-]{0,24}") {
            let _ = compile(&pattern);
        }

        #[test]
        fn any_quoted_text_matches_itself(text in r"[ -~]{0,20}") {
            prop_assume!(!text.contains(r"\E"));
            let quoted = compile(&[r"\Q", &text, r"\E"].concat()).unwrap();
            prop_assert!(quoted.is_match(&text));
        }
    }
}
