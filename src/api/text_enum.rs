//! How is a fixed set of words kept in a status that a newer version may have written?
//!
//! The API has plain strings, so that an older program can read what a newer one wrote. In the code
//! each set is an enum: a word that this version knows is a variant, any other is kept as
//! `Unknown(text)` and written back as it was. Whoever matches on it has to say what is done with
//! `Unknown`: hold and say so (K-19), never what the nearest known word would have led to.

/// Declares such an enum, see the module.
macro_rules! text_enum {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
            /// A word of a newer version, as it was read.
            Unknown(String),
        }

        impl $name {
            /// Every word that this version knows.
            pub const KNOWN: &'static [$name] = &[$($name::$variant),+];

            /// The word, as the API has it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $($name::$variant => stringify!($variant),)+
                    $name::Unknown(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> $name {
                match text {
                    $(stringify!($variant) => $name::$variant,)+
                    _ => $name::Unknown(text.into()),
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> $name {
                $name::from(text.as_str())
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> String {
                word.as_str().into()
            }
        }

        impl PartialEq<$name> for String {
            fn eq(&self, word: &$name) -> bool {
                self == word.as_str()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                Ok(<String as serde::Deserialize>::deserialize(deserializer)?.into())
            }
        }

        // A plain string: the schema of a newer version must not refuse what an older one wrote, nor
        // the other way round.
        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <String as schemars::JsonSchema>::json_schema(generator)
            }
        }
    };
}

pub(crate) use text_enum;

#[cfg(test)]
mod tests {
    use crate::Reason;
    use crate::v1alpha1::{CyclePhase, QuiesceState, SiteRole, SwitchKind, SwitchStep};

    macro_rules! round_trips {
        ($($name:ident),+) => {$(
            for word in $name::KNOWN {
                let text = serde_json::to_string(word).unwrap();
                assert_eq!(text, format!("\"{word:?}\""), "the word is the variant's name");
                assert_eq!(&serde_json::from_str::<$name>(&text).unwrap(), word);
            }
        )+};
    }

    #[test]
    fn every_word_is_written_as_it_is_called_and_read_back() {
        round_trips!(
            CyclePhase,
            SwitchStep,
            SwitchKind,
            QuiesceState,
            SiteRole,
            Reason
        );
    }

    /// K-19: what a newer version wrote is kept, so that it finds its own word again.
    #[test]
    fn k_19_a_word_of_a_newer_version_is_kept_as_it_is() {
        let read: SwitchStep = serde_json::from_str("\"ParkClaim\"").unwrap();
        assert_eq!(read, SwitchStep::Unknown("ParkClaim".into()));
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"ParkClaim\"");
        assert_eq!(format!("{read:>10}"), " ParkClaim");
    }
}
