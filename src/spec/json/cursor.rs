//! Byte offsets as lines and columns.

use crate::spec::tree::Place;

/// Turns byte offsets into places; it only counts what is between one offset and the next.
pub(super) struct Cursor<'a> {
    text: &'a str,
    offset: usize,
    place: Place,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, offset: 0, place: (1, 1) }
    }

    pub fn place(&mut self, offset: usize) -> Place {
        if offset < self.offset {
            *self = Self::new(self.text);
        }
        let offset = self.text.floor_char_boundary(offset);
        for letter in self.text[self.offset..offset].chars() {
            self.place = match letter {
                '\n' => (self.place.0 + 1, 1),
                _ => (self.place.0, self.place.1 + 1),
            };
        }
        self.offset = offset;
        self.place
    }
}
