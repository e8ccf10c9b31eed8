//! Tables and charts of what a study found.

use std::fmt::Write;

use anyhow::Result;
use hushwire_minimax::ALPHAS;

use super::results::Results;
use super::{decay, factorial, perturb};
use crate::commands::report::charts::{self, Line};
use crate::commands::study::stats::Mean;
use crate::output::Table;

/// A cell of a table.
fn cell(mean: Option<Mean>) -> String {
    mean.map_or_else(|| "-".to_owned(), |mean| mean.to_string())
}

fn mean(results: &Results, part: &str, case: &str, alpha: u32, measure: &str) -> Option<Mean> {
    Mean::of(&results.values(part, case, alpha, measure))
}

/// All tables.
pub fn report(results: &Results, network: &str, data: &str) -> String {
    let mut text = format!("{network} on {data}; means over seeds with 95% intervals\n\n");
    for (title, table) in [
        ("Points of accuracy lost to perturbations, by size", perturbations(results)),
        ("Accuracy in % under polynomials of precision alpha, by weight decay", decays(results)),
        ("What else weight decay changes", sources(results)),
        ("What a remedy adds to the accuracy, in points", effects(results)),
        ("Accuracy in % by remedies", remedies(results)),
    ] {
        let _ = writeln!(text, "{title}\n\n{table}");
    }
    text
}

fn perturbations(results: &Results) -> Table {
    let sizes = perturb::SIZES.map(|size| size.to_string());
    let heads = ["matched, place, kind, region"].into_iter();
    let heads: Vec<&str> = heads.chain(sizes.iter().map(String::as_str)).collect();
    let mut table = Table::new(&heads);
    for (matched, place) in [("energy", "all"), ("amplitude", "all"), ("energy", "one")] {
        for (kind, _) in perturb::KINDS {
            for (region, _) in perturb::REGIONS {
                let of = |size| {
                    let case = perturb::case(matched, place, region, kind, size);
                    mean(results, perturb::PART, &case, 0, "lost points")
                };
                let cells: Vec<Option<Mean>> = perturb::SIZES.into_iter().map(of).collect();
                if cells.iter().any(Option::is_some) {
                    let name = format!("{matched}, {place}, {kind}, {region}");
                    table.row([name].into_iter().chain(cells.into_iter().map(cell)));
                }
            }
        }
    }
    table
}

fn decays(results: &Results) -> Table {
    let alphas: Vec<String> =
        ALPHAS.chain([0]).map(|a| if a == 0 { "ReLU".to_owned() } else { a.to_string() }).collect();
    let heads = ["decay, ranges"].into_iter();
    let mut table = Table::new(&heads.chain(alphas.iter().map(String::as_str)).collect::<Vec<_>>());
    for ranges in ["free", "fixed"] {
        for decay in decay::DECAYS {
            let case = decay::case(decay, ranges);
            let of = |alpha| cell(mean(results, decay::PART, &case, alpha, "accuracy"));
            let name = format!("{decay}, {ranges}");
            table.row([name].into_iter().chain(ALPHAS.chain([0]).map(of)));
        }
    }
    table
}

fn sources(results: &Results) -> Table {
    let decays = decay::DECAYS.map(|decay| decay.to_string());
    let heads = ["decay"].into_iter();
    let mut table = Table::new(&heads.chain(decays.iter().map(String::as_str)).collect::<Vec<_>>());
    for measure in decay::MEASURES {
        let of =
            |decay: f32| cell(mean(results, decay::SOURCES, &format!("decay={decay}"), 0, measure));
        table.row([measure.to_owned()].into_iter().chain(decay::DECAYS.into_iter().map(of)));
    }
    table
}

/// Column heads: what comes first, and precisions.
fn measured(first: &'static str) -> Vec<String> {
    let name = |alpha: &u32| if *alpha == 0 { "ReLU".to_owned() } else { alpha.to_string() };
    [first.to_owned()].into_iter().chain(factorial::MEASURED.iter().map(name)).collect()
}

fn effects(results: &Results) -> Table {
    let heads = measured("remedy");
    let mut table = Table::new(&heads.iter().map(String::as_str).collect::<Vec<_>>());
    for (remedy, name) in factorial::REMEDIES.into_iter().enumerate() {
        let of = |alpha| cell(factorial::effect(results, remedy, alpha));
        table.row([name.to_owned()].into_iter().chain(factorial::MEASURED.into_iter().map(of)));
    }
    table
}

fn remedies(results: &Results) -> Table {
    let heads = measured("remedies");
    let mut table = Table::new(&heads.iter().map(String::as_str).collect::<Vec<_>>());
    for remedies in 0..factorial::CASES {
        let case = factorial::case(remedies);
        let of = |alpha| cell(mean(results, factorial::PART, &case, alpha, "accuracy"));
        table.row([case.clone()].into_iter().chain(factorial::MEASURED.into_iter().map(of)));
    }
    table
}

/// Charts as SVG text with the names of their files.
pub fn charts(results: &Results) -> Result<Vec<(&'static str, String)>> {
    let point = |x: f64, mean: Option<Mean>| mean.map(|m| (x, m.mean, m.within.unwrap_or(0.0)));
    let by_region = perturb::REGIONS.map(|(region, _)| Line {
        label: region.to_owned(),
        points: perturb::SIZES
            .into_iter()
            .filter_map(|size| {
                let case = perturb::case("energy", "all", region, "sign", size);
                let lost = mean(results, perturb::PART, &case, 0, "lost points");
                point(f64::from(size), lost)
            })
            .collect(),
    });
    let by_decay = decay::DECAYS.map(|decay| Line {
        label: format!("decay {decay}"),
        points: ALPHAS
            .filter_map(|alpha| {
                let case = decay::case(decay, "free");
                point(f64::from(alpha), mean(results, decay::PART, &case, alpha, "accuracy"))
            })
            .collect(),
    });
    // None, each alone, and all together.
    let alone = (0..factorial::REMEDIES.len()).map(|bit| 1 << bit);
    let chosen = [0].into_iter().chain(alone).chain([factorial::CASES - 1]);
    let by_remedy: Vec<Line> = chosen
        .map(|remedies| {
            let case = factorial::case(remedies);
            let precise = factorial::MEASURED.into_iter().filter(|alpha| *alpha > 0);
            let points = precise.filter_map(|alpha| {
                let accuracy = mean(results, factorial::PART, &case, alpha, "accuracy");
                point(f64::from(alpha), accuracy)
            });
            let label =
                if remedies == factorial::CASES - 1 { "all".to_owned() } else { case.clone() };
            Line { label, points: points.collect() }
        })
        .collect();
    let (size, alpha) = ("size of random signs, against the values'", "precision in bits");
    Ok(vec![
        ("perturbations.svg", charts::lines(&by_region, size, "points of accuracy lost")?),
        ("decay.svg", charts::lines(&by_decay, alpha, "accuracy in %")?),
        ("remedies.svg", charts::lines(&by_remedy, alpha, "accuracy in %")?),
    ])
}
