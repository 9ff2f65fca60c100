//! Controls, their values, and the models by which Jupyter's widgets describe them.

use std::{collections::HashSet, ops::RangeInclusive, sync::Arc};

use ndarray::Array2;
use serde_json::{Value as Json, json};

use crate::error::{Error, Result, visible};

/// A control for [`interact`](crate::interact): made by [`slider`], [`int_slider`], [`selection_slider`], [`checkbox`],
/// [`dropdown`], [`text_input`] or [`button`].
#[derive(Clone, Debug)]
pub struct Control {
    name: String,
    kind: Kind,
    start: Option<f64>,
    step: Option<f64>,
}

#[derive(Clone, Debug)]
enum Kind {
    Slider(f64, f64),
    IntSlider(usize, usize),
    SelectionSlider(Vec<String>),
    Checkbox(bool),
    Dropdown(Vec<String>),
    TextInput(String),
    Button,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Float(f64),
    Integer(usize),
    Checked(bool),
    /// The number of the option.
    Option(usize),
    Text(String),
    Clicks(usize),
}

/// A slider for a number from the lowest to the highest of a range. It starts in the middle
/// ([`start_at`](Control::start_at)) and moves in steps of about a hundredth of the range ([`step`](Control::step)).
/// Read it by [`Values::float`], or all of them by [`Values::code`].
///
/// ```
/// use latentlab::slider;
///
/// let (wide, fine) = (slider("latent 1", -3.0..=3.0), slider("noise", 0.0..=1.0).start_at(0.2).step(0.05));
/// ```
pub fn slider(name: &str, range: RangeInclusive<f64>) -> Control {
    Control::new(name, Kind::Slider(*range.start(), *range.end()))
}

/// A slider for a whole number, both ends included. It starts in the middle and moves in steps of 1. Read it by
/// [`Values::integer`].
///
/// ```
/// use latentlab::{int_slider, interact};
///
/// interact([int_slider("k", 2..=20).start_at(10.0)], |values| values.integer("k").map(|k| format!("{k} clusters")))?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn int_slider(name: &str, range: RangeInclusive<usize>) -> Control {
    Control::new(name, Kind::IntSlider(*range.start(), *range.end()))
}

/// A slider that stops at each of several options, at first at the first one: ipywidgets' `SelectionSlider`. Read it by
/// [`Values::text`].
///
/// ```
/// use latentlab::{interact, selection_slider};
///
/// interact([selection_slider("β", ["0.01", "1", "100"])], |values| values.text("β").map(|beta| format!("β {beta}")))?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn selection_slider<S: Into<String>>(name: &str, options: impl IntoIterator<Item = S>) -> Control {
    Control::new(name, Kind::SelectionSlider(options.into_iter().map(Into::into).collect()))
}

/// A check box. Read it by [`Values::checked`].
///
/// ```
/// use latentlab::{checkbox, interact};
///
/// interact([checkbox("scaled", true)], |values| values.checked("scaled"))?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn checkbox(name: &str, checked: bool) -> Control {
    Control::new(name, Kind::Checkbox(checked))
}

/// A choice of one of several options, at first the first one. Read it by [`Values::text`].
///
/// ```
/// use latentlab::{dropdown, interact};
///
/// interact([dropdown("method", ["PCA", "t-SNE"])], |values| values.text("method").map(str::to_lowercase))?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn dropdown<S: Into<String>>(name: &str, options: impl IntoIterator<Item = S>) -> Control {
    Control::new(name, Kind::Dropdown(options.into_iter().map(Into::into).collect()))
}

/// A line of text to type in. Read it by [`Values::text`].
///
/// ```
/// use latentlab::{interact, text_input};
///
/// interact([text_input("title", "My codes")], |values| values.text("title").map(str::len))?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn text_input(name: &str, text: &str) -> Control {
    Control::new(name, Kind::TextInput(text.to_owned()))
}

