//! Cutting a gate's groups into independent blocks.

use crate::program::{Groups, ValueId};
use hushwire_plan::{Decision, Form};
use std::collections::HashMap;

/// Elements from which on a block is closed, unless its groups are connected with more.
const BLOCK: usize = 1 << 14;

/// No block yet, or no group.
const NONE: u32 = u32::MAX;

/// The blocks of one sample's groups. Groups that share an element, as members or in their forms,
/// are in one block; elements that pass, or copy one of the decisions `copied`, are in any.
pub(crate) fn blocks(
    decisions: &[Decision],
    forms: &[Form],
    copied: &[(ValueId, u32)],
) -> Vec<Groups> {
    let mut connected = Connected::new(forms.len());
    // For each element a group that it belongs to or votes in.
    let mut group_at = vec![NONE; decisions.len()];
    let mut meet = |element: usize, group: u32| {
        let known = &mut group_at[element];
        if *known == NONE {
            *known = group;
        } else {
            connected.unite(*known, group);
        }
    };
    for (group, form) in forms.iter().enumerate() {
        form.0.iter().for_each(|&(element, _)| meet(element as usize, group as u32));
    }
    for (element, decision) in decisions.iter().enumerate() {
        if let Decision::Group(group) = decision {
            meet(element, *group);
        }
    }

    // Elements in order fill a block; what is connected with them comes along.
    let mut block_of_root = vec![NONE; forms.len()];
    let mut blocks: Vec<Groups> = Vec::new();
    let mut filled = BLOCK;
    // For each element its position among the block's opened ones.
    let mut position = vec![NONE; decisions.len()];
    let mut block_of = vec![NONE; forms.len()];
    for (element, decision) in decisions.iter().enumerate() {
        let root = (group_at[element] != NONE).then(|| connected.root(group_at[element]) as usize);
        let open = |blocks: &mut Vec<Groups>, filled: &mut usize| {
            if *filled >= BLOCK {
                blocks.push(Groups { starts: vec![0], ..Groups::default() });
                *filled = 0;
            }
            blocks.len() as u32 - 1
        };
        let block = match root {
            Some(root) if block_of_root[root] != NONE => block_of_root[root],
            Some(root) => {
                block_of_root[root] = open(&mut blocks, &mut filled);
                block_of_root[root]
            }
            None if matches!(decision, Decision::Identity | Decision::Copied(_)) => {
                open(&mut blocks, &mut filled)
            }
            None => continue,
        };
        let own = &mut blocks[block as usize];
        match decision {
            Decision::Group(group) => {
                position[element] = own.members.len() as u32;
                own.members.push(element as u32);
                // The number within the block follows below.
                own.group_of.push(*group);
            }
            Decision::Copied(decision) => {
                position[element] = own.members.len() as u32;
                own.members.push(element as u32);
                // Behind those of the gate itself.
                own.group_of.push(forms.len() as u32 + decision);
            }
            Decision::Identity => own.identity.push(element as u32),
            Decision::Zero => {}
        }
        if block as usize + 1 == blocks.len() {
            filled += 1;
        }
    }

    let mut number = vec![NONE; forms.len()];
    for (group, form) in forms.iter().enumerate() {
        // A group without elements decides nothing.
        let block = block_of_root[connected.root(group as u32) as usize];
        if block == NONE {
            continue;
        }
        block_of[group] = block;
        let own = &mut blocks[block as usize];
        number[group] = own.decisions() as u32;
        for &(element, factor) in &form.0 {
            let at = &mut position[element as usize];
            if *at == NONE {
                // An element that is no member may vote: it is opened as well.
                *at = own.opened_len() as u32;
                own.extra.push(element);
            }
            own.terms.push((*at, i64::from(factor)));
        }
        own.starts.push(own.terms.len() as u32);
    }
    for own in &mut blocks {
        let decisions = own.decisions() as u32;
        let mut numbers = HashMap::new();
        for group in &mut own.group_of {
            *group = match (*group as usize).checked_sub(forms.len()) {
                None => number[*group as usize],
                Some(of) => *numbers.entry(of).or_insert_with(|| {
                    own.copied.push(copied[of]);
                    decisions + own.copied.len() as u32 - 1
                }),
            };
        }
    }
    blocks
}

