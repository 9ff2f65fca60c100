//! Tables of numbers: CSV.

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use csv::{ReaderBuilder, StringRecord, Trim};
use ndarray::Array4;

use super::arrays::UNLABELLED;
use super::images::Images;
use super::{Dataset, collected_names, content, open};
use crate::error::{Error, ErrorKind, Result};
use crate::{format::thousands, limit};

/// Reads a table of numbers from a file of comma-separated values: each line is a row of [`Dataset::from_array`]'s
/// shape \[1, 1, features\].
///
/// | setting | default |
/// |---|---|
/// | [`label`](Self::label) | none: all rows are "unlabelled" |
/// | [`without`](Self::without) | all other columns are features |
/// | [`header`](Self::header) | the first line is one if a feature in it is not a number |
/// | [`delimiter`](Self::delimiter) | a comma |
///
/// A column is called by its name in the header, or by its index from 0. A [`Scaler`](crate::Scaler) brings the
/// columns to one scale.
///
/// ```
/// use latentlab::Csv;
///
/// let path = std::env::temp_dir().join("latentlab-doc-iris.csv");
/// std::fs::write(&path, "id,petal length,petal width,species\n1,1.4,0.2,setosa\n2,4.7,1.4,versicolor\n").unwrap();
/// let iris = Csv::new(&path).without(["id"]).label("species").read()?;
/// assert_eq!(iris.to_rows(), latentlab::ndarray::arr2(&[[1.4, 0.2], [4.7, 1.4]]));
/// assert_eq!(iris.class_names(), ["setosa", "versicolor"]);
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Csv {
    path: PathBuf,
    label: Option<String>,
    without: Vec<String>,
    header: Option<bool>,
    delimiter: char,
}

