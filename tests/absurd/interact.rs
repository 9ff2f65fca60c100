//! Controls of a notebook, which a program shows as figures or text.

use std::sync::mpsc::channel;

use latentlab::{
    Autoencoder, Control, LineChart, Result, Values, button, checkbox, dropdown, int_slider, interact, slider,
    text_input, traverse,
};

use crate::{Row::Call, Table, arguments::*};

/// Shows the control with a figure and with text.
fn shown(control: Control) {
    let chart = |number: f64| LineChart::new("x", "y").line("a", &[0.0, number]).figure();
    either(interact([control.clone()], move |values| chart(values.code().sum().into())));
    either(interact([control], |values| format!("{values:?}")));
}

fn all() -> Vec<Control> {
    vec![
        slider("slider", 0.0..=1.0),
        int_slider("int", 0..=9),
        checkbox("check", true),
        dropdown("dropdown", ["a", "b"]),
        text_input("text", ""),
        button("button"),
    ]
}

fn values() -> Values {
    let (sender, values) = channel();
    interact(all(), move |values| sender.send(values.clone()).is_ok()).unwrap();
    values.recv().unwrap()
}

/// Reads every control and some that there are not as what only `right` are.
fn read<T>(right: &[&str], get: fn(&Values, &str) -> Result<T>) {
    let (values, mut names) = (values(), texts());
    names.extend(["slider", "int", "check", "dropdown", "text", "button"].map(String::from));
    for name in names {
        assert_eq!(either(get(&values, &name)).is_some(), right.contains(&name.as_str()), "{name:?}");
    }
}

pub fn rows() -> Table {
    vec![
        (
            "interact",
            Call(|| {
                for count in [0, 1, 100, 101, 100_000] {
                    let names = (0..count).map(|number| checkbox(&number.to_string(), false));
                    either(interact(names, |_| 1.0));
                }
                either(interact([button("a"), button("a")], |_| true));
                either(interact(all(), |_| Err::<f64, _>("a failure")));
            }),
        ),
        (
            "slider",
            Call(|| {
                for low in NUMBERS {
                    NUMBERS.iter().for_each(|high| shown(slider("x", low..=*high)));
                }
                texts().iter().for_each(|name| shown(slider(name, 0.0..=1.0)));
            }),
        ),
        (
            "int_slider",
            Call(|| {
                for low in SIZES {
                    SIZES.iter().for_each(|high| shown(int_slider("n", low..=*high)));
                }
            }),
        ),
        ("checkbox", Call(|| texts().iter().for_each(|name| shown(checkbox(name, false))))),
        (
            "dropdown",
            Call(|| {
                shown(dropdown("none", [""; 0]));
                texts().iter().for_each(|name| shown(dropdown(name, texts())));
            }),
        ),
        ("text_input", Call(|| texts().iter().for_each(|text| shown(text_input(text, text))))),
        ("button", Call(|| texts().iter().for_each(|name| shown(button(name))))),
        (
            "Control::start_at",
            Call(|| all().into_iter().for_each(|c| NUMBERS.iter().for_each(|start| shown(c.clone().start_at(*start))))),
        ),
        (
            "Control::step",
            Call(|| all().into_iter().for_each(|c| NUMBERS.iter().for_each(|step| shown(c.clone().step(*step))))),
        ),
        ("Values::float", Call(|| read(&["slider", "int"], Values::float))),
        ("Values::integer", Call(|| read(&["int"], Values::integer))),
        ("Values::checked", Call(|| read(&["check"], Values::checked))),
        ("Values::text", Call(|| read(&["dropdown", "text"], |values, name| values.text(name).map(str::len)))),
        ("Values::clicks", Call(|| read(&["button"], Values::clicks))),
        ("Values::code", Call(|| assert_eq!(values().code().dim(), (1, 1)))),
        (
            "traverse",
            Call(|| {
                let tiny = Autoencoder::tiny(2).unwrap();
                for count in [0, 1, 2, 500] {
                    either(traverse(&tiny, &digits(count)));
                }
                either(traverse(&Autoencoder::tiny(600).unwrap(), &digits(3)));
                datasets().iter().for_each(|images| _ = either(traverse(&tiny, images)));
                let live = Autoencoder::tiny(2).unwrap().live();
                datasets().iter().for_each(|images| _ = either(traverse(&live, images)));
            }),
        ),
    ]
}
