use std::fmt;

use super::sequential::Sequential;
use crate::{
    data::thousands,
    error::{Error, visible},
    html::{escape_html, table},
};

/// A network's layers, output shapes and parameter counts; prints as Keras' `model.summary()` does.
#[derive(Clone)]
pub struct Summary {
    name: String,
    rows: Vec<SummaryRow>,
    mistake: Option<Error>,
}

/// One layer in a [`Summary`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SummaryRow {
    /// The network the layer is in ("encoder", "decoder"; empty where there is only one).
    pub network: String,
    /// The layer's number in its network, from 1: the one that error messages name. 0 is the input.
    pub number: usize,
    /// The layer's kind, such as "dense".
    pub kind: String,
    /// Its output shape without the batch.
    pub output_shape: Vec<usize>,
    /// How many numbers it holds.
    pub parameters: usize,
    /// How many of them training learns; the others are running statistics.
    pub trainable: usize,
}

impl Summary {
    pub(crate) fn of(name: &str, networks: &[(&str, &Sequential)]) -> Self {
        let mut rows = Vec::new();
        for (label, network) in networks {
            let input = SummaryRow {
                network: (*label).into(),
                number: 0,
                kind: "input".into(),
                output_shape: network.input_shape().to_vec(),
                parameters: 0,
                trainable: 0,
            };
            rows.push(input);
            rows.extend(network.nodes().iter().enumerate().map(|(index, node)| SummaryRow {
                network: (*label).into(),
                number: index + 1,
                kind: node.layer.name().into(),
                output_shape: node.output.clone(),
                parameters: node.parameters.iter().map(|parameter| parameter.values.len()).sum(),
                trainable: node.parameters.iter().filter(|parameter| parameter.trainable).map(|p| p.values.len()).sum(),
            }));
        }
        let mistake = networks.iter().find_map(|(_, network)| network.check().err());
        Self { name: name.into(), rows, mistake }
    }

    /// The name above the table.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The layers from first to last, each network led by its input.
    pub fn rows(&self) -> &[SummaryRow] {
        &self.rows
    }

    /// All parameters that training learns.
    pub fn trainable(&self) -> usize {
        self.rows.iter().map(|row| row.trainable).sum()
    }

    /// All others: running statistics.
    pub fn non_trainable(&self) -> usize {
        self.total() - self.trainable()
    }

    /// All parameters.
    pub fn total(&self) -> usize {
        self.rows.iter().map(|row| row.parameters).sum()
    }

    /// The table of `Display` as HTML, for a notebook.
    pub fn to_html(&self) -> String {
        let head = ["Layer", "Output Shape", "Param #"].map(String::from);
        let row = |row: &SummaryRow| {
            let label = if row.number == 0 { format!("<b>{}</b>", row.label()) } else { row.label() };
            vec![label, row.shape(), thousands(row.parameters)]
        };
        let rows: Vec<Vec<String>> = self.rows.iter().map(row).collect();
        let below: Vec<String> = self.below().iter().map(|line| escape_html(line)).collect();
        let (name, table) = (escape_html(&self.name), table(&head, &rows));
        format!("<p>Model: \"{name}\"</p>{table}<p>{}</p>", below.join("<br>"))
    }

    /// The lines below the table.
    fn below(&self) -> Vec<String> {
        let mut lines = Vec::from_iter(self.mistake.iter().map(|mistake| format!("unfinished: {mistake}")));
        lines.push(format!("Total params: {}", thousands(self.total())));
        if self.non_trainable() > 0 {
            lines.push(format!("Trainable params: {}", thousands(self.trainable())));
            lines.push(format!("Non-trainable params: {}", thousands(self.non_trainable())));
        }
        lines
    }
}

impl SummaryRow {
    fn label(&self) -> String {
        match (self.number, self.network.as_str()) {
            (0, "") => "input".into(),
            (0, network) => format!("{network}: input"),
            (number, _) => format!("{number:>2} {}", self.kind),
        }
    }

    /// As Keras writes it, the batch first.
    fn shape(&self) -> String {
        let shape: Vec<String> = self.output_shape.iter().map(usize::to_string).collect();
        format!("(None, {})", shape.join(", "))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, c: &str| writeln!(f, "{}", c.repeat(61));
        writeln!(f, "Model: \"{}\"", visible(&self.name))?;
        line(f, "_")?;
        writeln!(f, " {:<28}{:<22}{:>10}", "Layer", "Output Shape", "Param #")?;
        line(f, "=")?;
        for (index, row) in self.rows.iter().enumerate() {
            if row.number == 0 && index > 0 {
                line(f, "-")?;
            }
            writeln!(f, " {:<28}{:<22}{:>10}", row.label(), row.shape(), thousands(row.parameters))?;
        }
        line(f, "=")?;
        f.write_str(&self.below().join("\n"))
    }
}

/// The same text as `Display`: a notebook may print either.
impl fmt::Debug for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
