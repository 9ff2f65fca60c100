//! Controls of a notebook, which a program shows as figures or text.

use std::sync::mpsc::channel;

use latentlab::{
    Autoencoder, Control, Gan, LineChart, Result, Sequential, Values, anomaly_threshold, button, checkbox,
    compare_beta, compare_models, dropdown, int_slider, interact, selection_slider, slider, text_input, traverse,
    tsne_perplexity,
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
        selection_slider("options", ["a", "b"]),
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
    names.extend(["slider", "int", "options", "check", "dropdown", "text", "button"].map(String::from));
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
        (
            "selection_slider",
            Call(|| {
                shown(selection_slider("none", [""; 0]));
                texts().iter().for_each(|name| shown(selection_slider(name, texts())));
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
        (
            "Values::text",
            Call(|| read(&["options", "dropdown", "text"], |values, name| values.text(name).map(str::len))),
        ),
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
        (
            "compare_models",
            Call(|| {
                let tiny = Autoencoder::tiny(2).unwrap();
                let wide = Sequential::input([1, 1, 4_000]).flatten().dense(2);
                let wide = Autoencoder::new(wide, Sequential::input([2]).dense(4_000).reshape([1, 1, 4_000])).unwrap();
                for count in [0, 1, 9, 10, 1_000] {
                    either(compare_models((0..count).map(|number| (number.to_string(), &tiny)), &digits(2)));
                }
                either(compare_models(texts().iter().take(9).map(|name| (name, &tiny)), &digits(2)));
                for images in &datasets() {
                    either(compare_models([("a", &tiny), ("a", &tiny)], images));
                    either(compare_models([("wide", &wide)], images));
                }
            }),
        ),
        (
            "compare_beta",
            Call(|| {
                let vae = vae();
                NUMBERS.iter().for_each(|beta| _ = either(compare_beta([(*beta, &vae), (1.0, &vae)], &digits(2))));
                either(compare_beta(NUMBERS.iter().map(|beta| (beta.abs(), &vae)), &digits(2)));
                for count in [0, 1, 10, 11] {
                    either(compare_beta((0..count).map(|number| (f64::from(number), &vae)), &digits(2)));
                }
                datasets().iter().for_each(|images| _ = either(compare_beta([(1.0, &vae)], images)));
            }),
        ),
        ("tsne_perplexity", Call(|| codes().iter().for_each(|codes| _ = either(tsne_perplexity(codes))))),
        (
            "anomaly_threshold",
            Call(|| {
                for a in NUMBERS {
                    NUMBERS.iter().for_each(|b| _ = either(anomaly_threshold(&[false, true, true], &[a, *b, 0.5])));
                }
                either(anomaly_threshold(&[], &[]));
                either(anomaly_threshold(&[true; 3], &[1.0, 2.0, 3.0]));
                either(anomaly_threshold(&[true, false], &[1.0]));
                let many: Vec<f64> = (0..100_000).map(f64::from).collect();
                either(anomaly_threshold(&vec![true; 100_000], &many));
                either(anomaly_threshold(&(0..100_000).map(|i| i > 0).collect::<Vec<_>>(), &many));
            }),
        ),
        (
            "Gan::play",
            Call(|| {
                either(gan().play());
                for shape in [[1, 1, 1], [2, 3, 3], [3, 1, 4_000]] {
                    let size = shape.iter().product();
                    let generator = Sequential::input([1]).dense(size).reshape(shape);
                    let discriminator = Sequential::input(shape).flatten().dense(1);
                    either(Gan::new(generator, discriminator).unwrap().play());
                }
            }),
        ),
    ]
}