/// A button: each click calls the function. [`Values::clicks`] counts them, for example as a seed.
///
/// ```
/// use latentlab::{Dataset, button, interact};
///
/// interact([button("draw again")], |values| {
///     Dataset::built_in_digits(10, values.clicks("draw again")? as u64)?.plot_images(10)
/// })?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn button(name: &str) -> Control {
    Control::new(name, Kind::Button)
}

impl Control {
    fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), kind, start: None, step: None }
    }

    /// Where a slider starts.
    pub fn start_at(mut self, start: f64) -> Self {
        self.start = Some(start);
        self
    }

    /// The step of a slider; of a slider for whole numbers a whole number.
    pub fn step(mut self, step: f64) -> Self {
        self.step = Some(step);
        self
    }

    fn range(&self) -> Option<(f64, f64)> {
        match self.kind {
            Kind::Slider(low, high) => Some((low, high)),
            Kind::IntSlider(low, high) => Some((low as f64, high as f64)),
            _ => None,
        }
    }

    fn is_whole(&self) -> bool {
        matches!(self.kind, Kind::IntSlider(..) | Kind::SelectionSlider(_))
    }

    fn check(&self) -> Result<()> {
        let wrong = |what: &str, expected: String, got: String| {
            Err(Error::argument(format!("interact, control {:?}{what}", self.name), expected, got))
        };
        let Some((low, high)) = self.range() else {
            if self.start.or(self.step).is_some() {
                return wrong("", "a slider for start_at and step".into(), "another control".into());
            }
            return match &self.kind {
                Kind::Dropdown(options) | Kind::SelectionSlider(options) if options.is_empty() => {
                    wrong("", "at least 1 option".into(), "none".into())
                }
                _ => Ok(()),
            };
        };
        if !(low < high && (high - low).is_finite()) {
            let got = format!("{low}..={high}");
            return wrong(", range", "finite numbers, the second above the first".into(), got);
        }
        let whole = if self.is_whole() { "a whole number" } else { "a number" };
        let fits = |number: f64| number.is_finite() && (!self.is_whole() || number.fract() == 0.0);
        if let Some(start) = self.start.filter(|start| !(fits(*start) && (low..=high).contains(start))) {
            return wrong(", start_at", format!("{whole} in {low}..={high}"), start.to_string());
        }
        if let Some(step) = self.step.filter(|step| !(fits(*step) && *step > 0.0)) {
            return wrong(", step", format!("{whole} above 0"), step.to_string());
        }
        Ok(())
    }

    /// Its value at first.
    fn first(&self) -> Value {
        match &self.kind {
            Kind::Slider(low, high) => Value::Float(self.start.unwrap_or(low + (high - low) / 2.0)),
            Kind::IntSlider(low, high) => Value::Integer(self.start.map_or(low + (high - low) / 2, |s| s as usize)),
            Kind::Checkbox(checked) => Value::Checked(*checked),
            Kind::Dropdown(_) | Kind::SelectionSlider(_) => Value::Option(0),
            Kind::TextInput(text) => Value::Text(text.clone()),
            Kind::Button => Value::Clicks(0),
        }
    }

    /// The nearest value that it can have, of what a page has sent.
    fn accepted(&self, state: &Json) -> Option<Value> {
        let (value, index) = (&state["value"], state["index"].as_u64());
        match &self.kind {
            Kind::Slider(low, high) => value.as_f64().map(|number| Value::Float(number.clamp(*low, *high))),
            Kind::IntSlider(low, high) => {
                value.as_f64().map(|number| Value::Integer((number as usize).clamp(*low, *high)))
            }
            Kind::Checkbox(_) => value.as_bool().map(Value::Checked),
            Kind::Dropdown(options) | Kind::SelectionSlider(options) => {
                index.map(|index| Value::Option((index as usize).min(options.len() - 1)))
            }
            Kind::TextInput(_) => value.as_str().map(|text| Value::Text(text.to_owned())),
            Kind::Button => None,
        }
    }

    /// The step of the slider and the digits after the point that it needs.
    fn steps(&self, low: f64, high: f64) -> (f64, usize) {
        let default = if self.is_whole() { 1.0 } else { 10_f64.powf(((high - low) / 50.0).log10().floor()) };
        let step = self.step.unwrap_or(default);
        let is_whole = |digits: &i32| {
            let scaled = step * 10_f64.powi(*digits);
            (scaled - scaled.round()).abs() < 1e-6 * scaled
        };
        (step, (0..MOST_DIGITS).find(is_whole).unwrap_or(MOST_DIGITS) as usize)
    }
}

