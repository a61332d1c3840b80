//! Leaves by a number of twelve bits, shared with older states until they change.

use std::sync::Arc;

/// Children of a node.
const WIDTH: usize = 64;

/// A tree of two levels with 64 × 64 leaves at most.
///
/// A clone shares everything. A change then copies the way to one leaf, about 128 pointers, and
/// leaves the rest shared; where nothing is shared, nothing is copied.
#[derive(Clone, Debug)]
pub(super) struct Tree<L>(Vec<Option<Arc<Branch<L>>>>);

#[derive(Clone, Debug)]
struct Branch<L>(Vec<Option<Arc<L>>>);

impl<L> Default for Tree<L> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<L> Default for Branch<L> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<L: Clone + Default> Tree<L> {
    /// The leaf of this number, if there is one.
    pub(super) fn get(&self, number: u16) -> Option<&L> {
        let (branch, leaf) = places(number);
        self.0.get(branch)?.as_ref()?.0.get(leaf)?.as_deref()
    }

    /// The leaf of this number, to be changed; an empty one if there is none. `None` beyond twelve
    /// bits.
    pub(super) fn get_mut(&mut self, number: u16) -> Option<&mut L> {
        let (branch, leaf) = places(number);
        child_mut(&mut child_mut(&mut self.0, branch)?.0, leaf)
    }

    /// The leaves, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = &L> {
        let branches = self.0.iter().flatten();
        branches.flat_map(|branch| branch.0.iter().flatten()).map(AsRef::as_ref)
    }

    /// The leaves, ascending, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut L> {
        let branches = self.0.iter_mut().flatten().map(Arc::make_mut);
        branches.flat_map(|branch| branch.0.iter_mut().flatten()).map(Arc::make_mut)
    }
}

fn places(number: u16) -> (usize, usize) {
    let number = usize::from(number);
    (number / WIDTH, number % WIDTH)
}

fn child_mut<T: Clone + Default>(
    children: &mut Vec<Option<Arc<T>>>,
    place: usize,
) -> Option<&mut T> {
    if children.is_empty() {
        children.resize(WIDTH, None);
    }
    Some(Arc::make_mut(children.get_mut(place)?.get_or_insert_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leaves_an_older_state_as_it_was_and_shares_the_rest_with_it() {
        let mut tree = Tree::<u16>::default();
        for number in 0..4_096 {
            *tree.get_mut(number).unwrap() = number;
        }
        let older = tree.clone();
        *tree.get_mut(4_095).unwrap() = 7;
        assert_eq!((older.get(4_095), tree.get(4_095)), (Some(&4_095), Some(&7)));
        let shared = older.iter().zip(tree.iter()).filter(|(a, b)| std::ptr::eq(*a, *b)).count();
        assert_eq!(shared, 4_095);
    }

    #[test]
    fn what_nobody_holds_is_changed_where_it_is() {
        let mut tree = Tree::<u16>::default();
        *tree.get_mut(1).unwrap() = 1;
        let place = std::ptr::from_ref(tree.get(1).unwrap());
        drop(tree.clone());
        *tree.get_mut(1).unwrap() = 2;
        assert_eq!(std::ptr::from_ref(tree.get(1).unwrap()), place);
    }

    #[test]
    fn leaves_come_in_the_order_of_their_numbers() {
        let mut tree = Tree::<u16>::default();
        for number in [4_095, 0, 64, 63, 700] {
            *tree.get_mut(number).unwrap() = number;
        }
        assert!(tree.iter().eq(&[0, 63, 64, 700, 4_095]));
        assert!(tree.get_mut(4_096).is_none());
    }
}