/// Which groups are connected: a forest in which each tree is a set.
struct Connected(Vec<u32>);

impl Connected {
    fn new(groups: usize) -> Connected {
        Connected((0..groups as u32).collect())
    }

    fn root(&mut self, mut group: u32) -> u32 {
        while self.0[group as usize] != group {
            let parent = self.0[group as usize];
            self.0[group as usize] = self.0[parent as usize];
            group = parent;
        }
        group
    }

    fn unite(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b) as usize] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patches of `size` elements in a row, of which every third passes and every fourth is zero.
    fn rows(len: usize, size: usize) -> (Vec<Decision>, Vec<Form>) {
        let decisions = (0..len).map(|i| match (i / size) % 4 {
            1 => Decision::Identity,
            2 => Decision::Zero,
            _ => Decision::Group((i / size) as u32),
        });
        let form = |g: usize| Form((g * size..(g + 1) * size).map(|i| (i as u32, 1)).collect());
        (decisions.collect(), (0..len / size).map(form).collect())
    }

    #[test]
    fn every_element_is_where_it_was() {
        let (len, size) = (6 * BLOCK, 8);
        let (decisions, forms) = rows(len, size);
        let blocks = blocks(&decisions, &forms, &[]);
        assert!(blocks.len() > 4, "{} blocks", blocks.len());
        let mut seen = vec![0; len];
        let mut groups = 0;
        for block in &blocks {
            // Those that pass and vote are in both.
            assert!(block.opened_len() + block.identity.len() <= 2 * BLOCK);
            let opened: Vec<u32> = block.opened().collect();
            opened.iter().chain(&block.identity).for_each(|&i| seen[i as usize] += 1);
            for (&i, &g) in block.members.iter().zip(&block.group_of) {
                let terms = block.starts[g as usize]..block.starts[g as usize + 1];
                let of = i as usize / size * size;
                let voters: Vec<u32> =
                    terms.map(|t| opened[block.terms[t as usize].0 as usize]).collect();
                assert_eq!(voters, (of as u32..(of + size) as u32).collect::<Vec<_>>());
                assert_eq!(decisions[i as usize], Decision::Group(i / size as u32));
            }
            groups += block.decisions();
        }
        assert_eq!(groups, len / size);
        for (i, seen) in seen.into_iter().enumerate() {
            // Those that pass or are zero vote in this example, too.
            let wanted = if decisions[i] == Decision::Identity { 2 } else { 1 };
            assert_eq!(seen, wanted, "element {i}");
        }
    }

    #[test]
    fn copied_decisions_come_behind_a_blocks_own() {
        let copy = Decision::Copied;
        let decisions = [copy(1), Decision::Group(0), copy(0), copy(1), Decision::Identity];
        let forms = [Form(vec![(3, 1), (1, 1)])];
        let all = blocks(&decisions, &forms, &[(7, 30), (9, 10)]);
        assert_eq!(all.len(), 1);
        let Groups { members, group_of, copied, .. } = &all[0];
        assert_eq!((&members[..], &group_of[..]), (&[0, 1, 2, 3][..], &[1, 0, 2, 1][..]));
        assert_eq!((all[0].decisions(), &copied[..]), (1, &[(9, 10), (7, 30)][..]));
        assert_eq!(all[0].opened_len(), 4, "a voter that is a member is opened once");
    }

    #[test]
    fn what_shares_an_element_stays_together() {
        let len = 3 * BLOCK;
        let decisions: Vec<_> = (0..len as u32).map(Decision::Group).collect();
        // All listen to element 0.
        let forms: Vec<_> = (0..len as u32).map(|g| Form(vec![(0, 1), (g, 1)])).collect();
        let all = blocks(&decisions, &forms, &[]);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].decisions(), all[0].opened_len()), (len, len));
    }
}
