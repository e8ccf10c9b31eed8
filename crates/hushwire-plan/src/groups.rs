//! From a gate as the plan writes it to a decision for every element of a tensor.

use crate::{Clusters, Gate, Others};
use std::sync::Arc;

/// What happens to one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Multiplied by the decision of the group with this index.
    Group(u32),
    /// Multiplied by the copied decision with this index.
    Copied(u32),
    /// Passed unchanged.
    Identity,
    /// Replaced by zero.
    Zero,
}

/// A deciding integer linear form over the elements of a per-sample tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form(pub Vec<(u32, i32)>);

/// A decision that an earlier activation takes: the one that this element of it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The activation's node.
    pub node: Arc<str>,
    /// The element of its per-sample tensor.
    pub element: u32,
}

/// A gate resolved for a tensor: a decision per element and a form per group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// Every element decides for itself: the common case, kept without tables.
    Each,
    /// Every element passes.
    AllIdentity,
    /// Every element is zero.
    AllZero,
    /// Element `i` follows `decisions[i]`; `Decision::Group(g)` means the sign of `forms[g]`,
    /// `Decision::Copied(k)` the decision `copied[k]`.
    Mixed {
        /// One decision per element.
        decisions: Vec<Decision>,
        /// One form per group.
        forms: Vec<Form>,
        /// Decisions of earlier activations.
        copied: Vec<Copied>,
    },
}

impl Grouping {
    /// Resolves `gate` for a per-sample tensor of shape `dims` (`[C, H, W]`, or `[F]` which counts
    /// as F channels of one element). The gate must have passed [`crate::Plan::check`].
    pub fn resolve(gate: &Gate, dims: &[usize]) -> Grouping {
        let len: usize = dims.iter().product();
        match gate {
            Gate::Exact | Gate::Piecewise(_) | Gate::Polynomial(_) => Grouping::Each,
            Gate::Identity => Grouping::AllIdentity,
            Gate::Zero => Grouping::AllZero,
            Gate::Patches(channels) => clusters(&Clusters::single(channels), dims),
            Gate::Clusters(of) => clusters(of, dims),
            Gate::Groups { list, others } => {
                let mut decisions = vec![None; len];
                let mut forms = Vec::with_capacity(list.len());
                for (g, group) in list.iter().enumerate() {
                    for &m in &group.members {
                        decisions[m as usize] = Some(Decision::Group(g as u32));
                    }
                    forms.push(Form(group.form.clone()));
                }
                let decisions = decisions
                    .into_iter()
                    .enumerate()
                    .map(|(i, d)| {
                        d.unwrap_or_else(|| match others {
                            Others::Identity => Decision::Identity,
                            Others::Zero => Decision::Zero,
                            Others::Exact => {
                                forms.push(Form(vec![(i as u32, 1)]));
                                Decision::Group(forms.len() as u32 - 1)
                            }
                        })
                    })
                    .collect();
                Grouping::Mixed { decisions, forms, copied: Vec::new() }
            }
        }
    }

    /// The group whose decision an element follows; none if it follows another activation's or none.
    pub fn group_of(&self, element: u32) -> Option<u32> {
        match self {
            Grouping::Each => Some(element),
            Grouping::AllIdentity | Grouping::AllZero => None,
            Grouping::Mixed { decisions, .. } => match decisions.get(element as usize)? {
                Decision::Group(group) => Some(*group),
                _ => None,
            },
        }
    }

    /// The decisions of earlier activations that are copied.
    pub fn copied(&self) -> &[Copied] {
        match self {
            Grouping::Mixed { copied, .. } => copied,
            _ => &[],
        }
    }

    /// Number of sign decisions for a per-sample tensor of `len` elements; copied ones do not count.
    pub fn decisions(&self, len: usize) -> usize {
        match self {
            Grouping::Each => len,
            Grouping::AllIdentity | Grouping::AllZero => 0,
            Grouping::Mixed { forms, .. } => forms.len(),
        }
    }
}

fn clusters(clusters: &Clusters, dims: &[usize]) -> Grouping {
    let (height, width) = map_size(dims);
    let (decisions, forms, copied) = clusters.resolve([height, width]);
    Grouping::Mixed { decisions, forms, copied }
}

/// Height and width of the maps of a per-sample shape.
pub(crate) fn map_size(dims: &[usize]) -> (usize, usize) {
    match dims {
        [_, h, w] => (*h, *w),
        _ => (1, dims.iter().skip(1).product()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChannelGate;

    #[test]
    fn patches_cover_every_element_once_and_are_cut_at_the_border() {
        let gate = Gate::Patches(vec![
            ChannelGate::Patch(2, 2),
            ChannelGate::Identity,
            ChannelGate::Zero,
            ChannelGate::Patch(1, 1),
        ]);
        let Grouping::Mixed { decisions, forms, .. } = Grouping::resolve(&gate, &[4, 3, 3]) else {
            panic!("patches resolve to tables");
        };
        assert_eq!(decisions.len(), 36);
        // 2x2 patches on a 3x3 map: four of them, of 4, 2, 2 and 1 elements; then nine of one.
        let sizes: Vec<_> = forms.iter().map(|f| f.0.len()).collect();
        assert_eq!(sizes, [4, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert!(decisions[9..18].iter().all(|d| *d == Decision::Identity));
        assert!(decisions[18..27].iter().all(|d| *d == Decision::Zero));
        for (g, form) in forms.iter().enumerate() {
            for &(i, k) in &form.0 {
                assert_eq!((decisions[i as usize], k), (Decision::Group(g as u32), 1));
            }
        }
    }

    #[test]
    fn elements_in_no_group_follow_the_others_rule() {
        let list = vec![crate::Group { members: vec![0, 2], form: vec![(1, -3)] }];
        let resolve =
            |others| match Grouping::resolve(&Gate::Groups { list: list.clone(), others }, &[3]) {
                Grouping::Mixed { decisions, forms, .. } => (decisions, forms),
                other => panic!("{other:?}"),
            };
        let (decisions, forms) = resolve(Others::Exact);
        assert_eq!(decisions, [Decision::Group(0), Decision::Group(1), Decision::Group(0)]);
        assert_eq!(forms, [Form(vec![(1, -3)]), Form(vec![(1, 1)])]);
        assert_eq!(resolve(Others::Zero).0[1], Decision::Zero);
        assert_eq!(resolve(Others::Identity).0[1], Decision::Identity);
    }
}
