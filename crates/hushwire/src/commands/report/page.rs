//! The page.

use std::fmt::Write;

use anyhow::Result;

use super::charts::{self, Point};
use super::study::{KINDS, Row, SIZES, Study};
use crate::output;

const STYLE: &str = "body{font:15px/1.45 sans-serif;max-width:1180px;margin:24px auto;padding:0 16px;\
color:#222}h1{font-size:24px}h2{font-size:18px;margin-top:32px}table{border-collapse:collapse}\
th,td{padding:4px 12px;border-bottom:1px solid #ddd;text-align:right}th:first-child,td:first-child\
{text-align:left}.row{display:flex;flex-wrap:wrap;gap:12px}figure{margin:0 0 12px}figcaption\
{font-size:13px;color:#555;max-width:760px}.map{border:1px solid #bbb;background:#000}\
.maps td{text-align:center;vertical-align:bottom}";

/// The page as a file of its own: no scripts, nothing loaded from elsewhere.
pub fn html(study: &Study) -> Result<String> {
    let mut page = String::new();
    let title = escaped(&study.model);
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Plans for {title}\
         </title><style>{STYLE}</style></head><body><h1>Plans for {title}</h1><p>{} in the clear \
         fixed-point arithmetic of the protocol. Bytes are predicted exactly; seconds for {}.</p>",
        escaped(&study.data),
        escaped(&study.predicted_for)
    );
    table(&mut page, study);
    let _ = write!(page, "<h2>What accuracy costs</h2><div class=\"row\">");
    type Cost = fn(&Row) -> f64;
    let costs: [(&str, Cost); 3] = [
        ("sign decisions", |row| row.decisions as f64),
        ("megabytes, both phases", |row| row.bytes() as f64 / 1e6),
        ("predicted seconds", |row| row.seconds),
    ];
    for (name, cost) in costs {
        let point = |row: &Row| Point {
            label: row.label.clone(),
            cost: cost(row).max(1e-6),
            accuracy: 100.0 * row.accuracy,
        };
        let points: Vec<Point> = study.rows.iter().map(point).collect();
        let chart = charts::pareto(&points, name, study.measure)?;
        let _ = write!(page, "<figure>{chart}</figure>");
    }
    let _ = write!(
        page,
        "</div><p>The line joins the plans that no other one beats in both.</p>\
         <h2>Where the bytes go</h2>"
    );
    let bytes = |row: &Row| {
        let mega = row.bytes_by_kind.map(|bytes| bytes as f64 / 1e6);
        (row.label.clone(), mega.to_vec())
    };
    let rows: Vec<_> = study.rows.iter().map(bytes).collect();
    let _ = write!(
        page,
        "<figure>{}<figcaption>Both phases of one inference, without the weights, which are sent \
         once. Activations: decisions, and the multiplications by them.</figcaption></figure>",
        charts::bars(&rows, &KINDS, "MB")?
    );
    let _ = write!(page, "<h2>Patch sizes, layer by layer</h2>");
    for row in study.rows.iter().skip(1) {
        let layers: Vec<_> =
            study.layers.iter().zip(&row.sizes).map(|(n, s)| (n.clone(), s.to_vec())).collect();
        let _ = write!(
            page,
            "<figure>{}<figcaption>{}: shares of each layer's channels by how many elements share a \
             decision.</figcaption></figure>",
            charts::bars(&layers, &SIZES, "")?,
            escaped(&row.label)
        );
    }
    maps(&mut page, study);
    page.push_str("</body></html>\n");
    Ok(page)
}

fn table(page: &mut String, study: &Study) {
    let _ = write!(
        page,
        "<table><tr><th>plan</th><th>{}</th><th>decisions</th><th>comparison</th><th>offline</th>\
         <th>online</th><th>predicted</th></tr>",
        study.measure
    );
    for row in &study.rows {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{:.2}%</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(&row.label),
            100.0 * row.accuracy,
            output::grouped(row.decisions),
            format!("{:?}", row.comparison).to_lowercase(),
            output::bytes(row.offline_bytes),
            output::bytes(row.online_bytes),
            output::seconds(row.seconds)
        );
    }
    page.push_str("</table>");
}

/// The gates' decisions on the sample image.
fn maps(page: &mut String, study: &Study) {
    let _ = write!(
        page,
        "<h2>Gates on the first test image</h2><p>The share of a layer's channels whose gate is open, \
         place by place: black is none, white all.</p><table class=\"maps\"><tr><th></th>"
    );
    for (layer, ..) in study.rows.first().map_or(&[][..], |row| &row.maps) {
        let _ = write!(page, "<th>{}</th>", escaped(&study.layers[*layer]));
    }
    page.push_str("</tr>");
    for row in &study.rows {
        let _ = write!(page, "<tr><td>{}</td>", escaped(&row.label));
        for (_, size, shares) in &row.maps {
            let _ = write!(page, "<td>{}</td>", charts::map(*size, shares));
        }
        page.push_str("</tr>");
    }
    page.push_str("</table>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
