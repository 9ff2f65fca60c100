//! Jupyter's widgets, of which evcxr knows nothing: the library describes the models of its controls, and the relay is
//! their kernel. It opens them, answers the pages at any time, also while a cell runs, and tells the cell process what
//! a user has moved.
//!
//! A page that runs a cell updates the figure below the controls by its display's name. A page that is opened later
//! does not know that name: in it, the figure is one more widget, which hides the saved one.
//!
//! <https://github.com/jupyter-widgets/ipywidgets/blob/main/packages/schema/messages.md>

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::message::Message;
use super::state::Action;

const TARGET: &str = "jupyter.widget";
const TARGET_OF_STATES: &str = "jupyter.widget.control";
const VIEW: &str = "application/vnd.jupyter.widget-view+json";
const CONTROLS: &str = "@jupyter-widgets/controls";
/// Hides the output after that of the widget.
const HIDE_SAVED: &str = "<style>.jp-OutputArea-child:has(.latentlab-figure) + .jp-OutputArea-child \
                          { display: none }</style>";
const ENDED: &str =
    "These controls no longer move: the process that ran the cell has ended. Run the cells from the top again.";

/// All widgets by the id of the outermost model.
#[derive(Default)]
pub struct Comms(BTreeMap<String, Widgets>);

/// What a call of the library shows.
struct Widgets {
    models: BTreeMap<String, Map<String, Value>>,
    /// The header of the cell's request, and the cell's id if the client has told one.
    cell: Value,
    cell_id: Value,
    /// The figure by media type.
    figure: Value,
    /// Whether there is a page in which it is a widget.
    is_mirrored: bool,
}

impl Comms {
    /// Shows the models that a message of the library describes.
    pub fn open(&mut self, message: &Value, cell: &Value, cell_id: &Value, actions: &mut Vec<Action>) {
        let root = text(&message["widgets"]);
        let mut models = BTreeMap::new();
        for model in message["models"].as_array().into_iter().flatten() {
            let (id, Some(state)) = (text(&model[0]), model[1].as_object()) else { continue };
            let data = json!({ "state": state, "buffer_paths": [] });
            let content = json!({ "comm_id": id, "target_name": TARGET, "data": data });
            let opened = Message::new("comm_open", cell, content).with_metadata(&json!({ "version": "2.1.0" }));
            actions.push(Action::IoPub(opened));
            models.insert(id, state.clone());
        }
        let view = json!({ "version_major": 2, "version_minor": 0, "model_id": root });
        let data = json!({ VIEW: view, "text/plain": message["text"] });
        actions.push(display(true, &root, json!({ "data": data, "metadata": {} }), cell));
        let (cell, cell_id) = (cell.clone(), cell_id.clone());
        self.0.insert(root, Widgets { models, cell, cell_id, figure: Value::Null, is_mirrored: false });
    }

    /// Shows what belongs below the widgets, in place of what was there.
    pub fn show_figure(&mut self, message: &Value, actions: &mut Vec<Action>) {
        let root = text(&message["figure"]);
        let Some(widgets) = self.0.get_mut(&root) else { return };
        let is_first = widgets.figure.is_null();
        let metadata = message.get("metadata").cloned().unwrap_or_else(|| json!({}));
        widgets.figure = json!({ "data": message["data"], "metadata": metadata });
        actions.push(display(is_first, &figure_id(&root), widgets.figure.clone(), &widgets.cell));
        if widgets.is_mirrored {
            let state = json!({ "value": html(&widgets.figure) });
            actions.push(to_model(&figure_id(&root), "update", &state, &widgets.cell));
        }
    }

    /// Changes models, as the library asks.
    pub fn set(&mut self, changes: &Value, actions: &mut Vec<Action>) {
        for (id, changed) in changes.as_object().into_iter().flatten() {
            let Some((cell, state)) = self.model(id) else { continue };
            let accepted = merge(state, changed);
            actions.push(to_model(id, "update", &accepted, &cell));
        }
    }

    /// Answers a request about comms; `false` if it is another.
    pub fn answer(&mut self, request: &Message, actions: &mut Vec<Action>) -> bool {
        if !matches!(request.kind(), "comm_info_request" | "comm_open" | "comm_msg" | "comm_close") {
            return false;
        }
        let status =
            |state| Action::IoPub(Message::new("status", &request.header, json!({ "execution_state": state })));
        actions.push(status("busy"));
        let content = request.content();
        let id = text(&content["comm_id"]);
        match request.kind() {
            "comm_info_request" => {
                let reply = json!({ "status": "ok", "comms": self.list(&content["target_name"]) });
                actions.push(Action::Shell(request.answer("comm_info_reply", reply)));
            }
            // No page can open anything but the comm through which it asks for all states.
            "comm_open" if content["target_name"] != TARGET_OF_STATES => {
                let closed = Message::new("comm_close", &request.header, json!({ "comm_id": id, "data": {} }));
                actions.push(Action::IoPub(closed));
            }
            "comm_msg" => self.message(request, &id, &content["data"], actions),
            // Another page may still show the widgets of a page that closes them.
            _ => {}
        }
        actions.push(status("idle"));
        true
    }

