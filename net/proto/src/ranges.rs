//! Sets of numbers kept as ranges.

/// Half-open ranges, sorted, apart from each other. Short in use: kept in one vector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The ranges, lowest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> + ExactSizeIterator + '_ {
        self.0.iter().copied()
    }

    pub(crate) fn first(&self) -> Option<(u64, u64)> {
        self.0.first().copied()
    }

    /// Adds `start..end`.
    pub(crate) fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        // Usually it continues the last one.
        if let Some(last) = self.0.last_mut()
            && (last.0..=last.1).contains(&start)
        {
            last.1 = last.1.max(end);
            return;
        }
        let from = self.0.partition_point(|range| range.1 < start);
        let to = self.0.partition_point(|range| range.0 <= end);
        let mut joined = (start, end);
        for (other_start, other_end) in self.0.drain(from..to) {
            joined = (joined.0.min(other_start), joined.1.max(other_end));
        }
        self.0.insert(from, joined);
    }

    /// Takes `start..end` out.
    pub(crate) fn remove(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let from = self.0.partition_point(|range| range.1 <= start);
        let to = self.0.partition_point(|range| range.0 < end);
        // Nearly always there is nothing: what arrives was not lost.
        let (Some(first), Some(last)) =
            (self.0.get(from..to).and_then(<[_]>::first), self.0.get(..to).and_then(<[_]>::last))
        else {
            return;
        };
        let (left, right) = ((first.0, start), (end, last.1));
        let is_some = |range: &(u64, u64)| range.0 < range.1;
        self.0.splice(from..to, [left, right].into_iter().filter(is_some));
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        let at = self.0.partition_point(|range| range.1 <= number);
        self.0.get(at).is_some_and(|range| range.0 <= number)
    }

    /// Takes out everything below a number.
    pub(crate) fn forget_below(&mut self, number: u64) {
        let gone = self.0.partition_point(|range| range.1 <= number);
        self.0.drain(..gone);
        if let Some(first) = self.0.first_mut() {
            first.0 = first.0.max(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ranges_are_what_a_set_of_numbers_is() {
        let mut state = 7_u64;
        let mut next = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % bound
        };
        let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
        for _ in 0..20_000 {
            let start = next(200);
            let end = start + next(9);
            match next(5) {
                0 | 1 => {
                    ranges.insert(start, end);
                    set.extend(start..end);
                }
                2 => {
                    ranges.remove(start, end);
                    set.retain(|number| !(start..end).contains(number));
                }
                3 => {
                    ranges.forget_below(start / 8);
                    set.retain(|number| *number >= start / 8);
                }
                _ => assert_eq!(ranges.contains(start), set.contains(&start)),
            }
            let listed: Vec<u64> = ranges.iter().flat_map(|(start, end)| start..end).collect();
            assert_eq!(listed, set.iter().copied().collect::<Vec<_>>());
            assert!(ranges.iter().zip(ranges.iter().skip(1)).all(|(one, two)| one.1 < two.0));
        }
    }
}