/// The most digits after the point of a slider's number.
const MOST_DIGITS: i32 = 6;
/// The most controls that a page can take.
const MOST: usize = 100;

pub fn check(controls: &[Control]) -> Result<()> {
    if !(1..=MOST).contains(&controls.len()) {
        return Err(Error::argument("interact", format!("1 to {MOST} controls"), controls.len()));
    }
    let mut names = HashSet::new();
    if let Some(twice) = controls.iter().find(|control| !names.insert(&control.name)) {
        return Err(Error::argument("interact", "each control once", format!("{:?} twice", twice.name)));
    }
    controls.iter().try_for_each(Control::check)
}

/// The values of the controls of [`interact`](crate::interact), by name.
#[derive(Clone, Debug)]
pub struct Values {
    controls: Arc<[Control]>,
    values: Vec<Value>,
}

impl Values {
    pub(super) fn new(controls: Vec<Control>) -> Self {
        let values = controls.iter().map(Control::first).collect();
        Self { controls: controls.into(), values }
    }

    /// The number of a slider.
    ///
    /// # Errors
    /// If there is no such control, or it is not a slider.
    pub fn float(&self, name: &str) -> Result<f64> {
        match self.get(name)? {
            Value::Float(number) => Ok(*number),
            Value::Integer(number) => Ok(*number as f64),
            _ => self.unlike(name, "a slider"),
        }
    }

    /// The whole number of an [`int_slider`].
    ///
    /// # Errors
    /// If there is no such control, or it is another.
    pub fn integer(&self, name: &str) -> Result<usize> {
        match self.get(name)? {
            Value::Integer(number) => Ok(*number),
            _ => self.unlike(name, "a slider for whole numbers"),
        }
    }

    /// Whether a [`checkbox`] is checked.
    ///
    /// # Errors
    /// If there is no such control, or it is another.
    pub fn checked(&self, name: &str) -> Result<bool> {
        match self.get(name)? {
            Value::Checked(checked) => Ok(*checked),
            _ => self.unlike(name, "a check box"),
        }
    }

    /// The option of a [`dropdown`] or a [`selection_slider`], or the text of a [`text_input`].
    ///
    /// # Errors
    /// If there is no such control, or it is another.
    pub fn text(&self, name: &str) -> Result<&str> {
        let index = self.index(name)?;
        match (&self.values[index], &self.controls[index].kind) {
            (Value::Text(text), _) => Ok(text),
            (Value::Option(option), Kind::Dropdown(options) | Kind::SelectionSlider(options)) => Ok(&options[*option]),
            _ => self.unlike(name, "a text or a choice"),
        }
    }

    /// How many times a [`button`] has been clicked.
    ///
    /// # Errors
    /// If there is no such control, or it is another.
    pub fn clicks(&self, name: &str) -> Result<usize> {
        match self.get(name)? {
            Value::Clicks(clicks) => Ok(*clicks),
            _ => self.unlike(name, "a button"),
        }
    }

    /// The numbers of all [`slider`]s in order, as one code for [`decode`](crate::decode): shape (1, sliders).
    pub fn code(&self) -> Array2<f32> {
        let number = |value: &Value| match value {
            Value::Float(number) => Some(*number as f32),
            _ => None,
        };
        let numbers: Vec<f32> = self.values.iter().filter_map(number).collect();
        Array2::from_shape_vec((1, numbers.len()), numbers).expect("one row")
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.controls.iter().map(|control| control.name.as_str()).collect()
    }

