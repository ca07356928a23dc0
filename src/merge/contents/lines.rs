//! The lines of a Contents index, one by one, sorted by path.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use crate::error::{Error, Result};

use super::super::faults::Told;
use super::raw::{Found, Line, Opened, OwnedLine, Raw};

/// The number of bytes of an unsorted index that are sorted in memory at a time.
const SORTED_RUN_BYTES: usize = 32 << 20;

/// The result of going on to the next line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// A line.
    Line,
    /// The end.
    End,
    /// A line whose path stands before the last one's: the index has to be sorted first.
    Disorder,
}

/// The lines of an index in the order of their paths. It stands on one line, and knows the next one.
pub(super) struct Lines<'a> {
    source: Source<'a>,
    /// The line after the present one.
    ahead: Next,
    /// `true` if the next line has the path of the present one.
    repeats: bool,
    label: String,
    is_sorted_here: bool,
    told: Told,
}

enum Source<'a> {
    /// The lines in the order of the file.
    InOrder(Raw<'a>),
    Sorted(Runs),
}

/// The sorted parts of an index that is out of order.
struct Runs {
    heap: BinaryHeap<Reverse<(OwnedLine, usize)>>,
    runs: Vec<Raw<'static>>,
    present: Option<OwnedLine>,
    ahead: Option<OwnedLine>,
}

impl<'a> Lines<'a> {
    fn new(source: Source<'a>, label: String) -> Self {
        Self {
            source,
            ahead: Next::End,
            repeats: false,
            label,
            is_sorted_here: false,
            told: Told::default(),
        }
    }

    /// Returns the lines in the order of the file, for as long as they are sorted; [`Lines::advance`] goes to the first one.
    pub(super) fn in_order(opened: Opened<'a>, label: String) -> Result<Self> {
        let mut lines = Lines::new(Source::InOrder(Raw::new(opened, true)), label);
        lines.look_ahead()?;
        Ok(lines)
    }

    /// Returns the lines of an index that is out of order, sorted.
    pub(super) fn sorted(
        opened: Opened<'a>,
        label: String,
        scratch: &dyn Fn() -> Result<File>,
    ) -> Result<Self> {
        let mut lines = Lines::new(Source::InOrder(Raw::new(None, false)), label);
        lines.is_sorted_here = true;
        let runs = lines.sort(Raw::new(opened, true), scratch)?;
        lines.source = Source::Sorted(runs);
        lines.look_ahead()?;
        Ok(lines)
    }

    fn failed(&self) -> impl Fn(io::Error) -> Error + use<> {
        let label = self.label.clone();
        move |error| Error::io("read the index", &label)(error)
    }

