//! The dashboard's curves as a picture for the documentation, `docs/operations.svg`.

use std::fmt::Write;
use std::{env, fs};

use serde_json::Value;

use latchkey_testing::repository;

use crate::alerts::with_variables;
use crate::prometheus::Prometheus;

/// Width and height of a panel, and what is left free around its curves.
const SIZE: (f64, f64) = (400.0, 190.0);
const MARGIN: (f64, f64) = (44.0, 34.0);
const COLUMNS: usize = 2;
/// The most series of a panel.
const MOST: usize = 5;
const COLORS: [&str; MOST] = ["#3274d9", "#e02f44", "#f2a900", "#37872d", "#8f3bb8"];
/// How far back it shows, in seconds.
const SPAN: f64 = 80.0;

/// `LATCHKEY_WRITE_PICTURE=1 cargo test --workspace --test operations` draws it anew.
pub(crate) fn draw(prometheus: &Prometheus, dashboard: &Value) {
    if env::var_os("LATCHKEY_WRITE_PICTURE").is_none() {
        return;
    }
    let end = prometheus.ask("vector(time())")[0]["value"][0].as_f64().unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let panels: Vec<String> = panels
        .filter(|panel| panel["type"] == "timeseries")
        .enumerate()
        .map(|(index, own)| {
            let (column, row) = (index % COLUMNS, index / COLUMNS);
            let place = (column as f64 * SIZE.0, row as f64 * SIZE.1);
            format!(
                "<g transform=\"translate({},{})\">{}</g>\n",
                place.0,
                place.1,
                panel(prometheus, own, end)
            )
        })
        .collect();
    let (width, height) = (SIZE.0 * COLUMNS as f64, SIZE.1 * panels.len().div_ceil(COLUMNS) as f64);
    let picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"10\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{}</svg>\n",
        panels.concat()
    );
    fs::write(repository("docs/operations.svg"), picture).unwrap();
}

fn panel(prometheus: &Prometheus, panel: &Value, end: f64) -> String {
    let mut curves = Vec::new();
    for target in panel["targets"].as_array().unwrap() {
        let query = with_variables(target["expr"].as_str().unwrap());
        for series in prometheus.ask_range(&query, end, SPAN) {
            let name = legend(target["legendFormat"].as_str().unwrap(), &series["metric"]);
            let values = series["values"].as_array().unwrap().iter().filter_map(|pair| {
                Some((pair[0].as_f64()? - end + SPAN, pair[1].as_str()?.parse::<f64>().ok()?))
            });
            let values: Vec<(f64, f64)> = values.filter(|(_, value)| value.is_finite()).collect();
            curves.push((name, values));
        }
    }
    let highest =
        |values: &[(f64, f64)]| values.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    curves.sort_by(|one, other| highest(&other.1).total_cmp(&highest(&one.1)));
    // A panel shows what happened; curves that stay at zero would hide each other.
    curves.retain(|(_, values)| highest(values) > 0.0);
    curves.truncate(MOST);
    let top = curves.iter().map(|(_, values)| highest(values)).fold(0.0, f64::max).max(1e-9);
    let (width, height) = (SIZE.0 - MARGIN.0 - 10.0, SIZE.1 - 2.0 * MARGIN.1 - 4.0);
    let bottom = MARGIN.1 + height;
    let title = panel["title"].as_str().unwrap();
    let mut svg = format!(
        "<text x=\"{left}\" y=\"20\" font-size=\"12\" font-weight=\"bold\">{title}</text>\
         <path d=\"M{left} {} H{right} M{left} {bottom} H{right}\" stroke=\"#ccc\"/>\
         <text x=\"{label}\" y=\"{}\" text-anchor=\"end\">{}</text>\
         <text x=\"{label}\" y=\"{bottom}\" text-anchor=\"end\">0</text>",
        MARGIN.1,
        MARGIN.1 + 8.0,
        amount(top),
        left = MARGIN.0,
        right = MARGIN.0 + width,
        label = MARGIN.0 - 4.0,
    );
    let (mut at, mut line) = (MARGIN.0, 0.0);
    for ((name, values), color) in curves.iter().zip(COLORS) {
        let points: Vec<String> = values
            .iter()
            .map(|(second, value)| {
                let (x, y) = (MARGIN.0 + second / SPAN * width, bottom - value / top * height);
                format!("{x:.0},{y:.0}")
            })
            .collect();
        let points = points.join(" ");
        write!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>"
        )
        .unwrap();
        let width = 5.5 * name.len() as f64 + 10.0;
        if at + width > SIZE.0 && line == 0.0 {
            (at, line) = (MARGIN.0, 12.0);
        }
        write!(
            svg,
            "<text x=\"{at}\" y=\"{}\" fill=\"{color}\">{name}</text>",
            bottom + 14.0 + line
        )
        .unwrap();
        at += width;
    }
    svg
}

/// A legend with the series' labels in place of `{{label}}`.
fn legend(format: &str, metric: &Value) -> String {
    let mut parts = format.split("{{");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (label, rest) = part.split_once("}}").unwrap();
        text += metric[label].as_str().unwrap_or_default();
        text += rest;
    }
    text
}

/// A number as an axis has it.
fn amount(value: f64) -> String {
    match value {
        1e6.. => format!("{:.0} M", value / 1e6),
        10.0.. => format!("{value:.0}"),
        ..0.1 => format!("{value:.2}"),
        _ => format!("{value:.1}"),
    }
}