impl Csv {
    /// The file that is to be read, with the defaults in the table above.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), label: None, without: Vec::new(), header: None, delimiter: ',' }
    }

    /// The column that holds the label of each row, by name or index; [`read_by`](Self::read_by) is for several. Its
    /// different values become the classes: in numerical order if all are numbers, else in alphabetical order.
    pub fn label(self, column: impl Display) -> Self {
        Self { label: Some(column.to_string()), ..self }
    }

    /// Columns that are left out, by names or indices.
    pub fn without<C: Display>(self, columns: impl IntoIterator<Item = C>) -> Self {
        Self { without: columns.into_iter().map(|column| column.to_string()).collect(), ..self }
    }

    /// Whether the first line holds the names of the columns.
    pub fn header(self, header: bool) -> Self {
        Self { header: Some(header), ..self }
    }

    /// What separates the values of a line, such as `';'` or `'\t'`.
    pub fn delimiter(self, delimiter: char) -> Self {
        Self { delimiter, ..self }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When there is no such file or column, a line has more or fewer values than the first, or a value of a feature is
    /// not a finite number: the error names line and column. Before it is read, when the table would be larger than one
    /// result may be (4 GiB, or what the environment variable `LATENTLAB_MAX_BYTES` says).
    pub fn read(&self) -> Result<Dataset> {
        let labels: Vec<&String> = self.label.iter().collect();
        self.read_columns(&labels).map(|mut data| data.swap_remove(0))
    }

    /// Reads the file when several columns hold labels: a data set for each of these columns, by names or indices,
    /// in their order. All have the same rows, which are held once; none of the columns is a feature.
    ///
    /// # Errors
    /// As [`read`](Self::read), and when [`label`](Self::label) names a column too.
    ///
    /// ```
    /// use latentlab::Csv;
    ///
    /// let path = std::env::temp_dir().join("latentlab-doc-penguins.csv");
    /// std::fs::write(&path, "bill,species,island\n39.1,Adelie,Torgersen\n50.0,Gentoo,Biscoe\n").unwrap();
    /// let [species, island] = Csv::new(&path).read_by(["species", "island"])?;
    /// assert_eq!((species.class_names()[0].as_str(), island.class_names()[0].as_str()), ("Adelie", "Biscoe"));
    /// assert_eq!(species.images(), island.images());
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn read_by<C: Display, const N: usize>(&self, labels: [C; N]) -> Result<[Dataset; N]> {
        if N == 0 || self.label.is_some() {
            let (expected, got) = if N == 0 { ("at least 1 column", "none") } else { ("no Csv::label", "one") };
            return Err(Error::argument("Csv::read_by", expected, got));
        }
        let labels = labels.map(|column| column.to_string());
        let data = self.read_columns(&labels.each_ref())?;
        data.try_into().map_err(|_| self.bad(0, "columns with labels", "others"))
    }

    /// A data set for each column of labels; one without labels if there are none.
    fn read_columns(&self, labels: &[&String]) -> Result<Vec<Dataset>> {
        let Some(delimiter) = u8::try_from(self.delimiter).ok().filter(|byte| byte.is_ascii() && *byte != b'"') else {
            let expected = "an ASCII character other than the quotation mark";
            return Err(Error::argument("Csv::delimiter", expected, format!("{:?}", self.delimiter)));
        };
        let (mut file, length) = open::file(&self.path)?;
        let lines = self.lines(&mut file)?;
        file.rewind().map_err(|error| Error::io(&self.path, "read", error))?;
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .delimiter(delimiter)
            .from_reader(file.take(length));
        let mut record = StringRecord::new();
        if !self.next(&mut reader, &mut record)? {
            return Err(self.bad(0, "at least one row", "an empty file"));
        }
        let columns = self.columns(&record, labels)?;
        let features = columns.features.len();
        let values = limit::check(self.path.display().to_string(), "the rows", &[lines, features])?;
        // The first line may be a header, and lines may be empty.
        let mut values = Vec::with_capacity(values);
        let mut labels: Vec<Labels> = columns.labels.iter().map(|_| Labels::default()).collect();
        let mut more = !columns.has_header || self.next(&mut reader, &mut record)?;
        while more {
            let at = record.position().map_or(0, csv::Position::byte);
            if record.len() != columns.names.len() {
                let expected = format!("{} values, as in the first line", columns.names.len());
                let error = self.bad(at, expected, record.len());
                return Err(error.hint("A value with the delimiter in it must be in quotation marks"));
            }
            for column in &columns.features {
                values.push(self.number(&record[*column], at, &columns.names[*column], record.len())?);
            }
            labels.iter_mut().zip(&columns.labels).for_each(|(labels, column)| labels.push(&record[*column]));
            more = self.next(&mut reader, &mut record)?;
        }
        let n = values.len() / features;
        if n == 0 {
            return Err(self.bad(0, "at least one row", "only a header"));
        }
        let images = Array4::from_shape_vec((n, 1, 1, features), values);
        let images = Images::from(images.map_err(|error| self.bad(0, "a table", error))?);
        let source: Arc<str> = format!("{} rows from {}", thousands(n), self.path.display()).into();
        let mut numbered: Vec<_> = labels.into_iter().map(Labels::numbered).collect();
        if numbered.is_empty() {
            numbered.push((vec![0; n], vec![UNLABELLED.to_string()]));
        }
        let of_column = |(labels, class_names): (Vec<usize>, Vec<String>)| {
            let (images, source, labels) = (images.clone(), Arc::clone(&source), Arc::new(labels.into()));
            Ok(Dataset { images, labels, class_names: collected_names(class_names)?, source })
        };
        numbered.into_iter().map(of_column).collect()
    }

    /// How many lines there are; a file that is not text is refused.
    fn lines(&self, file: &mut std::fs::File) -> Result<usize> {
        let (mut lines, mut block, mut is_first) = (1, vec![0; 1 << 16], true);
        loop {
            let count = file.read(&mut block).map_err(|error| Error::io(&self.path, "read", error))?;
            let bytes = &block[..count];
            if std::mem::take(&mut is_first) {
                let what = content::describe(&bytes[..count.min(content::BEGINNING)]).unwrap_or_default();
                if !what.is_empty() && !what.starts_with("text") {
                    return Err(self.bad(0, "lines of values", what));
                }
            }
            if count == 0 {
                return Ok(lines);
            }
            lines += bytes.iter().filter(|byte| **byte == b'\n').count();
        }
    }

    /// Reads the next row; `false` at the end.
    fn next<R: Read>(&self, reader: &mut csv::Reader<R>, record: &mut StringRecord) -> Result<bool> {
        let at = reader.position().byte();
        reader.read_record(record).map_err(|error| match error.kind() {
            csv::ErrorKind::Utf8 { pos, err } => {
                let at = pos.as_ref().map_or(at, csv::Position::byte);
                self.bad(at, "text in UTF-8", err).hint("Save the file as UTF-8")
            }
            _ => self.bad(at, "lines of values", &error),
        })
    }

    fn columns(&self, first: &StringRecord, labels: &[&String]) -> Result<Columns> {
        let fields: Vec<&str> = first.iter().map(|field| field.trim_start_matches('\u{feff}')).collect();
        let by_name = |column: &str| fields.iter().position(|field| *field == column);
        let by_index = |column: &str| column.parse().ok().filter(|index| *index < fields.len());
        // By what they are called, no matter yet whether the first line is a header.
        let given = || labels.iter().copied().chain(&self.without);
        let called: Vec<usize> = given().filter_map(|column| by_name(column).or(by_index(column))).collect();
        let is_named = |column: &String| by_name(column).is_some() && by_index(column).is_none();
        let is_text = |(index, field): (usize, &&str)| !called.contains(&index) && field.parse::<f32>().is_err();
        let has_header = self.header.unwrap_or_else(|| given().any(is_named) || fields.iter().enumerate().any(is_text));
        let names: Vec<String> = match has_header {
            true => fields.iter().map(|field| field.to_string()).collect(),
            false => (0..fields.len()).map(|index| index.to_string()).collect(),
        };
        let find = |method: &str, column: &String| {
            let found = names.iter().position(|name| name == column).or(by_index(column));
            found.ok_or_else(|| {
                let shown: Vec<&str> = names.iter().take(20).map(|name| &name[..]).collect();
                let more = if names.len() > shown.len() { " …" } else { "" };
                let expected = format!("one of the {} columns {}{more}", names.len(), shown.join(", "));
                Error::argument(format!("Csv::{method}, {}", self.path.display()), expected, format!("{column:?}"))
            })
        };
        let method = if self.label.is_some() { "label" } else { "read_by" };
        let labels = labels.iter().map(|column| find(method, column)).collect::<Result<Vec<_>>>()?;
        let without = self.without.iter().map(|column| find("without", column)).collect::<Result<Vec<_>>>()?;
        let features: Vec<usize> =
            (0..names.len()).filter(|index| !labels.contains(index) && !without.contains(index)).collect();
        if features.is_empty() {
            let expected = "at least one column of numbers beside the label";
            return Err(self.bad(0, expected, format!("{} columns", names.len())));
        }
        Ok(Columns { names, has_header, labels, features })
    }

    fn number(&self, field: &str, at: u64, column: &str, columns: usize) -> Result<f32> {
        let number = field.parse::<f32>();
        if let Ok(number) = number
            && number.is_finite()
        {
            return Ok(number);
        }
        let place = format!("{}, line {}, column {column}", self.path.display(), self.line_at(at));
        let got = if field.is_empty() { "nothing".into() } else { format!("{:?}", shortened(field)) };
        let expected = if number.is_ok() { "a finite number" } else { "a number" };
        let error = Error::expected(ErrorKind::Data, place, expected, got);
        Err(match field {
            "" => error.hint("Fill the gap, or take the row out"),
            _ if columns == 1 && field.contains([';', '\t', ',']) => {
                error.hint("Csv::delimiter sets what separates the values")
            }
            _ => error.hint("Csv::label takes the column as labels, Csv::without leaves it out"),
        })
    }

    fn bad(&self, at: u64, expected: impl Display, got: impl Display) -> Error {
        let place = format!("{}, line {}", self.path.display(), self.line_at(at));
        Error::expected(ErrorKind::Data, place, expected, got)
    }

    /// The line of the row that is read from this byte on, behind any empty lines. `csv` counts these, and a `\r\n`,
    /// with the row that follows.
    fn line_at(&self, at: u64) -> usize {
        let Ok((file, _)) = open::file(&self.path) else { return 1 };
        let mut line = 1;
        for (index, byte) in BufReader::new(file).bytes().map_while(std::result::Result::ok).enumerate() {
            if index as u64 >= at && ![b'\r', b'\n'].contains(&byte) {
                break;
            }
            line += usize::from(byte == b'\n');
        }
        line
    }
}

