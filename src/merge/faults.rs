//! Faults of one index in words: the first few, and how many more there are.
//!
//! An archive can sign an index with a fault in every stanza. So neither the text nor the work grows with the number of faults: only the
//! reported faults get a text, and the lines before them are counted once, from one reported fault to the next.

use serde::{Deserialize, Serialize};

use crate::deb822::LineNumbers;

/// The number of faults of one index that are reported with their text.
pub(super) const MAX_TOLD: usize = 5;

/// The first few of many faults.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Told {
    words: Vec<String>,
    further: usize,
}

impl Told {
    /// Keeps the text of a fault, or only counts the fault if there are enough texts.
    pub(super) fn tell(&mut self, words: impl FnOnce() -> String) {
        if self.words.len() < MAX_TOLD {
            self.words.push(words());
        } else {
            self.further += 1;
        }
    }

    /// Returns whether there was no fault.
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Adds the faults that come after these.
    pub(super) fn add(&mut self, others: Told) {
        self.words.extend(others.words);
        self.further += others.further + self.words.len().saturating_sub(MAX_TOLD);
        self.words.truncate(MAX_TOLD);
    }

    /// Returns the texts, and the one that `further` gives for the number of faults that are only counted.
    pub(super) fn finish(mut self, further: impl FnOnce(usize) -> String) -> Vec<String> {
        if self.further > 0 {
            self.words.push(further(self.further));
        }
        self.words
    }
}

/// The faults of an index whose text is in memory.
pub(super) struct Faults<'a> {
    label: &'a str,
    noun: &'static str,
    lines: LineNumbers<'a>,
    told: Told,
}

impl<'a> Faults<'a> {
    /// Returns an empty list. `noun` names the part of the index that can have a fault: `stanza`.
    pub(super) fn new(label: &'a str, data: &'a [u8], noun: &'static str) -> Self {
        Self {
            label,
            noun,
            lines: LineNumbers::new(data),
            told: Told::default(),
        }
    }

    /// Reports that a part is left out because of a fault at a byte offset.
    pub(super) fn left_out(&mut self, offset: usize, why: &str) {
        self.left_out_as(offset, || why.to_owned());
    }

    /// Reports the same, with words that are only made if they are kept.
    pub(super) fn left_out_as(&mut self, offset: usize, why: impl FnOnce() -> String) {
        let (label, noun, lines) = (self.label, self.noun, &mut self.lines);
        self.told.tell(|| {
            let line = lines.at(offset);
            format!("{label}, line {line}: {}; the {noun} is left out", why())
        });
    }

    /// Returns the texts.
    pub(super) fn finish(self) -> Vec<String> {
        let (label, noun) = (self.label, self.noun);
        let further = |number| format!("{label}: {number} further faulty {noun}s");
        self.told.finish(further)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_work_do_not_grow_with_the_faults() {
        let data = b"x\n".repeat(1_000);
        let mut faults = Faults::new("index", &data, "stanza");
        for line in 0..1_000 {
            faults.left_out(2 * line, "odd");
        }
        assert_eq!(faults.lines.counted(), 2 * (MAX_TOLD - 1));
        let told = faults.finish();
        assert_eq!(told.len(), MAX_TOLD + 1);
        assert_eq!(told[4], "index, line 5: odd; the stanza is left out");
        assert_eq!(told[5], "index: 995 further faulty stanzas");
    }
}
