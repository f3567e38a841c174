//! SHA-256 of an API key.

/// Reads 64 hexadecimal digits. The rules do not repeat the text, which may be the key itself.
pub(super) fn parse(text: &str) -> Result<[u8; 32], String> {
    if text.starts_with("psk_") {
        return Err(
            "is a key itself, which should be in no file; `penstock key --hash` tells its SHA-256"
                .to_owned(),
        );
    }
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let bytes: Vec<u8> = digits
        .unwrap_or_default()
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect();
    bytes
        .try_into()
        .ok()
        .filter(|_| text.len() == 64)
        .ok_or_else(|| {
            "must be a SHA-256, 64 hexadecimal digits; `penstock key` makes a key for clients and tells it, `penstock token` a token for operators"
                .to_owned()
        })
}

pub(super) fn show(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_64_hexadecimal_digits_in_any_case() {
        let text = "0123456789abcdef".repeat(4);
        let hash = parse(&text);
        assert_eq!(hash.as_ref().map(|hash| hash[1]), Ok(0x23));
        assert_eq!(hash.as_ref().map(show), Ok(text.clone()));
        assert_eq!(parse(&text.to_uppercase()), hash);
        for bad in ["", &text[1..], &format!("{text}0"), &text.replace('0', "g")] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse(&format!("{}é", &text[2..])).is_err());
    }

    #[test]
    fn no_rule_repeats_what_may_be_a_key() {
        for secret in ["psk_secret", "secret"] {
            assert!(parse(secret).is_err_and(|rule| !rule.contains("secret")));
        }
    }
}
