//! Names of services and deployments: DNS labels, because both become part of a host name.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Longest name: `{deployment}--{service}` must still fit one DNS label of 63 octets (RFC 1035).
const NAME_LEN_MAX: usize = 30;

/// Why a text cannot be a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameError;

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "must be 1 to {NAME_LEN_MAX} of a-z, 0-9 and single hyphens, starting with a letter and not ending with a hyphen"
        )
    }
}

impl std::error::Error for NameError {}

fn check(text: &str) -> Result<(), NameError> {
    let well_formed = !text.is_empty()
        && text.len() <= NAME_LEN_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        // `--` separates deployment and service in a host name.
        && !text.contains("--")
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if well_formed { Ok(()) } else { Err(NameError) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;
            fn try_from(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::try_from(text.as_str())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name! {
    /// Name of a service: the first label of its URL.
    ServiceName
}
name! {
    /// Name of a deployment within its service.
    DeploymentName
}

name! {
    /// Name of a group of GPUs.
    GpuGroupName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_label_that_cannot_be_confused_with_deployment_and_service() {
        for good in ["chat", "a", "llama-3-70b", "x1"] {
            assert!(ServiceName::try_from(good).is_ok(), "{good}");
        }
        let long = "a".repeat(NAME_LEN_MAX + 1);
        for bad in [
            "",
            "Chat",
            "1chat",
            "-a",
            "a-",
            "a--b",
            "a_b",
            "ä",
            "a.b",
            long.as_str(),
        ] {
            assert!(ServiceName::try_from(bad).is_err(), "{bad}");
        }
    }
}
