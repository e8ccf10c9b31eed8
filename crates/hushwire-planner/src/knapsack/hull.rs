//! The linear relaxation over the lower convex hulls of the items' choices.

use super::Choice;

/// A choice on its item's hull.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vertex {
    /// Index among the item's choices.
    pub choice: usize,
    /// Its cost.
    pub cost: u64,
    /// Its loss.
    pub loss: f64,
    /// Loss saved per unit of cost on the way here from the vertex before; infinite at the first.
    pub slope: f64,
}

/// The lower convex hull of an item's choices, cheapest vertex first: costs rise, losses and slopes
/// fall.
pub(super) fn hull(choices: &[Choice]) -> Vec<Vertex> {
    let mut order: Vec<usize> = (0..choices.len()).collect();
    let key = |i: &usize| choices[*i];
    order.sort_by(|a, b| key(a).cost.cmp(&key(b).cost).then(key(a).loss.total_cmp(&key(b).loss)));
    let mut hull: Vec<Vertex> = Vec::new();
    for choice in order {
        let Choice { cost, loss } = choices[choice];
        if hull.last().is_some_and(|last| last.loss <= loss) {
            continue;
        }
        // Slopes are compared as computed, so that they fall strictly in spite of rounding.
        let mut slope = f64::INFINITY;
        while let Some(last) = hull.last() {
            slope = (last.loss - loss) / (cost - last.cost) as f64;
            if slope < last.slope {
                break;
            }
            hull.pop();
            slope = f64::INFINITY;
        }
        hull.push(Vertex { choice, cost, loss, slope });
    }
    hull
}

/// The optimum of the linear relaxation, rounded down: all steps along the hulls whose slope is
/// above `price` are taken, and of those with that slope as many as the budget allows.
pub(super) struct Relaxation {
    /// Every item's hull.
    pub hulls: Vec<Vec<Vertex>>,
    /// For each item the vertex it is at.
    pub at: Vec<usize>,
    /// Loss saved by one more unit of the budget: the Lagrange multiplier.
    pub price: f64,
    /// Sum of the losses at these vertices.
    pub loss: f64,
    /// What they leave of the budget.
    pub left: u64,
}

impl Relaxation {
    /// Solves the relaxation; the cheapest choices must be within the budget.
    pub fn new(items: &[Vec<Choice>], budget: u64) -> Relaxation {
        let hulls: Vec<Vec<Vertex>> = items.iter().map(|choices| hull(choices)).collect();
        let mut at = vec![0; hulls.len()];
        let mut left = budget - hulls.iter().map(|hull| hull[0].cost).sum::<u64>();
        let mut steps: Vec<(f64, u32)> = Vec::new();
        for (item, hull) in hulls.iter().enumerate() {
            steps.extend(hull[1..].iter().map(|vertex| (vertex.slope, item as u32)));
        }
        // The sort is stable and slopes fall along each hull, so an item's steps stay in order.
        steps.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut price = 0.0;
        for (slope, item) in steps {
            let (hull, at) = (&hulls[item as usize], &mut at[item as usize]);
            let cost = hull[*at + 1].cost - hull[*at].cost;
            if cost > left {
                price = slope;
                break;
            }
            left -= cost;
            *at += 1;
        }
        let loss = hulls.iter().zip(&at).map(|(hull, &at)| hull[at].loss).sum();
        Relaxation { hulls, at, price, loss, left }
    }

    /// No solution loses less.
    pub fn bound(&self) -> f64 {
        self.loss - self.price * self.left as f64
    }

    /// The slope of an item's next step, which is at most the price; 0 if there is none.
    pub fn up(&self, item: usize) -> f64 {
        self.hulls[item].get(self.at[item] + 1).map_or(0.0, |next| next.slope)
    }

    /// The slope of the step that led to an item's vertex, at least the price; infinite if none did.
    pub fn down(&self, item: usize) -> f64 {
        self.hulls[item][self.at[item]].slope
    }

    /// The vertices after filling what is left of the budget with further steps, steepest first.
    pub fn filled(&self) -> Vec<usize> {
        let mut steps: Vec<(f64, usize)> =
            (0..self.at.len()).map(|item| (self.up(item), item)).collect();
        steps.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut at, mut left) = (self.at.clone(), self.left);
        for (_, item) in steps {
            let hull = &self.hulls[item];
            while let Some(next) = hull.get(at[item] + 1) {
                let cost = next.cost - hull[at[item]].cost;
                if cost > left {
                    break;
                }
                left -= cost;
                at[item] += 1;
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_choices_on_the_hull_are_kept() {
        let choices = [(4, 1.0), (0, 9.0), (2, 4.0), (3, 3.9), (1, 8.0), (9, 1.0), (0, 10.0)];
        let choices: Vec<_> =
            choices.into_iter().map(|(cost, loss)| Choice { cost, loss }).collect();
        let kept: Vec<_> = hull(&choices).into_iter().map(|v| (v.choice, v.slope)).collect();
        assert_eq!(kept, [(1, f64::INFINITY), (2, 2.5), (0, 1.5)]);
    }

    #[test]
    fn the_price_is_the_slope_of_the_first_step_that_does_not_fit() {
        let item = |loss| vec![Choice { cost: 0, loss }, Choice { cost: 4, loss: 0.0 }];
        let relaxation = Relaxation::new(&[item(8.0), item(20.0), item(4.0)], 6);
        assert_eq!((relaxation.price, relaxation.left, relaxation.loss), (2.0, 2, 12.0));
        assert_eq!(relaxation.bound(), 8.0);
        let all = Relaxation::new(&[item(8.0), item(20.0)], 9);
        assert_eq!((all.price, all.left, all.bound()), (0.0, 1, 0.0));
    }
}
