//! `report.html`, which needs nothing but itself, and `results.json` for programs.

use std::fmt::Write;

use latentlab::{duration_text, jupyter::escape_html};
use serde::Serialize;

use super::{
    Protocol,
    results::{Condition, Finished, Item, Number},
    store::Store,
};
use crate::project::Outcome;

/// What `results.json` holds.
#[derive(Serialize)]
struct Results<'a> {
    report: &'a str,
    title: &'a str,
    quick: bool,
    data: &'a str,
    /// Whether all tasks are done.
    complete: bool,
    seconds: f64,
    numbers: Vec<NumberRow<'a>>,
}

#[derive(Serialize)]
struct NumberRow<'a> {
    #[serde(flatten)]
    number: &'a Number,
    met: Option<bool>,
}

/// Writes both, of the tasks that are done.
pub fn write(protocol: &Protocol, store: &Store, finished: &[Finished]) -> Outcome<()> {
    store.write_results(&Results {
        report: protocol.name,
        title: protocol.title,
        quick: store.settings.quick,
        data: &store.settings.data,
        complete: finished.len() == protocol.tasks.len(),
        seconds: seconds(finished),
        numbers: numbers(finished).map(|number| NumberRow { number, met: number.is_met() }).collect(),
    })?;
    store.write_page(&page(protocol, store, finished))
}

fn seconds(finished: &[Finished]) -> f64 {
    finished.iter().map(|task| task.seconds).sum()
}

fn numbers(finished: &[Finished]) -> impl Iterator<Item = &Number> {
    finished.iter().flat_map(|task| &task.items).filter_map(|item| match item {
        Item::Number(number) => Some(number),
        _ => None,
    })
}

const STYLE: &str = "\
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; color: #222; }
h1 { line-height: 1.2; } h2 { margin-top: 3rem; border-top: 1px solid #ddd; padding-top: 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem; }
th, td { padding: 0.3rem 0.8rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
caption, figcaption { text-align: left; color: #555; font-size: 0.9rem; padding: 0.3rem 0; }
figure { margin: 1.5rem 0; overflow-x: auto; } svg, img { max-width: 100%; height: auto; }
.met { color: #00695c; } .missed { color: #a02c00; font-weight: 600; }
.note { background: #fff4dc; padding: 0.6rem 1rem; } .small { color: #555; font-size: 0.9rem; }
";

fn page(protocol: &Protocol, store: &Store, finished: &[Finished]) -> String {
    let (name, title, asked) = (protocol.name, escape_html(protocol.title), escape_html(protocol.asked));
    let data = escape_html(&store.settings.data);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{name}: {title}</title>\n\
         <style>\n{STYLE}</style>\n<h1>{name}: {title}</h1>\n<p>{asked}</p>\n"
    );
    let (done, count) = (finished.len(), protocol.tasks.len());
    if store.settings.quick {
        html += "<p class=\"note\">A quick run with few images and epochs, to see that everything works: its numbers \
                 cannot be compared with the report's.</p>\n";
    }
    if store.settings.data.starts_with("built-in") {
        html += "<p class=\"note\">The data are the built-in drawings, not the report's.</p>\n";
    }
    if done < count {
        let _ = writeln!(html, "<p class=\"note\">Not complete: {done} of {count} parts are done.</p>");
    }
    html += "<h2>The report's numbers and ours</h2>\n<table>\n<tr><th>number<th>report<th>here<th>wanted<th>setting\
             <th>seed<th>time</tr>\n";
    for number in numbers(finished).filter(|number| number.report.is_some() || number.condition.is_some()) {
        html += &number_row(number, store.settings.quick);
    }
    let version = env!("CARGO_PKG_VERSION");
    let (threads, time) = (rayon::current_num_threads(), duration_text(seconds(finished)));
    let _ = writeln!(
        html,
        "</table>\n<p class=\"small\">Data: {data}. {time} in all, on {threads} threads. The time beside a number is \
         that of the trainings behind it. Made by latentlab {version}: <code>latentlab reproduce {}{}</code>. The same \
         version gives the same numbers, whatever the number of threads.</p>",
        name.to_lowercase(),
        if store.settings.quick { " --quick" } else { "" },
    );
    for task in finished {
        let _ = writeln!(html, "<h2>{}</h2>", escape_html(&task.title));
        task.items.iter().for_each(|item| html += &section(item));
        let _ = writeln!(html, "<p class=\"small\">{}</p>", duration_text(task.seconds));
    }
    html
}

fn number_row(number: &Number, quick: bool) -> String {
    let text = |value: Option<f64>| value.map_or("–".into(), |value| number.text(value));
    let wanted = match number.condition {
        None => String::new(),
        Some(Condition::AtLeast(limit)) => format!("≥ {}", number.text(limit)),
        Some(Condition::AtMost(limit)) => format!("≤ {}", number.text(limit)),
    };
    let (class, mark) = match number.is_met().filter(|_| !quick) {
        Some(true) => (" met", " ✓"),
        Some(false) => (" missed", " ✗"),
        None => ("", ""),
    };
    let time = if number.seconds > 0.0 { duration_text(number.seconds) } else { String::new() };
    format!(
        "<tr><td>{}<td class=\"number\">{}<td class=\"number{class}\">{}{mark}<td class=\"number\">{wanted}<td>{}<td \
         class=\"number\">{}<td class=\"number\">{time}</tr>\n",
        escape_html(&number.name),
        text(number.report),
        text(number.ours),
        escape_html(&number.setting),
        number.seed,
    )
}

fn section(item: &Item) -> String {
    match item {
        Item::Text(text) => format!("<p>{}</p>\n", escape_html(text)),
        Item::Number(_) => String::new(), // in the table above
        Item::Table { caption, head, rows } => {
            let head: String = head.iter().map(|name| format!("<th>{}", escape_html(name))).collect();
            let cell = |text: &String| {
                let class = if text.starts_with(|c: char| c.is_ascii_digit()) { " class=\"number\"" } else { "" };
                format!("<td{class}>{}", escape_html(text))
            };
            let row = |row: &Vec<String>| format!("<tr>{}</tr>\n", row.iter().map(cell).collect::<String>());
            let rows: String = rows.iter().map(row).collect();
            format!("<table>\n<caption>{}</caption>\n<tr>{head}</tr>\n{rows}</table>\n", escape_html(caption))
        }
        Item::Figure { caption, html } => {
            format!("<figure>\n{html}\n<figcaption>{}</figcaption>\n</figure>\n", escape_html(caption))
        }
    }
}
