//! Reads the text of a Java `.properties` file, as `java.util.Properties.load` does.

use std::str::Chars;

use super::ConfigError;

/// The pairs of a properties text, in the order of the file; repeated keys are all given.
///
/// Comments begin with `#` or `!`; key and value are parted by `=`, `:` or blanks; a line that ends in an odd number of
/// backslashes goes on in the next, whose leading blanks do not count; `\t \n \r \f \uXXXX` mean what they mean in Java, and
/// any other character after a backslash means itself.
pub fn parse_properties(text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    // Editors on Windows put a byte order mark in front; Java would take it for a part of the first key.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let mut pairs = Vec::new();
    let mut lines = text.split('\n').zip(1..);
    while let Some((line, number)) = lines.next() {
        let line = line.trim_start_matches(is_blank);
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_owned();
        while continues(&logical) {
            logical.pop();
            let Some((next, _)) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(is_blank));
        }
        pairs.push(split_pair(&logical, number)?);
    }
    Ok(pairs)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// A backslash at the end continues the line, unless it is itself escaped.
fn continues(line: &str) -> bool {
    line.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1
}

/// The key ends at the first `=`, `:` or blank that no backslash escapes; then blanks, at most one `=` or `:`, and blanks again
/// stand before the value.
fn split_pair(line: &str, number: usize) -> Result<(String, String), ConfigError> {
    let mut escaped = false;
    let key_end = line
        .char_indices()
        .find(|(_, c)| {
            let ends = !escaped && (matches!(c, '=' | ':') || is_blank(*c));
            escaped = *c == '\\' && !escaped;
            ends
        })
        .map_or(line.len(), |(at, _)| at);
    let (key, rest) = line.split_at(key_end);
    let rest = rest.trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(is_blank);
    Ok((unescape(key, number)?, unescape(value, number)?))
}

fn unescape(text: &str, line: usize) -> Result<String, ConfigError> {
    // Java's `\u` gives UTF-16 units: characters beyond the first plane come as two of them.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    let mut buffer = [0u16; 2];
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some('u') => {
                    units.push(hex_unit(&mut chars).ok_or(ConfigError::MalformedEscape { line })?);
                    continue;
                }
                Some(other) => other,
                None => break,
            },
            plain => plain,
        };
        units.extend_from_slice(c.encode_utf16(&mut buffer));
    }
    Ok(String::from_utf16_lossy(&units))
}

fn hex_unit(chars: &mut Chars<'_>) -> Option<u16> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit * 16 + chars.next()?.to_digit(16)?;
    }
    u16::try_from(unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse_properties(text).unwrap()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn keys_and_values_are_parted_by_equals_colon_or_blanks() {
        let text = "a=1\nb : 2\nc   3\n d\t=\t4 \ne==5\nf\n";
        let expected = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4 "), ("e", "=5"), ("f", "")];
        assert_eq!(pairs(text), expected.map(|(k, v)| pair(k, v)));
    }

    #[test]
    fn comments_and_empty_lines_do_not_count_even_with_a_backslash_at_their_end() {
        assert_eq!(pairs("# one \\\n! two\n\n   # three\na=b#c\n"), [pair("a", "b#c")]);
    }

    #[test]
    fn a_backslash_at_the_end_joins_lines_and_drops_the_next_ones_indent() {
        assert_eq!(pairs("a=b,\\\n    c,\\\r\n\td\ne=f\\\\\ng=h"), [pair("a", "b,c,d"), pair("e", "f\\"), pair("g", "h")]);
        assert_eq!(pairs("a=b\\"), [pair("a", "b")]);
    }

    #[test]
    fn escapes_mean_what_they_mean_in_java() {
        assert_eq!(pairs(r"a\ b\=c\:=x\ty\u00e9\z"), [pair("a b=c:", "x\ty\u{e9}z")]);
        assert_eq!(pairs(r"face=\uD83D\uDE00"), [pair("face", "\u{1f600}")]);
        assert_eq!(parse_properties("\n\na=\\u12G4"), Err(ConfigError::MalformedEscape { line: 3 }));
    }

    #[test]
    fn line_ends_of_all_systems_and_a_byte_order_mark_are_understood() {
        assert_eq!(pairs("\u{feff}a=1\r\nb=2\rc=3"), [pair("a", "1"), pair("b", "2"), pair("c", "3")]);
    }
}