    /// Sorts an index in parts, each into a file without a name, to be merged from there.
    fn sort(&mut self, mut raw: Raw<'_>, scratch: &dyn Fn() -> Result<File>) -> Result<Runs> {
        let failed = self.failed();
        let mut runs = Vec::new();
        let mut run: Vec<OwnedLine> = Vec::new();
        let mut bytes = 0;
        loop {
            match raw.look_ahead().map_err(&failed)? {
                Found::End => break,
                Found::Fault(why) => self.tell(raw.number(), why),
                Found::Line => {
                    run.extend(raw.ahead().map(OwnedLine::from));
                    bytes += run.last().map_or(0, OwnedLine::size);
                }
            }
            if bytes >= SORTED_RUN_BYTES {
                runs.push(write_run(&mut run, scratch()?)?);
                bytes = 0;
            }
        }
        runs.push(write_run(&mut run, scratch()?)?);
        let mut heap = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            run.look_ahead().map_err(&failed)?;
            heap.extend(run.ahead().map(|line| Reverse((line.into(), number))));
        }
        Ok(Runs {
            heap,
            runs,
            present: None,
            ahead: None,
        })
    }

    /// Returns the present line; `None` at the end.
    pub(super) fn line(&self) -> Option<Line<'_>> {
        match &self.source {
            Source::InOrder(raw) => raw.line(),
            Source::Sorted(runs) => runs.present.as_ref().map(OwnedLine::line),
        }
    }

    /// Returns whether the next line has the path of the present one.
    pub(super) fn repeats(&self) -> bool {
        self.repeats
    }

    /// Goes on to the next valid line.
    pub(super) fn advance(&mut self) -> Result<Next> {
        let next = self.ahead;
        match &mut self.source {
            Source::InOrder(raw) => raw.step(),
            Source::Sorted(runs) => runs.present = runs.ahead.take(),
        }
        if next == Next::Line {
            self.look_ahead()?;
        }
        Ok(next)
    }

    /// Reads the line after the present one.
    fn look_ahead(&mut self) -> Result<()> {
        let order = match &mut self.source {
            Source::InOrder(raw) => loop {
                match raw.look_ahead() {
                    Ok(Found::Line) => break order(raw.line(), raw.ahead()),
                    Ok(Found::Fault(why)) => {
                        let label = &self.label;
                        self.told.tell(|| left_out(label, raw.number(), why));
                    }
                    Ok(Found::End) => break None,
                    Err(error) => return Err(self.failed()(error)),
                }
            },
            Source::Sorted(runs) => {
                if let Err(error) = runs.look_ahead() {
                    return Err(self.failed()(error));
                }
                let [present, ahead] = [&runs.present, &runs.ahead];
                order(
                    present.as_ref().map(OwnedLine::line),
                    ahead.as_ref().map(OwnedLine::line),
                )
            }
        };
        self.repeats = order == Some(Ordering::Equal);
        self.ahead = match order {
            None => Next::End,
            Some(Ordering::Greater) => Next::Disorder,
            Some(_) => Next::Line,
        };
        Ok(())
    }

    fn tell(&mut self, line: usize, why: &str) {
        self.told.tell(|| left_out(&self.label, line, why));
    }

    /// Returns the faults of the index.
    pub(super) fn faults(self) -> Vec<String> {
        let label = self.label;
        let further = |number| format!("{label}: {number} further faulty lines");
        let mut told = self.told.finish(further);
        if self.is_sorted_here {
            told.push(format!("{label}: its lines are not sorted by path"));
        }
        told
    }
}

fn left_out(label: &str, line: usize, why: &str) -> String {
    format!("{label}, line {line}: {why}; the line is left out")
}

/// Returns the order of two lines by their paths; `None` if there is no second line.
fn order(present: Option<Line<'_>>, ahead: Option<Line<'_>>) -> Option<Ordering> {
    let ahead = ahead?.path();
    Some(present.map_or(Ordering::Less, |present| present.path().cmp(ahead)))
}

impl Runs {
    fn look_ahead(&mut self) -> io::Result<()> {
        self.ahead = None;
        let Some(Reverse((first, number))) = self.heap.pop() else {
            return Ok(());
        };
        self.ahead = Some(first);
        if let Some(run) = self.runs.get_mut(number) {
            run.look_ahead()?;
            let line = run.ahead().map(|line| Reverse((line.into(), number)));
            self.heap.extend(line);
        }
        Ok(())
    }
}

/// Sorts lines and writes them to a file.
fn write_run(run: &mut Vec<OwnedLine>, file: File) -> Result<Raw<'static>> {
    run.sort_unstable();
    let file = lay_aside(run, file).map_err(Error::io("write", "a file of sorted lines"))?;
    Ok(Raw::new(Some(Box::new(file)), false))
}

fn lay_aside(run: &mut Vec<OwnedLine>, file: File) -> io::Result<File> {
    let mut file = BufWriter::new(file);
    for line in run.drain(..) {
        let line = line.line();
        for part in [line.path(), b" ", line.owners(), b"\n"] {
            file.write_all(part)?;
        }
    }
    let mut file: File = file.into_inner()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}
