//! Results as Apache Parquet's tables, for pandas, polars, Arrow and data bases.

use std::{path::Path, sync::Arc};

use parquet::{
    basic::{LogicalType, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int64Type},
    errors::ParquetError,
    file::writer::{SerializedColumnWriter, SerializedFileWriter},
    schema::types::Type,
};

use crate::{
    analyse::Codes,
    error::{Error, Result},
    file::write_whole,
    train::{GanHistory, History, Setting, Study},
};

macro_rules! histories {
    ($($history:ty),+) => {$(
        impl $history {
            /// Writes the table that [`save_csv`](Self::save_csv) writes to a Parquet file: `epoch` (`int64`) and a
            /// column of `double` for each curve, in which what was not measured, and NaN, are null. Needs the feature
            /// `parquet` of this crate.
            ///
            /// # Errors
            /// If the file cannot be written, or two curves have the same name.
            pub fn save_parquet(&self, path: impl AsRef<Path>) -> Result<()> {
                let curves = self.curves();
                let epochs = curves.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
                let all = |values: &[f64]| {
                    let at = |index: usize| values.get(index).copied().filter(|value| !value.is_nan());
                    Column::Double((0..epochs).map(at).collect())
                };
                let epoch = Column::Whole((1..=epochs).map(|epoch| Some(epoch as i64)).collect());
                let mut columns = vec![("epoch".into(), epoch)];
                columns.extend(curves.into_iter().map(|(name, values)| (name, all(values))));
                write(path.as_ref(), columns)
            }
        }
    )+};
}
histories!(History, GanHistory);

impl Codes {
    /// Writes the table that [`save_csv`](Self::save_csv) writes to a Parquet file: a column of `float` for each
    /// dimension, `label` (`int64`) and `class` (text). Needs the feature `parquet` of this crate.
    ///
    /// # Errors
    /// If the file cannot be written.
    ///
    /// ```
    /// use latentlab::{Codes, Dataset};
    ///
    /// let path = std::env::temp_dir().join("latentlab-doc-codes.parquet");
    /// Codes::of_pixels(&Dataset::built_in_digits(20, 0)?).save_parquet(&path)?;
    /// assert!(std::fs::read(&path).unwrap().starts_with(b"PAR1"));
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn save_parquet(&self, path: impl AsRef<Path>) -> Result<()> {
        let dimension =
            |index| (self.axis_name(index).replace(' ', "_"), Column::Single(self.points().column(index).to_vec()));
        let mut columns: Vec<_> = (0..self.latent_dim()).map(dimension).collect();
        columns.push(("label".into(), Column::Whole(self.labels().iter().map(|label| Some(*label as i64)).collect())));
        let classes = self.labels().iter().map(|label| Some(self.class_names()[*label].clone()));
        columns.push(("class".into(), Column::Text(classes.collect())));
        write(path.as_ref(), columns)
    }
}

impl Study {
    /// Writes the table that [`save_csv`](Self::save_csv) writes to a Parquet file: `number` (`int64`), `value` and
    /// `seconds` (`double`), `state` (text), and each parameter as the narrowest of `int64`, `double` and text that
    /// holds its settings; what a trial does not have is null. Needs the feature `parquet` of this crate.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_parquet(&self, path: impl AsRef<Path>) -> Result<()> {
        let records = self.records();
        let number = |value: f64| Some(value).filter(|value| !value.is_nan());
        let mut columns = vec![
            ("number".into(), Column::Whole(records.iter().map(|record| Some(record.number as i64)).collect())),
            ("value".into(), Column::Double(records.iter().map(|record| record.value.and_then(number)).collect())),
            ("state".into(), Column::Text(records.iter().map(|record| Some(record.state.to_string())).collect())),
            ("seconds".into(), Column::Double(records.iter().map(|record| number(record.seconds)).collect())),
        ];
        for name in self.columns_of(&records) {
            let settings: Vec<Option<&Setting>> = records.iter().map(|record| record.settings.get(&name)).collect();
            columns.push((format!("params_{name}"), Column::of(&settings)));
        }
        write(path.as_ref(), columns)
    }
}

