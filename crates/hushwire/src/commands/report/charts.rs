//! Charts as SVG text.

use std::fmt::Display;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

/// Colours of parts, in order.
const COLOURS: [RGBColor; 8] = [
    RGBColor(31, 91, 153),
    RGBColor(86, 160, 211),
    RGBColor(118, 183, 120),
    RGBColor(236, 201, 75),
    RGBColor(229, 132, 56),
    RGBColor(160, 160, 160),
    RGBColor(60, 60, 60),
    RGBColor(150, 95, 170),
];

const FONT: &str = "sans-serif";

/// What plotters says, as an error of ours.
fn drawn<T, E: Display>(result: Result<T, E>) -> Result<T> {
    result.map_err(|e| anyhow!("a chart cannot be drawn: {e}"))
}

/// A plan in a chart.
pub struct Point {
    /// Its name.
    pub label: String,
    /// What it costs, on a logarithmic axis.
    pub cost: f64,
    /// Accuracy in percent.
    pub accuracy: f64,
}

/// Accuracy against a cost, with the plans that no other one beats in both joined by a line.
pub fn pareto(points: &[Point], cost: &str, accuracy: &str) -> Result<String> {
    let mut text = String::new();
    let limits = |of: fn(&Point) -> f64| {
        let values = || points.iter().map(of);
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
    };
    let (cheapest, dearest) = limits(|p| p.cost);
    let (worst, best) = limits(|p| p.accuracy);
    let room = ((best - worst) * 0.1).max(0.5);
    {
        let root = SVGBackend::with_string(&mut text, (560, 340)).into_drawing_area();
        drawn(root.fill(&WHITE))?;
        // Room for labels to the right of the last point.
        let costs = (cheapest / 1.5..dearest * 2.5).log_scale();
        let chart = ChartBuilder::on(&root)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(costs, worst - room..(best + room).min(100.5));
        let mut chart = drawn(chart)?;
        let mut mesh = chart.configure_mesh();
        let mesh = mesh.light_line_style(WHITE).x_desc(cost).y_desc(format!("{accuracy} in %"));
        // Ticks are sums of floats: what lies behind six digits is noise.
        let tick = |x: &f64| format!("{}", (x * 1e6).round() / 1e6);
        let mesh = mesh.x_labels(5).x_label_formatter(&tick);
        drawn(mesh.draw())?;
        let line = front(points).into_iter().map(|p| (p.cost, p.accuracy));
        drawn(chart.draw_series(LineSeries::new(line, COLOURS[1].stroke_width(2))))?;
        let dot = |p: &Point| Circle::new((p.cost, p.accuracy), 4, COLOURS[0].filled());
        drawn(chart.draw_series(points.iter().map(dot)))?;
        let label = |p: &Point| {
            let place = EmptyElement::at((p.cost, p.accuracy));
            place + Text::new(p.label.clone(), (7, -5), (FONT, 12))
        };
        drawn(chart.draw_series(points.iter().map(label)))?;
        drawn(root.present())?;
    }
    Ok(text)
}

/// A line in a chart.
pub struct Line {
    /// Its name.
    pub label: String,
    /// Places, values and how far the values may be off.
    pub points: Vec<(f64, f64, f64)>,
}

/// Lines with bars for how far their points may be off, and a legend.
pub fn lines(lines: &[Line], x: &str, y: &str) -> Result<String> {
    let mut text = String::new();
    let points = || lines.iter().flat_map(|line| &line.points);
    let limits = |of: fn(&(f64, f64, f64)) -> [f64; 2]| {
        let ends = || points().map(of);
        let least = ends().map(|e| e[0]).fold(f64::INFINITY, f64::min);
        let most = ends().map(|e| e[1]).fold(f64::NEG_INFINITY, f64::max);
        if least < most { (least, most) } else { (0.0, 1.0) }
    };
    let (left, right) = limits(|p| [p.0; 2]);
    let (low, high) = limits(|p| [p.1 - p.2, p.1 + p.2]);
    {
        let root = SVGBackend::with_string(&mut text, (640, 380)).into_drawing_area();
        drawn(root.fill(&WHITE))?;
        let room = 0.03 * (high - low);
        // Room for the legend to the right of the last point.
        let end = right + 0.35 * (right - left);
        let chart = ChartBuilder::on(&root)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(left..end, low - room..high + room);
        let mut chart = drawn(chart)?;
        let mut mesh = chart.configure_mesh();
        drawn(mesh.light_line_style(WHITE).x_desc(x).y_desc(y).draw())?;
        for (i, (line, colour)) in lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let values = line.points.iter().map(|p| (p.0, p.1));
            drawn(chart.draw_series(LineSeries::new(values, colour.stroke_width(2))))?;
            let bar = |p: &(f64, f64, f64)| {
                PathElement::new(vec![(p.0, p.1 - p.2), (p.0, p.1 + p.2)], colour.stroke_width(1))
            };
            drawn(chart.draw_series(line.points.iter().map(bar)))?;
            let height = high - (i as f64 + 0.5) * (high - low) / 14.0;
            let place = EmptyElement::at((right + 0.04 * (right - left), height));
            let label = Text::new(line.label.clone(), (0, 0), (FONT, 12).into_font().color(colour));
            drawn(chart.draw_series([place + label]))?;
        }
        drawn(root.present())?;
    }
    Ok(text)
}

