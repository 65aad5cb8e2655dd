//! Texts one behind the other, in pieces.
//!
//! A single text of hundreds of megabytes would be copied whenever it grows, which takes three times its
//! room, and needs all of it in one place.

/// The size of a piece, in bits of a position: 1 MiB.
const BITS: u32 = 20;
const PIECE: usize = 1 << BITS;

/// What of a position is the place in its piece.
const PLACE: u32 = (1 << BITS) - 1;

/// Where a text ends: its piece, then the place in it.
pub(crate) type End = u32;

#[derive(Debug, Default)]
pub(crate) struct Texts {
    pieces: Vec<String>,
}

impl Texts {
    /// Adds a text behind the others. One that does not fit into a piece is kept as an empty one: what
    /// a configuration may hold is shorter, or it is refused.
    pub(crate) fn push(&mut self, text: &str) -> End {
        let text = if text.len() < PIECE { text } else { "" };
        let has_room = |piece: &String| piece.len().saturating_add(text.len()) < PIECE;
        if !self.pieces.last().is_some_and(has_room) {
            // The first grows with what is put there, since most policies are small.
            let bytes = if self.pieces.is_empty() { 0 } else { PIECE };
            self.pieces.push(String::with_capacity(bytes));
        }
        let piece = self.pieces.len().saturating_sub(1);
        let mut place = 0;
        if let Some(last) = self.pieces.last_mut() {
            last.push_str(text);
            place = last.len();
        }
        // Fewer pieces than 2^12, as `CONFIGURATION_BYTES` sees to.
        u32::try_from(piece << BITS | place).unwrap_or(u32::MAX)
    }

    /// The text that ends there, behind one that ends at `before`.
    pub(crate) fn get(&self, before: End, end: End) -> Option<&str> {
        let start = if before >> BITS == end >> BITS { before & PLACE } else { 0 };
        let piece = self.pieces.get((end >> BITS) as usize)?;
        piece.get(start as usize..(end & PLACE) as usize)
    }

    pub(crate) fn shrink_to_fit(&mut self) {
        self.pieces.shrink_to_fit();
        if let Some(last) = self.pieces.last_mut() {
            last.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_whatever_piece_they_are_in() {
        let texts: Vec<String> =
            (0..40).map(|index| char::from(b'a' + index % 26).to_string()).collect();
        let mut all = Texts::default();
        let lengths = [0, 1, 300, PIECE / 3, PIECE - 1];
        let texts: Vec<String> = texts
            .iter()
            .zip(lengths.iter().cycle())
            .map(|(text, times)| text.repeat(*times))
            .collect();
        let ends: Vec<End> = texts.iter().map(|text| all.push(text)).collect();
        all.shrink_to_fit();
        let befores = std::iter::once(&0).chain(&ends);
        for ((text, before), end) in texts.iter().zip(befores).zip(&ends) {
            assert_eq!(all.get(*before, *end), Some(text.as_str()));
        }
        assert_eq!(all.get(0, u32::MAX), None);
        let end = all.push(&"x".repeat(PIECE));
        assert_eq!(all.get(*ends.last().unwrap(), end), Some(""));
    }
}