    fn index(&self, name: &str) -> Result<usize> {
        self.controls.iter().position(|control| control.name == name).ok_or_else(|| {
            let expected = format!("a control of {}", self.names().join(", "));
            Error::argument("values", expected, format!("{name:?}"))
        })
    }

    fn get(&self, name: &str) -> Result<&Value> {
        Ok(&self.values[self.index(name)?])
    }

    fn unlike<T>(&self, name: &str, expected: &str) -> Result<T> {
        Err(Error::argument(format!("values, {name:?}"), expected, "another control"))
    }

    /// Moves a slider, within its range; one of options to the option of this number.
    pub(super) fn set_number(&mut self, index: usize, number: f64) {
        if let Some(value) = self.controls[index].accepted(&json!({ "value": number, "index": number as u64 })) {
            self.values[index] = value;
        }
    }

    /// What a page has sent about a control; whether its value is another now.
    pub(super) fn receive(&mut self, index: usize, event: &Json) -> bool {
        let (Some(control), Some(value)) = (self.controls.get(index), self.values.get_mut(index)) else { return false };
        let accepted = match value {
            Value::Clicks(clicks) if event["event"] == "click" => Some(Value::Clicks(clicks.saturating_add(1))),
            _ => control.accepted(&event["state"]),
        };
        accepted.is_some_and(|accepted| std::mem::replace(value, accepted.clone()) != accepted)
    }

    /// The controls whose values are other than before.
    pub(super) fn changes(&self, before: &Self) -> Vec<usize> {
        (0..self.values.len()).filter(|index| self.values[*index] != before.values[*index]).collect()
    }

    /// Takes over what a function has changed, except for controls that a user has moved since.
    pub(super) fn take_over(&mut self, changed: &[usize], values: &Self, before: &Self) {
        for index in changed {
            if self.values[*index] == before.values[*index] {
                self.values[*index] = values.values[*index].clone();
            }
        }
    }

    /// For each of the first sliders its lowest, first and highest value, with a title; the middle one if it starts at
    /// an end.
    pub(super) fn extremes(&self, sliders: usize) -> Vec<Vec<(String, Self)>> {
        let of_slider = |(index, control): (usize, &Control)| {
            let (low, high) = match &control.kind {
                Kind::SelectionSlider(options) => (0.0, (options.len() - 1) as f64),
                _ => control.range()?,
            };
            let state = self.state(index);
            let first = state["value"].as_f64().or(state["index"].as_f64()).filter(|at| low < *at && *at < high);
            let middle = low + (high - low) / 2.0;
            let middle = if control.is_whole() { middle.floor() } else { middle };
            let mut numbers = vec![low, first.unwrap_or(middle), high];
            numbers.dedup();
            let (_, digits) = control.steps(low, high);
            let titled = |number: f64| {
                let text = match &control.kind {
                    Kind::SelectionSlider(options) => options[number as usize].clone(),
                    _ => format!("{number:.digits$}"),
                };
                let mut values = self.clone();
                values.set_number(index, number);
                (format!("{} = {text}", control.name), values)
            };
            Some(numbers.into_iter().map(titled).collect())
        };
        self.controls.iter().enumerate().filter_map(of_slider).take(sliders).collect()
    }

    /// The part of a model's state that holds its value.
    pub(super) fn state(&self, index: usize) -> Json {
        match &self.values[index] {
            Value::Float(number) => json!({ "value": number }),
            Value::Integer(number) => json!({ "value": number }),
            Value::Checked(checked) => json!({ "value": checked }),
            Value::Option(option) => json!({ "index": option }),
            Value::Text(text) => json!({ "value": text }),
            Value::Clicks(_) => json!({}),
        }
    }
}