    fn list(&self, target: &Value) -> Value {
        let ids =
            self.0.values().flat_map(|widgets| widgets.models.keys()).filter(|_| target.is_null() || *target == TARGET);
        ids.map(|id| (id.clone(), json!({ "target_name": TARGET }))).collect::<Map<_, _>>().into()
    }

    fn message(&mut self, request: &Message, id: &str, data: &Value, actions: &mut Vec<Action>) {
        if data["method"] == "request_states" {
            let content = json!({ "method": "update_states", "states": self.states(request), "buffer_paths": [] });
            let content = json!({ "comm_id": id, "data": content });
            return actions.push(Action::IoPub(Message::new("comm_msg", &request.header, content)));
        }
        let Some((_, state)) = self.model(id) else { return };
        match data["method"].as_str() {
            Some("update") => {
                let accepted = merge(state, &data["state"]);
                // So that all pages show the same.
                actions.push(to_model(id, "echo_update", &accepted, &request.header));
                actions.push(Action::Tell(json!({ "model": id, "state": accepted })));
            }
            Some("request_state") => actions.push(to_model(id, "update", &json!(state), &request.header)),
            Some("custom") => {
                actions.push(Action::Tell(json!({ "model": id, "event": data["content"]["event"] })));
            }
            _ => {}
        }
    }

    /// All states for a page that asks for them. If it has not run the cell itself, the figure is among them.
    fn states(&mut self, request: &Message) -> Value {
        let mut states = Map::new();
        for (root, widgets) in &mut self.0 {
            let mut models = widgets.models.clone();
            if request.header["session"] != widgets.cell["session"] {
                widgets.is_mirrored = true;
                if let Some(outermost) = models.get_mut(root) {
                    let layout = outermost.get("layout").cloned().unwrap_or_default();
                    if let Some(children) = outermost.get_mut("children").and_then(Value::as_array_mut) {
                        children.push(format!("IPY_MODEL_{}", figure_id(root)).into());
                    }
                    models.insert(figure_id(root), figure_model(&widgets.figure, &layout));
                }
            }
            states.extend(models.into_iter().map(|(id, state)| {
                let of = |name: &str| state.get(name).cloned().unwrap_or_default();
                let (name, module, version) = (of("_model_name"), of("_model_module"), of("_model_module_version"));
                let described = json!({ "model_name": name, "model_module": module,
                    "model_module_version": version, "state": state });
                (id, described)
            }));
        }
        states.into()
    }

    /// The header of its cell, and the state of a model.
    fn model(&mut self, id: &str) -> Option<(Value, &mut Map<String, Value>)> {
        self.0.values_mut().find_map(|widgets| Some((widgets.cell.clone(), widgets.models.get_mut(id)?)))
    }

    /// The cell runs again: nobody sees what it has shown before.
    pub fn cell_begins(&mut self, cell_id: &Value, actions: &mut Vec<Action>) {
        self.0.retain(|root, widgets| {
            let ends = cell_id.is_string() && widgets.cell_id == *cell_id;
            if ends {
                widgets.close(actions);
                actions.push(Action::Tell(json!({ "closed": root })));
            }
            !ends
        });
    }

    /// The cell process has ended.
    pub fn end(&mut self, actions: &mut Vec<Action>) {
        for (root, mut widgets) in std::mem::take(&mut self.0) {
            if widgets.is_mirrored {
                // In a page that was opened later, only this can still tell.
                let value = format!("<em>{ENDED}</em><br>{}", html(&widgets.figure));
                actions.push(to_model(&figure_id(&root), "update", &json!({ "value": value }), &widgets.cell));
                widgets.models.remove(&root);
            }
            widgets.close(actions);
            let data = json!({ "text/html": format!("<em>{ENDED}</em>"), "text/plain": ENDED });
            actions.push(display(false, &root, json!({ "data": data, "metadata": {} }), &widgets.cell));
        }
    }
}