fn shortened(field: &str) -> String {
    field.chars().take(40).collect()
}

/// What the columns are.
struct Columns {
    names: Vec<String>,
    has_header: bool,
    labels: Vec<usize>,
    features: Vec<usize>,
}

/// The labels as they come, numbered in the order of their first occurrence.
#[derive(Default)]
struct Labels {
    numbers: HashMap<String, usize>,
    of_rows: Vec<usize>,
}

impl Labels {
    fn push(&mut self, label: &str) {
        let next = self.numbers.len();
        let number = match self.numbers.get(label) {
            Some(number) => *number,
            None => *self.numbers.entry(label.into()).or_insert(next),
        };
        self.of_rows.push(number);
    }

    /// The labels numbered by the order of their names, and the names.
    fn numbered(self) -> (Vec<usize>, Vec<String>) {
        let mut names: Vec<(String, usize)> = self.numbers.into_iter().collect();
        let number = |name: &str| name.parse::<f64>().ok().filter(|number| !number.is_nan());
        let are_numbers = names.iter().all(|(name, _)| number(name).is_some());
        names.sort_by(|(a, _), (b, _)| match (number(a), number(b)) {
            (Some(x), Some(y)) if are_numbers => x.total_cmp(&y).then_with(|| a.cmp(b)),
            _ => a.cmp(b),
        });
        let mut places = vec![0; names.len()];
        names.iter().enumerate().for_each(|(place, (_, number))| places[*number] = place);
        let labels = self.of_rows.iter().map(|number| places[*number]).collect();
        (labels, names.into_iter().map(|(name, _)| name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::folder::Folder;

    fn read(folder: &Folder, text: &str, settings: impl Fn(Csv) -> Csv) -> Result<Dataset> {
        settings(Csv::new(folder.write("table.csv", text.as_bytes()))).read()
    }

    #[test]
    fn numbers_become_rows_and_labels_classes() {
        let folder = Folder::new("table");
        let plain = read(&folder, "1,2.5\n-3e2, 4\n\n5,6", |csv| csv).unwrap();
        assert_eq!(plain.to_rows(), ndarray::arr2(&[[1.0, 2.5], [-300.0, 4.0], [5.0, 6.0]]));
        assert_eq!((plain.image_shape(), plain.class_names()[0].as_str()), ([1, 1, 2], "unlabelled"));
        assert!(plain.source().starts_with("3 rows from "));

        let named = "\u{feff}\"Time\",V1,Class\r\n0,1.5,\"10\"\r\n1,2.5,9\r\n2,3.5,\"10\"\r\n";
        let fraud = read(&folder, named, |csv| csv.label("Class").without(["Time"])).unwrap();
        assert_eq!(fraud.values(), [1.5, 2.5, 3.5]);
        assert_eq!((fraud.class_names(), fraud.labels().to_vec()), (&["9", "10"].map(String::from)[..], vec![1, 0, 1]));

        // Without a header: the label is a text, and comes by its index.
        let iris = "5.1,1.4,setosa\n6.3,6.0,virginica\n4.9,1.5,setosa\n";
        let iris = read(&folder, iris, |csv| csv.label(2)).unwrap();
        assert_eq!(
            (iris.class_names(), iris.labels().to_vec()),
            (&["setosa", "virginica"].map(String::from)[..], vec![0, 1, 0])
        );
        assert_eq!(iris.values(), [5.1, 1.4, 6.3, 6.0, 4.9, 1.5]);

        // Names that are numbers
        let pixels = "label;0;1\n7;1;2\n";
        let pixels = read(&folder, pixels, |csv| csv.label("label").delimiter(';')).unwrap();
        assert_eq!((pixels.values(), pixels.class_names()[0].as_str()), (&[1.0, 2.0][..], "7"));
        let kept = read(&folder, "0,1\n5,6\n", |csv| csv).unwrap();
        assert_eq!(kept.len(), 2);
        let dropped = read(&folder, "0,1\n5,6\n", |csv| csv.header(true)).unwrap();
        assert_eq!(dropped.values(), [5.0, 6.0]);
    }

    #[test]
    fn several_columns_of_labels_share_their_rows() {
        let folder = Folder::new("table-labels");
        let path = folder.write("table.csv", b"a,kind,b,year\n1,x,2,10\n3,y,4,9\n5,x,6,9\n");
        let [kind, year] = Csv::new(&path).read_by(["kind", "year"]).unwrap();
        assert_eq!((kind.labels().to_vec(), kind.class_names()), (vec![0, 1, 0], &["x", "y"].map(String::from)[..]));
        assert_eq!((year.labels().to_vec(), year.class_names()), (vec![1, 0, 0], &["9", "10"].map(String::from)[..]));
        assert!(kind.images.shares_with(&year.images));
        assert_eq!(kind.values(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let [alone] = Csv::new(&path).without(["year"]).read_by([1]).unwrap();
        assert_eq!(alone.labels(), Csv::new(&path).without(["year"]).label("kind").read().unwrap().labels());
        let error = Csv::new(&path).read_by(["kind", "day"]).unwrap_err().to_string();
        let columns = "expected one of the 4 columns a, kind, b, year, got \"day\"";
        assert_eq!(error, format!("Csv::read_by, {}: {columns}", path.display()));
        let error = Csv::new(&path).label("kind").read_by(["year"]).unwrap_err().to_string();
        assert_eq!(error, "Csv::read_by: expected no Csv::label, got one");
    }

    #[test]
    fn mistakes_are_named_with_line_and_column() {
        let folder = Folder::new("table-bad");
        let path = folder.file("table.csv").display().to_string();
        let same = |csv: Csv| csv;
        let cases: [(Result<Dataset>, &str); 14] = [
            (read(&folder, "", same), ", line 1: expected lines of values, got an empty file"),
            (read(&folder, "a,b\n", same), ", line 1: expected at least one row, got only a header"),
            (
                read(&folder, "a,b\n1,2\n3,x\n", same),
                ", line 3, column b: expected a number, got \"x\". Csv::label takes the column as labels, \
                 Csv::without leaves it out",
            ),
            (
                read(&folder, "a,b\n1,\n", same),
                ", line 2, column b: expected a number, got nothing. Fill the gap, or take the row out",
            ),
            (
                read(&folder, "1,2\n3,4\n5,inf\n", same),
                ", line 3, column 1: expected a finite number, got \"inf\". Csv::label",
            ),
            (read(&folder, "1,2\n3,1e40\n", same), ", line 2, column 1: expected a finite number, got \"1e40\""),
            (
                read(&folder, "a,b\n1,2\n\n3,4,5\n", same),
                ", line 4: expected 2 values, as in the first line, got 3. A value with the delimiter in it",
            ),
            (read(&folder, "a,b\r\n1,2\r\n3,x\r\n", same), ", line 3, column b: expected a number, got \"x\""),
            (read(&folder, "\n1,2\n\n\n3,\"x\ny\"", same), ", line 5, column 1: expected a number, got \"x"),
            (
                read(&folder, "a;b\n1;2\n", same),
                ", line 2, column a;b: expected a number, got \"1;2\". Csv::delimiter sets what separates",
            ),
            (
                read(&folder, "a\n1\n", |csv| csv.label("a")),
                ", line 1: expected at least one column of numbers beside the label, got 1 columns",
            ),
            (read(&folder, "PK\x03\x04xl/workbook", same), ", line 1: expected lines of values, got a zip archive"),
            (read(&folder, "<!DOCTYPE html><html>", same), ", line 1: expected lines of values, got an HTML page"),
            (read(&folder, "\x00\x00\x08\x03\n", same), ", line 1: expected lines of values, got an IDX file"),
        ];
        for (result, expected) in cases {
            let error = result.expect_err(expected);
            assert_eq!(error.kind(), ErrorKind::Data, "{error}");
            assert!(error.to_string().starts_with(&format!("{path}{expected}")), "{expected}: {error}");
        }
        let error = read(&folder, "a,b\n1,2\n", |csv| csv.label("c")).unwrap_err().to_string();
        assert_eq!(error, format!("Csv::label, {path}: expected one of the 2 columns a, b, got \"c\""));
        let error = read(&folder, "1,3\n", |csv| csv.without([2])).unwrap_err().to_string();
        assert_eq!(error, format!("Csv::without, {path}: expected one of the 2 columns 0, 1, got \"2\""));
        folder.write("table.csv", b"a,b\n1,2\n3,\xff\n");
        let error = Csv::new(folder.file("table.csv")).read().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{path}, line 3: expected text in UTF-8")), "{error}");
        for delimiter in ['é', '"'] {
            assert!(Csv::new("x").delimiter(delimiter).read().unwrap_err().to_string().starts_with("Csv::delimiter"));
        }
    }

    #[test]
    fn a_table_that_is_too_large_is_refused_before_it_is_read() {
        let folder = Folder::new("table-large");
        // 30,000 columns of two bytes each, and as many lines as make 4.2 GB of them
        let line = "1,".repeat(29_999) + "1\n";
        let path = folder.write("table.csv", line.as_bytes());
        let file = std::fs::File::options().append(true).open(&path).unwrap();
        let mut file = std::io::BufWriter::new(file);
        (0..40_000).for_each(|_| std::io::Write::write_all(&mut file, b"\n").unwrap());
        drop(file);
        let error = Csv::new(&path).read().unwrap_err().to_string();
        assert!(
            error.contains("expected at most 4 GiB for one result, got 4.5 GiB (the rows: 40002 × 30000"),
            "{error}"
        );
    }
}
