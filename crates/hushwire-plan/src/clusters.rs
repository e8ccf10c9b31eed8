//! Channels that share decisions.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::{ChannelGate, Copied, Decision, Form};

/// Clusters of a layer's channels: all channels of a cluster follow the same decisions, one for
/// each of its patches. This is how channels at one location, blocks of patch and channels, and
/// prototypes with replicas (DeepShare, arXiv 2512.17398) are written in a few numbers per channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clusters {
    /// For each channel its cluster.
    pub of_channel: Vec<u32>,
    /// The clusters.
    pub list: Vec<Cluster>,
}

/// What a cluster's channels do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The patches, or identity or zero.
    pub gate: ChannelGate,
    /// Who decides: (channel, coefficient). The sign of the sum over a patch of these channels,
    /// times their coefficients, is the decision. They need not belong to the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub form: Vec<(u32, i32)>,
    /// Instead of a form: a channel of an earlier activation whose decisions the cluster copies. Its
    /// map has the same size, its gate the same patches, and it copies none itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<Prototype>,
}

/// A channel whose decisions others copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prototype {
    /// The activation's node.
    pub node: String,
    /// The channel.
    pub channel: u32,
}

impl Clusters {
    /// Every channel for itself.
    pub(crate) fn single(channels: &[ChannelGate]) -> Clusters {
        let alone = |(c, gate): (usize, &ChannelGate)| Cluster {
            gate: *gate,
            form: match gate {
                ChannelGate::Patch(..) => vec![(c as u32, 1)],
                ChannelGate::Identity | ChannelGate::Zero => Vec::new(),
            },
            copies: None,
        };
        Clusters {
            of_channel: (0..channels.len() as u32).collect(),
            list: channels.iter().enumerate().map(alone).collect(),
        }
    }

    /// The decision of every element of maps of `height` x `width`, the forms, and the decisions
    /// that are copied.
    pub(crate) fn resolve(
        &self,
        [height, width]: [usize; 2],
    ) -> (Vec<Decision>, Vec<Form>, Vec<Copied>) {
        let map = height * width;
        let mut forms: Vec<Form> = Vec::new();
        let mut copied: Vec<Copied> = Vec::new();
        let firsts: Vec<usize> = (self.list.iter())
            .map(|cluster| {
                let first = forms.len();
                let ChannelGate::Patch(h, w) = cluster.gate else { return first };
                let across = width.div_ceil(w.into());
                let down = height.div_ceil(h.into());
                if let Some(Prototype { node, channel }) = &cluster.copies {
                    let (first, node) = (copied.len(), Arc::<str>::from(node.as_str()));
                    let corner = |patch: usize| {
                        let at = patch / across * usize::from(h) * width
                            + patch % across * usize::from(w);
                        (*channel as usize * map + at) as u32
                    };
                    let patches = 0..down * across;
                    copied
                        .extend(patches.map(|p| Copied { node: node.clone(), element: corner(p) }));
                    return first;
                }
                let patches = down * across;
                forms.resize(first + patches, Form(Vec::new()));
                for &(channel, k) in &cluster.form {
                    for i in 0..map {
                        let patch =
                            i / width / usize::from(h) * across + i % width / usize::from(w);
                        forms[first + patch].0.push(((channel as usize * map + i) as u32, k));
                    }
                }
                first
            })
            .collect();
        let mut decisions = Vec::with_capacity(self.of_channel.len() * map);
        for &cluster in &self.of_channel {
            let first = firsts[cluster as usize];
            let cluster = &self.list[cluster as usize];
            match cluster.gate {
                ChannelGate::Identity => {
                    decisions.resize(decisions.len() + map, Decision::Identity)
                }
                ChannelGate::Zero => decisions.resize(decisions.len() + map, Decision::Zero),
                ChannelGate::Patch(h, w) => {
                    let across = width.div_ceil(w.into());
                    decisions.extend((0..map).map(|i| {
                        let patch =
                            i / width / usize::from(h) * across + i % width / usize::from(w);
                        let decision = (first + patch) as u32;
                        match cluster.copies {
                            None => Decision::Group(decision),
                            Some(_) => Decision::Copied(decision),
                        }
                    }));
                }
            }
        }
        (decisions, forms, copied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_of_a_cluster_follow_its_patches() {
        // Two channels that follow the third's rows, one that passes, and one with a form of two.
        let cluster =
            |gate, form: &[(u32, i32)]| Cluster { gate, form: form.to_vec(), copies: None };
        let clusters = Clusters {
            of_channel: vec![0, 1, 0, 2],
            list: vec![
                cluster(ChannelGate::Patch(1, 2), &[(2, 1)]),
                cluster(ChannelGate::Identity, &[]),
                cluster(ChannelGate::Patch(2, 2), &[(3, 2), (0, -1)]),
            ],
        };
        let (decisions, forms, copied) = clusters.resolve([2, 2]);
        assert!(copied.is_empty());
        let of = |channel: usize| &decisions[4 * channel..4 * channel + 4];
        let rows = [0, 0, 1, 1].map(Decision::Group);
        assert_eq!((of(0), of(2)), (&rows[..], &rows[..]));
        assert_eq!(of(1), [Decision::Identity; 4]);
        assert_eq!(of(3), [Decision::Group(2); 4]);
        assert_eq!(forms[0], Form(vec![(8, 1), (9, 1)]));
        assert_eq!(forms[1], Form(vec![(10, 1), (11, 1)]));
        let whole = [(12, 2), (13, 2), (14, 2), (15, 2), (0, -1), (1, -1), (2, -1), (3, -1)];
        assert_eq!(forms[2], Form(whole.to_vec()));
        assert_eq!(forms.len(), 3);
    }

    #[test]
    fn copies_name_an_element_of_each_patch() {
        let prototype = Prototype { node: "earlier".into(), channel: 2 };
        let list = vec![
            Cluster { gate: ChannelGate::Patch(3, 2), form: vec![], copies: Some(prototype) },
            Cluster { gate: ChannelGate::Patch(3, 3), form: vec![(1, 1)], copies: None },
        ];
        let clusters = Clusters { of_channel: vec![0, 1, 0], list };
        let (decisions, forms, copied) = clusters.resolve([3, 3]);
        let elements: Vec<u32> = copied.iter().map(|c| c.element).collect();
        assert_eq!((elements, forms.len()), (vec![18, 20], 1));
        let rows = [0, 0, 1].map(Decision::Copied);
        for row in decisions[..9].chunks(3).chain(decisions[18..].chunks(3)) {
            assert_eq!(row, rows);
        }
        assert_eq!(decisions[9..18], [Decision::Group(0); 9]);
    }
}
