//! The zero test.

/// Bytes that are read before a decision: enough for the compiler to use vector registers, few
/// enough that data, which rarely begins with zeros, is left at once.
const STRIDE: usize = 128;

/// Whether every byte is zero.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    let (strides, rest) = bytes.as_chunks::<STRIDE>();
    strides
        .iter()
        .all(|stride| stride.iter().fold(0, |any, byte| any | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The oracle looks at each byte.
        #[test]
        fn agrees_with_looking_at_each_byte(
            len in 0_usize..9000,
            set in proptest::option::of((0_usize..9000, 1_u8..)),
        ) {
            let mut bytes = vec![0; len];
            if let Some((at, value)) = set
                && let Some(byte) = bytes.get_mut(at)
            {
                *byte = value;
            }
            prop_assert_eq!(is_zero(&bytes), bytes.iter().all(|b| *b == 0));
        }
    }
}