impl Widgets {
    fn close(&self, actions: &mut Vec<Action>) {
        for id in self.models.keys() {
            let content = json!({ "comm_id": id, "data": {} });
            actions.push(Action::IoPub(Message::new("comm_close", &self.cell, content)));
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn figure_id(root: &str) -> String {
    format!("{root}-figure")
}

/// `content`: data and metadata.
fn display(is_first: bool, id: &str, mut content: Value, cell: &Value) -> Action {
    let kind = if is_first { "display_data" } else { "update_display_data" };
    content["transient"] = json!({ "display_id": id });
    Action::IoPub(Message::new(kind, cell, content))
}

fn to_model(id: &str, method: &str, state: &Value, parent: &Value) -> Action {
    let data = json!({ "method": method, "state": state, "buffer_paths": [] });
    Action::IoPub(Message::new("comm_msg", parent, json!({ "comm_id": id, "data": data })))
}

/// Takes over values for what is in the state already, and returns them.
fn merge(state: &mut Map<String, Value>, changes: &Value) -> Value {
    let known = changes.as_object().into_iter().flatten().filter_map(|(name, value)| {
        state.get_mut(name).map(|old| {
            old.clone_from(value);
            (name.clone(), value.clone())
        })
    });
    known.collect::<Map<_, _>>().into()
}

fn figure_model(figure: &Value, layout: &Value) -> Map<String, Value> {
    let model = json!({
        "_model_name": "HTMLModel", "_model_module": CONTROLS, "_model_module_version": "2.0.0",
        "_view_name": "HTMLView", "_view_module": CONTROLS, "_view_module_version": "2.0.0",
        "_dom_classes": ["latentlab-figure"], "layout": layout, "value": html(figure),
    });
    model.as_object().cloned().unwrap_or_default()
}

/// What a page would show of the media types.
fn html(figure: &Value) -> String {
    let of = |media_type: &str| figure["data"][media_type].as_str();
    let shown = match (of("text/html").or(of("image/svg+xml")), of("image/png"), of("text/plain")) {
        (Some(html), ..) => html.to_owned(),
        (_, Some(png), _) => {
            let width = figure["metadata"]["image/png"]["width"].as_u64();
            let width = width.map_or(String::new(), |width| format!(" width=\"{width}\""));
            format!("<img{width} src=\"data:image/png;base64,{png}\">")
        }
        (.., plain) => {
            let escaped = plain.unwrap_or_default().replace('&', "&amp;").replace('<', "&lt;");
            format!("<pre>{escaped}</pre>")
        }
    };
    HIDE_SAVED.to_owned() + &shown
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The session of the page that has run the cell.
    const PAGE: &str = "page";

    fn request(kind: &str, session: &str, content: Value) -> Message {
        let mut message = Message::new(kind, &json!({}), content);
        message.header["session"] = session.into();
        message
    }

    fn shown() -> Comms {
        let mut comms = Comms::default();
        let models = json!([
            ["slider", { "_model_name": "FloatSliderModel", "value": 0.0 }],
            ["box", { "_model_name": "VBoxModel", "children": ["IPY_MODEL_slider"], "layout": "IPY_MODEL_l" }],
        ]);
        let message = json!({ "widgets": "box", "models": models, "text": "controls" });
        let mut actions = Vec::new();
        comms.open(&message, &json!({ "session": PAGE, "msg_id": "cell" }), &json!("cell 1"), &mut actions);
        assert_eq!(kinds(&actions), ["comm_open", "comm_open", "display_data"]);
        comms
    }

    /// The message types, in brackets what is told to the cell process.
    fn kinds(actions: &[Action]) -> Vec<String> {
        let kind = |action: &Action| match action {
            Action::IoPub(message) | Action::Shell(message) => match message.content()["data"]["method"].as_str() {
                Some(method) => format!("{} {method}", message.kind()),
                None => message.kind().to_owned(),
            },
            Action::Tell(what) => format!("({what})"),
            other => format!("{other:?}"),
        };
        actions.iter().map(kind).collect()
    }

    fn answered(comms: &mut Comms, kind: &str, session: &str, content: Value) -> Vec<Action> {
        let mut actions = Vec::new();
        assert!(comms.answer(&request(kind, session, content), &mut actions));
        assert_eq!(kinds(&actions[..1]), ["status"]);
        let Some(Action::IoPub(idle)) = actions.pop() else { panic!("no idle status") };
        assert_eq!((&idle.content()["execution_state"], &idle.parent["session"]), (&json!("idle"), &json!(session)));
        actions.split_off(1)
    }

    fn content(actions: &[Action], index: usize) -> &Value {
        match &actions[index] {
            Action::IoPub(message) | Action::Shell(message) => message.content(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn comms_are_listed_also_if_there_are_none() {
        let reply = answered(&mut Comms::default(), "comm_info_request", PAGE, json!({}));
        assert_eq!(*content(&reply, 0), json!({ "status": "ok", "comms": {} }));
        for (target, count) in [(json!(null), 2), (json!(TARGET), 2), (json!("other"), 0)] {
            let reply = answered(&mut shown(), "comm_info_request", PAGE, json!({ "target_name": target }));
            assert_eq!(content(&reply, 0)["comms"].as_object().unwrap().len(), count);
        }
        let mut actions = Vec::new();
        assert!(!Comms::default().answer(&request("execute_request", PAGE, json!({})), &mut actions));
        assert!(actions.is_empty());
    }

    #[test]
    fn a_moved_slider_is_echoed_and_told_and_what_it_has_not_is_dropped() {
        let mut comms = shown();
        let update = |state: Value| json!({ "comm_id": "slider", "data": { "method": "update", "state": state } });
        let moved = answered(&mut comms, "comm_msg", PAGE, update(json!({ "value": 1.5, "other": 2 })));
        let told = r#"({"model":"slider","state":{"value":1.5}})"#;
        assert_eq!(kinds(&moved), ["comm_msg echo_update", told]);
        assert_eq!(content(&moved, 0)["data"]["state"], json!({ "value": 1.5 }));
        let asked = json!({ "comm_id": "slider", "data": { "method": "request_state" } });
        let state = answered(&mut comms, "comm_msg", PAGE, asked);
        assert_eq!(content(&state, 0)["data"]["state"]["value"], 1.5);
        for odd in [json!(null), json!([]), json!(5)] {
            let content = json!({ "comm_id": "slider", "data": { "method": "update", "state": odd } });
            answered(&mut comms, "comm_msg", PAGE, content);
            answered(&mut comms, "comm_msg", PAGE, json!({ "comm_id": odd, "data": odd }));
            answered(&mut comms, "comm_msg", PAGE, odd);
        }
    }

    #[test]
    fn only_a_page_that_is_opened_later_gets_the_figure_as_a_widget() {
        let mut comms = shown();
        let mut actions = Vec::new();
        comms.show_figure(&json!({ "figure": "box", "data": { "text/plain": "a < b" } }), &mut actions);
        assert_eq!(kinds(&actions), ["display_data"]);
        let ask = json!({ "comm_id": "c", "data": { "method": "request_states" } });
        for (session, models) in [(PAGE, vec!["box", "slider"]), ("later", vec!["box", "box-figure", "slider"])] {
            let opened = json!({ "comm_id": "c", "target_name": TARGET_OF_STATES, "data": {} });
            assert!(answered(&mut comms, "comm_open", session, opened).is_empty());
            let reply = answered(&mut comms, "comm_msg", session, ask.clone());
            let states = content(&reply, 0)["data"]["states"].as_object().unwrap();
            assert_eq!(states.keys().collect::<Vec<_>>(), models);
            assert_eq!(states["slider"]["model_name"], "FloatSliderModel");
            let children = states["box"]["state"]["children"].as_array().unwrap();
            assert_eq!(children.len(), models.len() - 1, "{children:?}");
        }
        let mut actions = Vec::new();
        let metadata = json!({ "image/png": { "width": 60, "height": 30 } });
        let data = json!({ "image/png": "AAAA" });
        comms.show_figure(&json!({ "figure": "box", "data": data, "metadata": metadata }), &mut actions);
        assert_eq!(kinds(&actions), ["update_display_data", "comm_msg update"]);
        assert_eq!(content(&actions, 0)["metadata"], metadata);
        let value = content(&actions, 1)["data"]["state"]["value"].as_str().unwrap();
        assert!(value.ends_with("<img width=\"60\" src=\"data:image/png;base64,AAAA\">"), "{value}");
        assert!(html(&json!({ "data": { "text/plain": "a < b" } })).ends_with("<pre>a &lt; b</pre>"));
    }

    #[test]
    fn widgets_are_closed_when_their_cell_runs_again_or_the_process_ends() {
        let mut comms = shown();
        let mut actions = Vec::new();
        comms.cell_begins(&json!("cell 2"), &mut actions);
        comms.cell_begins(&json!(null), &mut actions);
        assert!(actions.is_empty(), "{actions:?}");
        comms.cell_begins(&json!("cell 1"), &mut actions);
        assert_eq!(kinds(&actions), ["comm_close", "comm_close", r#"({"closed":"box"})"#]);
        let mut actions = Vec::new();
        shown().end(&mut actions);
        assert_eq!(kinds(&actions), ["comm_close", "comm_close", "update_display_data"]);
        assert_eq!(content(&actions, 2)["data"]["text/plain"], ENDED);
        let (mut comms, mut actions) = (shown(), Vec::new());
        answered(&mut comms, "comm_msg", "later", json!({ "comm_id": "c", "data": { "method": "request_states" } }));
        comms.end(&mut actions);
        assert_eq!(kinds(&actions), ["comm_msg update", "comm_close", "update_display_data"]);
    }

    #[test]
    fn a_comm_that_nobody_serves_is_closed() {
        let opened = json!({ "comm_id": "c", "target_name": "matplotlib", "data": {} });
        assert_eq!(kinds(&answered(&mut shown(), "comm_open", PAGE, opened)), ["comm_close"]);
    }
}
