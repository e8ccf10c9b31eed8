//! From a network and its plan to the program.

use std::collections::HashMap;

use crate::layout::Table;
use crate::linear::Linear;
use crate::lower::{self, Operand};
use crate::network::{Network, Product, Stage, Value};
use crate::plan::{EncryptedPlan, Placement, PlanError, StagePlan};
use crate::program::{Affine, Place, Program, ProgramStage, ProgramValue};

/// The program of a plan.
///
/// # Errors
/// If the plan does not fit the network.
pub fn assemble(network: &Network, plan: &EncryptedPlan) -> Result<Program, PlanError> {
    let slots = 1 << plan.parameters.log_degree;
    let unfit = |place: &str, reason: String| PlanError::Unfit { place: place.to_owned(), reason };
    if plan.values.len() != network.values.len() {
        let (got, expected) = (plan.values.len(), network.values.len());
        return Err(unfit("values", format!("{got} values; the network has {expected}")));
    }
    let mut places: Vec<Option<Place>> = Vec::new();
    for (value, planned) in network.values.iter().zip(&plan.values) {
        if value.name != planned.name {
            return Err(unfit(&planned.name, format!("the network has `{}` here", value.name)));
        }
        places.push(match &planned.layout {
            Placement::Aligned => None,
            Placement::Batched => Some(Place::Batched),
            Placement::Layout(layout) => {
                let table = layout.table(&value.shape, slots);
                Some(Place::Packed(table.map_err(|e| unfit(&value.name, e.to_string()))?))
            }
        });
    }
    if places[0].is_none() {
        let table = aligned(network, plan, &places);
        places[0] =
            Some(Place::Packed(table.map_err(|reason| unfit(&plan.values[0].name, reason))?));
    }
    let places: Option<Vec<Place>> = places.into_iter().collect();
    let places =
        places.ok_or_else(|| unfit("values", "only the input can be aligned".to_owned()))?;
    let plain = network.plain();
    let mut values = Vec::with_capacity(places.len());
    for (i, (value, planned)) in network.values.iter().zip(&plan.values).enumerate() {
        let stage = match (&value.stage, &planned.stage) {
            (Some(stage), Some(planned)) => {
                let level = |source: usize| plan.values[source].level;
                if let Some(source) = stage.sources().find(|source| level(*source) < planned.level)
                {
                    let source = &plan.values[source].name;
                    let reason = format!("level {}, which `{source}` is below", planned.level);
                    return Err(unfit(&value.name, reason));
                }
                let stage = assemble_stage(stage, planned, (i, plain[i]), &places);
                Some(stage.map_err(|reason| unfit(&value.name, reason))?)
            }
            _ => None,
        };
        values.push(ProgramValue {
            name: value.name.clone(),
            elements: value.len(),
            place: places[i].clone(),
            level: planned.level,
            log_scale: planned.log_scale,
            stage,
        });
    }
    check_result(network, plan, &places)?;
    Ok(Program { slots, values })
}

/// Refuses layouts in which the result leaves partial sums beside it: they depend on the weights, and
/// the client decrypts all slots.
fn check_result(
    network: &Network,
    plan: &EncryptedPlan,
    places: &[Place],
) -> Result<(), PlanError> {
    let mut at = places.len() - 1;
    let plain = network.plain();
    while let (true, Some(stage)) = (plain[at], &network.values[at].stage) {
        // A product of values that are taken as they are: nothing was folded here.
        at = stage.terms[0].source;
    }
    let (Place::Packed(table), Some(stage)) = (&places[at], &plan.values[at].stage) else {
        return Ok(());
    };
    match lower::remains(table, &stage.folds) {
        None => Ok(()),
        Some(slot) => Err(PlanError::Unfit {
            place: plan.values[at].name.clone(),
            reason: format!(
                "slot {slot} of the result would show the client a partial sum; fold over whole \
                 copies only"
            ),
        }),
    }
}

/// The aligned layout of the input.
fn aligned(
    network: &Network,
    plan: &EncryptedPlan,
    places: &[Option<Place>],
) -> Result<Table, String> {
    let (reader, matrix) = only_reader(network).ok_or("several layers read the input")?;
    let (Some(Place::Packed(table)), Some(stage)) = (&places[reader], &plan.values[reader].stage)
    else {
        return Err("its reader is not packed".to_owned());
    };
    aligned_table(matrix, table, &stage.folds).map_err(|e| e.to_string())
}

