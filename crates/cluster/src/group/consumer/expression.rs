//! Subscriptions by regular expression: what an expression means, and which topics match it.
//!
//! What a text means as an expression is in [`re2`](crate::re2).
//!
//! Kafka resolves expressions beside the coordinator and writes what it found when that is done. Here they are resolved in the step that
//! needs them: it is a bounded amount of work, and the member has its topics with its first answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::error::GroupError;
use super::super::record::{GroupRecord, ResolvedRegex};
use super::super::step::Step;
use super::super::topics::TopicsView;
use super::Consumer;
use crate::re2::{self, InvalidExpression, Regex};

/// The least time between two resolutions of the same expressions, however often topics come and go: Kafka's
/// `REGEX_BATCH_REFRESH_MIN_INTERVAL_MS`.
const REFRESH_MS_MIN: i64 = 10_000;

fn compile(pattern: &str) -> Result<Regex, GroupError> {
    re2::compile(pattern).map_err(|InvalidExpression { pattern, why }| GroupError::InvalidRegularExpression { pattern, why })
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
        assert_eq!(pattern.len(), 100);
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