/// The points that no other one beats in both, from the cheapest on.
fn front(points: &[Point]) -> Vec<&Point> {
    let mut order: Vec<&Point> = points.iter().collect();
    order.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(b.accuracy.total_cmp(&a.accuracy)));
    let mut best = f64::NEG_INFINITY;
    order.retain(|p| {
        let better = p.accuracy > best;
        best = best.max(p.accuracy);
        better
    });
    order
}

/// Bars made of parts, one below the other, with a legend.
pub fn bars(rows: &[(String, Vec<f64>)], parts: &[&str], unit: &str) -> Result<String> {
    const ROW: usize = 22;
    let longest = rows.iter().map(|(_, v)| v.iter().sum()).fold(f64::MIN_POSITIVE, f64::max);
    let left = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0) * 7 + 16;
    let (width, legend) = (760, 24);
    let height = legend + rows.len() * ROW + 30;
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (width, height as u32)).into_drawing_area();
        drawn(root.fill(&WHITE))?;
        let font = (FONT, 12).into_font();
        let mut x = left as i32;
        for (part, colour) in parts.iter().zip(COLOURS) {
            drawn(root.draw(&Rectangle::new([(x, 6), (x + 11, 17)], colour.filled())))?;
            drawn(root.draw(&Text::new(part.to_string(), (x + 15, 6), font.clone())))?;
            x += 30 + 6 * part.chars().count() as i32;
        }
        let scale = (width as usize - left - 70) as f64 / longest;
        for (i, (label, values)) in rows.iter().enumerate() {
            let y = (legend + i * ROW) as i32;
            drawn(root.draw(&Text::new(label.clone(), (6, y + 3), font.clone())))?;
            let mut x = left as f64;
            for (value, colour) in values.iter().zip(COLOURS) {
                let end = x + value * scale;
                let corners = [(x as i32, y), (end as i32, y + ROW as i32 - 5)];
                drawn(root.draw(&Rectangle::new(corners, colour.filled())))?;
                x = end;
            }
            if !unit.is_empty() {
                let sum = format!("{:.3} {unit}", values.iter().sum::<f64>());
                drawn(root.draw(&Text::new(sum, (x as i32 + 6, y + 3), font.clone())))?;
            }
        }
        drawn(root.present())?;
    }
    Ok(text)
}

/// Side of a gate map, in places; larger ones are thinned out.
const PLACES: usize = 48;

/// A map of shares between 0 (dark) and 1 (bright).
pub fn map([height, width]: [usize; 2], shares: &[f32]) -> String {
    const LEVELS: usize = 9;
    let step = height.max(width).div_ceil(PLACES);
    let (rows, columns) = (height.div_ceil(step), width.div_ceil(step));
    let mut paths = vec![String::new(); LEVELS];
    for y in 0..rows {
        for x in 0..columns {
            let share = shares[y * step * width + x * step].clamp(0.0, 1.0);
            let level = (share * (LEVELS - 1) as f32).round() as usize;
            paths[level].push_str(&format!("M{x} {y}h1v1h-1z"));
        }
    }
    let mut text = format!(
        "<svg class=\"map\" viewBox=\"0 0 {columns} {rows}\" width=\"120\" height=\"{}\" \
         shape-rendering=\"crispEdges\">",
        120 * rows / columns.max(1)
    );
    for (level, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
        let grey = 255 * level / (LEVELS - 1);
        text.push_str(&format!("<path fill=\"rgb({grey},{grey},{grey})\" d=\"{path}\"/>"));
    }
    text + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(label: &str, cost: f64, accuracy: f64) -> Point {
        Point { label: label.to_owned(), cost, accuracy }
    }

    #[test]
    fn the_front_has_what_no_other_beats() {
        let points = [
            point("a", 4.0, 90.0),
            point("b", 1.0, 70.0),
            point("c", 2.0, 60.0),
            point("d", 2.0, 80.0),
        ];
        let labels: Vec<&str> = front(&points).iter().map(|p| p.label.as_str()).collect();
        assert_eq!(labels, ["b", "d", "a"]);
        let chart = pareto(&points, "bytes", "accuracy").expect("it is drawn");
        assert!(chart.starts_with("<svg") && chart.contains("accuracy in %"));
        assert_eq!(chart.matches("<circle").count(), 4);
    }

    #[test]
    fn lines_have_their_points_and_names() {
        let line = |label: &str, points: &[(f64, f64, f64)]| Line {
            label: label.to_owned(),
            points: points.to_vec(),
        };
        let drawing = [line("a<b", &[(4.0, 10.0, 2.0), (5.0, 60.0, 1.0)]), line("none", &[])];
        let chart = lines(&drawing, "alpha", "accuracy").expect("it is drawn");
        assert!(chart.contains("a&lt;b") && chart.contains("none") && !chart.contains("a<b"));
        assert!(chart.matches("<polyline").count() >= 3, "{chart}");
        assert!(lines(&[], "x", "y").expect("nothing is drawn").starts_with("<svg"));
    }

    #[test]
    fn labels_cannot_leave_the_drawing() {
        let rows = [("<script>".to_owned(), vec![1.0, 2.0])];
        let chart = bars(&rows, &["a", "b"], "MB").expect("it is drawn");
        assert!(!chart.contains("<script>") && chart.contains("3.000 MB"), "{chart}");
    }

    #[test]
    fn maps_are_thinned_out() {
        let svg = map([100, 50], &[0.5; 5000]);
        assert!(svg.contains("viewBox=\"0 0 17 34\""), "{svg}");
        assert_eq!(svg.matches("<path").count(), 1);
    }
}