const CONTROLS: [&str; 2] = ["@jupyter-widgets/controls", "2.0.0"];
const BASE: [&str; 2] = ["@jupyter-widgets/base", "2.0.0"];

/// A model's state with the names by which a page finds its code.
fn model([model, view]: [&str; 2], [module, view_module]: [[&str; 2]; 2], state: Json) -> Json {
    let mut whole = json!({
        "_model_name": model, "_model_module": module[0], "_model_module_version": module[1],
        "_view_name": view, "_view_module": view_module[0], "_view_module_version": view_module[1],
    });
    if let (Some(whole), Json::Object(state)) = (whole.as_object_mut(), state) {
        whole.extend(state);
    }
    whole
}

/// The models of ipywidgets 8 (its package/schema): id and state of each, those that others refer to first.
pub fn models(root: &str, values: &Values) -> Vec<(String, Json)> {
    let layout = |state| model(["LayoutModel", "LayoutView"], [BASE, BASE], state);
    let refer = |id: &str| format!("IPY_MODEL_{root}{id}");
    let longest = values.names().iter().map(|name| name.chars().count()).max().unwrap_or(0).clamp(8, 32);
    let width = format!("{}ch", longest + 2);
    let mut models = vec![
        (format!("{root}-layout"), layout(json!({ "width": "auto", "max_width": "560px" }))),
        // Else a button has 148 pixels, and a longer text is cut.
        (format!("{root}-button-layout"), layout(json!({ "width": "max-content" }))),
        (format!("{root}-box-layout"), layout(json!({}))),
    ];
    for (index, control) in values.controls.iter().enumerate() {
        let layout = if matches!(control.kind, Kind::Button) { "-button-layout" } else { "-layout" };
        let mut own = json!({ "description": visible(&control.name), "layout": refer(layout), "disabled": false });
        let (name, style, more) = match &control.kind {
            Kind::Slider(..) | Kind::IntSlider(..) => {
                let (low, high) = control.range().unwrap_or_default();
                let (step, digits) = control.steps(low, high);
                let (name, format) = match control.is_whole() {
                    true => ("IntSlider", "d".to_owned()),
                    false => ("FloatSlider", format!(".{digits}f")),
                };
                let whole = |number: f64| if control.is_whole() { json!(number as u64) } else { json!(number) };
                let more = json!({
                    "min": whole(low), "max": whole(high), "step": whole(step), "readout": true,
                    "readout_format": format, "orientation": "horizontal", "behavior": "drag-tap",
                    "continuous_update": true,
                });
                (name, "Slider", more)
            }
            Kind::SelectionSlider(options) => {
                let more = json!({
                    "_options_labels": options, "readout": true, "orientation": "horizontal", "behavior": "drag-tap",
                    "continuous_update": true,
                });
                ("SelectionSlider", "Description", more)
            }
            Kind::Checkbox(_) => ("Checkbox", "Checkbox", json!({ "indent": true })),
            Kind::Dropdown(options) => ("Dropdown", "Description", json!({ "_options_labels": options })),
            Kind::TextInput(_) => ("Text", "Text", json!({ "placeholder": "", "continuous_update": true })),
            Kind::Button => ("Button", "Button", json!({ "button_style": "", "icon": "", "tooltip": null })),
        };
        let style_id = format!("-style-{index}");
        let description = if style == "Button" { json!({}) } else { json!({ "description_width": width }) };
        let style = model([&format!("{style}StyleModel"), "StyleView"], [CONTROLS, BASE], description);
        models.push((format!("{root}{style_id}"), style));
        own["style"] = refer(&style_id).into();
        for part in [more, values.state(index)] {
            if let (Some(own), Json::Object(part)) = (own.as_object_mut(), part) {
                own.extend(part);
            }
        }
        let names = [&format!("{name}Model") as &str, &format!("{name}View")];
        models.push((format!("{root}-{index}"), model(names, [CONTROLS, CONTROLS], own)));
    }
    let children: Vec<String> = (0..values.values.len()).map(|index| refer(&format!("-{index}"))).collect();
    let state = json!({ "children": children, "layout": refer("-box-layout") });
    models.push((root.to_owned(), model(["VBoxModel", "VBoxView"], [CONTROLS, CONTROLS], state)));
    models
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_refers_only_to_models_before_it() {
        let controls = vec![
            slider("a", 0.0..=1.0).step(0.25),
            int_slider("b", 1..=9).start_at(3.0),
            checkbox("c", true),
            dropdown("d", ["p", "q"]),
            text_input("e", "hi"),
            button("f"),
            slider("tiny", 0.0..=5e-324),
            selection_slider("g", ["0.1", "10"]),
        ];
        check(&controls).unwrap();
        let models = models("root", &Values::new(controls));
        for (index, (id, state)) in models.iter().enumerate() {
            let text = state.to_string();
            for reference in text.split("IPY_MODEL_").skip(1).map(|rest| rest.split('"').next().unwrap()) {
                assert!(models[..index].iter().any(|(before, _)| before == reference), "{id} refers to {reference}");
            }
            assert!(state["_model_name"].is_string() && state["_view_module_version"] == "2.0.0", "{state}");
        }
        let of = |id: &str| &models.iter().find(|model| model.0 == id).unwrap().1;
        assert_eq!((&of("root-0")["step"], &of("root-0")["readout_format"]), (&json!(0.25), &json!(".2f")));
        assert_eq!((&of("root-1")["value"], &of("root-1")["max"]), (&json!(3), &json!(9)));
        assert_eq!((&of("root-3")["index"], &of("root-3")["_options_labels"]), (&json!(0), &json!(["p", "q"])));
        assert_eq!((&of("root-7")["index"], &of("root-7")["_options_labels"]), (&json!(0), &json!(["0.1", "10"])));
        assert_eq!(of("root")["children"].as_array().unwrap().len(), 8);
    }

    #[test]
    fn the_extremes_of_a_slider_are_distinct_and_its_options_have_their_names() {
        let controls = vec![
            int_slider("start", 0..=5).start_at(0.0),
            selection_slider("β", ["0.1", "1", "10", "100"]),
            dropdown("none", ["a"]),
            selection_slider("two", ["a", "b"]),
            selection_slider("one", ["a"]),
        ];
        let mut values = Values::new(controls);
        assert!(values.receive(1, &json!({ "state": { "index": 2 } })));
        let titles =
            |row: Vec<(String, Values)>| row.into_iter().map(|(title, _)| title).collect::<Vec<_>>().join(", ");
        let expected = ["start = 0, start = 2, start = 5", "β = 0.1, β = 10, β = 100", "two = a, two = b", "one = a"];
        assert_eq!(values.extremes(4).into_iter().map(titles).collect::<Vec<_>>(), expected);
        assert_eq!(values.extremes(2)[1][2].1.text("β").unwrap(), "100");
    }

    #[test]
    fn what_a_page_sends_is_brought_into_the_range() {
        let mut values = Values::new(vec![slider("a", -1.0..=1.0), int_slider("b", 2..=9), dropdown("d", ["p", "q"])]);
        for (index, state) in [(0, json!({ "value": 7 })), (1, json!({ "value": -3.5 })), (2, json!({ "index": 99 }))] {
            assert!(values.receive(index, &json!({ "state": state })));
        }
        assert_eq!(values.float("a").unwrap(), 1.0);
        assert_eq!((values.integer("b").unwrap(), values.text("d").unwrap()), (2, "q"));
        for odd in [json!({}), json!({ "value": null }), json!({ "value": "1" }), json!({ "index": -1 })] {
            assert!((0..4).all(|index| !values.receive(index, &json!({ "state": odd }))), "{odd}");
        }
    }
}