/// The values of a column.
enum Column {
    Whole(Vec<Option<i64>>),
    Double(Vec<Option<f64>>),
    Single(Vec<f32>),
    Text(Vec<Option<String>>),
}

impl Column {
    /// Of a parameter's settings.
    fn of(settings: &[Option<&Setting>]) -> Self {
        let is_whole = |setting: &&Setting| matches!(setting, Setting::Integer(value) if i64::try_from(*value).is_ok());
        if settings.iter().flatten().all(is_whole) {
            let whole = |setting: &Setting| if let Setting::Integer(value) = setting { *value as i64 } else { 0 };
            return Self::Whole(settings.iter().map(|setting| setting.map(whole)).collect());
        }
        if settings.iter().flatten().any(|setting| matches!(setting, Setting::Text(_))) {
            return Self::Text(settings.iter().map(|setting| setting.map(Setting::to_string)).collect());
        }
        let double = |setting: &Setting| match setting {
            Setting::Integer(value) => *value as f64,
            Setting::Float(value) => *value,
            Setting::Text(_) => f64::NAN,
        };
        Self::Double(settings.iter().map(|setting| setting.map(double)).collect())
    }

    fn schema(&self, name: &str) -> Result<Type, ParquetError> {
        let (physical, repetition, logical) = match self {
            Self::Whole(_) => (Physical::INT64, Repetition::OPTIONAL, None),
            Self::Double(_) => (Physical::DOUBLE, Repetition::OPTIONAL, None),
            Self::Single(_) => (Physical::FLOAT, Repetition::REQUIRED, None),
            Self::Text(_) => (Physical::BYTE_ARRAY, Repetition::OPTIONAL, Some(LogicalType::String)),
        };
        Type::primitive_type_builder(name, physical).with_repetition(repetition).with_logical_type(logical).build()
    }

    fn write(&self, writer: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        match self {
            Self::Whole(values) => write_optional::<Int64Type>(writer, values.iter().copied()),
            Self::Double(values) => write_optional::<DoubleType>(writer, values.iter().copied()),
            Self::Single(values) => writer.typed::<FloatType>().write_batch(values, None, None).map(drop),
            Self::Text(values) => {
                let text = |text: &Option<String>| text.as_deref().map(ByteArray::from);
                write_optional::<ByteArrayType>(writer, values.iter().map(text))
            }
        }
    }
}

fn write_optional<T: DataType>(
    writer: &mut SerializedColumnWriter<'_>,
    values: impl Iterator<Item = Option<T::T>> + Clone,
) -> Result<(), ParquetError> {
    let levels: Vec<i16> = values.clone().map(|value| i16::from(value.is_some())).collect();
    let present: Vec<T::T> = values.flatten().collect();
    writer.typed::<T>().write_batch(&present, Some(&levels), None).map(drop)
}

fn write(path: &Path, columns: Vec<(String, Column)>) -> Result<()> {
    let mut names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::argument("save_parquet", "columns with different names", format!("{:?} twice", twice[0])));
    }
    let failed = |error: ParquetError| Error::io(path, "write", std::io::Error::other(error));
    write_whole(path, &table(&columns).map_err(failed)?)
}

fn table(columns: &[(String, Column)]) -> Result<Vec<u8>, ParquetError> {
    let fields: Result<Vec<_>, _> = columns.iter().map(|(name, column)| column.schema(name).map(Arc::new)).collect();
    let schema = Type::group_type_builder("schema").with_fields(fields?).build()?;
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::default())?;
    let mut group = writer.next_row_group()?;
    for (_, column) in columns {
        let mut writer = group.next_column()?.ok_or(ParquetError::EOF("a column of the schema".into()))?;
        column.write(&mut writer)?;
        writer.close()?;
    }
    group.close()?;
    writer.into_inner()
}