/// The layout of the input that spares the layer that reads it all rotations but its folds.
pub fn aligned_table(
    matrix: &crate::Sparse,
    table: &Table,
    folds: &[usize],
) -> Result<Table, lower::Mixed> {
    let (period, orbits) = lower::periodic_orbits(std::iter::empty(), table, folds)?;
    let columns = |row| matrix.row(row).map(|entry| matrix.column(entry));
    Ok(lower::aligned(&orbits, period, columns).repeated(table.slots))
}

/// The one value that reads the input, by a matrix, if there is only one.
pub fn only_reader(network: &Network) -> Option<(usize, &crate::Sparse)> {
    let reads = |value: &Value| {
        value.stage.as_ref().is_some_and(|stage| stage.sources().any(|source| source == 0))
    };
    let mut readers = network.values.iter().enumerate().filter(|(_, value)| reads(value));
    let (position, value) = readers.next()?;
    let Stage { terms, product, .. } = value.stage.as_ref()?;
    match (&terms[..], readers.next()) {
        ([term], None) if *product != Product::With(0) => Some((position, term.matrix.as_ref()?)),
        _ => None,
    }
}

fn assemble_stage(
    stage: &Stage,
    planned: &StagePlan,
    (value, plain): (usize, bool),
    places: &[Place],
) -> Result<ProgramStage, String> {
    if let Product::With(other) = stage.product
        && places[other] != places[value]
    {
        return Err("the factors have different layouts".to_owned());
    }
    let sources: Vec<usize> = stage.terms.iter().map(|term| term.source).collect();
    let affine = if plain {
        if places[sources[0]] != places[value] {
            return Err("a square of another value needs the same layout".to_owned());
        }
        Affine::Plain
    } else {
        match &places[value] {
            Place::Batched => {
                if sources.iter().any(|source| places[*source] != Place::Batched) {
                    return Err("batched and packed values do not mix".to_owned());
                }
                Affine::Batched { entries: batched_entries(stage)? }
            }
            Place::Packed(table) => packed(stage, planned, table, places)?,
        }
    };
    let bias = stage.bias.iter().any(|b| *b != 0.0);
    Ok(ProgramStage { level: planned.level, affine, sources, bias, product: stage.product })
}

fn packed(
    stage: &Stage,
    planned: &StagePlan,
    table: &Table,
    places: &[Place],
) -> Result<Affine, String> {
    let table_of = |source: usize| match &places[source] {
        Place::Packed(table) => Ok(table),
        Place::Batched => Err("batched and packed values do not mix".to_owned()),
    };
    let inputs: Vec<&Table> =
        stage.terms.iter().map(|term| table_of(term.source)).collect::<Result<_, _>>()?;
    let (period, orbits) = lower::periodic_orbits(inputs.iter().copied(), table, &planned.folds)
        .map_err(|e| e.to_string())?;
    let inputs: Vec<Table> = inputs.iter().map(|table| table.truncated(period)).collect();
    let operands = stage.terms.iter().zip(&inputs);
    let operands: Vec<Operand<'_>> =
        operands.map(|(term, table)| Operand { matrix: term.matrix.as_ref(), table }).collect();
    let inputs = operands.iter().map(|o| o.table.ciphertexts.len()).sum();
    let diagonals = lower::diagonals(&orbits, &operands, table.ciphertexts.len());
    if diagonals.iter().any(|all| all.is_empty()) {
        return Err("a ciphertext of the result depends on nothing".to_owned());
    }
    let (linear, cells) = Linear::new(diagonals, inputs, planned.split, period, &planned.folds);
    Ok(Affine::Packed { linear, cells, period })
}

/// Entries of all matrices of a batched stage, each row of which must have one.
pub fn batched_entries(stage: &Stage) -> Result<usize, String> {
    let elements = stage.bias.len();
    let mut rows: HashMap<usize, usize> = HashMap::new();
    let mut entries = 0;
    for term in &stage.terms {
        for row in 0..elements {
            let count = term.matrix.as_ref().map_or(1, |matrix| matrix.row(row).len());
            *rows.entry(row).or_default() += count;
            entries += count;
        }
    }
    if rows.values().any(|count| *count == 0) {
        return Err("an element of the result depends on nothing".to_owned());
    }
    Ok(entries)
}
