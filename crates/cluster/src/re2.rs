//! Regular expressions of clients: what one means. Never decides what is matched.
//!
//! Kafka takes RE2/J's syntax, and a name matches if the whole of it does. Here the `regex` crate matches, which comes from the same
//! family: no look-around, no back references, and a time that is linear in the name. What differs is brought over where it can be:
//!
//! | RE2/J | `regex` | here |
//! |---|---|---|
//! | `\Q...\E` is literal | unknown | literal |
//! | `[` in a class is itself | opens a nested class | itself |
//! | `&&`, `~~`, `--` in a class are themselves, the last a range | combine classes | themselves |
//! | a brace that counts nothing is itself: `a{`, `{x}` | an error | itself |
//! | `\<`, `\>` are themselves | ends of a word | themselves |
//! | `\d`, `\w`, `\s`, `\b` are of ASCII | of Unicode | no difference for topic names, which are of ASCII |
//! | `\C`, `\012` (octal) | unknown | refused |
//! | a repetition of at most 1,000 | any | any that the bound of the size allows |
//! | the flag `x` is unknown | allows spaces and comments | allowed, but not a comment that swallows the end |

use std::iter::Peekable;
use std::str::Chars;

use regex::RegexBuilder;

pub use regex::Regex;

/// The most memory that a compiled expression may take. Those that people write take some kilobytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// How deep groups may be nested.
const NESTING_MAX: u32 = 200;

/// How much of an expression an error repeats.
const SHOWN_CHARS_MAX: usize = 100;

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidExpression {
    /// The beginning of the text.
    pub pattern: String,
    /// What is wrong with it.
    pub why: String,
}

/// An expression that whole names are matched against.
pub fn compile(pattern: &str) -> Result<Regex, InvalidExpression> {
    let translated = translate(pattern);
    // By itself first: put between brackets, `a)|(b` would be one.
    let by_itself = build(&translated);
    let whole = by_itself.and_then(|_| build(&format!(r"\A(?:{translated})\z")));
    whole.map_err(|error| InvalidExpression { pattern: pattern.chars().take(SHOWN_CHARS_MAX).collect(), why: why(&error) })
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
