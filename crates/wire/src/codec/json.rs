//! Values in the shape of Kafka's JSON converters.

use serde_json::Value;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes: base64 with padding, as Jackson's `BinaryNode`.
pub fn bytes(bytes: &[u8]) -> Value {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut three = [0u8; 3];
        three.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        let [a, b, c] = three;
        let bits = u32::from_be_bytes([0, a, b, c]);
        for group in 0..4 {
            let six = (bits >> (18 - 6 * group)) as usize & 63;
            text.push(if group <= chunk.len() { BASE64.get(six).map_or('=', |c| char::from(*c)) } else { '=' });
        }
    }
    Value::from(text)
}

/// Records: Kafka's converters leave their bytes out and put an empty `BinaryNode`, or null.
pub fn records(null: bool) -> Value {
    if null { Value::Null } else { Value::from("") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_padded_base64() {
        for (input, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("\u{fb}?", "w7s/")] {
            assert_eq!(bytes(input.as_bytes()), text);
        }
    }
}
